//! What the rows of a partition add up to, by state: the numbers behind the charts of a report.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::change::Cell;
use crate::dataset::lists::is_of_measure;
use crate::dataset::{Column, ColumnKind, Dataset};
use crate::file::columns::RESCUED;

/// The column whose values a report adds up.
const ENROLLMENT: &str = "enrollment";
/// The column with the state.
const STATE: &str = "fips";

/// Which columns of a dataset are counted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureColumns {
    /// Columns whose values may be codes, with the codes: `enrollment`, or every measure of a dataset without it.
    pub measures: Vec<(String, BTreeSet<i64>)>,
    /// Whether the values of the only measure are numbers of students, so that they can be added up.
    pub is_enrollment: bool,
    /// Columns with a code for totals, and that code. Only rows that have it in all of them are added up.
    pub totals: Vec<(String, i64)>,
}

/// What the rows of one partition add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// By FIPS code of the state. A row without a state, or of a dataset without states, is under `None`.
    pub by_state: BTreeMap<Option<i64>, Tally>,
    /// Rows with something in `_rescued`.
    pub n_rescued: u64,
    /// Rows by the name of the field in `_rescued`.
    pub rescued_fields: BTreeMap<String, u64>,
    /// Compressed size of each column in bytes.
    pub column_bytes: BTreeMap<String, u64>,
}

/// Counts of rows, and of the values of their measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows, totals included.
    pub n_rows: u64,
    /// Values that are neither null nor a code.
    pub n_values: u64,
    /// Numbers of students that were added up.
    pub n_summed: u64,
    /// Their sum.
    pub sum: i64,
    /// Values that are -1, missing or not reported, or the code with that meaning in the column's own list.
    pub n_missing: u64,
    /// Values that are -2, not applicable.
    pub n_not_applicable: u64,
    /// Values that are -3, suppressed.
    pub n_suppressed: u64,
    /// Nulls.
    pub n_null: u64,
}

impl Tally {
    /// Returns the number of cells that were looked at.
    #[must_use]
    pub fn n_cells(&self) -> u64 {
        self.n_values + self.n_missing + self.n_not_applicable + self.n_suppressed + self.n_null
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.n_values += other.n_values;
        self.n_summed += other.n_summed;
        self.sum += other.sum;
        self.n_missing += other.n_missing;
        self.n_not_applicable += other.n_not_applicable;
        self.n_suppressed += other.n_suppressed;
        self.n_null += other.n_null;
    }
}

impl FigureColumns {
    /// Chooses the columns of a dataset.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        // Numbers that identify something have codes too, but are no measures.
        let is_id = |column: &Column| dataset.key.contains(&column.name) || !column.dictionary;
        let measure = |column: &Column| {
            let codes = dataset.list(column.codes.as_ref()?).filter(is_of_measure)?;
            Some((column.name.clone(), codes.into_keys().collect()))
        };
        let mut measures: Vec<(String, BTreeSet<i64>)> =
            dataset.columns.iter().filter(|column| !is_id(column)).filter_map(measure).collect();
        let is_whole = |column: &Column| matches!(column.kind, ColumnKind::Int | ColumnKind::Bigint);
        let is_enrollment = dataset.columns.iter().any(|column| column.name == ENROLLMENT && is_whole(column));
        if is_enrollment {
            measures.retain(|(name, _)| name == ENROLLMENT);
        }
        let totals = dataset.columns.iter().filter_map(|column| Some((column.name.clone(), column.total?))).collect();
        Self { measures, is_enrollment, totals }
    }

    /// Adds up the rows of a partition's file.
    ///
    /// # Errors
    /// If the file is not Parquet with columns that a descriptor can declare.
    pub fn add_up(&self, file: Bytes) -> Result<Figures, ParquetError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let mut figures = Figures { column_bytes: column_bytes(builder.metadata()), ..Figures::default() };
        let totals = self.totals.iter().map(|(name, _)| name.as_str());
        let wanted: Vec<&str> =
            self.measures.iter().map(|(name, _)| name.as_str()).chain(totals).chain([STATE, RESCUED]).collect();
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        for batch in builder.with_projection(mask).build()? {
            self.add_batch(&batch?, &mut figures);
        }
        Ok(figures)
    }

    fn add_batch(&self, batch: &RecordBatch, figures: &mut Figures) {
        let states = batch.column_by_name(STATE);
        let measures: Vec<(&ArrayRef, &BTreeSet<i64>)> =
            self.measures.iter().filter_map(|(name, codes)| Some((batch.column_by_name(name)?, codes))).collect();
        let totals: Vec<(&ArrayRef, i64)> =
            self.totals.iter().filter_map(|(name, code)| Some((batch.column_by_name(name)?, *code))).collect();
        for row in 0..batch.num_rows() {
            let state = states.and_then(|column| whole(column, row)).filter(|code| *code > 0);
            let tally = figures.by_state.entry(state).or_default();
            tally.n_rows += 1;
            let is_summed = self.is_enrollment && totals.iter().all(|(column, code)| whole(column, row) == Some(*code));
            measures.iter().for_each(|(column, codes)| tally.add(&Cell::read(column, row), codes, is_summed));
        }
        if let Some(rescued) = batch.column_by_name(RESCUED).filter(|column| column.null_count() < column.len()) {
            figures.add_rescued(rescued);
        }
    }
}

impl Tally {
    fn add(&mut self, cell: &Cell<'_>, codes: &BTreeSet<i64>, is_summed: bool) {
        let number = match cell {
            Cell::Null => {
                self.n_null += 1;
                return;
            }
            Cell::Int(number) => Some(*number),
            // Only whole numbers are codes.
            Cell::Double(number) => Some(*number as i64).filter(|whole| *whole as f64 == *number),
            Cell::Text(text) => text.parse().ok(),
        };
        match number.filter(|number| codes.contains(number)) {
            Some(-2) => self.n_not_applicable += 1,
            Some(-3) => self.n_suppressed += 1,
            Some(_) => self.n_missing += 1,
            None => self.n_values += 1,
        }
        // As in the SQL that the report shows.
        if let (true, Some(students @ 0..)) = (is_summed, number) {
            self.n_summed += 1;
            self.sum += students;
        }
    }
}

impl Figures {
    fn add_rescued(&mut self, rescued: &ArrayRef) {
        for row in 0..rescued.len() {
            let Cell::Text(text) = Cell::read(rescued, row) else { continue };
            self.n_rescued += 1;
            let fields = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
            for (field, _) in fields.unwrap_or_default() {
                *self.rescued_fields.entry(field).or_default() += 1;
            }
        }
    }
}

fn whole(column: &ArrayRef, row: usize) -> Option<i64> {
    match Cell::read(column, row) {
        Cell::Int(number) => Some(number),
        _ => None,
    }
}

fn column_bytes(metadata: &ParquetMetaData) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let size = u64::try_from(column.compressed_size()).unwrap_or_default();
        *sizes.entry(column.column_descr().name().to_owned()).or_default() += size;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int32Array, StringArray};

    use super::*;
    use crate::file::writer::TableWriter;
    use crate::testing::partition;

    /// Returns a dataset of schools with these columns besides `fips`, `race` and `id`.
    fn dataset(measures: &str) -> Dataset {
        let text = format!(
            "name='n'\ntitle='N'\nattribution='A'\npath='n/{{year}}/{{grade}}/'\ndatabase='d'\ntable='n'\nkey=['id']\n\
             [[axis]]\nname='year'\ntype='int'\n[[axis]]\nname='grade'\ntype='string'\nvalues=[{{value='grade-pk', code=-1}}]\n\
             [[column]]\nname='id'\ntype='int'\n[[column]]\nname='fips'\ntype='int'\ncodes='fips'\n\
             [[column]]\nname='race'\ntype='int'\ntotal=99\ncodes='race'\n{measures}"
        );
        Dataset::parse("n.toml", &text).unwrap()
    }

    /// Returns a file with these columns after `id`, and `_rescued`.
    fn file(dataset: &Dataset, columns: Vec<ArrayRef>, rescued: Vec<Option<&str>>) -> Bytes {
        let n_rows = rescued.len();
        let ids: Int32Array = (1..=i32::try_from(n_rows).unwrap()).map(Some).collect();
        let mut all: Vec<ArrayRef> = vec![Arc::new(ids)];
        all.extend(columns);
        all.push(Arc::new(StringArray::from(rescued)));
        let mut writer = TableWriter::new(dataset, &partition(), n_rows as u64).unwrap();
        writer.append(RecordBatch::try_new(dataset.file_schema(), all).unwrap(), false).unwrap();
        writer.finish().unwrap().bytes
    }

    fn ints(values: &[Option<i32>]) -> ArrayRef {
        Arc::new(Int32Array::from(values.to_vec()))
    }

    #[test]
    fn enrollment_is_added_up_by_state_from_the_rows_of_totals_without_codes() {
        let dataset = dataset("[[column]]\nname='enrollment'\ntype='int'\ncodes='numeric'\n");
        let columns = FigureColumns::of(&dataset);
        let expected = FigureColumns {
            measures: vec![("enrollment".to_owned(), BTreeSet::from([-3, -2, -1]))],
            is_enrollment: true,
            totals: vec![("race".to_owned(), 99)],
        };
        assert_eq!(columns, expected);
        let fips = ints(&[Some(6), Some(6), Some(6), Some(48), Some(48), Some(-1), None]);
        let race = ints(&[Some(99), Some(1), Some(99), Some(99), Some(99), Some(99), Some(99)]);
        let enrollment = ints(&[Some(10), Some(4), Some(-1), Some(-2), Some(-3), Some(0), None]);
        let rescued = vec![None, Some(r#"{"a":1,"b":"x"}"#), None, Some(r#"{"a":2}"#), None, None, None];
        let figures = columns.add_up(file(&dataset, vec![fips, race, enrollment], rescued)).unwrap();
        let tally = |state| figures.by_state[&state];
        // The row of race 1 has a value, but is no total.
        let california = Tally { n_rows: 3, n_values: 2, n_summed: 1, sum: 10, n_missing: 1, ..Tally::default() };
        assert_eq!(tally(Some(6)), california);
        let texas = Tally { n_rows: 2, n_not_applicable: 1, n_suppressed: 1, ..Tally::default() };
        assert_eq!((tally(Some(48)), texas.n_cells()), (texas, 2));
        // A code is no state.
        assert_eq!(tally(None), Tally { n_rows: 2, n_values: 1, n_summed: 1, n_null: 1, ..Tally::default() });
        assert_eq!(figures.n_rescued, 2);
        assert_eq!(figures.rescued_fields, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        assert!(figures.column_bytes["enrollment"] > 0 && figures.column_bytes.len() == 5, "{figures:?}");
    }

    #[test]
    fn a_dataset_without_enrollment_has_all_its_measures_counted_but_not_added_up() {
        // The id of the district is no measure, and the other list has another code.
        let measures = "[[column]]\nname='teachers'\ntype='double'\ncodes='numeric'\n\
                        [[column]]\nname='lunches'\ntype='int'\ncodes='numeric_alt'\n\
                        [[column]]\nname='leaid_num'\ntype='int'\ncodes='numeric'\ndictionary=false\n";
        let dataset = dataset(measures);
        let fips = ints(&[Some(6), Some(6)]);
        let race = ints(&[Some(99), Some(99)]);
        let teachers: ArrayRef = Arc::new(Float64Array::from(vec![Some(-1.0), Some(2.5)]));
        let (lunches, leaid) = (ints(&[Some(-1), Some(-99)]), ints(&[Some(-1), Some(-1)]));
        let columns = FigureColumns::of(&dataset);
        let figures =
            columns.add_up(file(&dataset, vec![fips, race, teachers, lunches, leaid], vec![None, None])).unwrap();
        let expected = Tally { n_rows: 2, n_values: 2, n_missing: 2, ..Tally::default() };
        assert_eq!(figures.by_state, BTreeMap::from([(Some(6), expected)]));
        assert!(columns.add_up(Bytes::from_static(b"not Parquet")).is_err());
    }
}
