//! `docent doctor`

mod listed;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use docent_models::session::{Offer, Policy, init_runtime, offers};
use docent_models::{ModelRef, Pack, Task, embedding, ocr};
use docent_pipelines::Pipeline;
use docent_pipelines::pipeline::PipelineOptions;
use serde::Serialize;
use walkdir::WalkDir;

use self::listed::{watched, webhooks};
use super::output::{Format, FormatArg, Out, say};
use super::problem;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App, inspect};
use crate::config::{Config, Servers};
use crate::store::{PostgresLedger, StoreError};

const HELP: &str = "\
Exit codes: 0 everything is in place, 1 something is missing or broken, 2 an error.";

/// Check that everything is in place
///
/// Checks the configuration, ONNX Runtime, Tesseract, the models and the data directory. Asks ledger, queue and index if they
/// are servers. Says how to fix each problem, and changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct DoctorArgs {
    #[command(flatten)]
    format: FormatArg,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn good(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), hint: None }
    }

    fn bad(check: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, ok: false, detail: detail.into(), hint: Some(hint.into()) }
    }

    fn error(check: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self::of_server(check, error, &Servers::default())
    }

    /// An error of one of the servers.
    fn of_server(check: &'static str, error: impl Into<anyhow::Error>, servers: &Servers) -> Self {
        let error = error.into();
        Self::bad(check, problem::chain(&error), problem::hint(&error, servers))
    }
}

/// Below this, the ledger and its log may run out of room.
const LEAST_FREE: u64 = 1 << 30;

pub async fn run(config: Config, args: DoctorArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut findings = vec![configuration(&config), reviewer(&config)];
    findings.push(runtime(&config));
    findings.push(providers(&config));
    findings.extend(models(&config));
    findings.push(networks(&config));
    findings.push(tesseract(&config));
    findings.extend(data_directory(&config.data_dir));
    findings.extend(config.watched().iter().map(watched));
    let (store, transport, search) = tokio::join!(ledger(&config), queue(&config), index(&config));
    findings.push(store);
    findings.extend(transport);
    findings.extend(search);
    findings.extend(webhooks(&config).await);
    findings.extend(lock(&config.data_dir));
    let problems = findings.iter().filter(|finding| !finding.ok).count() as u64;
    let mut table = Table::new([Column::left("CHECK"), Column::left(""), Column::text("FOUND")]);
    for finding in &findings {
        match args.format.format {
            Format::Json => out.json(finding)?,
            Format::Table => {
                let mark = if finding.ok { "ok" } else { "PROBLEM" };
                table.row([finding.check.to_owned(), mark.to_owned(), finding.detail.clone()]);
            }
        }
    }
    out.table(&mut table)?;
    out.flush()?;
    if args.format.format == Format::Table {
        for Finding { check, hint, .. } in &findings {
            if let Some(hint) = hint {
                say(format!("hint: {check}: {hint}"));
            }
        }
        say(match problems {
            0 => "everything is in place".to_owned(),
            problems => words::count(problems, "problem", "problems"),
        });
    }
    Ok(if problems == 0 { Outcome::Done } else { Outcome::Nothing })
}

fn configuration(config: &Config) -> Finding {
    let sources = &config.sources;
    let read = match (sources.read.as_slice(), &sources.absent) {
        ([], Some(path)) => format!("defaults; there is no {}", path.display()),
        ([], None) => "defaults".to_owned(),
        (read, _) => format!("defaults, then {}", read.join(", ")),
    };
    match sources.unknown_variables.as_slice() {
        [] => Finding::good("configuration", read),
        unknown => Finding::bad(
            "configuration",
            format!("{read}; variables that name no option: {}", unknown.join(", ")),
            "worker.default.toml lists all options; as a variable, work.in_flight is DOCENT_WORK_IN_FLIGHT",
        ),
    }
}

fn reviewer(config: &Config) -> Finding {
    Finding::good("reviewer", format!("{}, from {}", config.reviewer, config.sources.reviewer))
}

fn runtime(config: &Config) -> Finding {
    const CHECK: &str = "ONNX Runtime";
    match init_runtime(config.onnxruntime.as_deref()) {
        Err(error) => Finding::error(CHECK, error),
        Ok(info) => {
            let file = info.path.canonicalize().unwrap_or_else(|_| info.path.clone());
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let version = match name.split_once(".so.") {
                Some((_, version)) => format!("version {version} at "),
                None => String::new(),
            };
            let build = info.build.trim_start_matches("ORT Build Info:").trim();
            Finding::good(CHECK, format!("{version}{} ({build})", info.path.display()))
        }
    }
}

/// What the library offers, and why something of it, or something that is wanted, cannot be used.
fn providers(config: &Config) -> Finding {
    const CHECK: &str = "providers";
    let wanted = config.pipeline_options().session.device;
    let offered = init_runtime(config.onnxruntime.as_deref()).and_then(|_| offers(&wanted));
    let offered = match offered {
        Err(error) => return Finding::error(CHECK, error),
        Ok(offered) => offered,
    };
    let mut words = Vec::new();
    let mut missing = false;
    for Offer { provider, problem } in &offered {
        missing |= problem.is_some() && wanted.providers.contains(provider);
        words.push(match problem {
            None => format!("{provider} can be used"),
            Some(reason) => format!("{provider} is offered and cannot be used: {reason}"),
        });
    }
    for provider in wanted.accelerators() {
        if !offered.iter().any(|offer| offer.provider == provider) {
            missing = true;
            words.push(format!("{provider} is not in this library"));
        }
    }
    let hint = "device.providers asks for what cannot be used; docker/README.md says what a GPU needs";
    let ok = !missing || wanted.policy == Policy::Preferred;
    Finding { check: CHECK, ok, detail: words.join("; "), hint: missing.then(|| hint.to_owned()) }
}

/// Loads every network that is enabled, and that of searches, which is run as well.
fn networks(config: &Config) -> Finding {
    const CHECK: &str = "networks run on";
    let loaded = || {
        init_runtime(config.onnxruntime.as_deref())?;
        let pack = Pack::open(&config.models_dir)?;
        let options = PipelineOptions { sessions: 1, ..config.pipeline_options() };
        let pipeline = Pipeline::load(&pack, &config.analyzers.enabled, &options)?;
        let mut by_provider: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut add = |model: &ModelRef, provider: &str| {
            by_provider.entry(provider.to_owned()).or_default().push(model.id().to_owned());
        };
        for (model, provider) in pipeline.providers() {
            add(model, provider);
        }
        if pack.model(Task::TextEmbedding).is_ok() {
            let mut words = embedding::load_text(&pack, &options.session)?;
            words.run(&["a word".to_owned()])?;
            if let Some(provider) = words.provider() {
                add(words.model(), provider);
            }
        }
        Ok::<_, docent_models::Error>(by_provider)
    };
    match loaded() {
        Err(error) => Finding::error(CHECK, error),
        Ok(by_provider) => {
            let mut words: Vec<String> = by_provider
                .into_iter()
                .map(|(provider, models)| format!("{provider}: {}", models.join(", ")))
                .collect();
            words.push(format!("{} pictures looked at at once", config.in_flight()));
            Finding::good(CHECK, words.join("; "))
        }
    }
}

fn tesseract(config: &Config) -> Finding {
    let options = config.ocr_options();
    let version = ocr::model_ref(&options).version().to_owned();
    let installed = ocr::installed_languages(&options);
    let languages = match installed.as_slice() {
        [] => "no languages".to_owned(),
        languages => format!("languages {}", languages.join(", ")),
    };
    let found = format!("version {version}, {languages}");
    let missing: Vec<String> =
        options.languages.iter().filter(|name| !installed.contains(name)).cloned().collect();
    if missing.is_empty() {
        return Finding::good("Tesseract", found);
    }
    let packages: Vec<String> =
        missing.iter().map(|name| format!("tesseract-ocr-{}", name.replace('_', "-"))).collect();
    Finding::bad(
        "Tesseract",
        format!("{found}; missing {}", missing.join(", ")),
        format!("apt-get install {}", packages.join(" ")),
    )
}

fn models(config: &Config) -> Vec<Finding> {
    let pack = match Pack::open(&config.models_dir) {
        Ok(pack) => pack,
        Err(error) => return vec![Finding::error("models", error)],
    };
    let broken: Vec<Finding> = pack
        .models()
        .filter_map(|entry| pack.verify(entry).err())
        .map(|error| Finding::error("models", error))
        .collect();
    if !broken.is_empty() {
        return broken;
    }
    let mut names: Vec<String> = Vec::new();
    for entry in pack.models() {
        names.push(if entry.demonstration { format!("{}*", entry.id) } else { entry.id.clone() });
    }
    let demonstration =
        if pack.models().any(|entry| entry.demonstration) { " (* for demonstration)" } else { "" };
    let folder = config.models_dir.display();
    vec![Finding::good(
        "models",
        format!("{} whole in {folder}: {}{demonstration}", names.len(), names.join(", ")),
    )]
}

/// The folder itself, or the nearest one above it that exists: what is said of the disk holds for that.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder)
}

fn data_directory(folder: &Path) -> Vec<Finding> {
    const CHECK: &str = "data directory";
    let nearest = existing(folder);
    let shown = folder.display();
    let probe = nearest.join(format!(".docent-probe-{}", std::process::id()));
    let written = File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe));
    let directory = match written {
        _ if !nearest.is_dir() => Finding::bad(
            CHECK,
            format!("{} is not a folder", nearest.display()),
            "choose another place with --data-dir",
        ),
        Err(error) => Finding::bad(
            CHECK,
            format!("{} cannot be written to: {error}", nearest.display()),
            "give the user that runs docent the right to write there, or choose another place with --data-dir",
        ),
        Ok(()) if folder.exists() => {
            let files = WalkDir::new(folder).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
            let bytes = files.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()).sum();
            Finding::good(CHECK, format!("{shown}, {}", words::bytes(bytes)))
        }
        Ok(()) => Finding::good(CHECK, format!("{shown}, to be made by the first `docent ingest`")),
    };
    let disk = match fs4::available_space(nearest) {
        Err(error) => {
            Finding::bad("disk", format!("{}: {error}", nearest.display()), "see what is mounted there")
        }
        Ok(free) => {
            let detail = format!("{} free", words::bytes(free));
            match free {
                LEAST_FREE.. => Finding::good("disk", detail),
                _ => Finding::bad("disk", detail, "make room, or choose another disk with --data-dir"),
            }
        }
    };
    vec![directory, disk]
}

/// The ledger, wherever it is. Counting takes no longer than this.
const COUNTING: Duration = Duration::from_secs(5);

async fn ledger(config: &Config) -> Finding {
    const CHECK: &str = "ledger";
    let servers = config.backends.servers();
    let found = match inspect::ledger(config).await {
        Some(Err(error)) => return Finding::of_server(CHECK, error, &servers),
        Some(Ok(PostgresLedger { server, schema, known })) => {
            let found = format!("PostgreSQL {server} at {}", servers.store.as_deref().unwrap_or_default());
            match schema {
                None => return Finding::good(CHECK, format!("{found}, no ledger yet")),
                Some(schema) if schema < known => {
                    let older = format!("{found}, brought up to date when docent is started");
                    return Finding::good(CHECK, older);
                }
                Some(schema) if schema > known => {
                    let error = StoreError::NewerSchema { found: schema, known };
                    return Finding::of_server(CHECK, error, &servers);
                }
                Some(_) => format!("{found}: "),
            }
        }
        None if !config.data_dir.join("ledger.sqlite").exists() => return Finding::good(CHECK, "none yet"),
        None => String::new(),
    };
    let counted = async {
        let app = App::open(config.clone(), Access::Shared).await?;
        let counts = app.store().counts(&app.wanted(None)?).await?;
        app.close().await;
        Ok::<_, anyhow::Error>(counts)
    };
    match tokio::time::timeout(COUNTING, counted).await {
        Err(_) => Finding::bad(
            CHECK,
            format!("{found}its counts take more than {} s", COUNTING.as_secs()),
            "something keeps it busy; `docent status` waits for the counts",
        ),
        Ok(Err(error)) => Finding::of_server(CHECK, error, &servers),
        Ok(Ok(counts)) => {
            let pending = counts.suggestions.get("pending").copied().unwrap_or(0);
            let failed: u64 = counts.analyzers.values().map(|work| work.failed).sum();
            let pictures = words::count(counts.assets, "picture", "pictures");
            let suggestions = words::count(pending, "pending suggestion", "pending suggestions");
            let failures = words::count(failed, "failure", "failures");
            Finding::good(CHECK, format!("{found}{pictures}, {suggestions}, {failures}"))
        }
    }
}

/// The queue, where it is a server.
async fn queue(config: &Config) -> Option<Finding> {
    let servers = config.backends.servers();
    let at = servers.queue.as_deref().unwrap_or_default();
    Some(match inspect::queue(config).await? {
        Ok(words) => Finding::good("queue", format!("RabbitMQ at {at}: {words}")),
        Err(error) => Finding::of_server("queue", error, &servers),
    })
}

/// The index, where it is a server.
async fn index(config: &Config) -> Option<Finding> {
    let servers = config.backends.servers();
    let at = servers.vectors.as_deref().unwrap_or_default();
    Some(match inspect::index(config).await? {
        Ok(words) => Finding::good("index", format!("Qdrant at {at}: {words}")),
        Err(error) => Finding::of_server("index", error, &servers),
    })
}

/// Whether another docent works on the directory. That is no problem, but often the answer to a question.
fn lock(folder: &Path) -> Option<Finding> {
    const CHECK: &str = "in use";
    let path = folder.join("lock");
    let file = File::open(&path).ok()?;
    Some(match file.try_lock_shared() {
        Ok(()) => Finding::good(CHECK, "by nobody"),
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            match holder.trim().parse::<u32>() {
                Ok(process) => Finding::good(CHECK, format!("by process {process}")),
                Err(_) => Finding::good(CHECK, "by another docent"),
            }
        }
        Err(TryLockError::Error(error)) => Finding::bad(
            CHECK,
            format!("lock {}: {error}", path.display()),
            "use a disk that supports file locks",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_to_be_made_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let findings = data_directory(&folder.path().join("a/b"));
        assert!(findings[0].ok && findings[0].detail.contains("to be made"), "{findings:?}");
        std::fs::write(folder.path().join("file"), "x").expect("is written");
        let findings = data_directory(&folder.path().join("file/b"));
        assert!(!findings[0].ok && findings[0].hint.is_some(), "{findings:?}");
    }

    #[test]
    fn the_holder_of_the_lock_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(lock(folder.path()).is_none());
        let file = File::create(folder.path().join("lock")).expect("is made");
        std::fs::write(folder.path().join("lock"), "4711").expect("is written");
        assert_eq!(lock(folder.path()).expect("exists").detail, "by nobody");
        file.lock().expect("is locked");
        assert_eq!(lock(folder.path()).expect("exists").detail, "by process 4711");
    }
}
