//! Whether this process can do its work now, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is known of the servers a process works with.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    backends: BTreeMap<&'static str, bool>,
    stuck: u64,
    all_stuck: bool,
}

/// A reading of [`Health`]. Names backends by their role, never by their address.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HealthReport {
    /// Everything is there.
    pub ready: bool,
    /// The models are loaded, and work has begun.
    pub started: bool,
    /// `queue`, `store`, `vectors`: whether they answered when they were last asked.
    pub backends: BTreeMap<&'static str, bool>,
    /// Pictures that took too long and still keep their places; when they have all places, nothing else is looked at.
    pub stuck: u64,
}

impl Health {
    /// The models are loaded, and work begins.
    pub fn started(&self) {
        self.state().started = true;
    }

    /// A backend answered, or did not.
    pub fn set(&self, backend: &'static str, up: bool) {
        let before = self.state().backends.insert(backend, up);
        metrics::gauge!("docent_backend_up", "backend" => backend).set(if up { 1.0 } else { 0.0 });
        match (before, up) {
            (Some(true) | None, false) => tracing::warn!(backend, "a server is away"),
            (Some(false), true) => tracing::warn!(backend, "a server is back"),
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
            ready: state.started && !state.all_stuck && state.backends.values().all(|up| *up),
            started: state.started,
            backends: state.backends.clone(),
            stuck: state.stuck,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_started_and_everything_there() {
        let health = Health::default();
        assert!(!health.report().ready);
        health.set("store", true);
        assert!(!health.report().ready);
        health.started();
        assert!(health.report().ready);
        health.set("queue", false);
        assert!(!health.report().ready);
        health.set("queue", true);
        assert!(health.report().ready);
        health.places(2, 3);
        assert!(health.report().ready && health.report().stuck == 2);
        health.places(3, 3);
        assert!(!health.report().ready);
        health.places(0, 3);
        assert!(health.report().ready);
    }
}
