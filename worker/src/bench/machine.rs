//! What the system says about processor time and memory. Linux; elsewhere nothing is known of other programs.

use std::time::Duration;

/// Time that the processors spent, in ticks of the system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Busy {
    /// For programs and the system.
    pub used: u64,
    /// For nothing.
    pub idle: u64,
    /// For other guests of the same hardware.
    pub stolen: u64,
}

impl Busy {
    /// What was spent since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            used: self.used.saturating_sub(earlier.used),
            idle: self.idle.saturating_sub(earlier.idle),
            stolen: self.stolen.saturating_sub(earlier.stolen),
        }
    }

    /// All of it.
    pub fn sum(&self) -> u64 {
        self.used + self.idle + self.stolen
    }
}

/// Processors this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Processor time of this process so far.
pub(super) fn own() -> Duration {
    cpu_time::ProcessTime::now().as_duration()
}

/// Processor time of the machine so far.
pub(super) fn busy() -> Busy {
    parse(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// Lets the most memory be that from now on, where the system can.
pub(super) fn forget_peak_memory() {
    // See proc_pid_clear_refs(5). Without it the peak is that of the whole process.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

/// The most memory this process has held, in bytes; 0 where the system does not say.
pub(super) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn parse(stat: &str) -> Busy {
    let line = stat.lines().next().unwrap_or_default();
    let field =
        |place: usize| line.split_whitespace().nth(place + 1).and_then(|text| text.parse::<u64>().ok());
    let sum = |places: &[usize]| places.iter().filter_map(|&place| field(place)).sum::<u64>();
    Busy { used: sum(&[0, 1, 2, 5, 6]), idle: sum(&[3, 4]), stolen: sum(&[7]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_read() {
        let busy = parse("cpu  10 1 5 100 7 2 3 4 0 0\ncpu0 1 1 1 1\n");
        assert_eq!((busy.used, busy.idle, busy.stolen), (21, 107, 4));
        assert_eq!(parse("").sum(), 0);
    }
}
