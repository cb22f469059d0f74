//! Says whether this process can work now, and if not, why; for operators and the metrics.
//!
//! A part is what work needs: a server by its role (`queue`, `store`, `vectors`).
//! Reasons are for everybody who can reach the probes: no addresses, no credentials, no places of pictures.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// A part is asked so often whether it works …
const PROBE: Duration = Duration::from_secs(1);
/// … and has this long to answer. Together they are what passes at most until a part that is away is known to be.
pub const ANSWER: Duration = Duration::from_millis(1500);
/// Characters of a reason that are told.
const LONGEST: usize = 300;

/// What is known of the parts that a process works with.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    parts: BTreeMap<&'static str, Part>,
    stuck: u64,
    all_stuck: bool,
}

/// A reading of [`Health`]. Names parts by their role, never by their address.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HealthReport {
    /// Everything is there.
    pub ready: bool,
    /// The models are loaded, and work has begun.
    pub started: bool,
    /// `queue`, `store`, `vectors` and others: how each was when it was last asked.
    pub backends: BTreeMap<&'static str, Part>,
    /// Pictures that took too long and still keep their places; when they have all places, nothing else is looked at.
    #[serde(skip_serializing_if = "is_zero")]
    pub stuck: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a part was when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// It works.
    pub up: bool,
    /// Why it does not, in words without secrets; `None` while it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// The models are loaded, and work begins.
    pub fn started(&self) {
        self.state().started = true;
    }

    /// A part works.
    pub fn up(&self, part: &'static str) {
        self.set(part, Part { up: true, reason: None });
    }

    /// A part does not work. `reason` says why, and holds neither an address nor a credential.
    pub fn down(&self, part: &'static str, reason: impl Into<String>) {
        let reason = reason.into().chars().take(LONGEST).collect();
        self.set(part, Part { up: false, reason: Some(reason) });
    }

    /// A part answered, or did not and why.
    pub fn answered(&self, part: &'static str, answer: Result<(), String>) {
        match answer {
            Ok(()) => self.up(part),
            Err(reason) => self.down(part, reason),
        }
    }

    fn set(&self, part: &'static str, now: Part) {
        metrics::gauge!("docent_backend_up", "backend" => part).set(if now.up { 1.0 } else { 0.0 });
        let before = self.state().parts.insert(part, now.clone());
        match (before, now.reason) {
            (before, Some(reason))
                if before.as_ref().is_none_or(|part| part.reason.as_ref() != Some(&reason)) =>
            {
                tracing::warn!(backend = part, reason, "is away or does not work");
            }
            (Some(Part { up: false, .. }), None) => tracing::warn!(backend = part, "works again"),
            _ => {}
        }
    }

    /// So many of `places` are taken by pictures that took too long and have not come to an end.
    pub fn places(&self, stuck: u64, places: u64) {
        let all_stuck = stuck >= places;
        let before = {
            let mut state = self.state();
            state.stuck = stuck;
            std::mem::replace(&mut state.all_stuck, all_stuck)
        };
        match (before, all_stuck) {
            (false, true) => tracing::error!(
                places,
                "all places are taken by pictures that take too long; nothing else is looked at until one ends"
            ),
            (true, false) => tracing::warn!("there is a place again"),
            _ => {}
        }
    }

    /// How things stand.
    pub fn report(&self) -> HealthReport {
        let state = self.state();
        HealthReport {
            ready: state.started && !state.all_stuck && state.parts.values().all(|part| part.up),
            started: state.started,
            backends: state.parts.clone(),
            stuck: state.stuck,
        }
    }

    /// Asks a part by `ping` again and again until `done`. Each part is watched by itself, so that one that does not answer
    /// delays no word of another.
    pub async fn watch<E, F>(&self, part: &'static str, ping: impl Fn() -> F, done: &CancellationToken)
    where
        E: std::error::Error,
        F: Future<Output = Result<(), E>>,
    {
        loop {
            self.answered(part, asked(ping()).await);
            tokio::select! {
                () = done.cancelled() => return,
                () = tokio::time::sleep(PROBE) => {}
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to `ping` within [`ANSWER`], or why there is none.
pub async fn asked<E: std::error::Error>(ping: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(ANSWER, ping).await {
        Ok(answer) => answer.map_err(|error| reason(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs_f64())),
    }
}

/// An error and its causes in one line, each thing said once.
pub fn reason(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_started_and_everything_there() {
        let health = Health::default();
        assert!(!health.report().ready);
        health.up("store");
        assert!(!health.report().ready);
        health.started();
        assert!(health.report().ready);
        health.down("queue", "refused");
        assert!(!health.report().ready);
        health.up("queue");
        assert!(health.report().ready);
        health.places(2, 3);
        assert!(health.report().ready && health.report().stuck == 2);
        health.places(3, 3);
        assert!(!health.report().ready);
        health.places(0, 3);
        assert!(health.report().ready);
    }

    #[test]
    fn a_report_says_why() {
        let health = Health::default();
        health.started();
        health.up("queue");
        health.down("store", "x".repeat(1000));
        health.down("store", "connection refused");
        let told = serde_json::to_value(health.report()).expect("is JSON");
        let backends = serde_json::json!({
            "queue": { "up": true },
            "store": { "up": false, "reason": "connection refused" }
        });
        assert_eq!(told, serde_json::json!({ "ready": false, "started": true, "backends": backends }));
        health.down("store", "x".repeat(1000));
        let words = health.report().backends["store"].reason.clone().expect("is told");
        assert_eq!(words.len(), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_known_to_be_away_within_three_seconds() {
        let health = Health::default();
        let done = CancellationToken::new();
        let silent = std::sync::atomic::AtomicBool::new(false);
        let ping = || async {
            if silent.load(std::sync::atomic::Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(())
        };
        let play = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(health.report().backends["store"].up);
            silent.store(true, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let part = health.report().backends["store"].clone();
            assert_eq!(part.reason.as_deref(), Some("no answer within 1.5 s"));
            silent.store(false, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert!(health.report().backends["store"].up);
            done.cancel();
        };
        tokio::join!(health.watch("store", ping, &done), play);
    }
}
