//! `docent worker`

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::output::{Out, say};
use super::problem::Hinted;
use crate::app;
use crate::config::Config;
use crate::health::Health;
use crate::http::{Probes, serve_probes};
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Metrics};

const HELP: &str = "\
Examples:
  docent worker --queue amqp://mq/docent --store postgres://db/docent \\
      --vectors http://qdrant:6334
  DOCENT_BACKENDS_STORE=postgres://docent:...@db/docent docent worker

Start one on each machine: all workers share the queue, the ledger and the index. Put addresses with passwords into the \
variables DOCENT_BACKENDS_QUEUE, DOCENT_BACKENDS_STORE and DOCENT_BACKENDS_VECTORS or into the configuration file, \
because everybody on the machine can see flags.

The worker writes the address of /healthz, /readyz and /metrics to stdout. It waits for servers that are away, at the \
start and later.

SIGTERM or Ctrl-C lets it finish the current pictures, for at most work.grace_seconds, and hand the rest back. A second \
one ends it at once. Nothing is lost either way.

Exit codes: 0 ended as asked, 2 an error, 130 ended at once.";

/// Analyze pictures from a shared queue, beside any number of other workers
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct WorkerArgs {
    /// Where to answer probes: an address and a port [default: 127.0.0.1:8421]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

pub async fn run(config: Config, _args: WorkerArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let address = config.worker.listen;
    let metrics =
        Metrics::install(Duration::from_secs(config.work.timeout_seconds)).context("collect metrics")?;
    telemetry::begin_to_work();
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let hint =
            "something else listens there, perhaps another worker; --listen 127.0.0.1:0 takes any free port";
        Hinted::new(format!("listen on {address}: {error}"), hint)
    })?;
    let bound = listener.local_addr().context("find out the port")?;
    out.line(format!("http://{bound}/"))?;
    out.flush()?;
    let health = Arc::new(Health::default());
    metrics.keep();
    // Answers until everything else has ended.
    let answering = CancellationToken::new();
    let probes = Probes { health: Arc::clone(&health), metrics };
    let server = tokio::spawn(serve_probes(listener, probes, answering.clone()));
    let shutdown = Shutdown::new();
    let grace = config.work.grace_seconds;
    shutdown.listen(move || {
        say(format!(
            "stopping: what is in work may finish, at most {grace} s; a second signal stops at once"
        ));
    })?;
    let worked = app::worker::run(config, Arc::new(Progress::default()), health, &shutdown).await;
    answering.cancel();
    drop(server.await);
    worked.map(|()| Outcome::Done)
}
