//! Seeded randomness: portal faults derived from a seed, and the number of repetitions set in the environment.

use std::env;

use fastrand::Rng;
use rollcall_simulator::{Action, Fault};

/// Returns a number from the environment, or the default.
///
/// # Panics
/// If the variable is not a number.
#[must_use]
pub fn number_from_env(variable: &str, default: u64) -> u64 {
    let set = env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("expected a number in {variable}, found {text}")))
}

/// Returns faults for one in ten of the next 600 requests. Most are transient; one in ten of them fails its partition.
#[must_use]
pub fn portal_faults(random: &mut Rng) -> Vec<Fault> {
    let status = |code| Action::Status { code, retry_after: Some("0".to_owned()), body: None };
    let passing = [
        status(503),
        status(429),
        status(500),
        Action::Disconnect,
        Action::Html,
        Action::Truncate { bytes: 700, keep_length: false },
        Action::Truncate { bytes: 700, keep_length: true },
        Action::DropRow { index: 3 },
        Action::CountAdd { delta: 1 },
        Action::Delay { ms: 20 },
        Action::Body { text: r#"{"detail": "Request was throttled."}"#.to_owned() },
    ];
    let lasting = [
        status(404),
        Action::SetField { row: Some(0), field: "year".to_owned(), json: "1999".to_owned() },
        Action::Next { url: Some("http://169.254.169.254/latest/meta-data/".to_owned()) },
    ];
    let mut faults = Vec::new();
    for request in 1..=600 {
        if random.u8(..10) == 0 {
            let kinds = if random.u8(..10) == 0 { &lasting[..] } else { &passing[..] };
            let kind = random.choice(kinds).cloned();
            faults.extend(kind.map(|kind| Fault::new(kind).starting_at(request).times(1)));
        }
    }
    faults
}
