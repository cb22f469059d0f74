//! Points in time, as people give them.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, Duration, OffsetDateTime, PrimitiveDateTime, Time};

/// Characters of a date.
const DATE: usize = 10;

/// A time: a date, a date with a time of day, or an age.
pub fn since(text: &str) -> Result<OffsetDateTime, String> {
    since_at(text, OffsetDateTime::now_utc())
}

fn since_at(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    let refused =
        || "not a date (2026-11-30), a time (2026-11-30T14:05Z) or an age (90m, 12h, 7d, 4w)".to_owned();
    let (count, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let unit = match unit {
        "m" => Some(Duration::MINUTE),
        "h" => Some(Duration::HOUR),
        "d" => Some(Duration::DAY),
        "w" => Some(Duration::WEEK),
        _ => None,
    };
    if let Some(unit) = unit {
        let count: u32 = count.parse().map_err(|_| refused())?;
        let age = Duration::seconds(unit.whole_seconds().saturating_mul(i64::from(count)));
        return now.checked_sub(age).ok_or_else(refused);
    }
    // A parser of dates does not mind what follows.
    if text.len() == DATE {
        let date = Date::parse(text, &Iso8601::DATE).map_err(|_| refused())?;
        return Ok(PrimitiveDateTime::new(date, Time::MIDNIGHT).assume_utc());
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, &Iso8601::PARSING))
        .map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_a_time_of_day_or_an_age() {
        let at = |text: &str| OffsetDateTime::parse(text, &Rfc3339).expect("a time");
        let now = at("2026-11-30T12:00:00Z");
        for (text, time) in [
            ("2026-11-29", at("2026-11-29T00:00:00Z")),
            ("2026-11-29T14:05:06Z", at("2026-11-29T14:05:06Z")),
            ("2026-11-29T14:05:06.123Z", at("2026-11-29T14:05:06.123Z")),
            ("2026-11-29T14:05+02:00", at("2026-11-29T12:05:00Z")),
            ("90m", at("2026-11-30T10:30:00Z")),
            ("12h", at("2026-11-30T00:00:00Z")),
            ("7d", at("2026-11-23T12:00:00Z")),
            ("1w", at("2026-11-23T12:00:00Z")),
        ] {
            assert_eq!(since_at(text, now), Ok(time), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "d",
            "-1d",
            "1.5h",
            "9999999999d",
            "4294967295w",
            "2026-13-01",
            "2026-11-29T25:00Z",
            "7é",
        ] {
            assert!(since_at(text, now).is_err(), "{text}");
        }
    }
}
