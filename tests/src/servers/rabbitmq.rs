//! A private RabbitMQ node.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

/// A node of one's own.
pub struct RabbitServer {
    folder: TempDir,
    ports: Ports,
    processes: Mutex<Processes>,
}

/// Names of one's own, on a broker.
pub struct Lanes {
    url: String,
    prefix: String,
}

struct Ports {
    amqp: u16,
    distribution: u16,
    epmd: u16,
}

struct Processes {
    /// Finds Erlang nodes by name. Each of our nodes has its own, so that none meets a broker of the machine.
    epmd: Child,
    node: Option<Child>,
    /// Ends what runs here if this process cannot: it waits until the other end of its input is gone.
    guard: Child,
}

/// The node that the tests of one program share: it takes ten seconds to start.
static SHARED: Mutex<Option<Arc<RabbitServer>>> = Mutex::new(None);

static NAMES: AtomicU32 = AtomicU32::new(0);

/// Starting takes eight seconds; on a machine with much else to do, many times that.
const START: Duration = Duration::from_secs(180);

/// The guard: a line for each process group, the last of each name counts. It never ends a group that it was not told of.
const GUARD: &str = r#"
node=; epmd=
while read -r name group; do
    case $name in
    node) node=$group ;;
    epmd) epmd=$group ;;
    esac
done
for group in $node $epmd; do [ "$group" = 0 ] || kill -s KILL -- "-$group"; done 2>/dev/null
rm -rf "$1"
"#;

impl Lanes {
    /// Names that nobody else has, on the shared node or on the broker that `DOCENT_TEST_RABBITMQ_URL` names.
    pub async fn new() -> anyhow::Result<Self> {
        let url = match std::env::var("DOCENT_TEST_RABBITMQ_URL") {
            Ok(url) => url,
            Err(_) => tokio::task::spawn_blocking(RabbitServer::shared).await??.url(),
        };
        Ok(Self { url, prefix: unique()? })
    }

    /// Names that nobody else has, on `server`.
    pub fn on(server: &RabbitServer) -> anyhow::Result<Self> {
        Ok(Self { url: server.url(), prefix: unique()? })
    }

    /// The broker's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

fn unique() -> anyhow::Result<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(format!("docent-test-{}-{}-{since}", std::process::id(), NAMES.fetch_add(1, Relaxed)))
}

impl RabbitServer {
    /// The node that the tests of this program share. It runs until the program ends.
    pub fn shared() -> anyhow::Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = &*shared {
            return Ok(Arc::clone(server));
        }
        let server = Arc::new(Self::start()?);
        *shared = Some(Arc::clone(&server));
        Ok(server)
    }

    /// Starts an empty node.
    pub fn start() -> anyhow::Result<Self> {
        // Before anything runs: a missing package is said at once.
        program()?;
        let folder = tempfile::Builder::new().prefix("docent-rabbitmq-").tempdir()?;
        let path = folder.path();
        for name in ["home", "data", "log"] {
            std::fs::create_dir(path.join(name))?;
        }
        std::fs::write(path.join("enabled_plugins"), "[].")?;
        std::fs::write(
            path.join("rabbitmq.conf"),
            "vm_memory_high_watermark.relative = 0.3\ndisk_free_limit.absolute = 50MB\n",
        )?;
        // A node that has just started may not find the queue that a delayed message goes back to, and then tries again
        // after this time; the usual one is three minutes.
        let advanced = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}]}].";
        std::fs::write(path.join("advanced.config"), advanced)?;
        let ports = Ports { amqp: free_low_port()?, distribution: free_low_port()?, epmd: free_low_port()? };
        let mut epmd = Command::new("epmd");
        epmd.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
        let epmd = group(&mut epmd).spawn().context("run epmd, which is part of Erlang")?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(path);
        let guard = group(&mut guard).stdin(Stdio::piped()).spawn().context("run sh")?;
        let processes = Mutex::new(Processes { epmd, node: None, guard });
        let server = Self { folder, ports, processes };
        {
            let mut processes = server.processes();
            let epmd = processes.epmd.id();
            processes.tell_guard("epmd", epmd)?;
        }
        server.resume()?;
        Ok(server)
    }

    /// Its address, with the credentials that a new node has.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// Starts it again where it was stopped or killed, with what it kept.
    pub fn resume(&self) -> anyhow::Result<()> {
        let mut processes = self.processes();
        ensure!(processes.node.is_none(), "RabbitMQ runs already");
        let child = self.command()?.spawn().context("run rabbitmq-server")?;
        let told = processes.tell_guard("node", child.id());
        processes.node = Some(child);
        told?;
        let deadline = Instant::now() + START;
        loop {
            let node = processes.node.as_mut().context("the node was started")?;
            if self.accepts() {
                return Ok(());
            }
            let ended = node.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = |name| std::fs::read_to_string(self.folder.path().join("log").join(name));
                let (out, log) = (said("out").unwrap_or_default(), said("node").unwrap_or_default());
                processes.end_node("KILL");
                bail!("RabbitMQ did not start ({ended:?}): {out}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self) -> anyhow::Result<Command> {
        let Ports { amqp, distribution, epmd } = self.ports;
        let path = self.folder.path();
        let out = std::fs::File::create(path.join("log").join("out"))?;
        let mut command = Command::new(program()?);
        // Two threads, none of them spinning; nothing listens beyond this machine.
        let erlang =
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}";
        command
            .current_dir(path)
            .env("HOME", path.join("home"))
            .env("ERL_EPMD_PORT", epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("docent{amqp}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", amqp.to_string())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", path.join("data"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_LOGS", path.join("log").join("node"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", path.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path.join("advanced.config"))
            .env("RABBITMQ_PID_FILE", path.join("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path.join("generated"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        use std::os::unix::process::CommandExt;
        command.process_group(0);
        Ok(command)
    }

    /// Whether it speaks AMQP: its port opens a little earlier.
    fn accepts(&self) -> bool {
        use std::io::{Read, Write};
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.ports.amqp)) else {
            return false;
        };
        let mut first = [0; 1];
        stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
            && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
            && stream.read_exact(&mut first).is_ok()
            // A method frame: the greeting.
            && first == [1]
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        self.processes().end_node("KILL");
    }

    /// Ends it in order.
    pub fn stop(&self) {
        self.processes().end_node("TERM");
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Processes {
    fn tell_guard(&mut self, name: &str, group: u32) -> anyhow::Result<()> {
        use std::io::Write;
        let input = self.guard.stdin.as_mut().context("the guard listens")?;
        writeln!(input, "{name} {group}")?;
        Ok(())
    }

    fn end_node(&mut self, signal: &str) {
        if let Some(mut node) = self.node.take() {
            end(&mut node, signal);
            // Group numbers are used again: the guard must not remember this one.
            let _ = self.tell_guard("node", 0);
        }
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        let mut processes = self.processes();
        processes.end_node("KILL");
        end(&mut processes.epmd, "KILL");
        let _ = processes.tell_guard("epmd", 0);
        drop(processes.guard.stdin.take());
        let _ = processes.guard.wait();
    }
}

/// Signals the group of a process that was started as the head of one, and waits for its head.
fn end(child: &mut Child, signal: &str) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args([&format!("-{signal}"), "--", &group]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

/// Quiet, and the head of a process group of its own.
fn group(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0)
}

/// A port that was free a moment ago and is not among those that the system gives to outgoing connections: somebody who
/// tries to reach a server that is down must not be given its port.
fn free_low_port() -> anyhow::Result<u16> {
    static LAST: AtomicU16 = AtomicU16::new(0);
    // Different from process to process, and from call to call.
    let start = (std::process::id() % 1000) as u16 * 10;
    for _ in 0..10_000 {
        let port = 20_000 + (start + LAST.fetch_add(1, Relaxed)) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// The server's own script. The one in the path of Debian's package changes to another user.
fn program() -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/rabbitmq/lib")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("sbin/rabbitmq-server")))
        .filter(|path: &PathBuf| Path::is_file(path))
        .collect();
    found.sort();
    found.pop().context(
        "rabbitmq-server was not found under /usr/lib/rabbitmq; install the package rabbitmq-server, or set \
         DOCENT_TEST_RABBITMQ_URL",
    )
}
