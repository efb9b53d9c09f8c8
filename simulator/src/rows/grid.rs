//! Which entity and which combination of codes each row of a partition has.

/// A cross product of entities and the codes of the key's dimensions, of which a partition has the first rows.
///
/// Every row has another pair of entity and combination. Rows are ordered by combination, then entity.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) n_entities: u64,
    pub(super) n_rows: u64,
    n_combinations: u64,
    /// Has no common divisor with `n_combinations`, so that the first combinations differ in all dimensions.
    stride: u64,
}

impl Grid {
    /// - `n_combinations`: number of combinations of codes, at least 1.
    /// - `has_entities`: whether the key has a column that is not coded. If not, there is only one entity.
    pub(super) fn new(n_rows: u64, n_combinations: u64, has_entities: bool) -> Grid {
        let n_entities = match has_entities {
            // Neither one entity with everything, nor many with their totals only.
            true => n_rows.div_ceil(n_combinations).max(n_rows.isqrt()).max(1),
            false => 1,
        };
        let n_rows = n_rows.min(n_entities.saturating_mul(n_combinations));
        let is_coprime = |stride: &u64| greatest_common_divisor(*stride, n_combinations) == 1;
        let stride = (n_combinations / 8 * 5 + 1..).find(is_coprime).unwrap_or(1);
        Grid { n_entities, n_rows, n_combinations, stride }
    }

    /// Returns the entity and the combination of a row. The first combination is 0.
    pub(super) fn place(&self, row: u64) -> (u64, u64) {
        let step = u128::from(row / self.n_entities);
        let combination = step * u128::from(self.stride) % u128::from(self.n_combinations);
        (row % self.n_entities, combination as u64)
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_row_has_a_place_of_its_own() {
        for n_combinations in [1, 2, 3, 16, 90, 1_001] {
            for n_rows in [0, 1, 20, 300, 10_000] {
                let grid = Grid::new(n_rows, n_combinations, true);
                assert_eq!(grid.n_rows, n_rows);
                let places: HashSet<_> = (0..n_rows).map(|row| grid.place(row)).collect();
                assert_eq!(places.len() as u64, n_rows, "{n_rows} of {n_combinations}");
                assert!(n_rows == 0 || places.contains(&(0, 0)));
            }
        }
    }

    #[test]
    fn without_entities_there_are_at_most_as_many_rows_as_combinations() {
        assert_eq!(Grid::new(300, 12, false).n_rows, 12);
        assert_eq!(Grid::new(20, u64::MAX, true).n_entities, 4);
    }
}
