//! The rows of a dataset for which the sample has no data of its own: plausible by the types and codes of its columns.
//!
//! A row follows from the dataset, the partition and the position, so the cost of a page depends only on its own rows.

mod entity;
mod field;
mod grid;
mod layout;
mod value;
mod words;

use std::ops::Range;

use crate::dataset::Dataset;
use crate::query::Query;
use crate::rows::entity::Entities;
use crate::rows::field::{Field, salt};
use crate::rows::grid::Grid;
use crate::rows::layout::Layout;
use crate::rows::value::{Row, Value};
use crate::sample::Sample;
use crate::sample::hash::{SEED, mix};

pub(crate) use crate::rows::entity::DistrictStudents;

/// Number of rows in a partition, unless the configuration says otherwise.
pub(crate) const DEFAULT_ROWS: u64 = 300;

/// Approximate size of a field without its name: a short value and punctuation.
const FIELD_BYTES: u64 = 10;

/// Of as many rows, if keys may be repeated, one has the key of the row before it, and one has an empty key.
const REPEAT_EVERY: u64 = 16;
const REPEATED: u64 = 3;
const EMPTY: u64 = 9;

/// The rows of one partition that match the filters.
pub(crate) struct Rows<'a> {
    entities: Entities<'a>,
    grid: Grid,
    fields: Vec<Field>,
    year: i64,
    seed: u64,
    keeps_repeated_keys: bool,
    /// Positions of the rows that match the filters; `None` if there are no filters.
    selected: Option<Vec<u64>>,
}

impl<'a> Rows<'a> {
    /// Selects the rows.
    ///
    /// - `codes`: the code of each axis.
    /// - `n_rows`: number of rows before filtering. There are fewer if the codes of the key do not allow as many.
    pub(crate) fn select(sample: &'a Sample, dataset: &Dataset, codes: &[i64], query: &Query, n_rows: u64) -> Self {
        let layout = Layout::new(dataset, codes);
        let grid = Grid::new(n_rows, layout.n_combinations, layout.has_entities);
        let entities = Entities::new(sample, dataset.section(), grid.n_entities);
        Rows::new(entities, grid, layout, dataset, codes, query)
    }

    /// Selects the rows of given districts, one for each, in which `enrollment` is the number of students.
    ///
    /// - `codes`: the code of each axis.
    pub(crate) fn of_districts(
        sample: &'a Sample,
        dataset: &Dataset,
        codes: &[i64],
        query: &Query,
        districts: Vec<DistrictStudents>,
    ) -> Self {
        let mut layout = Layout::new(dataset, codes);
        for field in layout.fields.iter_mut().filter(|field| field.name == "enrollment") {
            *field = Field::new("enrollment", Value::Students);
        }
        let grid = Grid::new(districts.len() as u64, 1, true);
        Rows::new(Entities::of_districts(sample, districts), grid, layout, dataset, codes, query)
    }

    fn new(
        entities: Entities<'a>,
        grid: Grid,
        layout: Layout,
        dataset: &Dataset,
        codes: &[i64],
        query: &Query,
    ) -> Self {
        let seed = codes.iter().fold(SEED ^ salt(&dataset.name), |seed, code| mix(seed, *code as u64));
        let mut rows = Rows {
            entities,
            grid,
            fields: layout.fields,
            year: layout.year,
            seed,
            keeps_repeated_keys: dataset.keeps_repeated_keys,
            selected: None,
        };
        rows.selected = rows.filter(dataset, query);
        rows
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.selected.as_ref().map_or(self.grid.n_rows, |positions| positions.len() as u64)
    }

    /// Returns the approximate size of a row.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.fields.iter().map(|field| field.name.len() as u64 + FIELD_BYTES).sum()
    }

    /// Appends the rows at `positions` as JSON objects, separated by commas.
    pub(crate) fn push_rows(&self, positions: Range<u64>, into: &mut Vec<u8>) {
        let first = positions.start;
        for position in positions {
            let number = match &self.selected {
                None => position,
                Some(selected) => selected.get(position as usize).copied().unwrap_or_default(),
            };
            if position != first {
                into.push(b',');
            }
            let row = self.row(number);
            into.push(b'{');
            for (index, field) in self.fields.iter().enumerate() {
                if index > 0 {
                    into.push(b',');
                }
                field.push(row, into);
            }
            into.push(b'}');
        }
    }

    fn row(&self, number: u64) -> Row {
        let is = |place: u64| self.keeps_repeated_keys && number % REPEAT_EVERY == place;
        let (entity, combination) = self.grid.place(number - u64::from(is(REPEATED)));
        Row {
            seed: mix(self.seed, number),
            entity: self.entities.get(entity),
            combination,
            year: self.year,
            lacks_key: is(EMPTY),
        }
    }

    /// Returns the positions of the rows that match the filters, in which a comma means "or"; `None` without filters.
    fn filter(&self, dataset: &Dataset, query: &Query) -> Option<Vec<u64>> {
        let axes = dataset.axes.iter().map(|axis| &axis.name);
        let columns = dataset.columns.iter().filter(|column| column.is_filter).map(|column| &column.field);
        let filters: Vec<(&Field, Vec<&str>)> = axes
            .chain(columns)
            .filter_map(|name| {
                let field = self.fields.iter().find(|field| field.name == *name)?;
                Some((field, query.get(name)?.split(',').map(str::trim).collect()))
            })
            .collect();
        if filters.is_empty() {
            return None;
        }
        let mut text = Vec::new();
        let mut is_selected = |number: &u64| {
            let row = self.row(*number);
            filters.iter().all(|(field, wanted)| {
                text.clear();
                field.push_value(row, &mut text);
                let found = str::from_utf8(&text).unwrap_or_default().trim_matches('"');
                wanted.iter().any(|wanted| is_equal(wanted, found))
            })
        };
        Some((0..self.grid.n_rows).filter(&mut is_selected).collect())
    }
}

/// Compares as numbers if both are, so that leading zeros do not matter.
fn is_equal(wanted: &str, found: &str) -> bool {
    match (wanted.parse::<i64>(), found.parse::<i64>()) {
        (Ok(wanted), Ok(found)) => wanted == found,
        _ => wanted == found,
    }
}
