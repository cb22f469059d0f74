//! The OpenAPI document tells the truth: Schemathesis makes requests from it, right and wrong ones, and finds no answer that it
//! does not describe, no right request that is refused, and no wrong one that is taken.
//!
//! `DOCENT_TEST_SEED` is the seed of further requests; the fixed one is always used. `DOCENT_TEST_SCHEMATHESIS` names the program
//! where it is not the one that `.ci/setup test` installs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use docent_tests::corpus;
use docent_tests::program::Docent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// Requests of the same seed are the same.
const SEED: u64 = 22;
/// Requests of each kind to one route: a number, and no time alone, so that every machine makes the same ones.
const REQUESTS: &str = "30";

fn schemathesis() -> PathBuf {
    let named = std::env::var_os("DOCENT_TEST_SCHEMATHESIS").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let installed = cache.map(|cache| cache.join("docent/schemathesis/bin/schemathesis"));
    let program = named.or(installed).expect("a home");
    assert!(
        program.is_file(),
        "{} is not there: `.ci/setup test` installs it (it needs Python 3)",
        program.display()
    );
    program
}

#[test]
fn the_document_describes_what_the_api_does() {
    let program = schemathesis();
    let docent = Docent::new(PROGRAM);
    // Without folders that may be read, no place is taken in.
    docent.configure(&format!("assets.roots = [{:?}]\n", docent.folder().to_str().expect("a text")));
    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    docent.run(["ingest", "pictures", "--only=tags,embedding"]).expect(0);
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    let is_open = |text: &str| text.lines().any(|line| line.starts_with("http://"));
    assert!(serving.watch(Duration::from_secs(60), |run| is_open(run.stdout())), "{}", serving.stderr());
    let page = serving.stdout().lines().find(|line| line.starts_with("http://")).expect("is told").to_owned();
    let document = format!("{page}api/v1/openapi.json");
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/schemathesis.toml");
    let other = std::env::var("DOCENT_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let check = |seed: u64| {
        let checked = Command::new(&program)
            .arg("--config-file")
            .arg(&settings)
            .args(["run", &document, "--seed", &seed.to_string(), "--max-examples", REQUESTS])
            .arg("--no-color")
            .args(["--checks", "all", "--mode", "all", "--workers", "1", "--continue-on-failure"])
            // What might change something is refused without a header that pages from elsewhere cannot send, before it is
            // looked up whether there is such a route: 403 comes before 405, of which `http_api.rs` takes care.
            .args(["--exclude-checks", "unsupported_method"])
            .args(["--request-timeout", "20", "--warnings", "off"])
            // It keeps what it found in the folder that it runs in.
            .current_dir(docent.folder())
            .output()
            .expect("Schemathesis runs");
        let told = String::from_utf8_lossy(&checked.stdout).into_owned();
        let words = String::from_utf8_lossy(&checked.stderr).into_owned();
        (checked.status.success(), told, words)
    };
    for seed in [Some(SEED), other].into_iter().flatten() {
        let (mut passed, mut told, mut words) = check(seed);
        // The checker itself may crash, which says nothing of the API; it gets a second chance.
        if !passed && told.contains("Runtime Error") && !told.contains("Failures:") {
            (passed, told, words) = check(seed);
        }
        assert!(passed, "seed {seed}:\n{told}\n{words}");
        eprintln!("seed {seed}: {}", told.lines().rev().take(12).collect::<Vec<_>>().join("\n"));
    }
    assert!(serving.stderr().lines().all(|line| !line.contains("request failed")), "{}", serving.stderr());
    serving.signal("INT");
    serving.wait().expect(0);
}
