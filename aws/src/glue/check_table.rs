//! Compares tables and views in Glue with what a descriptor declares, before anything about them is changed.

use aws_sdk_glue::types::{StorageDescriptor, Table};
use rollcall_core::ports::{CatalogError, TableSpec};

use crate::glue::columns::{declared, described};
use crate::glue::definition::is_of_rollcall;
use crate::glue::failed::failed;

/// Checks that a table matches its declaration.
///
/// - `lake`: `s3://<bucket>/`.
pub(super) fn check_table(lake: &str, table: &Table, spec: &TableSpec) -> Result<(), CatalogError> {
    let storage = table.storage_descriptor.as_ref();
    let found = [
        ("columns", described(storage.map(StorageDescriptor::columns).unwrap_or_default())),
        ("partition keys", described(table.partition_keys())),
    ];
    let expected = [declared(&spec.columns), declared(&spec.partition_keys)];
    for ((what, found), expected) in found.into_iter().zip(expected) {
        if found != expected {
            return Err(failed(
                "check table",
                format!(
                    "expected {what} `{expected}` as in the descriptor, found `{found}`\nhint: deploy the template \
                     again"
                ),
            ));
        }
    }
    check_location(lake, table, spec)
}

/// Checks that a table has the declared partition columns, which Glue cannot change while there are partitions.
pub(super) fn check_partition_keys(table: &Table, spec: &TableSpec) -> Result<(), CatalogError> {
    let (found, expected) = (described(table.partition_keys()), declared(&spec.partition_keys));
    if found == expected {
        return Ok(());
    }
    Err(failed(
        "check table",
        format!(
            "expected partition keys `{expected}` as in the descriptor, found `{found}`\nhint: give the descriptor another \
             `table`"
        ),
    ))
}

/// Checks that a table is one of this lake.
///
/// - `lake`: `s3://<bucket>/`.
pub(super) fn check_location(lake: &str, table: &Table, spec: &TableSpec) -> Result<(), CatalogError> {
    let storage = table.storage_descriptor.as_ref();
    let found = storage.and_then(StorageDescriptor::location).unwrap_or_default();
    let expected = format!("{}{}", lake, spec.location);
    if found == expected {
        return Ok(());
    }
    Err(failed(
        "check table",
        format!(
            "expected location `{expected}`, found `{found}`\nhint: if another lake has this table, give the prefix of this \
             lake's database; otherwise deploy the template again"
        ),
    ))
}

/// Checks that what has the name of a view is a view that the catalog step has made, so that no one else's is replaced.
pub(super) fn check_view(found: &Table) -> Result<(), CatalogError> {
    let found_what = match found.table_type() {
        Some("VIRTUAL_VIEW") if is_of_rollcall(found) => return Ok(()),
        Some("VIRTUAL_VIEW") => "a view that rollcall has not made",
        _ => "a table",
    };
    Err(failed(
        "define view",
        format!(
            "expected no `{}`, or a view that rollcall has made, found {found_what}\nhint: give it another name",
            found.name
        ),
    ))
}
