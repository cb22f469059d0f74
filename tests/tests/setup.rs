//! The set-up script on machines that lack something. Nothing is installed and nothing is fetched: the programs it
//! calls are stand-ins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A machine: a folder that is all of PATH, and a home.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    /// What the set-up itself needs, and stand-ins for everything it looks for.
    fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(machine.bin()).expect("a folder");
        for tool in [
            "sh",
            "env",
            "sed",
            "sort",
            "head",
            "dirname",
            "find",
            "uname",
            "sha256sum",
            "mktemp",
            "mkdir",
            "mv",
            "rm",
            "cp",
            "cmp",
        ] {
            let found = std::env::split_paths(&std::env::var_os("PATH").expect("PATH"))
                .map(|folder| folder.join(tool))
                .find(|path| path.is_file())
                .unwrap_or_else(|| panic!("{tool} is not installed"));
            symlink(found, machine.bin().join(tool)).expect("a link");
        }
        for tool in [
            "cargo",
            "cc",
            "c++",
            "cmake",
            "nasm",
            "pkg-config",
            "dpkg-source",
            "chromium",
            "chromedriver",
            "epmd",
            "exiftool",
            "python3",
        ] {
            machine.stand_in(tool, "exit 0");
        }
        machine.stand_in("rustc", "echo 'rustc 9.9.9 (stand-in)'");
        machine.stand_in("id", "echo 0");
        machine
    }

    fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join(".cache/docent/onnxruntime")
    }

    fn stand_in(&self, name: &str, script: &str) {
        let path = self.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn without(&self, name: &str) -> &Self {
        fs::remove_file(self.bin().join(name)).expect("a stand-in");
        self
    }

    /// An `apt-get` that writes down its arguments and "installs" by putting a stand-in into PATH.
    fn with_apt(&self) -> &Self {
        let (log, bin) = (self.root.path().join("apt.log"), self.bin());
        self.stand_in(
            "apt-get",
            &format!(
                "echo \"$*\" >> {log}\n[ \"$1\" = update ] || : > {bin}/installed",
                log = log.display(),
                bin = bin.display()
            ),
        );
        self
    }

    fn apt_log(&self) -> String {
        fs::read_to_string(self.root.path().join("apt.log")).unwrap_or_default()
    }

    fn set_up(&self, goal: &str, library: Option<&Path>) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/setup");
        let mut command = Command::new(script);
        command.arg(goal).env_clear().env("PATH", self.bin()).env("HOME", self.root.path());
        // Where English and a font are found is not the point here.
        fs::write(self.root.path().join("eng.traineddata"), "").expect("a file");
        command.env("TESSDATA_PREFIX", self.root.path());
        if let Some(library) = library {
            command.env("ORT_DYLIB_PATH", library);
        }
        command.output().expect("the set-up runs")
    }

    /// Some file that stands for the library.
    fn library(&self) -> PathBuf {
        let path = self.root.path().join("some.so");
        fs::write(&path, "library").expect("a file");
        path
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_complete_machine_is_left_alone() {
    let machine = Machine::new();
    machine.with_apt();
    let library = machine.library();
    let output = machine.set_up("run", Some(&library));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), library.to_string_lossy());
    assert_eq!(machine.apt_log(), "");
}

#[test]
fn only_what_is_missing_is_installed_and_said_why() {
    let machine = Machine::new();
    machine.without("cmake").without("nasm").with_apt();
    let output = machine.set_up("run", Some(&machine.library()));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("missing: cmake (builds the JPEG decoder"), "{}", stderr(&output));
    assert!(machine.apt_log().ends_with("--no-install-recommends cmake nasm\n"), "{}", machine.apt_log());
}

#[test]
fn whoever_is_not_root_installs_with_sudo() {
    let machine = Machine::new();
    machine.without("cmake").with_apt();
    machine.stand_in("id", "echo 1000");
    let output = machine.set_up("run", Some(&machine.library()));
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("needs root, and there is no sudo; missing: cmake"),
        "{}",
        stderr(&output)
    );
    assert_eq!(machine.apt_log(), "");

    machine.stand_in(
        "sudo",
        "while [ \"$1\" = env ] || case $1 in *=*) true ;; *) false ;; esac; do shift; done; exec \"$@\"",
    );
    let output = machine.set_up("run", Some(&machine.library()));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(machine.apt_log().contains("install"), "{}", machine.apt_log());
}

#[test]
fn a_system_without_apt_is_told_the_names() {
    let machine = Machine::new();
    machine.without("nasm").without("chromedriver");
    let output = machine.set_up("test", Some(&machine.library()));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("has no apt-get to install them: nasm chromium-driver"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn rust_missing_or_old_is_a_sentence() {
    let machine = Machine::new();
    machine.stand_in("rustc", "echo 'rustc 1.60.0 (stand-in)'");
    let old = machine.set_up("run", Some(&machine.library()));
    assert_eq!(old.status.code(), Some(1));
    assert!(stderr(&old).contains("Rust 1.60.0 is too old"), "{}", stderr(&old));

    machine.without("cargo");
    let none = machine.set_up("run", Some(&machine.library()));
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("Rust is not installed"), "{}", stderr(&none));
}

#[test]
fn a_library_that_is_not_there_is_not_replaced_silently() {
    let machine = Machine::new();
    let output = machine.set_up("run", Some(Path::new("/nowhere/libonnxruntime.so")));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ORT_DYLIB_PATH is /nowhere/libonnxruntime.so"), "{}", stderr(&output));
}

/// A stand-in for `python3 -m venv` whose pip notes what it is asked for, and may fail.
fn venv_whose_pip(ends: &str) -> String {
    format!(
        "[ \"$2\" = venv ] || exit 0\nmkdir -p \"$3/bin\"\n\
         printf '#!/bin/sh\\necho \"$*\" >> \"%s\"\\n{ends}\\n' \"$HOME/pip.log\" > \"$3/bin/python\"\n\
         chmod +x \"$3/bin/python\""
    )
}

#[test]
fn the_checker_of_the_api_is_installed_once_and_whole() {
    let machine = Machine::new();
    let chmod = std::env::split_paths(&std::env::var_os("PATH").expect("PATH"))
        .map(|folder| folder.join("chmod"))
        .find(|path| path.is_file());
    symlink(chmod.expect("chmod is installed"), machine.bin().join("chmod")).expect("a link");
    let log = || fs::read_to_string(machine.root.path().join("pip.log")).unwrap_or_default();
    let library = machine.library();
    machine.stand_in("python3", &venv_whose_pip("exit 1"));
    let output = machine.set_up("test", Some(&library));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("Schemathesis could not be installed"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    // What is not whole is made anew, and what is whole is left alone.
    machine.stand_in("python3", &venv_whose_pip("exit 0"));
    for _ in 0..2 {
        let output = machine.set_up("test", Some(&library));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(log().matches("install").count(), 2, "{}", log());
    }
    machine.without("python3");
    let output = machine.set_up("test", Some(&library));
    assert!(stderr(&output).contains("missing: python3 (runs Schemathesis"), "{}", stderr(&output));
}

/// A stand-in for `python3 -m pip download` that leaves `content` as the wheel.
fn pip_that_leaves(content: &str) -> String {
    format!(
        "while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
         [ -z \"${{dest:-}}\" ] || echo '{content}' > \"$dest/onnxruntime-1.whl\""
    )
}

#[test]
fn a_wheel_of_another_content_is_refused_and_nothing_is_left_behind() {
    let machine = Machine::new();
    machine.stand_in("python3", &pip_that_leaves("not the wheel"));
    fs::create_dir_all(machine.cache()).expect("the cache");
    // Half of an earlier download does not count either.
    let library = machine.cache().join("libonnxruntime.so.1.32.0");
    fs::write(&library, "half").expect("a file");
    let output = machine.set_up("run", None);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not the one this project pins"), "{}", stderr(&output));
    let left: Vec<_> =
        fs::read_dir(machine.cache()).expect("the cache").flatten().map(|e| e.path()).collect();
    assert_eq!(left, [library], "a part was left behind");
}

#[test]
fn no_network_is_a_sentence() {
    let machine = Machine::new();
    machine.stand_in("python3", "case \"$*\" in *download*) exit 1 ;; esac");
    let output = machine.set_up("run", None);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("pip could not download onnxruntime"), "{}", stderr(&output));
}
