//! `rollcall status --as-of`: the partitions of a dataset as they were.

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::file::Edition;
use rollcall_core::history::{Moment, table_as_of};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::Store;
use serde::Serialize;

use crate::output::{self, Format};
use crate::table;
use crate::warnings;
use crate::words::{counted, thousands};

#[derive(Serialize)]
struct StatusAsOf<'r> {
    dataset: &'r str,
    as_of: Timestamp,
    partitions: Vec<PartitionRow<'r>>,
    /// Partitions that were not refreshed under the release, if the moment is one.
    not_refreshed: &'r [PartitionKey],
}

#[derive(Serialize)]
struct PartitionRow<'r> {
    partition: &'r PartitionKey,
    edition: Edition,
    n_rows: u64,
    since: Timestamp,
    /// `null` if the edition is still valid.
    until: Option<Timestamp>,
    /// Key of its file.
    object: &'r str,
}

/// Prints the partitions of a dataset as they were.
pub(crate) async fn show_as_of(
    store: &impl Store,
    dataset: &Dataset,
    moment: &Moment,
    format: Format,
) -> anyhow::Result<()> {
    let found = table_as_of(store, &dataset.table, |path| dataset.parse_partition(path), moment).await?;
    warnings::warn_not_refreshed(&found.not_refreshed, &dataset.table, moment);
    let rows: Vec<PartitionRow<'_>> = found
        .partitions
        .iter()
        .map(|as_of| PartitionRow {
            partition: &as_of.partition,
            edition: as_of.validity.facts.edition,
            n_rows: as_of.validity.facts.n_rows,
            since: as_of.validity.since,
            until: as_of.validity.until,
            object: &as_of.object,
        })
        .collect();
    if format == Format::Json {
        let not_refreshed = &found.not_refreshed;
        let status = StatusAsOf { dataset: &dataset.name, as_of: found.at, partitions: rows, not_refreshed };
        return output::print_json(&status);
    }
    let mut table = table::table(&["partition", "rows", "fetched", "replaced"]);
    let in_seconds = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for row in &rows {
        table.add_row([
            row.partition.to_string(),
            thousands(row.n_rows),
            in_seconds(row.since),
            row.until.map_or_else(|| "-".to_owned(), in_seconds),
        ]);
    }
    table::align_right(&mut table, &[1]);
    let mut text = if rows.is_empty() { String::new() } else { table::render(&table) };
    let n_rows: u64 = rows.iter().map(|row| row.n_rows).sum();
    text.push_str(&format!(
        "{} as of {}: {}, {}\n",
        dataset.name,
        in_seconds(found.at),
        counted(rows.len() as u64, "partition"),
        counted(n_rows, "row")
    ));
    output::print_long(&text)?;
    Ok(())
}
