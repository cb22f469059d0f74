//! `docent serve`

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::output::{Out, say};
use super::problem::Hinted;
use crate::app::{Access, App};
use crate::config::Config;
use crate::http::{self, AppState, Options, Ports};
use crate::jobs;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Metrics};

const HELP: &str = "\
Examples:
  docent serve                                   http://127.0.0.1:8420/
  docent serve --listen 127.0.0.1:0              on any free port
  DOCENT_HTTP_TOKEN=... docent serve --listen 0.0.0.0:8420

docent writes the address to stdout as soon as you can open the page. Only this machine can reach it. To listen \
elsewhere, set a token of at least 16 characters; every request must carry it. /api/v1/openapi.json describes the JSON \
API behind the page; /healthz, /readyz and /metrics are for machines.

Ctrl-C lets open requests finish and ends it, a second one ends it at once.

Exit codes: 0 ended as asked, 2 an error, 130 ended at once.";

/// Serve the review page
///
/// Serves a web page to review suggestions and search pictures, and the API behind it, on this machine.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ServeArgs {
    /// Where to listen: an address and a port [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// Rendered pictures kept in memory: a few thousand thumbnails.
const CACHE_BYTES: usize = 64 << 20;
/// Ledger and index are asked so often whether they are there.
const PROBE: Duration = Duration::from_secs(15);
pub async fn run(config: Config, _args: ServeArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let address = config.http.listen;
    let token = config.http.token.reveal().map(str::to_owned);
    http::check_bind(address, token.as_deref()).map_err(|error| {
        let hint = "set DOCENT_HTTP_TOKEN to at least 16 characters, or listen on 127.0.0.1";
        Hinted::new(error.to_string(), hint)
    })?;
    let app = App::open(config, Access::Exclusive).await?;
    app.begin_vocabulary().await?;
    let metrics = Metrics::install(http::LONGEST_REQUEST).context("collect metrics")?;
    metrics.keep();
    telemetry::begin_to_answer();
    let terms = Arc::new(app.terms());
    let ports = Ports {
        store: app.store(),
        search: Arc::new(app.search()),
        source: Arc::clone(app.source()),
        terms: Some(Arc::clone(&terms)),
    };
    let options = Options {
        token,
        hosts: app.config().http.allowed_hosts.clone(),
        reviewer: app.config().reviewer.clone(),
        decode: app.config().decode_limits(),
        cache_bytes: CACHE_BYTES,
        wanted: app.wanted(None)?,
        metrics: Some(metrics),
    };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let hint = "another program listens there, or the address is not this machine's; --listen 127.0.0.1:0 takes any free port";
        Hinted::new(format!("listen on {address}: {error}"), hint)
    })?;
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping"))?;
    let bound = listener.local_addr().context("find out the port")?;
    say("The review page is open; Ctrl-C closes it.");
    out.line(format!("http://{bound}/"))?;
    out.flush()?;
    let token = shutdown.token().clone();
    let store = app.store();
    let state = AppState::new(ports, options);
    let watched = state.clone();
    let stopped = CancellationToken::new();
    let serving = async {
        let served = http::serve(listener, state, async move { token.cancelled().await }).await;
        stopped.cancel();
        served
    };
    // For the metrics, also where nobody asks at /readyz.
    let probing = async {
        loop {
            watched.probe().await;
            tokio::select! {
                () = stopped.cancelled() => return,
                () = tokio::time::sleep(PROBE) => {}
            }
        }
    };
    let (served, (), (), ()) =
        tokio::join!(serving, jobs::run(&*store, &stopped), terms.run(&stopped), probing);
    served.context("serve the review page")?;
    app.close().await;
    Ok(Outcome::Done)
}
