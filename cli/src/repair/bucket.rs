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
use crate::lake::args::LakeArgs;
use crate::repair::dataset::repair_dataset;
use crate::request::dataset::load_dataset;

/// Rebuilds records and catalog of the datasets in a bucket.
///
/// - `dataset_arg`: the dataset as given on the command line, if it was.
/// - `database_prefix`: prefix of the databases in Glue.
///
/// # Errors
/// [`BadInput`] for a bucket that is marked as a lake of sample data.
pub(super) async fn repair(
    lake: &LakeArgs,
    dataset_arg: Option<&str>,
    database_prefix: &str,
    store: &S3Store,
    names: &[&str],
) -> anyhow::Result<ExitCode> {
    check_no_sample(lake, store).await?;
    let config = aws::config().await?;
    let catalog = GlueCatalog::new(&config, store.bucket()).with_database_prefix(database_prefix.to_owned());
    for name in names {
        repair_dataset(lake, dataset_arg, store, &catalog, &load_dataset(name)?, false).await?;
    }
    publish_lookups(store, &catalog, SystemClock.now(), "repair").await?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses an uploaded lake of sample data, if its mark was uploaded too.
async fn check_no_sample(lake: &LakeArgs, store: &S3Store) -> anyhow::Result<()> {
    let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
    let mark = store.read(keys::MARK).await.map_err(failed)?;
    let mark: Option<Value> = mark.and_then(|mark| serde_json::from_slice(&mark.bytes).ok());
    if mark.as_ref().and_then(|mark| mark.get("is_sample")) == Some(&Value::Bool(true)) {
        return Err(BadInput(format!(
            "repair `{}`: expected a lake of portal data, found one of sample data: `{}` says so\nhint: delete the uploaded \
             objects; the sample's schools are invented",
            lake.name(),
            keys::MARK
        ))
        .into());
    }
    Ok(())
}
