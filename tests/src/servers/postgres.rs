//! A private PostgreSQL server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::free_port;

/// A server of one's own.
pub struct PostgresServer {
    folder: TempDir,
    port: u16,
    process: Mutex<Option<Child>>,
}

/// A database of one's own, on a server that lives as long.
pub struct Database {
    url: String,
    _server: Option<Arc<PostgresServer>>,
}

/// The server that the tests of one program share.
static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Starting takes two seconds; on a machine with much else to do, many times that.
const START: Duration = Duration::from_secs(60);

impl Database {
    /// An empty database on the shared server, or on the one that `DOCENT_TEST_POSTGRES_URL` names.
    pub async fn new() -> anyhow::Result<Self> {
        if let Ok(url) = std::env::var("DOCENT_TEST_POSTGRES_URL") {
            return Ok(Self { url: create(&url).await?, _server: None });
        }
        let server = tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(server) = shared.upgrade() {
                return Ok(server);
            }
            let server = Arc::new(PostgresServer::start()?);
            *shared = Arc::downgrade(&server);
            anyhow::Ok(server)
        })
        .await??;
        Ok(Self { url: create(&server.url("postgres")).await?, _server: Some(server) })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Creates a database beside the one that `url` names, and answers its address.
async fn create(url: &str) -> anyhow::Result<String> {
    let mut parsed = url::Url::parse(url).context("read the address of the test database")?;
    let mut connection = PgConnection::connect(url).await.context("connect to PostgreSQL")?;
    let number = DATABASES.fetch_add(1, Relaxed);
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let name = format!("docent_test_{}_{number}_{since}", std::process::id());
    // The name is made of our own digits.
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    parsed.set_path(&name);
    Ok(parsed.into())
}

impl PostgresServer {
    /// Makes an empty cluster and starts it.
    pub fn start() -> anyhow::Result<Self> {
        // The server refuses to run as root; its own user must reach the folder.
        let folder = tempfile::Builder::new().prefix("docent-postgres-").tempdir()?;
        let path = folder.path().to_owned();
        if is_root() {
            run(Command::new("chown").arg("postgres:").arg(&path))?;
        }
        let data = path.join("data");
        run(own(&binary("initdb")?, &path)
            .arg("--no-sync")
            .args(["-U", "docent", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data))?;
        let server = Self { folder, port: free_port()?, process: Mutex::new(None) };
        server.resume()?;
        Ok(server)
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://docent:not-a-secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again where it was stopped or killed.
    pub fn resume(&self) -> anyhow::Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(process.is_none(), "PostgreSQL runs already");
        let path = self.folder.path();
        let log = std::fs::File::create(path.join("log"))?;
        let socket = format!("unix_socket_directories={}", path.display());
        let port = self.port.to_string();
        let mut command = own(&binary("postgres")?, path);
        command.arg("-D").arg(path.join("data")).args(["-p", &port, "-c", &socket]);
        // A killed process loses nothing without them; only a power cut would.
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=200"]
        {
            command.args(["-c", setting]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let deadline = Instant::now() + START;
        while !self.accepts() {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(path.join("log")).unwrap_or_default();
                bail!("PostgreSQL ended ({status}): {log}");
            }
            ensure!(Instant::now() < deadline, "PostgreSQL did not start within {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        *process = Some(child);
        Ok(())
    }

    /// Whether it takes connections; it refuses them while it recovers.
    fn accepts(&self) -> bool {
        let Ok(program) = binary("pg_isready") else { return false };
        let port = self.port.to_string();
        let ready = Command::new(program).args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
        ready.is_ok_and(|status| status.success())
    }

    /// Stops all of its processes where they are, or lets them go on: it takes connections, and answers nothing.
    pub fn pause(&self, pausing: bool) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(child) = process.as_ref() else { return };
        let signal = if pausing { "STOP" } else { "CONT" };
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()));
        let children = children.unwrap_or_default();
        let own = child.id().to_string();
        for process in std::iter::once(own.as_str()).chain(children.split_whitespace()) {
            let _ = Command::new("kill").arg(format!("-{signal}")).arg(process).status();
        }
    }

    /// Ends it at once, as a crash would, with all its connections.
    pub fn kill(&self) {
        // What is stopped hears of nothing.
        self.pause(false);
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = process {
            // An immediate shutdown: no checkpoint, recovery at the next start. The server takes its own children along,
            // which a kill of the server alone would leave.
            let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// A command that runs `program` as somebody the server runs for.
fn own(program: &Path, home: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(home).env("HOME", home).env_remove("PGDATA").env_remove("PGPORT");
    command
}

/// One of the server's programs, of the newest version installed.
fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let program = entry.path().join("bin").join(name);
            program.is_file().then_some((entry.file_name().to_str()?.parse().ok()?, program))
        })
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, program)| program);
    newest.with_context(|| {
        format!("{name} was not found under /usr/lib/postgresql; install the package postgresql, or set DOCENT_TEST_POSTGRES_URL")
    })
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("run {:?}", command.get_program()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} failed: {words}", command.get_program());
    Ok(())
}
