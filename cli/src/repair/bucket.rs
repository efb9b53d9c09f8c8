//! Repairs a lake in a bucket and its catalog in Glue, and makes a lake of files that were uploaded from a folder.

use std::process::ExitCode;

use rollcall_adapters::SystemClock;
use rollcall_aws::glue::GlueCatalog;
use rollcall_aws::s3::S3Store;
use rollcall_core::dataset::Dataset;
use rollcall_core::ports::{Clock, Store};
use rollcall_core::publish::publish_lookups;
use rollcall_core::{Error, keys};

use crate::aws;
use crate::exit::BadInput;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::lake::offer::Offer;
use crate::repair::dataset::repair_dataset;
use crate::request::dataset::load_dataset;

/// Rebuilds records and catalog of the datasets in a bucket.
///
/// - `dataset_arg`: the dataset as given on the command line, if it was.
/// - `database_prefix`: prefix of the databases in Glue.
///
/// # Errors
/// [`BadInput`] if the uploaded mark is unreadable or one of a lake of sample data, or a table holds another dataset.
pub(super) async fn repair(
    lake: &LakeArgs,
    dataset_arg: Option<&str>,
    database_prefix: &str,
    store: &S3Store,
    names: &[&str],
) -> anyhow::Result<ExitCode> {
    let mark = uploaded_mark(lake, store).await?;
    let config = aws::config().await?;
    let catalog = GlueCatalog::new(&config, store.bucket()).with_database_prefix(database_prefix.to_owned());
    let added = match dataset_arg {
        Some(_) => Vec::new(),
        None => added_names(store).await?,
    };
    let built_in = names.iter().filter(|name| !added.iter().any(|added| added == *name)).map(|name| (*name).to_owned());
    for name in built_in.chain(added.iter().cloned()) {
        let dataset = match dataset_arg {
            Some(argument) => load_dataset(argument)?,
            None => Dataset::find(store, &name).await?,
        };
        if let Some(mark) = &mark {
            mark.check_table(&dataset)?;
        }
        let offer = Offer { lake, dataset: &dataset, dataset_arg, flags: Vec::new() };
        repair_dataset(&offer, store, &catalog, false).await?;
    }
    publish_lookups(store, &catalog, SystemClock.now(), "repair").await?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the names of the datasets that were added to the lake.
async fn added_names(store: &S3Store) -> anyhow::Result<Vec<String>> {
    let prefix = keys::DESCRIPTORS_PREFIX;
    let listed = store.list(prefix).await.map_err(|source| Error::store_failed("list", prefix, source))?;
    let name = |key: &str| Some(key.strip_prefix(prefix)?.strip_suffix(".toml")?.to_owned());
    Ok(listed.iter().filter_map(|listed| name(&listed.key)).collect())
}

/// Reads the mark of a lake that was uploaded from a folder, if it was uploaded too.
///
/// # Errors
/// [`BadInput`] if it is unreadable, or says that the lake holds sample data.
async fn uploaded_mark(lake: &LakeArgs, store: &S3Store) -> anyhow::Result<Option<LakeMark>> {
    let failed = |source| Error::StoreFailed { action: "read", key: keys::MARK.to_owned(), source };
    let Some(mark) = store.read(keys::MARK).await.map_err(failed)? else { return Ok(None) };
    let refused = |found: String| {
        BadInput(format!(
            "repair `{}`: expected a lake of portal data, found {found} in `{}`\nhint: delete that object if the bucket does \
             hold portal data; the schools of sample data are invented",
            lake.name(),
            keys::MARK
        ))
    };
    match serde_json::from_slice::<LakeMark>(&mark.bytes) {
        Ok(mark) if mark.is_sample => Err(refused("`\"is_sample\": true`".to_owned()).into()),
        Ok(mark) => Ok(Some(mark)),
        Err(error) => Err(refused(format!("invalid JSON: {error}")).into()),
    }
}
