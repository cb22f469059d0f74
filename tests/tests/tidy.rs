//! The rules that keep the house in order, enforced by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

use docent_tests::source::{Code, Named};

/// Crates that only one room may name: a backend can be exchanged because one place knows it.
const CONFINED: &[(&str, &[&str])] = &[
    ("ort", &["models/src/session/"]),
    ("tesseract_rs", &["models/src/ocr/"]),
    ("tokenizers", &["models/src/"]),
    ("turbojpeg", &["pipelines/src/image/"]),
    ("image", &["pipelines/src/image/"]),
    ("moxcms", &["pipelines/src/image/"]),
    ("oxttl", &["pipelines/src/vocabulary/skos/"]),
    ("oxrdfxml", &["pipelines/src/vocabulary/skos/"]),
    ("csv", &["pipelines/src/vocabulary/table/", "worker/src/export/"]),
    ("roxmltree", &["worker/src/export/xmp/tree/"]),
    ("sqlx", &["worker/src/store/"]),
    ("lapin", &["worker/src/queue/rabbitmq/"]),
    ("usearch", &["worker/src/vectors/"]),
    ("qdrant_client", &["worker/src/vectors/"]),
    ("hyper", &["worker/src/events/webhooks/"]),
    ("hyper_rustls", &["worker/src/events/webhooks/"]),
    ("hyper_util", &["worker/src/events/webhooks/"]),
    ("hmac", &["worker/src/events/webhooks/"]),
    ("axum", &["worker/src/http/"]),
    ("utoipa", &["worker/src/http/"]),
    ("clap", &["worker/src/cli/"]),
    ("clap_complete", &["worker/src/cli/"]),
    ("indicatif", &["worker/src/cli/"]),
    ("notify", &["worker/src/watch/"]),
];

/// Who must not name whom. A rule with exceptions says why.
const FORBIDDEN: &[(&str, &[&str], &[&str])] = &[
    // Arrows between crates point down.
    ("models/src/", &["docent_pipelines", "docent", "tokio"], &[]),
    ("pipelines/src/", &["docent"], &[]),
    // Pure: no files, network, environment, wall clock or random ids.
    (
        "pipelines/src/",
        &[
            "std::fs",
            "std::env",
            "std::net",
            "std::process",
            "std::time::SystemTime",
            "tokio::fs",
            "tokio::net",
            "time::OffsetDateTime",
            "fastrand",
        ],
        &[],
    ),
    // Ports do not know each other, nor anything above them.
    ("worker/src/queue/", &["docent"], &["docent::queue"]),
    // The job and its lane are what the ledger leases out, and what the queue carries.
    (
        "worker/src/store/",
        &["docent"],
        &["docent::store", "docent::queue::AnalyzeAsset", "docent::queue::Lane"],
    ),
    ("worker/src/vectors/", &["docent"], &["docent::vectors"]),
    ("worker/src/assets/", &["docent"], &["docent::assets"]),
    // The walk does not know who watches, and who watches does not walk.
    ("worker/src/consumer/", &["docent::http", "docent::cli", "docent::app"], &[]),
    ("worker/src/feeder.rs", &["docent::http", "docent::cli", "docent::app"], &[]),
    ("worker/src/events/", &["docent"], &["docent::events", "docent::store"]),
    ("worker/src/disposition.rs", &["docent::http", "docent::cli", "docent::app", "docent::consumer"], &[]),
    ("worker/src/http/", &["docent::consumer", "docent::feeder", "docent::cli"], &[]),
    ("worker/src/app/", &["docent::cli"], &[]),
];

/// Types of concrete backends, and the rooms they live in. Besides these only the composition roots name them.
const BACKENDS: &[(&str, &str)] = &[
    ("MemoryQueue", "worker/src/queue/"),
    ("RabbitQueue", "worker/src/queue/"),
    ("SqliteStore", "worker/src/store/"),
    ("PostgresStore", "worker/src/store/"),
    ("EmbeddedIndex", "worker/src/vectors/"),
    ("QdrantIndex", "worker/src/vectors/"),
    ("FileSource", "worker/src/assets/"),
];
/// `analyze.rs` is the composition root of the command without a data directory; `doctor.rs` looks at the backends
/// themselves, one by one, when the whole does not come up.
const ROOTS: &[&str] = &["worker/src/app/", "worker/src/analyze.rs", "worker/src/cli/doctor.rs"];

/// Settling a delivery is the consumer's business alone.
const SETTLING: &[&str] = &["queue.ack(", "queue.retry(", "queue.reject("];

/// Calls that have no place in the product.
const CALLS: &[&str] =
    &[".unwrap()", "println!", "print!", "dbg!", "todo!", "unimplemented!", "process::exit("];

const MAX_LINES: usize = 500;

fn is_product(path: &str) -> bool {
    ["models/src/", "pipelines/src/", "worker/src/"].iter().any(|root| path.starts_with(root))
}

/// `worker/src/queue/memory.rs` is `docent::queue::memory`.
fn module(path: &str) -> Vec<&str> {
    let (root, crate_name) = match path.split('/').next() {
        Some("models") => ("models/src/", "docent_models"),
        Some("pipelines") => ("pipelines/src/", "docent_pipelines"),
        _ => ("worker/src/", "docent"),
    };
    let inside = path.strip_prefix(root).unwrap_or(path).trim_end_matches(".rs");
    let parts = inside.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    std::iter::once(crate_name).chain(parts).collect()
}

fn starts_with(named: &Named, path: &str) -> bool {
    let mut wanted = path.split("::");
    named.path.iter().zip(wanted.by_ref()).all(|(a, b)| a == b) && wanted.next().is_none()
}

/// Everything wrong with one source file of the product.
fn complaints(path: &str, source: &str) -> Vec<String> {
    let code = Code::of(source);
    let mut wrong = Vec::new();
    for named in code.names(&module(path)) {
        let shown = named.path.join("::");
        let mut complain = |rule: String| wrong.push(format!("{path}:{}: {shown}: {rule}", named.line));
        for (name, rooms) in CONFINED {
            // A lone word is a variable or a module; a crate is named to reach into it.
            let used = named.path.len() > 1 && named.path[0] == *name;
            if used && !rooms.iter().any(|room| path.starts_with(room)) {
                complain(format!("the crate {name} belongs to {}", rooms.join(", ")));
            }
        }
        for (who, whom, except) in FORBIDDEN {
            let hit = path.starts_with(who)
                && named.path.len() > 1
                && whom.iter().any(|whom| starts_with(&named, whom))
                && !except.iter().any(|except| starts_with(&named, except));
            if hit {
                complain(format!("{who} must not name it"));
            }
        }
        for (backend, room) in BACKENDS {
            let hit = named.path.iter().any(|part| part == backend);
            if hit && !path.starts_with(room) && !ROOTS.iter().any(|root| path.starts_with(root)) {
                complain(format!("backends are named by {} alone", ROOTS.join(", ")));
            }
        }
    }
    for (number, line) in code.lines() {
        let squeezed: String = line.split_whitespace().collect();
        let mut complain = |rule: &str| wrong.push(format!("{path}:{number}: {}: {rule}", line.trim()));
        if !path.starts_with("worker/src/consumer/") && SETTLING.iter().any(|call| squeezed.contains(call)) {
            complain("only the consumer settles a delivery");
        }
        for call in CALLS {
            let found = squeezed.match_indices(call).any(|(at, _)| {
                call.starts_with('.') || !squeezed[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            // The second Ctrl-C ends the process where it stands.
            if found && !(*call == "process::exit(" && path == "worker/src/shutdown.rs") {
                complain("not in the product");
            }
        }
    }
    wrong
}

/// Everything wrong with any text file, whatever it holds.
fn text_complaints(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not complain about itself.
    let words = [
        (["TO", "DO"].concat(), "finish it, or file an issue"),
        (["FIX", "ME"].concat(), "finish it, or file an issue"),
        (["XX", "X"].concat(), "finish it, or file an issue"),
        (["/ro", "ot/"].concat(), "a path of one machine"),
        (["/wo", "rk/"].concat(), "a path of one machine"),
        (["/tmp/", "wt"].concat(), "a path of one machine"),
        (["../", "shared"].concat(), "outside the repository"),
    ];
    let mut wrong = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for (word, rule) in &words {
            let bounded = line.match_indices(word.as_str()).any(|(at, _)| {
                !line[..at].ends_with(char::is_alphanumeric)
                    && !line[at + word.len()..].starts_with(|c: char| c.is_ascii_uppercase())
            });
            if bounded {
                wrong.push(format!("{path}:{}: {word}: {rule}", i + 1));
            }
        }
    }
    if path.ends_with(".rs") {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{path}: {lines} lines, more than {MAX_LINES}: split it"));
        }
        let names = path.trim_end_matches(".rs").split('/');
        for name in names.filter(|name| matches!(*name, "utils" | "util" | "helpers" | "helper" | "common")) {
            wrong.push(format!("{path}: '{name}' says nothing about what is inside"));
        }
    }
    wrong
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Texts of the repository: path from its root, content.
fn texts() -> Vec<(String, String)> {
    const SKIPPED: &[&str] = &["target", ".git", ".cache", "starter", "fixtures", "runs", "node_modules"];
    const ENDINGS: &[&str] =
        &["rs", "toml", "md", "sql", "html", "css", "js", "yaml", "yml", "json", "snap", "lock"];
    let root = workspace();
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let entry = entry.expect("an entry of the repository");
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            let relative = path.strip_prefix(&root).expect("inside the root").to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if relative.starts_with(".ci/")
                || matches!(name.as_str(), "Makefile" | "Dockerfile")
                || path.extension().is_some_and(|e| ENDINGS.iter().any(|&known| e == known))
            {
                found.push((relative, fs::read_to_string(&path).expect("a text of the repository")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn sources_follow_the_rules() {
    let texts = texts();
    let product: Vec<_> =
        texts.iter().filter(|(path, _)| is_product(path) && path.ends_with(".rs")).collect();
    assert!(product.len() > 40, "only {} sources were found", product.len());
    let mut wrong: Vec<String> = texts.iter().flat_map(|(path, text)| text_complaints(path, text)).collect();
    wrong.extend(product.iter().flat_map(|(path, source)| complaints(path, source)));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn manifests_point_down() {
    for (who, forbidden) in [
        ("models", &["docent-pipelines", "docent", "tokio", "sqlx", "axum"][..]),
        ("pipelines", &["docent", "sqlx", "axum", "clap"]),
        ("worker", &["docent-tests", "docent-benches", "ort", "image"]),
    ] {
        let text = fs::read_to_string(workspace().join(who).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("a manifest is TOML");
        let dependencies = manifest["dependencies"].as_table().expect("dependencies");
        for name in forbidden {
            assert!(!dependencies.contains_key(*name), "{who}/Cargo.toml depends on {name}");
        }
    }
}

#[test]
fn what_is_forbidden_is_found() {
    for (path, source) in [
        ("models/src/tagging/mod.rs", "use ort::Session;"),
        ("models/src/lib.rs", "fn f(q: docent_pipelines::Image) {}"),
        ("pipelines/src/pipeline/mod.rs", "use docent::store::Store;"),
        ("pipelines/src/pipeline/mod.rs", "fn f() { std::fs::read(\"x\"); }"),
        ("pipelines/src/pipeline/mod.rs", "use std::{env, fmt};"),
        ("pipelines/src/analyzers/tags.rs", "use image::RgbImage;"),
        ("worker/src/consumer.rs", "use sqlx::query;"),
        ("worker/src/http/mod.rs", "use crate::{app, consumer::Walk};"),
        ("worker/src/consumer/mod.rs", "use super::http::Router;"),
        ("worker/src/queue/memory.rs", "use crate::store::Ledger;"),
        ("worker/src/store/sqlite.rs", "use crate::queue::Queue;"),
        ("worker/src/store/mod.rs", "use crate::queue::{Lane, Delivery};"),
        ("worker/src/vectors/embedded.rs", "use super::super::store::Catalog;"),
        ("worker/src/search/mod.rs", "let store = crate::store::SqliteStore::open(path);"),
        ("worker/src/search/mod.rs", "fn f(args: clap::ArgMatches) {}"),
        ("worker/src/export/xmp/merge.rs", "use roxmltree::Document;"),
        ("worker/src/feeder.rs", "self.queue.ack(receipt).await?;"),
        ("worker/src/feeder.rs", "let x = y.unwrap();"),
        ("worker/src/feeder.rs", "println!(\"x\");"),
        ("worker/src/cli/mod.rs", "std::process::exit(1);"),
    ] {
        assert!(!complaints(path, source).is_empty(), "{path} may say: {source}");
    }
    for (path, text) in [
        ("README.md", ["see /wo", "rk/x"].concat()),
        ("worker/src/app.rs", ["// TO", "DO later"].concat()),
        ("worker/src/app.rs", "\n".repeat(MAX_LINES + 1)),
        ("worker/src/utils.rs", String::new()),
        ("pipelines/src/common/mod.rs", String::new()),
    ] {
        assert!(!text_complaints(path, &text).is_empty(), "{path} may say: {text}");
    }
}

#[test]
fn what_is_allowed_is_not_complained_about() {
    for (path, source) in [
        ("models/src/session/mod.rs", "use ort::Session;"),
        ("pipelines/src/image/mod.rs", "use image::RgbImage;"),
        ("pipelines/src/lib.rs", "pub mod image;\npub use image::Image;"),
        ("pipelines/src/pipeline/mod.rs", "use crate::image::Image; use std::time::Instant;"),
        ("worker/src/consumer/mod.rs", "self.queue.ack(receipt).await?; // sqlx::query"),
        ("worker/src/store/mod.rs", "use crate::queue::{AnalyzeAsset, Lane};"),
        ("worker/src/app/mod.rs", "use crate::store::SqliteStore;"),
        (
            "worker/src/search/mod.rs",
            "x.unwrap_or(1); eprintln!(\"x\");\n#[cfg(test)]\nmod tests { fn f() { x.unwrap(); } }",
        ),
    ] {
        assert_eq!(complaints(path, source), Vec::<String>::new(), "{path}: {source}");
    }
    assert_eq!(text_complaints("worker/src/app.rs", "see the network/ folder"), Vec::<String>::new());
}
