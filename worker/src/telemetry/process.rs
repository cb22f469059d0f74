//! What this process takes, under the names that Prometheus' own libraries use.

use std::fmt::Write;
use std::fs;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use cpu_time::ProcessTime;

static STARTED: OnceLock<f64> = OnceLock::new();

/// From here on the process runs.
pub(super) fn started() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    STARTED.get_or_init(now);
}

/// The value in KiB of a line as in `VmRSS:     1234 kB`, in bytes.
fn bytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// What the process takes now, in Prometheus' text format. What the system does not tell is left out.
pub(super) fn render(text: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most = most.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    for (name, kind, words, value) in [
        (
            "process_cpu_seconds_total",
            "counter",
            "Processor time, in seconds.",
            ProcessTime::try_now().ok().map(|time| time.as_duration().as_secs_f64()),
        ),
        ("process_resident_memory_bytes", "gauge", "Memory that is in use.", bytes(&status, "VmRSS")),
        ("process_resident_memory_max_bytes", "gauge", "Memory at its most.", bytes(&status, "VmHWM")),
        ("process_virtual_memory_bytes", "gauge", "Memory that is addressed.", bytes(&status, "VmSize")),
        ("process_open_fds", "gauge", "Open files and connections.", open),
        ("process_max_fds", "gauge", "Files and connections that may be open.", most),
        ("process_threads", "gauge", "Threads.", threads.and_then(|count| count.trim().parse().ok())),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process was started, in seconds since 1970.",
            STARTED.get().copied(),
        ),
    ] {
        if let Some(value) = value {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "# HELP {name} {words}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_a_process_takes() {
        started();
        let mut text = String::new();
        render(&mut text);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") < value("process_max_fds"));
        assert!(value("process_start_time_seconds") > 1.6e9 && value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert_eq!(bytes("VmRSS:\t   12 kB", "VmRSS"), Some(12288.0));
    }
}
