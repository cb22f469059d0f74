//! Runs docent as a child process, watches it, and never lets it outlive the test.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No command of a test takes longer.
const LIMIT: Duration = Duration::from_secs(600);
/// How often a running process's memory is read.
const WATCH: Duration = Duration::from_millis(20);

/// docent with a home, a data directory and a configuration of its own.
pub struct Docent {
    program: PathBuf,
    root: TempDir,
    variables: Vec<(&'static str, OsString)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    /// Wall time.
    pub elapsed: Duration,
    /// The most memory it was seen to hold, in KiB (`VmHWM`).
    pub peak_kib: u64,
}

/// A command that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    output: Receiver<Line>,
    open: usize,
    stdout: String,
    stderr: String,
    started: Instant,
    peak_kib: u64,
}

enum Line {
    Stdout(String),
    Stderr(String),
    End,
}

impl Docent {
    /// `program` is the binary: `env!("CARGO_BIN_EXE_docent-under-test")`.
    pub fn new(program: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        Self { program: program.into(), root, variables: Vec::new() }
    }

    /// Sets a variable for every command.
    pub fn with_variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Writes the configuration file.
    pub fn configure(&self, toml: &str) {
        std::fs::write(self.root.path().join("config.toml"), toml).expect("is written");
    }

    /// A folder that lives as long as this; for pictures.
    pub fn folder(&self) -> &Path {
        self.root.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Starts a command.
    pub fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        self.start_by(Command::new(&self.program), args)
    }

    /// Starts a command whose disk is full from the beginning: the first byte that it writes to any file, wherever that
    /// lies, ends it by a signal.
    pub fn start_without_disk<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -f 0 && exec \"$0\" \"$@\""]).arg(&self.program);
        self.start_by(shell, args)
    }

    /// Starts a command that can make no file larger than 64 KiB: a write beyond that fails.
    pub fn start_with_small_files<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        let mut shell = Command::new("sh");
        // In blocks of 512 bytes. The signal that comes with it is ignored.
        shell.args(["-c", "trap '' XFSZ && ulimit -f 128 && exec \"$0\" \"$@\""]).arg(&self.program);
        self.start_by(shell, args)
    }

    /// Starts a command as root of a namespace of its own, with mounts and limits of its own, after a shell has run `script`.
    pub fn start_after<A: AsRef<OsStr>>(&self, script: &str, args: impl IntoIterator<Item = A>) -> Running {
        let mut shell = Command::new("unshare");
        shell.args(["-Urm", "sh", "-c", &format!("{script}\nexec \"$0\" \"$@\"")]).arg(&self.program);
        self.start_by(shell, args)
    }

    fn start_by<A: AsRef<OsStr>>(&self, mut command: Command, args: impl IntoIterator<Item = A>) -> Running {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        command.args(args).arg("--data-dir").arg(self.data()).env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH", "ORT_DYLIB_PATH", "TESSDATA_PREFIX"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // The home is empty, but ONNX Runtime may lie in the real one's cache.
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        command
            .envs(cache.map(|cache| ("XDG_CACHE_HOME", cache)))
            .env("HOME", self.root.path())
            .env("USER", "tester")
            .env("LANG", "C.UTF-8")
            .env("DOCENT_MODELS_DIR", models)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let config = self.root.path().join("config.toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        Running::of(command)
    }

    /// Runs a command to its end.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.start(args).wait()
    }

    /// Runs a command that must succeed and gives the objects it printed.
    pub fn json<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Vec<Value> {
        self.run(args).expect(0).json()
    }

    /// Ingests `path`, which must succeed, and gives the summary.
    pub fn ingest(&self, path: &Path) -> Value {
        self.run([OsStr::new("ingest"), path.as_os_str(), OsStr::new("--format=json")]).expect(0).summary()
    }

    /// A listing that may be empty.
    pub fn listing(&self, args: &[&str]) -> Vec<Value> {
        let ended = self.run(args.iter().copied().chain(["--format=json"]));
        assert!(matches!(ended.code, Some(0 | 1)), "docent {args:?}: {ended:?}");
        ended.json()
    }

    /// All suggestions.
    pub fn suggestions(&self) -> Vec<Value> {
        self.listing(&["suggestions"])
    }

    /// All failures.
    pub fn failures(&self) -> Vec<Value> {
        self.listing(&["failures"])
    }

    /// The counts.
    pub fn status(&self) -> Value {
        let mut lines = self.listing(&["status"]);
        assert_eq!(lines.len(), 1, "one line: {lines:?}");
        lines.remove(0)
    }
}

impl Ended {
    /// Checks the exit code.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; {self:#?}");
        self
    }

    /// The JSON objects on stdout, one a line.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in this line of stdout: {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The closing line of an ingest or a retry.
    pub fn summary(&self) -> Value {
        let last = self.json().pop().unwrap_or_else(|| panic!("no summary: {self:#?}"));
        assert_eq!(last["event"], "summary", "the last line is the summary");
        last
    }
}

impl Running {
    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("docent starts");
        let (lines, output) = channel();
        let stdout = child.stdout.take().expect("is piped");
        let stderr = child.stderr.take().expect("is piped");
        forward(stdout, lines.clone(), Line::Stdout);
        forward(stderr, lines, Line::Stderr);
        Self {
            child,
            output,
            open: 2,
            stdout: String::new(),
            stderr: String::new(),
            started: Instant::now(),
            peak_kib: 0,
        }
    }

    /// What it has printed, as far as it was watched.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// What it has said, as far as it was watched.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Time since the start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes in what the process says, until `enough` of it has been printed (then true), `limit` has passed, or it
    /// says no more.
    pub fn watch(&mut self, limit: Duration, mut enough: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if enough(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.open == 0 || left.is_zero() {
                return false;
            }
            match self.output.recv_timeout(left.min(WATCH)) {
                Ok(Line::Stdout(line)) => self.stdout.push_str(&line),
                Ok(Line::Stderr(line)) => self.stderr.push_str(&line),
                Ok(Line::End) => self.open -= 1,
                Err(RecvTimeoutError::Timeout) => self.read_memory(),
                Err(RecvTimeoutError::Disconnected) => self.open = 0,
            }
        }
    }

    /// Waits until what was printed contains `text`.
    pub fn until_printed(&mut self, text: &str) {
        let seen = self.watch(LIMIT, |run| run.stdout.contains(text) || run.stderr.contains(text));
        assert!(seen, "'{text}' was not printed:\n{}\n{}", self.stdout, self.stderr);
    }

    /// The latest progress report of an ingest, if there was one yet.
    pub fn progress(&self) -> Option<Value> {
        self.stdout
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|event| event["event"] == "progress")
    }

    /// Sends a signal by name, for instance `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name}");
    }

    /// Ends it as a power cut would. There is an exit code if it had ended by itself.
    pub fn kill(mut self) -> Ended {
        // A process that has ended by itself is a zombie until it is waited for, and takes the signal silently.
        self.child.kill().expect("the child is ours");
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        self.watch(LIMIT, |_| false);
        assert_eq!(self.open, 0, "docent ran for more than {LIMIT:?}:\n{}\n{}", self.stdout, self.stderr);
        let status = self.child.wait().expect("the child is ours");
        Ended {
            code: status.code(),
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
            elapsed: self.started.elapsed(),
            peak_kib: self.peak_kib,
        }
    }

    fn read_memory(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        self.peak_kib = self.peak_kib.max(kib.unwrap_or(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn forward(from: impl Read + Send + 'static, to: std::sync::mpsc::Sender<Line>, wrap: fn(String) -> Line) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while from.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if to.send(wrap(line)).is_err() {
                return;
            }
        }
        drop(to.send(Line::End));
    });
}

/// The part of a path that listings show as a URI.
pub fn uri(path: &Path) -> String {
    docent::assets::file_uri(path)
}
