//! Looks at what the configuration lists: watched folders and webhooks.

use std::time::Duration;

use super::{COUNTING, Finding};
use crate::app::{Access, App};
use crate::cli::{problem, webhook, words};
use crate::config::{Config, WebhookSection};
use crate::events::webhooks::Webhook;
use crate::watch::{self, WatchedFolder};

/// How a folder of the configuration is watched, or why it is not.
pub(super) fn watched(folder: &WatchedFolder) -> Finding {
    const CHECK: &str = "watched folder";
    let path = folder.path.display();
    if let Err(error) = std::fs::read_dir(&folder.path) {
        let hint = "docent waits for it; if it is not to come, take it out of [[watch]] in the configuration";
        return Finding::bad(CHECK, format!("{path}: {error}"), hint);
    }
    let seconds = |time: Duration| words::duration(time.as_secs_f64());
    Finding::good(
        CHECK,
        match (folder.poll, watch::silent(&folder.path)) {
            (Some(poll), _) => format!("{path}: swept every {}", seconds(poll)),
            (None, Some(kind)) => {
                format!("{path}: swept often, because {kind} does not tell what others change")
            }
            (None, None) => format!("{path}: watched by events, swept every {}", seconds(folder.sweep)),
        },
    )
}

/// Whether webhooks can be told, and take what they are told.
pub(super) async fn webhooks(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "webhook";
    let asked = async {
        let app = App::open(config.clone(), Access::Shared).await?;
        let sinks = app.store().sinks().await?;
        app.close().await;
        Ok::<_, anyhow::Error>(sinks)
    };
    if config.webhook.is_empty() {
        return Vec::new();
    }
    // Nothing is made here, and why the ledger does not answer is told with the ledger.
    let exists = !config.backends.are_here() || config.data_dir.join("ledger.sqlite").exists();
    let sinks = match exists {
        true => tokio::time::timeout(COUNTING, asked).await,
        false => Ok(Ok(Vec::new())),
    };
    let sinks = sinks.ok().and_then(Result::ok).unwrap_or_default();
    let look = |section: &WebhookSection| {
        let name = &section.name;
        let ready =
            section.options().map_err(anyhow::Error::from).and_then(|options| Ok(Webhook::new(options)?));
        if let Err(error) = ready {
            return Finding::bad(
                CHECK,
                problem::chain(&error),
                "worker.default.toml explains the list `webhook`",
            );
        }
        let Some(sink) = sinks.iter().find(|sink| sink.name == section.sink()) else {
            return Finding::good(CHECK, format!("{name} at {}", section.host()));
        };
        let waiting = words::count(sink.waiting, "event waits", "events wait");
        let found = format!("{name} at {}: {}, {waiting}", section.host(), webhook::state(sink));
        let reason = sink.reason.as_deref().unwrap_or_default();
        match (&sink.disabled_at, &sink.failing_since) {
            (Some(at), _) => Finding::bad(
                CHECK,
                format!("{found}; since {at}: {reason}"),
                format!("see what answers there, then `docent webhook enable {name}`"),
            ),
            (None, Some(since)) => Finding::bad(
                CHECK,
                format!("{found}; since {since}: {reason}"),
                format!("see what answers there; `docent webhook test {name}` tries it"),
            ),
            (None, None) => Finding::good(CHECK, found),
        }
    };
    config.webhook.iter().map(look).collect()
}
