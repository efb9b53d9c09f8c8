//! The map of states: a tile of equal size for each, roughly where it is.

use rollcall_core::lookup::{STATES, State};
use serde::Serialize;

use crate::report::series::Series;
use crate::words::{rounded, thousands};

/// The states where they are on the map: each letter pair is a tile, and a column is three characters wide.
///
/// Source: the tile grid map of National Public Radio, 2015.
const MAP: [&str; 8] = [
    "AK                            ME",
    "                           VT NH",
    "WA ID MT ND MN IL WI MI NY RI MA",
    "OR NV WY SD IA IN OH PA NJ CT",
    "CA UT CO NE MO KY WV VA MD DE",
    "   AZ NM KS AR TN NC SC DC",
    "         OK LA MS AL GA",
    "HI       TX             FL",
];

/// Number of shades. The lowest is 1; a state without a number has 0.
pub(super) const N_SHADES: usize = 6;

/// The map, as of the last year. A script shows the others.
#[derive(Serialize)]
pub(super) struct StateMap {
    tiles: Vec<Tile>,
    years: Vec<i32>,
    /// The largest number of each shade but the last, as text.
    limits: Vec<String>,
    /// Names of jurisdictions that have rows but no tile.
    others: Vec<String>,
}

#[derive(Serialize)]
struct Tile {
    name: String,
    abbreviation: String,
    column: usize,
    row: usize,
    /// In the order of the years: the number in words, and its shade.
    years: Vec<(String, usize)>,
}

/// Returns the map of some years; `None` if no row has a state, or there are no years.
pub(super) fn state_map(series: &Series, years: &[i32]) -> Option<StateMap> {
    let by_state = series.of_states(years);
    if by_state.is_empty() || years.is_empty() {
        return None;
    }
    let maximum = by_state.values().flatten().flatten().copied().max().unwrap_or(0);
    // Shades grow with the square root, since a few states are much larger than the others.
    let limit = |shade: usize| (maximum as f64 * (shade as f64 / N_SHADES as f64).powi(2)).round() as i64;
    let limits: Vec<i64> = (1..N_SHADES).map(limit).collect();
    let of_year = |number: Option<i64>| match number {
        None => ("no data".to_owned(), 0),
        Some(number) => {
            let shade = 1 + limits.iter().filter(|limit| number > **limit).count();
            (format!("{} {}", thousands(number.unsigned_abs()), series.unit()), shade)
        }
    };
    let places = places();
    let tiles = places.iter().map(|(state, column, row)| {
        let numbers = by_state.get(&state.code).cloned().unwrap_or_else(|| vec![None; years.len()]);
        let (name, abbreviation) = (state.label.clone(), state.abbreviation.clone());
        Tile { name, abbreviation, column: *column, row: *row, years: numbers.into_iter().map(of_year).collect() }
    });
    let tiles = tiles.collect();
    let has_tile = |code: &i64| places.iter().any(|(state, ..)| state.code == *code);
    let others = by_state.keys().filter(|code| !has_tile(code)).map(|code| name(Some(*code))).collect();
    let limits = limits.iter().map(|limit| rounded(limit.unsigned_abs())).collect();
    Some(StateMap { tiles, years: years.to_vec(), limits, others })
}

/// Returns the states on the map, with column and row.
fn places() -> Vec<(&'static State, usize, usize)> {
    let mut places = Vec::new();
    for state in STATES.iter() {
        let found = MAP.iter().enumerate().find_map(|(row, line)| {
            let abbreviations = line.as_bytes().chunks(3).map(<[u8]>::trim_ascii);
            let column = abbreviations.into_iter().position(|place| place == state.abbreviation.as_bytes());
            column.filter(|_| !state.abbreviation.is_empty()).map(|column| (column, row))
        });
        places.extend(found.map(|(column, row)| (state, column, row)));
    }
    places
}

/// Returns the name of a state.
pub(super) fn name(code: Option<i64>) -> String {
    let Some(code) = code else { return "no state".to_owned() };
    let state = STATES.iter().find(|state| state.code == code);
    state.map_or_else(|| format!("FIPS {code}"), |state| state.label.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::series::tests::series;

    #[test]
    fn a_tile_has_the_number_and_the_shade_of_each_year() {
        let students = [
            ("year=2018/grade=grade-pk", 6, 3600),
            ("year=2019/grade=grade-pk", 6, 100),
            ("year=2019/grade=grade-pk", 72, 1),
        ];
        let series = series(&students, &[]);
        let map = state_map(&series, &series.whole_years()).unwrap();
        let california = map.tiles.iter().find(|tile| tile.abbreviation == "CA").unwrap();
        assert_eq!(california.years, [("3,600 students".to_owned(), 6), ("100 students".to_owned(), 1)]);
        let texas = map.tiles.iter().find(|tile| tile.abbreviation == "TX").unwrap();
        assert_eq!(texas.years[0], ("no data".to_owned(), 0));
        assert_eq!(
            (map.others, map.limits),
            (vec!["Puerto Rico".to_owned()], ["100", "400", "900", "1.6k", "2.5k"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn the_fifty_states_and_the_district_of_columbia_are_on_the_map() {
        let places = places();
        assert_eq!(places.len(), 51);
        let of =
            |code: i64| places.iter().find(|(state, ..)| state.code == code).map(|(_, column, row)| (*column, *row));
        assert_eq!((of(2), of(12), of(6)), (Some((0, 0)), Some((8, 7)), Some((0, 4))));
        assert_eq!((of(72), name(Some(72)).as_str()), (None, "Puerto Rico"));
        assert_eq!(name(Some(99)), "FIPS 99");
    }
}
