//! `docent serve`

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::output::{Out, say};
use super::problem::Hinted;
use crate::app::worker::Work;
use crate::app::{Access, App};
use crate::config::Config;
use crate::http::{self, AppState, Options, Ports};
use crate::jobs;
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Metrics};

const HELP: &str = "\
Examples:
  docent serve                                   http://127.0.0.1:8420/
  docent serve --listen 127.0.0.1:0              on any free port
  docent serve --no-worker                       the page alone
  DOCENT_HTTP_TOKEN=... docent serve --listen 0.0.0.0:8420

On one machine docent also analyzes what `docent ingest` registers meanwhile, in another terminal. Where the queue or the \
ledger is shared, workers (`docent worker`) do that; --worker makes this process one of them.

docent writes the address to stdout as soon as you can open the page. Only this machine can reach it. To listen \
elsewhere, set a token of at least 16 characters; every request must carry it. /api/v1/openapi.json describes the JSON \
API behind the page; /healthz, /readyz and /metrics are for machines.

Ctrl-C lets open requests and the current pictures finish and ends it, a second one ends it at once.

Exit codes: 0 ended as asked, 2 an error, 130 ended at once.";

/// Serve the review page
///
/// Serves a web page to review suggestions and search pictures, and the API behind it, on this machine, and analyzes pictures
/// meanwhile.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ServeArgs {
    /// Where to listen: an address and a port [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Only serve the page and the API; leave pictures to others
    #[arg(long)]
    pub no_worker: bool,
    /// Analyze pictures here, too, where queue or ledger are shared
    #[arg(long, conflicts_with = "no_worker")]
    pub worker: bool,
}

/// Rendered pictures kept in memory: a few thousand thumbnails.
const CACHE_BYTES: usize = 64 << 20;
/// Ledger and index are asked so often whether they are there.
const PROBE: Duration = Duration::from_secs(15);
pub async fn run(config: Config, args: ServeArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let address = config.http.listen;
    let token = config.http.token.reveal().map(str::to_owned);
    http::check_bind(address, token.as_deref()).map_err(|error| {
        let hint = "set DOCENT_HTTP_TOKEN to at least 16 characters, or listen on 127.0.0.1";
        Hinted::new(error.to_string(), hint)
    })?;
    let works = args.worker || (!args.no_worker && config.backends.are_here());
    let (grace, timeout) = (config.work.grace_seconds, Duration::from_secs(config.work.timeout_seconds));
    let app = App::open(config, if works { Access::Exclusive } else { Access::Shared }).await?;
    app.begin_vocabulary().await?;
    let longest = if works { http::LONGEST_REQUEST.max(timeout) } else { http::LONGEST_REQUEST };
    let metrics = Metrics::install(longest).context("collect metrics")?;
    metrics.keep();
    telemetry::begin_to_answer();
    if works {
        telemetry::begin_to_work();
    }
    let terms = Arc::new(app.terms());
    let wake = Arc::new(Notify::new());
    let uploads = app.uploads(&wake).await?.map(Arc::new);
    let forgetter = Arc::new(app.forgetter());
    let ports = Ports {
        uploads,
        store: app.store(),
        search: Arc::new(app.search()),
        source: Arc::clone(app.source()),
        forgetter: Arc::clone(&forgetter),
        terms: Some(Arc::clone(&terms)),
    };
    let options = Options {
        token,
        hosts: app.config().http.allowed_hosts.clone(),
        reviewer: app.config().reviewer.clone(),
        decode: app.config().decode_limits(),
        cache_bytes: CACHE_BYTES,
        wanted: app.wanted(None)?,
        roots: app.config().roots(),
        wake: Arc::clone(&wake),
        metrics: Some(metrics),
    };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let hint = "another program listens there, or the address is not this machine's; --listen 127.0.0.1:0 takes any free port";
        Hinted::new(format!("listen on {address}: {error}"), hint)
    })?;
    let shutdown = Shutdown::new();
    shutdown.listen(move || {
        say(match works {
            true => format!(
                "stopping: what is in work may finish, at most {grace} s; a second Ctrl-C stops at once"
            ),
            false => "stopping".to_owned(),
        });
    })?;
    let bound = listener.local_addr().context("find out the port")?;
    say("The review page is open; Ctrl-C closes it.");
    out.line(format!("http://{bound}/"))?;
    out.flush()?;
    let stop = shutdown.token();
    let store = app.store();
    let state = AppState::new(ports, options);
    let watched = state.clone();
    let stopped = CancellationToken::new();
    let serving = async {
        let asked = stop.clone();
        let served = http::serve(listener, state, async move { asked.cancelled().await }).await;
        // Whatever ended it, nothing goes on without a page.
        shutdown.request();
        stopped.cancel();
        served
    };
    let working = async {
        if works {
            let (progress, health) = (Arc::new(Progress::default()), watched.health());
            let work = Work { app: &app, terms: &terms, progress, health, wake };
            let worked = work.beside_the_page(stop).await;
            shutdown.request();
            worked
        } else {
            tokio::join!(
                jobs::run(&*store, &stopped),
                forgetter.run(&stopped),
                terms.run(&stopped),
                probe(&watched, &stopped),
                app.tell(None, &stopped)
            );
            Ok(())
        }
    };
    let remembering = forgetter.follow(&stopped, |marks| watched.drop_forgotten(marks));
    let (served, worked, ()) = tokio::join!(serving, working, remembering);
    served.context("serve the review page")?;
    worked?;
    app.close().await;
    Ok(Outcome::Done)
}

/// Asks whether ledger and index are there until `stopped`, for the metrics, also where nobody asks at /readyz.
async fn probe(state: &AppState, stopped: &CancellationToken) {
    loop {
        state.probe().await;
        tokio::select! {
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(PROBE) => {}
        }
    }
}
