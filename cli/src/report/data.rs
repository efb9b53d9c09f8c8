//! The columns of a table, what they take, and how other tools read them.

use std::collections::BTreeMap;

use rollcall_core::dataset::Dataset;
use rollcall_core::keys;
use serde::Serialize;

use crate::escape::visible;
use crate::lake::args::LakeArgs;
use crate::report::read::DatasetFound;
use crate::words::{shell_word, size};

/// The columns of a table, and how to read it.
#[derive(Serialize)]
pub(super) struct Data {
    columns: Vec<ColumnRow>,
    snippets: Vec<Snippet>,
}

#[derive(Serialize)]
struct ColumnRow {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    meaning: String,
    /// Compressed; empty if it is not known.
    size: String,
}

/// How a tool reads the table.
#[derive(Serialize)]
struct Snippet {
    tool: &'static str,
    code: String,
}

/// Returns the columns of a dataset's table, and examples with its real path.
///
/// - `root`: the folder, as an absolute path, or the bucket.
pub(super) fn data(found: &DatasetFound<'_>, lake: &LakeArgs, root: &str) -> Data {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, bytes) in found.figures.iter().flatten().flat_map(|(_, figures)| &figures.column_bytes) {
        *sizes.entry(name).or_default() += bytes;
    }
    let spec = found.dataset.table_spec();
    let row = |(name, kind, comment): &(String, String, String), note: &str| ColumnRow {
        name: visible(name).into_owned(),
        kind: kind.clone(),
        meaning: format!("{}{note}", visible(comment)),
        size: sizes.get(name.as_str()).map_or_else(String::new, |bytes| size(*bytes)),
    };
    let axes = spec.partition_keys.iter().map(|column| row(column, " (partition)"));
    let columns = axes.chain(spec.columns.iter().map(|column| row(column, ""))).collect();
    Data { columns, snippets: snippets(found.dataset, lake, root) }
}

fn snippets(dataset: &Dataset, lake: &LakeArgs, root: &str) -> Vec<Snippet> {
    let folder = format!("{}/{}", root.trim_end_matches('/'), keys::table_prefix(&dataset.table));
    let files = format!("{folder}{}*.parquet", "*/".repeat(dataset.axes.len()));
    let table = dataset.qualified_table();
    let lake = lake.flag().map_or_else(String::new, |flag| format!(" {flag}"));
    let sql = shell_word(&format!("select year, count(*) as n from {table} group by year order by year"));
    // A string of JSON is one of Python and of R too.
    let quoted = serde_json::Value::from(folder).to_string();
    let by_year = "group_by(\"year\")";
    let mut snippets = vec![
        Snippet {
            tool: "DuckDB",
            code: format!(
                "select year, count(*) as n\nfrom read_parquet('{}', hive_partitioning = true)\ngroup by year order by year;",
                files.replace('\'', "''")
            ),
        },
        Snippet {
            tool: "Polars",
            code: format!(
                "import polars as pl\n\nrows = pl.scan_parquet({quoted}, hive_partitioning=True)\nprint(rows.{by_year}.len().collect())"
            ),
        },
        Snippet {
            tool: "pandas",
            code: format!(
                "import pandas as pd\n\nrows = pd.read_parquet({quoted}, dtype_backend=\"pyarrow\")\nprint(rows[\"year\"].value_counts())"
            ),
        },
        Snippet {
            tool: "R",
            code: format!("library(arrow)\nlibrary(dplyr)\n\nopen_dataset({quoted}) |> count(year) |> collect()"),
        },
    ];
    if !root.starts_with("s3://") {
        snippets.insert(0, Snippet { tool: "rollcall", code: format!("rollcall query {sql}{lake}") });
    }
    snippets
}
