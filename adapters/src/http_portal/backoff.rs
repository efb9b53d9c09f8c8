//! Waits between requests: full jitter, and the `Retry-After` header.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderValue;

use crate::http_portal::settings::PortalSettings;

/// Parses seconds or an HTTP date. Returns `None` for anything else, and for dates in the past.
pub(crate) fn parse_retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // A number that overflows means a very long wait, which the caller limits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Duration::try_from(date.duration_since(now)).ok()
}

/// Random waits between zero and a bound that doubles with each try, so that clients spread out.
pub(super) struct FullJitter {
    bound: Duration,
    max: Duration,
    n_left: u32,
}

impl FullJitter {
    /// Returns the remaining waits after `tries` requests, of which there was at least one.
    pub(super) fn new(settings: &PortalSettings, tries: u32) -> Self {
        let n_doublings = tries.saturating_sub(1).min(16);
        Self {
            bound: settings.backoff.saturating_mul(1 << n_doublings),
            max: settings.max_backoff,
            n_left: settings.tries.saturating_sub(tries),
        }
    }

    pub(super) fn draw(&mut self) -> Duration {
        let bound = self.bound.min(self.max);
        self.bound = self.bound.saturating_mul(2);
        bound.mul_f64(fastrand::f64())
    }
}

impl Iterator for FullJitter {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.n_left = self.n_left.checked_sub(1)?;
        Some(self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_portal::origin::parse_origin;
    use crate::http_portal::settings::LIVE_ORIGIN;

    #[test]
    fn a2_retry_after_is_seconds_or_a_date_and_anything_else_is_ignored() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("7", Some(Duration::from_secs(7))),
            ("0", Some(Duration::ZERO)),
            ("1000000000", Some(Duration::from_secs(1_000_000_000))),
            ("99999999999999999999999", Some(Duration::from_secs(u64::from(u32::MAX)))),
            ("Mon, 23 Nov 2026 12:00:30 GMT", Some(Duration::from_secs(30))),
            ("Mon, 23 Nov 2026 11:00:00 GMT", None),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(parse_retry_after(&value, now), expected, "{text}");
        }
    }

    #[test]
    fn waits_stay_within_a_doubling_bound_and_end_with_the_last_try() {
        let mut settings = PortalSettings::new(parse_origin(LIVE_ORIGIN).unwrap());
        settings.backoff = Duration::from_secs(1);
        settings.max_backoff = Duration::from_secs(2);
        let waits: Vec<Duration> = FullJitter::new(&settings, 1).collect();
        assert_eq!(waits.len(), 3);
        for (wait, bound) in waits.iter().zip([1, 2, 2]) {
            assert!(*wait <= Duration::from_secs(bound), "{wait:?}");
        }
    }
}
