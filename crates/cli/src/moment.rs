//! Times and durations as people write them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// Numbers below this are no milliseconds since 1970 that anybody means: they would lie before 1973. Seconds look like that.
const UNIX_MS_MIN: i64 = 100_000_000_000;

/// A duration such as `500ms`, `10s` or `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    parsed
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a duration is wanted, such as 500ms, 10s or 1m30s".to_owned())
}

/// A moment in milliseconds since the Unix epoch: an RFC 3339 time, a date or local time, Unix milliseconds, or how long ago it was.
pub fn moment(text: &str) -> Result<i64, String> {
    moment_from(text, &Zoned::now())
}

fn moment_from(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        if (0..UNIX_MS_MIN).contains(&number) {
            return Err(format!(
                "a number is milliseconds since 1970; {number} would be in {}",
                year(number)
            ));
        }
        return Ok(number);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let zone = |local: DateTime| local.to_zoned(now.time_zone().clone());
    if let Ok(Ok(local)) = text.parse::<DateTime>().map(zone) {
        return Ok(local.timestamp().as_millisecond());
    }
    let ago: Result<Span, _> = text.trim_end_matches(" ago").parse();
    if let Ok(Ok(then)) = ago.map(|span| now.checked_sub(span.abs())) {
        return Ok(then.timestamp().as_millisecond());
    }
    Err(
        "a time is wanted: 2026-11-21T10:00:00Z, 2026-11-21 10:00, 2026-11-21, 1795000000000 (ms), or how long ago, such as 10m or 2d"
            .to_owned(),
    )
}

fn year(ms: i64) -> i16 {
    Timestamp::from_millisecond(ms).map_or(1970, |it| it.to_zoned(TimeZone::UTC).year())
}

/// A timestamp of a record for people: RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(timestamp) if ms >= 0 => format!("{timestamp:.3}"),
        _ => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_times_in_many_ways() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let now = now.to_zoned(TimeZone::UTC);
        let noon = now.timestamp().as_millisecond();
        let hour = 3_600_000;
        for (text, told) in [
            ("2026-11-21T12:00:00Z", noon),
            ("2026-11-21T14:00:00.5+02:00", noon + 500),
            ("2026-11-21T11:00", noon - hour),
            ("2026-11-21 11:00:00", noon - hour),
            ("2026-11-21", noon - 12 * hour),
            ("1795000000000", 1_795_000_000_000),
            ("10m", noon - 600_000),
            ("1h30m", noon - 3 * hour / 2),
            ("2d", noon - 48 * hour),
            ("1 hour ago", noon - hour),
        ] {
            assert_eq!(moment_from(text, &now), Ok(told), "{text}");
        }
        for wrong in ["", "soon", "1795000000", "0", "2026-13-01", "10 parsecs"] {
            assert!(moment_from(wrong, &now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "0s", "-1s", "x"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn timestamps_are_shown_to_the_millisecond() {
        assert_eq!(rfc3339(1_795_000_000_007), "2026-11-18T11:06:40.007Z");
        assert_eq!(rfc3339(-1), "-1");
    }
}
