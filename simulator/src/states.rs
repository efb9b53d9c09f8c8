//! States and territories of the sample, and the published pre-K totals that the sample reproduces.

/// A state, territory or agency with schools.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    /// Federal Information Processing Standard code.
    pub(crate) fips: u8,
    /// Two-letter postal code.
    pub(crate) postal: &'static str,
    /// Rounded number of public schools around 2021. The sample has the same proportions.
    pub(crate) n_schools: u32,
}

/// The state that does not report pre-kindergarten.
///
/// Source: NCES, "total enrollment counts for California [...] do not include prekindergarten counts".
pub(crate) const CALIFORNIA: u8 = 6;

const PUBLISHED: &str = include_str!("../data/prek_2021_state_totals.csv");

/// Returns the published sums of `enrollment` for 2021 and grade-pk, as (`fips`, state, students).
///
/// The sample reproduces them exactly at any size. Source: the header of `data/prek_2021_state_totals.csv`.
pub fn published_totals() -> Vec<(u8, &'static str, u32)> {
    PUBLISHED.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(parse_total).collect()
}

/// Returns the sum of `enrollment` for 2021 and grade-pk in a state: the published one if known, else an invented one.
///
/// Invented totals are below 20,000, so that the top ten states of the published ranking stay the same.
pub(crate) fn prek_total(state: &State) -> u32 {
    let published = published_totals().into_iter().find(|(fips, ..)| *fips == state.fips);
    match published {
        Some((.., total)) => total,
        None if state.fips == CALIFORNIA => 0,
        None => (state.n_schools * 5).min(19_500),
    }
}

fn parse_total(line: &'static str) -> Option<(u8, &'static str, u32)> {
    let mut cells = line.split(',');
    Some((cells.next()?.parse().ok()?, cells.next()?, cells.next()?.parse().ok()?))
}

const fn state(fips: u8, postal: &'static str, n_schools: u32) -> State {
    State { fips, postal, n_schools }
}

/// The states of the sample, in ascending order of code.
#[rustfmt::skip]
pub(crate) const STATES: [State; 57] = [
    state(1, "AL", 1_500), state(2, "AK", 500), state(4, "AZ", 2_400), state(5, "AR", 1_090), state(6, "CA", 10_400),
    state(8, "CO", 1_940), state(9, "CT", 1_010), state(10, "DE", 230), state(11, "DC", 240), state(12, "FL", 4_200),
    state(13, "GA", 2_310), state(15, "HI", 300), state(16, "ID", 780), state(17, "IL", 4_390), state(18, "IN", 1_920),
    state(19, "IA", 1_320), state(20, "KS", 1_350), state(21, "KY", 1_540), state(22, "LA", 1_370),
    state(23, "ME", 590), state(24, "MD", 1_420), state(25, "MA", 1_840), state(26, "MI", 3_530),
    state(27, "MN", 2_560), state(28, "MS", 1_040), state(29, "MO", 2_440), state(30, "MT", 830),
    state(31, "NE", 1_090), state(32, "NV", 760), state(33, "NH", 500), state(34, "NJ", 2_560), state(35, "NM", 890),
    state(36, "NY", 4_820), state(37, "NC", 2_720), state(38, "ND", 520), state(39, "OH", 3_600),
    state(40, "OK", 1_790), state(41, "OR", 1_290), state(42, "PA", 2_960), state(44, "RI", 320),
    state(45, "SC", 1_270), state(46, "SD", 700), state(47, "TN", 1_930), state(48, "TX", 9_080),
    state(49, "UT", 1_090), state(50, "VT", 310), state(51, "VA", 2_130), state(53, "WA", 2_560), state(54, "WV", 690),
    state(55, "WI", 2_260), state(56, "WY", 370), state(59, "BI", 170), state(60, "AS", 30), state(66, "GU", 40),
    state(69, "MP", 40), state(72, "PR", 860), state(78, "VI", 20),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ten_of_the_published_ranking_stay_the_same() {
        let published = published_totals();
        assert_eq!(published.len(), 22);
        assert_eq!(published.first(), Some(&(48, "Texas", 245_135)));
        assert_eq!(published.last(), Some(&(15, "Hawaii", 1_578)));
        let tenth = published[9].2;
        let above = STATES.iter().filter(|state| prek_total(state) >= tenth).count();
        assert_eq!(above, 10);
    }

    #[test]
    fn the_states_are_in_ascending_order_and_include_every_published_one() {
        assert!(STATES.is_sorted_by_key(|state| state.fips));
        for (fips, name, _) in published_totals() {
            assert!(STATES.iter().any(|state| state.fips == fips), "{name}");
        }
    }
}
