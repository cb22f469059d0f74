//! What is measured, in words, and there from the start: a counter that first appears with its first failure tells nobody of
//! that failure, because rates are made of differences.

use std::time::Duration;

use docent_pipelines::AnalyzerId;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How long something took, in seconds.
    Seconds,
    /// How many there were together.
    Together,
}

/// Every metric of docent: its name, what it is, and what it says.
const MEASURED: &[(&str, Kind, &str)] = &[
    ("docent_analyses_total", Kind::Counter, "Analyses by analyzer and outcome: done, retry or failed."),
    ("docent_dead_letters_total", Kind::Counter, "Messages that this process sent to the dead letters."),
    (
        "docent_terms_matched_total",
        Kind::Counter,
        "Terms of the vocabulary that this process found in pictures.",
    ),
    ("docent_reconnects_total", Kind::Counter, "Connections that were lost and made again, by backend."),
    ("docent_http_requests_total", Kind::Counter, "Requests by method, route and status."),
    ("docent_http_errors_total", Kind::Counter, "Requests that ended in an error of the server."),
    (
        "docent_backend_up",
        Kind::Gauge,
        "1 if a server or another part that work needs was there when last asked.",
    ),
    ("docent_queue_depth", Kind::Gauge, "Messages that wait in a lane of the queue."),
    ("docent_intake_depth", Kind::Gauge, "Messages of other programs that wait in the intake of a lane."),
    (
        "docent_leases_taken_back_total",
        Kind::Counter,
        "Leases that this process took back because their jobs had vanished from the queue.",
    ),
    ("docent_stuck", Kind::Gauge, "Pictures that took too long and still keep their places in this worker."),
    ("docent_vectors_lost", Kind::Gauge, "Vectors of a space that the ledger has and the index has not."),
    ("docent_outstanding_assets", Kind::Gauge, "Assets in the ledger with work that is not done."),
    ("docent_watched_folders", Kind::Gauge, "Watched folders by state: watched, polled or away."),
    (
        "docent_watch_files_total",
        Kind::Counter,
        "Files of watched folders by what they were: new, copies, moved, changed, unreadable or gone.",
    ),
    ("docent_events_told_total", Kind::Counter, "Events that a sink took, or did not want to hear."),
    ("docent_events_refused_total", Kind::Counter, "Events that a sink did not take; they are told again."),
    ("docent_events_waiting", Kind::Gauge, "Events that a sink has not taken yet."),
    (
        "docent_sink_disabled",
        Kind::Gauge,
        "1 if a sink is told nothing any more, because it took nothing for too long.",
    ),
    ("docent_in_flight", Kind::Gauge, "Assets that this worker has in work."),
    ("docent_session_provider", Kind::Gauge, "1 for what a network of this process runs on."),
    ("docent_session_batch", Kind::Gauge, "Inputs that a call of a network may have."),
    ("docent_asset_seconds", Kind::Seconds, "Time for one asset, from its bytes to its outcome."),
    ("docent_stage_seconds", Kind::Seconds, "Time for one stage of an asset."),
    ("docent_http_request_seconds", Kind::Seconds, "Time for one request, by method and route."),
    ("docent_recorded_together", Kind::Together, "Assets that were recorded by one transaction."),
];

/// From one network's call to a page of text, and on to the longest time that is allowed.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    3600.0,
];
const TOGETHER: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The bounds of a histogram of times that end with `longest` at the latest.
fn seconds(longest: Duration) -> Vec<f64> {
    let longest = longest.as_secs_f64();
    SECONDS.iter().copied().filter(|bound| *bound < longest).chain([longest]).collect()
}

/// Histograms whose times end with `longest`.
pub(super) fn builder(longest: Duration) -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, _) in MEASURED {
        let bounds = match kind {
            Kind::Seconds => seconds(longest),
            Kind::Together => TOGETHER.to_vec(),
            Kind::Counter | Kind::Gauge => continue,
        };
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), &bounds)?;
    }
    Ok(builder)
}

/// Says what each number is.
pub(super) fn describe() {
    for (name, kind, words) in MEASURED {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *words),
            Kind::Gauge => metrics::describe_gauge!(*name, *words),
            Kind::Seconds | Kind::Together => metrics::describe_histogram!(*name, *words),
        }
    }
}

/// Numbers of a process that works, from 0 on.
pub fn begin_to_work() {
    for analyzer in AnalyzerId::CHOICES.into_iter().chain([AnalyzerId::Decode]) {
        for state in ["done", "retry", "failed"] {
            metrics::counter!("docent_analyses_total", "analyzer" => analyzer.as_str(), "state" => state)
                .absolute(0);
        }
    }
    metrics::counter!("docent_dead_letters_total").absolute(0);
    metrics::counter!("docent_leases_taken_back_total").absolute(0);
    metrics::counter!("docent_reconnects_total", "backend" => "queue").absolute(0);
    metrics::gauge!("docent_in_flight").set(0.0);
    // A histogram is there once it is named.
    let _named = metrics::histogram!("docent_asset_seconds");
    let _named = metrics::histogram!("docent_recorded_together");
}

/// Numbers of a process that answers requests, from 0 on.
pub fn begin_to_answer() {
    metrics::counter!("docent_http_errors_total").absolute(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_apart_up_to_the_longest() {
        assert_eq!(seconds(Duration::from_secs(300)).last(), Some(&300.0));
        assert_eq!(seconds(Duration::from_secs(100)).as_slice()[12..], [60.0, 100.0]);
        assert_eq!(seconds(Duration::from_secs(1)).len(), 8);
        assert_eq!(seconds(Duration::from_secs(86_400)).last(), Some(&86_400.0));
    }

    #[test]
    fn what_alerts_look_at_is_there_before_anything_happened() {
        let recorder = builder(Duration::from_secs(300)).expect("is built").build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            begin_to_work();
            begin_to_answer();
        });
        let told = recorder.handle().render();
        for line in [
            "# HELP docent_dead_letters_total Messages that this process sent to the dead letters.",
            "docent_dead_letters_total 0",
            "docent_analyses_total{analyzer=\"tags\",state=\"failed\"} 0",
            "docent_analyses_total{analyzer=\"decode\",state=\"failed\"} 0",
            "docent_reconnects_total{backend=\"queue\"} 0",
            "docent_http_errors_total 0",
            "# TYPE docent_asset_seconds histogram",
            "docent_asset_seconds_bucket{le=\"300\"} 0",
            "docent_asset_seconds_count 0",
            "# TYPE docent_recorded_together histogram",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
        }
    }
}
