//! What networks run on, from the outside: told, and insisted on.

use std::ffi::OsStr;
use std::time::Duration;

use docent_tests::corpus;
use docent_tests::program::Docent;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const CUDA: &str = "CUDAExecutionProvider";

fn finding(docent: &Docent, check: &str) -> Value {
    let findings = docent.listing(&["doctor"]);
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no '{check}' in {findings:?}")).clone()
}

fn detail(finding: &Value) -> &str {
    finding["detail"].as_str().expect("a text")
}

/// Whether CUDA works here, where these tests' expectations do not hold.
fn gpu(docent: &Docent) -> bool {
    let skipped = detail(&finding(docent, "providers")).contains("CUDAExecutionProvider can be used");
    if skipped {
        eprintln!("skipped: this machine has a GPU");
    }
    skipped
}

/// What libraries read when they are loaded is said before, whoever starts docent.
#[test]
fn the_libraries_surroundings_are_set_before_they_are_loaded() {
    let docent = Docent::new(PROGRAM);
    let mut running = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    let file = format!("/proc/{}/environ", running.pid());
    let complete = running.watch(Duration::from_secs(60), |_| {
        let environment = std::fs::read(&file).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let has = |name: &str| environment.split('\0').any(|variable| variable.starts_with(name));
        has("OMP_THREAD_LIMIT=1")
            && has("ORT_DISABLE_TELEMETRY=1")
            && has("MALLOC_ARENA_MAX=")
            && has("GLIBC_TUNABLES=glibc.malloc.")
    });
    running.kill();
    assert!(complete, "not set in {file}");
}

#[test]
fn doctor_says_what_each_network_runs_on() {
    let docent = Docent::new(PROGRAM);
    let providers = finding(&docent, "providers");
    assert!(detail(&providers).contains("CPUExecutionProvider can be used"), "{providers}");
    let networks = finding(&docent, "networks run on");
    assert!(detail(&networks).starts_with("CPUExecutionProvider: "), "{networks}");
    for model in ["efficientnet-lite0", "faceboxes", "joint-vision", "joint-text", "caption-small"] {
        assert!(detail(&networks).contains(model), "{model}: {networks}");
    }
}

/// How large batches should be is measured by the first command that walks, and read by all others.
#[test]
fn batches_are_measured_once_on_a_machine() {
    let docent = Docent::new(PROGRAM);
    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    let of_networks = |docent: &Docent| detail(&finding(docent, "networks run on")).to_owned();
    docent.run([OsStr::new("analyze"), pictures.as_os_str(), OsStr::new("--only=tags")]).expect(0);
    assert!(of_networks(&docent).contains("is measured when the first folder is ingested"));
    assert!(!docent.tuning().exists());

    let ingest = |pictures: &OsStr| {
        docent.run([OsStr::new("ingest"), pictures, OsStr::new("--only=tags,caption,embedding")]).expect(0);
    };
    let records = || {
        let files = std::fs::read_dir(docent.tuning()).expect("is there").flatten();
        let mut texts: Vec<String> =
            files.map(|file| std::fs::read_to_string(file.path()).expect("is read")).collect();
        texts.sort();
        texts
    };
    ingest(pictures.as_os_str());
    let first = records();
    assert_eq!(first.len(), 3, "the tagger, the image encoder and the captioner: {first:?}");
    for text in &first {
        let record: Value = serde_json::from_str(text).expect("is JSON");
        let trials = record["trials"].as_array().expect("is a list");
        assert!(trials.len() >= 2 && trials[0]["size"] == 1 && trials[1]["size"] == 2, "{record}");
        assert!(trials.iter().all(|trial| trial["seconds"].as_f64() > Some(0.0)), "{record}");
    }
    let told = of_networks(&docent);
    assert!(told.contains("batches, as measured, of ") && told.contains("efficientnet-lite0"), "{told}");
    // Other pictures, another run: nothing is measured again.
    corpus::write(&pictures.join("more"), 2, 9);
    ingest(pictures.as_os_str());
    assert_eq!(records(), first);
    // The text encoder is measured when somebody first searches by words.
    docent.run(["search", "a dog"].map(OsStr::new)).expect(0);
    let words = records();
    assert_eq!((words.len(), words.iter().filter(|text| first.contains(text)).count()), (4, 3), "{words:?}");
    docent.run(["search", "a cat"].map(OsStr::new)).expect(0);
    assert_eq!(records(), words);
}

#[test]
fn a_preferred_provider_that_is_not_there_is_said_once_and_done_without() {
    let docent = Docent::new(PROGRAM);
    docent.configure("[device]\nproviders = ['cuda', 'cpu']");
    if gpu(&docent) {
        return;
    }
    let providers = finding(&docent, "providers");
    assert!(detail(&providers).contains(CUDA), "{providers}");
    assert!(providers["ok"] == true && providers["hint"].is_string(), "{providers}");
    let networks = finding(&docent, "networks run on");
    assert!(detail(&networks).starts_with("CPUExecutionProvider: "), "{networks}");

    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    let ended = docent.run([OsStr::new("ingest"), pictures.as_os_str(), OsStr::new("--only=tags,embedding")]);
    let stderr = ended.expect(0).stderr;
    assert_eq!(stderr.matches(CUDA).count(), 1, "{stderr}");
}

#[test]
fn a_required_provider_that_is_not_there_stops_docent_with_the_reason() {
    let docent = Docent::new(PROGRAM);
    docent.configure("[device]\nproviders = ['cuda', 'cpu']\npolicy = 'required'");
    if gpu(&docent) {
        return;
    }
    let providers = finding(&docent, "providers");
    assert!(providers["ok"] == false && providers["hint"].is_string(), "{providers}");
    let networks = finding(&docent, "networks run on");
    assert!(
        networks["ok"] == false && detail(&networks).contains("use CUDAExecutionProvider of "),
        "{networks}"
    );

    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    let ended = docent.run([OsStr::new("ingest"), pictures.as_os_str()]);
    let stderr = ended.expect(2).stderr;
    assert!(stderr.contains("use CUDAExecutionProvider of "), "{stderr}");
    assert!(stderr.contains("libonnxruntime"), "{stderr}");
    assert!(stderr.contains("hint:") && stderr.contains("device.policy"), "{stderr}");
}
