//! `rollcall repair --lake s3://BUCKET`: the same for a lake in a bucket and its catalog in Glue. It makes a lake of files
//! that were uploaded from a folder.

use std::process::ExitCode;

use rollcall_adapters::SystemClock;
use rollcall_aws::glue::GlueCatalog;
use rollcall_aws::s3::S3Store;
use rollcall_core::ports::{Clock, Store};
use rollcall_core::publish::publish_lookups;
use rollcall_core::{Error, keys};
use serde_json::Value;

use crate::aws;
use crate::exit::BadInput;
use crate::repair::{RepairArgs, repair_dataset};
use crate::request::dataset::load_dataset;

/// Rebuilds records and catalog of the datasets in a bucket.
///
/// # Errors
/// [`BadInput`] for `--from-pages`, and for a bucket that is marked as a lake of sample data.
pub(super) async fn repair(args: &RepairArgs, store: &S3Store, names: &[&str]) -> anyhow::Result<ExitCode> {
    if args.from_pages {
        return Err(BadInput(format!(
            "repair `{}` from pages: expected a folder, found a bucket\nhint: on AWS, no pages are kept after the commit; \
             run the partitions again with `rollcall run --on aws`",
            args.lake.name()
        ))
        .into());
    }
    check_no_sample(args, store).await?;
    let config = aws::config().await?;
    let catalog = GlueCatalog::new(&config, store.bucket()).with_database_prefix(args.database_prefix.clone());
    for name in names {
        repair_dataset(args, store, &catalog, &load_dataset(name)?, false).await?;
    }
    publish_lookups(store, &catalog, SystemClock.now(), "repair").await?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses an uploaded lake of sample data, if its mark was uploaded too.
async fn check_no_sample(args: &RepairArgs, store: &S3Store) -> anyhow::Result<()> {
    let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
    let mark = store.read(keys::MARK).await.map_err(failed)?;
    let mark: Option<Value> = mark.and_then(|mark| serde_json::from_slice(&mark.bytes).ok());
    if mark.as_ref().and_then(|mark| mark.get("is_sample")) == Some(&Value::Bool(true)) {
        return Err(BadInput(format!(
            "repair `{}`: expected a lake of portal data, found one of sample data: `{}` says so\nhint: delete the uploaded \
             objects; the sample's schools are invented",
            args.lake.name(),
            keys::MARK
        ))
        .into());
    }
    Ok(())
}
