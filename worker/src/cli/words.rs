//! Numbers and times for people.

/// `1204` as `1,204`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 picture`, `2 pictures`.
pub fn count(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// A time in its two largest units.
pub fn duration(seconds: f64) -> String {
    let total = seconds.max(0.0).round() as u64;
    let (days, hours, minutes) = (total / 86_400, total / 3600 % 24, total / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10.0 => format!("{seconds:.1} s"),
        (0, 0, 0) => format!("{total} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", total % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{} {hours} h", count(days, "day", "days")),
    }
}

/// A size in the largest unit that leaves a whole number.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut size = value as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if unit == 0 { count(value, "byte", "bytes") } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// An id as tables show it: enough digits to tell the rows of an archive apart.
pub fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "day", "days"), "1 day");
    }

    #[test]
    fn times_and_sizes_have_sensible_units() {
        assert_eq!(
            [0.25, 12.4, 61.0, 7_500.0, 97_200.0].map(duration),
            ["0.2 s", "12 s", "1 min 1 s", "2 h 5 min", "1 day 3 h"]
        );
        assert_eq!([1, 999, 1500, 67_800_000].map(bytes), ["1 byte", "999 bytes", "1.5 kB", "67.8 MB"]);
    }
}
