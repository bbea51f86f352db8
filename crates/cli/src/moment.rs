//! Times and durations as people write them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// Numbers below this are no milliseconds since 1970 that anybody means: they would lie before 1973. Seconds look like that.
const UNIX_MS_MIN: i64 = 100_000_000_000;

/// The longest duration: what brokers are told of it is 32 bits of milliseconds, and nobody waits longer.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration such as `500ms`, `10s` or `1h30m`, of at least a millisecond and at most [`DURATION_MAX`].
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    let duration = parsed
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| duration.as_millis() > 0)
        .ok_or("a duration is wanted, such as 500ms, 10s or 1m30s")?;
    if duration > DURATION_MAX {
        return Err("at most 24h are possible".to_owned());
    }
    Ok(duration)
}

/// A moment in milliseconds since the Unix epoch: an RFC 3339 time, a date or local time, Unix milliseconds, or how long ago it was. What
/// lies before the epoch is the epoch: brokers have other meanings for negative timestamps.
pub fn moment(text: &str) -> Result<i64, String> {
    moment_from(text, &Zoned::now()).map(|ms| ms.max(0))
}

/// The moment that lies a duration back, such as `1h30m`, `2d` or `PT1H30M`, in milliseconds since the Unix epoch, and not before it.
pub fn past(text: &str) -> Result<i64, String> {
    past_from(text, &Zoned::now()).map(|ms| ms.max(0))
}

fn past_from(text: &str, now: &Zoned) -> Result<i64, String> {
    let span: Result<Span, _> = text.trim().parse();
    let then = span
        .ok()
        .filter(|span| !span.is_negative())
        .and_then(|span| now.checked_sub(span).ok());
    then.map(|then| then.timestamp().as_millisecond())
        .ok_or_else(|| "a duration is wanted, such as 10m, 1h30m, 2d or PT1H30M".to_owned())
}

fn moment_from(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        if number < 0 {
            return Err("a number is milliseconds since 1970, and not negative".to_owned());
        }
        if number < UNIX_MS_MIN {
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

/// Now, in milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
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
    fn what_lies_before_1970_is_1970_and_no_number_is_negative() {
        for text in [
            "1969-12-31T23:59:59.999Z",
            "1969-06-01",
            "-000100-01-01T00:00:00Z",
            "100 years",
        ] {
            assert_eq!(moment(text), Ok(0), "{text}");
        }
        for wrong in ["-1", "-2", "-1795000000000"] {
            let error = moment(wrong).expect_err(wrong);
            assert!(error.contains("not negative"), "{error}");
        }
    }

    #[test]
    fn what_is_past_is_as_long_ago_as_was_said() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let now = now.to_zoned(TimeZone::UTC);
        let noon = now.timestamp().as_millisecond();
        for (text, ms) in [
            ("10m", 600_000),
            ("PT1H30M", 5_400_000),
            ("P1D", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(past_from(text, &now), Ok(noon - ms), "{text}");
        }
        for wrong in ["", "5", "-1h", "2026-11-21", "-PT1H"] {
            assert!(past_from(wrong, &now).is_err(), "{wrong}");
        }
        assert_eq!(past("100 years"), Ok(0));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "0s", "-1s", "x", "1ns"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("24h"), Ok(DURATION_MAX));
        for long in ["24h1ms", "600h", "2562047788015h"] {
            let error = duration(long).expect_err(long);
            assert!(error.contains("24h"), "{long}: {error}");
        }
    }

    #[test]
    fn timestamps_are_shown_to_the_millisecond() {
        assert_eq!(rfc3339(1_795_000_000_007), "2026-11-18T11:06:40.007Z");
        assert_eq!(rfc3339(-1), "-1");
    }
}
