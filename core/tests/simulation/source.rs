//! The simulated source: the content of each partition, from a pool of contents, and how it changes.

use std::sync::Arc;

use fastrand::Rng;
use rollcall_core::dataset::Dataset;
use rollcall_core::partition::{AxisValue, PartitionKey};

/// A small dataset that is cheap to encode, so that a seed takes milliseconds.
const DESCRIPTOR: &str = r#"
name = "simulated"
title = "Enrollment of a few schools"
attribution = "nobody"
path = "schools/enrollment/{year}/{grade}/"
database = "simulated"
table = "simulated_enrollment"
key = ["school"]

[[axis]]
name = "year"
type = "int"

[[axis]]
name = "grade"
type = "string"
values = [{ value = "grade-pk", code = -1 }, { value = "grade-k", code = 0 }]

[[column]]
name = "school"
type = "bigint"
dictionary = false

[[column]]
name = "enrollment"
type = "int"
dictionary = false
"#;

/// Years and grades of the possible partitions. The simulation refers to a partition by its index here.
const PARTITIONS: [(i32, &str, i64); 3] = [(2021, "grade-pk", -1), (2021, "grade-k", 0), (2020, "grade-pk", -1)];

/// Row counts of the contents. The last ones are derived from earlier ones.
const LENGTHS: [usize; 22] = [0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 6, 5, 6, 8, 9, 7, 5, 4];
/// Contents that are the reverse of another: the same edition in a different order.
const REVERSED: [(usize, usize); 2] = [(14, 9), (15, 7)];
/// Contents that differ from another only in the last row, so page 1 does not distinguish them.
const REVISED: [(usize, usize); 6] = [(16, 9), (17, 12), (18, 13), (19, 11), (20, 8), (21, 6)];

/// A row: school and enrollment. The school identifies the row's partition.
pub(crate) type Row = (i64, i32);

/// A partition's content between two changes: rows in the order served.
pub(crate) type Content = Arc<Vec<Row>>;

/// Returns the same rows in sorted order.
pub(crate) fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows
}

pub(crate) fn dataset() -> Dataset {
    Dataset::parse("simulated.toml", DESCRIPTOR).unwrap()
}

/// Returns the same dataset with another version of its descriptor, which has a different schema.
pub(crate) fn other_dataset() -> Dataset {
    let (before, after) = DESCRIPTOR.rsplit_once("\"int\"").unwrap();
    Dataset::parse("simulated.toml", &format!("{before}\"bigint\"{after}")).unwrap()
}

/// Returns the partition to which the rows of `school` belong.
pub(crate) fn partition_of_school(school: i64) -> usize {
    usize::try_from(school / 1000).unwrap()
}

/// The possible contents of every partition. They are few and the same for every seed, so each object is decoded once.
pub(crate) struct Pool(Vec<Vec<Content>>);

impl Pool {
    pub(crate) fn new() -> Self {
        let mut rng = Rng::with_seed(2026);
        let contents = |partition: usize| {
            let mut contents: Vec<Content> = Vec::new();
            for (i, length) in LENGTHS.iter().enumerate() {
                let made_of = |pairs: &[(usize, usize)]| {
                    let of = pairs.iter().find(|(made, _)| *made == i)?.1;
                    Some(contents[of].as_ref().clone())
                };
                let rows = match (made_of(&REVERSED), made_of(&REVISED)) {
                    (Some(rows), _) => rows.into_iter().rev().collect(),
                    (None, Some(mut rows)) => {
                        rows.last_mut().unwrap().1 += 1;
                        rows
                    }
                    (None, None) => {
                        let mut schools: Vec<i64> = (1..=11).collect();
                        rng.shuffle(&mut schools);
                        let base = i64::try_from(partition).unwrap() * 1000;
                        schools.iter().take(*length).map(|school| (base + school, rng.i32(0..3))).collect()
                    }
                };
                contents.push(Arc::new(rows));
            }
            contents
        };
        Self((0..PARTITIONS.len()).map(contents).collect())
    }
}

/// The source of one seed.
pub(crate) struct Source {
    pool: Arc<Pool>,
    /// Current content, by partition.
    current: Vec<Content>,
}

impl Source {
    pub(crate) fn new(pool: Arc<Pool>, n_partitions: usize, rng: &mut Rng) -> Self {
        let current = (0..n_partitions).map(|partition| rng.choice(&pool.0[partition]).unwrap().clone()).collect();
        Self { pool, current }
    }

    pub(crate) fn n_partitions(&self) -> usize {
        self.current.len()
    }

    pub(crate) fn current(&self, partition: usize) -> &Content {
        &self.current[partition]
    }

    /// Changes a partition to any content, so rows change, appear, disappear, halve, vanish and return.
    pub(crate) fn change(&mut self, rng: &mut Rng) -> (usize, Content) {
        let partition = rng.usize(0..self.current.len());
        let content = rng.choice(&self.pool.0[partition]).unwrap().clone();
        self.current[partition] = content.clone();
        (partition, content)
    }

    /// Changes a partition to another content of the same length, if there is one.
    pub(crate) fn revise(&mut self, partition: usize, rng: &mut Rng) -> bool {
        let current = &self.current[partition];
        let others = self.pool.0[partition].iter().filter(|other| other.len() == current.len() && *other != current);
        let revised = rng.choice(&others.collect::<Vec<&Content>>()).map(|content| Content::clone(content));
        let is_revised = revised.is_some();
        self.current[partition] = revised.unwrap_or_else(|| current.clone());
        is_revised
    }
}

/// Returns the key of a partition.
pub(crate) fn key_of(partition: usize) -> PartitionKey {
    let (year, grade, _) = PARTITIONS[partition];
    PartitionKey::new(vec![("year".into(), AxisValue::Int(year)), ("grade".into(), AxisValue::Text(grade.into()))])
}

/// Returns the year and grade codes in the rows of a partition.
pub(crate) fn codes_of(partition: usize) -> (i32, i64) {
    let (year, _, code) = PARTITIONS[partition];
    (year, code)
}
