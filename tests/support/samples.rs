//! Partitions, a descriptor and a published ranking that several tests use.

use std::fs;
use std::sync::Arc;

use rollcall_core::dataset::Dataset;
use rollcall_core::partition::{AxisValue, PartitionKey};
use rollcall_core::ports::CatalogPartition;
use serde_json::{Value, json};

use crate::workspace;

/// Arguments of `rollcall run` for a hundred partitions.
pub const HUNDRED: [&str; 4] = [
    "--years",
    "2012-2021",
    "--grades",
    "grade-pk,grade-k,grade-1,grade-2,grade-3,grade-4,grade-5,grade-6,grade-7,grade-8",
];

/// Returns the key of a partition of the enrollment dataset.
#[must_use]
pub fn partition(year: i32, grade: &str) -> PartitionKey {
    PartitionKey::new(vec![
        ("year".to_owned(), AxisValue::Int(year)),
        ("grade".to_owned(), AxisValue::Text(grade.to_owned())),
    ])
}

/// Returns the same partition as registered in a catalog.
#[must_use]
pub fn registered(year: i32, grade: &str, n_rows: u64) -> CatalogPartition {
    let partition = partition(year, grade);
    let location = format!("data/us_education_ccd_enrollment_data/{partition}/");
    let columns = Dataset::built_in("ccd_enrollment").expect("the dataset is built in").typed_columns();
    CatalogPartition { partition, location, n_rows, columns: Arc::new(columns) }
}

/// Returns the descriptor of the default dataset with a secret `portal-key` in header `x-api-key`.
#[must_use]
pub fn descriptor_with_secret() -> String {
    let text =
        fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).expect("the file is in the project");
    text.replacen("[[axis]]", "[secret]\nheader = \"x-api-key\"\nname = \"portal-key\"\n\n[[axis]]", 1)
}

/// The original ranking query, without a filter on the grade or a lookup table. It is correct only while
/// pre-kindergarten is the only loaded grade.
pub const SEED_RANKING: &str = include_str!("../fixtures/seed_ranking.sql");

/// The ten states with the most pre-kindergarten students in 2021-22, as published from the live portal.
const PUBLISHED: [(u64, &str, u64); 10] = [
    (1, "Texas", 245_135),
    (2, "Illinois", 71_078),
    (3, "Florida", 58_900),
    (4, "New York", 56_452),
    (5, "Wisconsin", 51_159),
    (6, "Georgia", 46_841),
    (7, "New Jersey", 43_884),
    (8, "Ohio", 39_632),
    (9, "Oklahoma", 37_733),
    (10, "Virginia", 30_979),
];

/// Returns the published ranking as rows with the state in column `state`.
#[must_use]
pub fn published_top_ten(state: &str) -> Value {
    PUBLISHED.iter().map(|(rnk, name, total)| json!({"rnk": rnk, state: name, "total_enrollments": total})).collect()
}
