//! The list `api-values/`: codes and their labels.

use serde::Serialize;

use crate::states::STATES;

/// A row of `api-values/`.
#[derive(Serialize)]
pub(super) struct Code {
    id: usize,
    pub(super) format_name: &'static str,
    code: i32,
    code_label: String,
    hide: &'static str,
}

const MISSING: [(i32, &str); 3] = [(-1, "Missing/not reported"), (-2, "Not applicable"), (-3, "Suppressed data")];
const RACES: [(i32, &str); 11] = [
    (1, "White"),
    (2, "Black"),
    (3, "Hispanic"),
    (4, "Asian"),
    (5, "American Indian or Alaska Native"),
    (6, "Native Hawaiian or other Pacific Islander"),
    (7, "Two or more races"),
    (8, "Nonresident alien"),
    (9, "Unknown"),
    (20, "Other"),
    (99, "Total"),
];
const SEXES: [(i32, &str); 4] = [(1, "Male"), (2, "Female"), (9, "Unknown"), (99, "Total")];
/// In every variable but `grade`, -1 means missing.
const GRADES: [(i32, &str); 6] = [
    (-1, "Pre-K"),
    (0, "Kindergarten"),
    (14, "Adult education"),
    (15, "Ungraded"),
    (99, "Total"),
    (999, "Not specified"),
];

/// Returns the codes of all variables.
pub(super) fn codes() -> Vec<Code> {
    let numbered = (1..=13).map(|code| ("grade", code, code.to_string()));
    let named = |format: &'static str, codes: &'static [(i32, &'static str)]| {
        codes.iter().map(move |(code, label)| (format, *code, (*label).to_owned()))
    };
    let states = STATES.iter().map(|state| ("fips", i32::from(state.fips), state.name.to_owned()));
    let mut rows: Vec<_> = named("grade", &GRADES).chain(numbered).chain(states).collect();
    rows.extend(named("fips", &MISSING).chain(named("race", &RACES)).chain(named("race", &MISSING)));
    rows.extend(named("sex", &SEXES).chain(named("sex", &MISSING)));
    let code_row = |(id, (format_name, code, label)): (usize, (_, i32, String))| Code {
        id,
        format_name,
        code,
        code_label: format!("{code} - {label}"),
        hide: "0",
    };
    rows.into_iter().enumerate().map(code_row).collect()
}
