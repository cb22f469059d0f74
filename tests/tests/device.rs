//! What networks run on, from the outside: told, and insisted on.

use std::ffi::OsStr;

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

/// A restart to set variables never ends where the C library takes them away again.
#[test]
fn docent_is_what_was_started_and_keeps_its_surroundings() {
    let docent = Docent::new(PROGRAM);
    let mut running = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    running.until_printed("http://127.0.0.1:");
    let environment = std::fs::read(format!("/proc/{}/environ", running.pid())).expect("the process lives");
    running.kill();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("USER=tester"), "{environment}");
    for name in ["OMP_THREAD_LIMIT", "ORT_DISABLE_TELEMETRY", "MALLOC_", "GLIBC_TUNABLES"] {
        assert!(!environment.contains(name), "{name} is set in {environment}");
    }
}

/// As with file capabilities, of which nothing else is seen from inside: a program that runs as its owner.
#[test]
fn docent_runs_where_the_c_library_trusts_no_variable() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    const NOBODY: u32 = 65_534;
    if std::fs::metadata("/proc/self").expect("a process").uid() != 0 {
        eprintln!("skipped: only root may make a program that runs as somebody else");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("docent");
    std::fs::copy(PROGRAM, &program).expect("is copied");
    for path in [folder.path(), &program] {
        chown(path, Some(NOBODY), None).expect("root may do so");
    }
    let mode = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(&program, mode).expect("root may do so");
    // A C library that trusts variables shows what the kernel told it.
    let mut command = std::process::Command::new(&program);
    command.args(["completions", "bash"]).env("LD_SHOW_AUXV", "1").stdin(std::process::Stdio::null());
    let ended = command.output().expect("docent starts");
    let printed = String::from_utf8_lossy(&ended.stdout);
    if printed.contains("AT_SECURE") {
        eprintln!("skipped: programs in {} cannot run as somebody else", folder.path().display());
        return;
    }
    assert!(ended.status.success() && printed.contains("_docent"), "{ended:?}");
}

/// ONNX Runtime as its makers build it keeps a database of what is run, unless it is told not to before it is loaded.
#[test]
fn nothing_is_kept_of_what_is_run() {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        eprintln!("skipped: ORT_DYLIB_PATH is not set");
        return;
    };
    let home = tempfile::tempdir().expect("a temporary folder");
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/pictures/page.png");
    let ended = std::process::Command::new(PROGRAM)
        .args(["analyze", picture, "--only=tags"])
        .env_clear()
        .env("HOME", home.path())
        .env("ORT_DYLIB_PATH", library)
        .env("DOCENT_MODELS_DIR", models)
        .env("DOCENT_DATA_DIR", home.path().join("data"))
        .output()
        .expect("docent starts");
    assert!(ended.status.success(), "{ended:?}");
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("a folder").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
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
