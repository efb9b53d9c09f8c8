//! How the fields of a partition's rows follow from the descriptor.

use crate::dataset::{AxisValues, Column, Dataset, Kind, Section, TOTAL};
use crate::rows::entity::Id;
use crate::rows::field::{Field, salt};
use crate::rows::value::{Decimals, Value};
use crate::rows::words::Words;

/// The fields of one partition's rows.
pub(super) struct Layout {
    /// In the order of the rows.
    pub(super) fields: Vec<Field>,
    /// Number of combinations of the codes in the key.
    pub(super) n_combinations: u64,
    /// Whether the key has a column that is not coded.
    pub(super) has_entities: bool,
    /// The year of the partition, or 0.
    pub(super) year: i64,
}

impl Layout {
    /// - `codes`: the code of each axis.
    pub(super) fn new(dataset: &Dataset, codes: &[i64]) -> Layout {
        let axes = || dataset.axes.iter().zip(codes);
        let year = axes().find(|(axis, _)| matches!(axis.values, AxisValues::Years(_))).map_or(0, |(_, code)| *code);
        let mut fields: Vec<Field> = axes().map(|(axis, code)| constant(&axis.name, *code)).collect();
        let key = Key::new(dataset);
        let mut n_combinations = 1_u64;
        for (index, column) in dataset.columns.iter().enumerate() {
            let is_absent = column.is_optional && salt(&column.field).wrapping_add(year as u64).is_multiple_of(4);
            if is_absent || fields.iter().any(|field| field.name == column.field) {
                continue;
            }
            let field = match key.values(index, column) {
                KeyValues::Codes(codes) => {
                    let divisor = n_combinations;
                    n_combinations = n_combinations.saturating_mul(codes.len().max(1) as u64);
                    typed(column, Field::new(&column.field, Value::KeyCode { codes, divisor }))
                }
                KeyValues::Number => typed(column, Field::new(&column.field, Value::Id(Id::Number))),
                KeyValues::Other => key.field(index, column),
            };
            fields.push(if dataset.key.first() == Some(&index) { field.first_of_key() } else { field });
        }
        Layout { fields, n_combinations, has_entities: key.has_entities(), year }
    }
}

/// The columns of a key, by what their values are.
struct Key<'a> {
    dataset: &'a Dataset,
    section: Section,
    /// Columns without codes.
    uncoded: Vec<usize>,
    /// Whether one of them is the id of an entity.
    has_id: bool,
}

enum KeyValues {
    Codes(Vec<i64>),
    Number,
    Other,
}

impl<'a> Key<'a> {
    fn new(dataset: &'a Dataset) -> Key<'a> {
        let section = dataset.section();
        let column = |index: &usize| dataset.columns.get(*index);
        let is_uncoded = |index: &usize| column(index).is_some_and(|column| codes(column).is_none());
        let uncoded: Vec<usize> = dataset.key.iter().copied().filter(is_uncoded).collect();
        let is_id = |index: &usize| {
            column(index).and_then(|c| Id::of(section, &c.name)).is_some_and(|id| id.is_unique(section))
        };
        let has_id = uncoded.iter().any(is_id);
        Key { dataset, section, uncoded, has_id }
    }

    fn has_entities(&self) -> bool {
        !self.uncoded.is_empty()
    }

    fn values(&self, index: usize, column: &Column) -> KeyValues {
        if !self.dataset.key.contains(&index) {
            return KeyValues::Other;
        }
        match codes(column) {
            // The state follows from the entity, if there is one.
            Some(_) if self.has_entities() && Id::of(self.section, &column.name).is_some() => KeyValues::Other,
            Some(codes) if !self.is_always_total(column) => KeyValues::Codes(codes),
            None if !self.has_id && self.uncoded.first() == Some(&index) => KeyValues::Number,
            _ => KeyValues::Other,
        }
    }

    /// Checks whether every row has the total: at the portal, a dimension of schools and districts that the path does
    /// not name.
    fn is_always_total(&self, column: &Column) -> bool {
        let is_dimension = column.list.as_ref().is_some_and(|list| list.has_total());
        self.section != Section::Colleges && is_dimension && column.total.is_none()
    }

    /// Returns the field of a column whose values do not distinguish the rows of an entity.
    fn field(&self, index: usize, column: &Column) -> Field {
        let name = &column.field;
        if let Some(id) = Id::of(self.section, &column.name) {
            return self.id_field(id, column);
        }
        if self.is_always_total(column) {
            return typed(column, constant(name, TOTAL));
        }
        let hash = salt(name);
        let is_rate = ["pct", "rate", "share", "percent"].iter().any(|part| column.name.contains(part));
        let limit = match hash >> 32 & 3 {
            _ if self.dataset.key.contains(&index) => 10,
            _ if is_rate => 100,
            0 => 20,
            1 => 200,
            2 => 1_000,
            _ => 30_000,
        };
        let value = match (codes(column), column.kind) {
            (Some(codes), _) => Value::Code(codes),
            (None, Kind::String) => self.text(column),
            (None, Kind::Double) if column.name.ends_with("latitude") => Value::Degrees { is_west: false },
            (None, Kind::Double) if column.name.ends_with("longitude") => Value::Degrees { is_west: true },
            (None, Kind::Double) => {
                let decimals = match hash >> 40 & 3 {
                    0 => Decimals::ThreeInText,
                    1 => Decimals::One,
                    _ => Decimals::Two,
                };
                Value::Decimal { decimals, limit }
            }
            (None, _) if column.name.split('_').any(|word| word == "year") && self.has_years() => Value::Year,
            (None, _) => Value::Count { limit },
        };
        let missing = match (&column.list, &value) {
            (None, _) | (_, Value::Words(_) | Value::Digits { .. } | Value::Extended { .. }) => Vec::new(),
            (Some(list), _) => list.missing(),
        };
        let field = typed(column, Field::new(name, value));
        if self.dataset.key.contains(&index) { field } else { field.sometimes_missing(missing) }
    }

    fn has_years(&self) -> bool {
        self.dataset.years().is_some()
    }

    fn id_field(&self, id: Id, column: &Column) -> Field {
        let field = Field::new(&column.field, Value::Id(id));
        if column.kind != Kind::String {
            return field;
        }
        // Some endpoints of the portal lose the leading zero of districts. Descriptors say how to restore it.
        let loses_zeros = id == Id::District
            && column.width.is_some()
            && !column.starts_with.is_empty()
            && salt(&self.dataset.name).is_multiple_of(2);
        let width = column.width.unwrap_or(id.n_digits());
        field.in_text(if loses_zeros { 0 } else { width })
    }

    fn text(&self, column: &Column) -> Value {
        let shortest = column.starts_with.iter().min_by_key(|(_, n_more)| *n_more);
        let base = shortest.and_then(|(index, n)| Some((self.dataset.columns.get(*index)?, *n)));
        match (column.width, base) {
            (Some(width), Some((base, n_more))) => {
                let id = Id::of(self.section, &base.name).unwrap_or(Id::Number);
                Value::Extended { base: Box::new(Value::Id(id)), n_base: width.saturating_sub(n_more), n_more }
            }
            (Some(n), None) => Value::Digits { n },
            (None, _) => Value::Words(Words::of(&column.name)),
        }
    }
}

/// Returns the codes of a coded column, without those for missing values; `None` for a measure and for other text.
fn codes(column: &Column) -> Option<Vec<i64>> {
    let list = column.list.as_ref().filter(|list| !list.is_of_measures())?;
    Some(list.values()).filter(|codes| !codes.is_empty())
}

fn constant(name: &str, code: i64) -> Field {
    Field::new(name, Value::Constant(code.to_string()))
}

/// Writes the values of a column of text as text.
fn typed(column: &Column, field: Field) -> Field {
    match column.kind {
        Kind::String => field.in_text(column.width.unwrap_or(0)),
        _ => field,
    }
}
