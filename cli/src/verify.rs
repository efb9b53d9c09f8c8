//! `rollcall verify`: compares the lake with the portal, and its tables with each other.

use std::process::ExitCode;

use clap::Args;
use rollcall_core::dataset::Dataset;
use rollcall_core::ports::Store;
use rollcall_core::verify::{Check, Verified, verify};

use crate::completions;
use crate::exit;
use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::output::{self, Format};
use crate::portal_args::{OpenPortal, PortalArgs};
use crate::request::dataset::load_dataset;
use crate::words::{counted, thousands};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    lake: LakeArgs,
    #[command(flatten)]
    portal: PortalArgs,
    /// Dataset by name, or a descriptor file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = rollcall_core::request::DEFAULT_DATASET, add = completions::datasets())]
    dataset: String,
    /// Compare only tables with each other, without requests to the portal
    #[arg(long)]
    offline: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let dataset = load_dataset(&args.dataset)?;
    let verified = match args.lake.open_existing().await? {
        Lake::Folder(store) => verify_lake(&args, &store, &dataset).await?,
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => verify_lake(&args, &store, &dataset).await?,
    };
    match args.format {
        Format::Json => output::print_json(&verified)?,
        Format::Table => output::print(&describe(&verified))?,
    }
    Ok(ExitCode::from(if verified.n_different() == 0 { exit::OK } else { exit::DIFFERENT }))
}

async fn verify_lake(args: &VerifyArgs, store: &impl Store, dataset: &Dataset) -> anyhow::Result<Verified> {
    let portal = if args.offline { None } else { Some(args.portal.open(dataset).await?) };
    let portal = portal.as_ref().map(OpenPortal::for_partition);
    Ok(verify(portal.as_ref(), store, dataset).await?)
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "no number".to_owned(), |number| number.to_string())
}

fn describe(verified: &Verified) -> String {
    let mut text = String::new();
    for Check { name, tolerance, n_compared, n_different, differences, skipped } in &verified.checks {
        let outcome = match (n_compared, n_different) {
            (0, _) => "nothing compared".to_owned(),
            (_, 0) => format!("{} equal", thousands(*n_compared)),
            _ => format!("{} of {} differ", thousands(*n_different), thousands(*n_compared)),
        };
        text.push_str(&format!("{name}: {outcome}\n"));
        for difference in differences {
            text.push_str(&format!(
                "  {}: expected {}, found {}\n",
                difference.what,
                number(difference.expected),
                number(difference.found)
            ));
        }
        if *n_different > differences.len() as u64 {
            text.push_str(&format!("  and {} more\n", thousands(n_different - differences.len() as u64)));
        }
        text.push_str(&format!("  tolerance: {tolerance}\n"));
        for reason in skipped {
            text.push_str(&format!("  not compared: {reason}\n"));
        }
    }
    for gap in &verified.known_gaps {
        text.push_str(&format!("known gap of the source: {gap}\n"));
    }
    let n_different = verified.n_different();
    let is_compared = verified.checks.iter().any(|check| check.n_compared > 0);
    text.push_str(&match n_different {
        0 if !is_compared => format!("{}: nothing compared\n", verified.dataset),
        0 => format!("{}: no differences\n", verified.dataset),
        _ => format!("{}: {}\n", verified.dataset, counted(n_different, "difference")),
    });
    text
}
