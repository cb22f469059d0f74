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
    reasons: BTreeMap<&'static str, String>,
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
    /// Why a backend that can be reached refuses, and what to do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<&'static str, String>,
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

    /// Why a backend refuses, if it does. The text holds nothing that is secret.
    pub fn set_reason(&self, backend: &'static str, reason: Option<String>) {
        let mut state = self.state();
        match reason {
            Some(reason) => state.reasons.insert(backend, reason),
            None => state.reasons.remove(backend),
        };
    }

    /// How things stand.
    pub fn report(&self) -> HealthReport {
        let state = self.state();
        HealthReport {
            ready: state.started && state.backends.values().all(|up| *up),
            started: state.started,
            backends: state.backends.clone(),
            reasons: state.reasons.clone(),
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
    }

    #[test]
    fn a_reason_is_told_as_long_as_there_is_one() {
        let health = Health::default();
        let told = || serde_json::to_value(health.report()).expect("is JSON")["reasons"]["vectors"].clone();
        health.set_reason("vectors", Some("wrong key".to_owned()));
        assert_eq!(told(), "wrong key");
        health.set_reason("vectors", None);
        assert!(told().is_null());
    }
}
