//! `rollcall datasets add`: puts a descriptor into a lake in a bucket, for the functions on AWS.

use bytes::Bytes;
use clap::Args;
use rollcall_core::dataset::Dataset;
use rollcall_core::ports::Store;
use rollcall_core::request::DEFAULT_DATASET;
use rollcall_core::view::view_name;
use rollcall_core::{Error, keys, lookup};

use crate::escape::visible;
use crate::exit::BadInput;
use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::output;
use crate::request::dataset::load_descriptor;
use crate::words::shell_word;

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Path of the descriptor file
    file: String,
    #[command(flatten)]
    lake: LakeArgs,
}

/// Checks a descriptor and writes it to the lake. Runs that are planned later use it.
pub(crate) async fn add(args: &AddArgs) -> anyhow::Result<()> {
    let dataset = load_descriptor(&args.file)?;
    match args.lake.open().await? {
        Lake::Folder(_) => Err(BadInput(format!(
            "add dataset `{}` to `{}`: expected --lake s3://BUCKET, found a folder\nhint: a run on this machine reads the \
             file: rollcall run --dataset {}",
            dataset.name,
            visible(&args.lake.name()),
            shell_word(&args.file)
        ))
        .into()),
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => add_to(&store, args, &dataset).await,
    }
}

#[cfg_attr(not(feature = "aws"), allow(dead_code))]
async fn add_to(store: &impl Store, args: &AddArgs, dataset: &Dataset) -> anyhow::Result<()> {
    if ![lookup::DATABASE, lookup::GENERATED_DATABASE].contains(&dataset.database.as_str()) {
        return Err(BadInput(format!(
            "add dataset `{}`: expected `database` to be one of the stack's, `{}` or `{}`, found `{}`",
            dataset.name,
            lookup::GENERATED_DATABASE,
            lookup::DATABASE,
            dataset.database
        ))
        .into());
    }
    check_template(dataset)?;
    check_table(store, dataset).await?;
    let key = keys::added_descriptor(&dataset.name);
    let text = std::fs::read(&args.file)?;
    let before = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    store.write(&key, Bytes::from(text)).await.map_err(|source| Error::store_failed("write", &key, source))?;
    output::print(&format!(
        "{} `{}` in {}; fetch it: rollcall run --on aws --dataset {} --years latest\n",
        if before.is_some() { "replaced" } else { "added" },
        dataset.name,
        visible(&args.lake.name()),
        shell_word(&args.file)
    ))?;
    Ok(())
}

/// Checks that a descriptor that replaces the default dataset keeps its columns. The template defines that table, and the
/// catalog step, which makes all others, refuses a run whose descriptor differs from it.
fn check_template(dataset: &Dataset) -> anyhow::Result<()> {
    if dataset.name != DEFAULT_DATASET {
        return Ok(());
    }
    let (built_in, spec) = (Dataset::built_in(DEFAULT_DATASET)?.table_spec(), dataset.table_spec());
    let is_same = |left: &[(String, String, String)], right: &[(String, String, String)]| {
        left.iter().map(|(name, kind, _)| (name, kind)).eq(right.iter().map(|(name, kind, _)| (name, kind)))
    };
    if is_same(&spec.columns, &built_in.columns) && is_same(&spec.partition_keys, &built_in.partition_keys) {
        return Ok(());
    }
    Err(BadInput(format!(
        "add dataset `{DEFAULT_DATASET}`: expected the columns and axes of the built-in one, whose table the stack's template \
         defines, found others\nhint: give it another `name` and `table`"
    ))
    .into())
}

/// Checks that no other dataset that was added to the lake has the table. The names of built-in datasets and their tables
/// were checked with the descriptor.
async fn check_table(store: &impl Store, dataset: &Dataset) -> anyhow::Result<()> {
    let prefix = keys::DESCRIPTORS_PREFIX;
    let listed = store.list(prefix).await.map_err(|source| Error::store_failed("list", prefix, source))?;
    for key in listed.into_iter().map(|listed| listed.key).filter(|key| *key != keys::added_descriptor(&dataset.name)) {
        let Some(found) = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))? else {
            continue;
        };
        // An invalid descriptor harms only the runs that name it.
        if let Ok(other) = Dataset::parse_added(&key, &found.bytes)
            && (other.table == dataset.table
                || other.table == view_name(&dataset.name)
                || dataset.table == view_name(&other.name))
        {
            return Err(BadInput(format!(
                "add dataset `{}`: expected a `table`, and a name for its view, that are not in use, found `{}` of `{key}`",
                dataset.name, dataset.table
            ))
            .into());
        }
    }
    Ok(())
}
