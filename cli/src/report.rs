//! `rollcall report`: writes the state of the lake and charts of its data as one HTML page, which needs no network.
//!
//! The files of the lake are read once, and added up by partition and state [`read`]. Each part of the page has a file that
//! turns those numbers into what the template shows [`page`]; only the template writes HTML and SVG.

mod charts;
mod data;
mod enrollment;
mod heat_map;
mod page;
mod quality;
mod read;
mod runs;
mod series;
mod state_map;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use rollcall_adapters::SystemClock;
use rollcall_core::dataset::Dataset;
use rollcall_core::ports::{Clock, Store};

use crate::completions;
use crate::exit::BadInput;
use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::output;
use crate::report::page::{About, render};
use crate::report::read::read_lake;
use crate::request::dataset::load_all;
use crate::whole_file::WholeFile;
use crate::words::{counted, size};

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name or descriptor file, or several: 'ccd_*', schools; all means those that the lake has
    #[arg(long, value_name = "NAME|FILE.toml|PATTERN", default_value = "all", add = completions::datasets())]
    dataset: String,
    /// File to write, or - for standard output
    #[arg(long, value_name = "FILE.html|-", default_value = "report.html")]
    output: PathBuf,
    /// Leave out the charts. Only they need the data itself; the rest is in the ledger
    #[arg(long)]
    no_charts: bool,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
}

pub(crate) async fn run(args: ReportArgs) -> anyhow::Result<ExitCode> {
    if args.open && args.output == Path::new("-") {
        return Err(BadInput("`--open`: expected a file in `--output`, found -".to_owned()).into());
    }
    let is_html = args.output.extension().is_some_and(|ending| ending == "html" || ending == "htm");
    if !is_html && args.output != Path::new("-") {
        let found = args.output.display();
        return Err(BadInput(format!("`--output`: expected a file that ends in .html, found `{found}`")).into());
    }
    let datasets = load_all(&args.dataset)?;
    let html = match args.lake.open_existing().await? {
        Lake::Folder(store) => {
            let mark = LakeMark::find(&store).await?;
            // Absolute, so that the examples work from any folder.
            let root = std::path::absolute(store.root())?.display().to_string();
            html(&args, &store, &datasets, mark, root).await?
        }
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => html(&args, &store, &datasets, None, args.lake.name()).await?,
    };
    if args.output == Path::new("-") {
        output::print_data(&html)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut file = WholeFile::create(&args.output)?;
    file.write_all(html.as_bytes()).with_context(|| format!("write `{}`", args.output.display()))?;
    file.finish()?;
    output::print_note(&format!("wrote {} to `{}`", size(html.len() as u64), args.output.display()));
    if args.open
        && let Err(error) = open::that_detached(&args.output)
    {
        output::print_message(&format!(
            "warning: open `{}`: no browser could be started: {error}",
            args.output.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn html(
    args: &ReportArgs,
    store: &(impl Store + Clone + 'static),
    datasets: &[Dataset],
    mark: Option<LakeMark>,
    root: String,
) -> anyhow::Result<String> {
    let found = read_lake(store, datasets, !args.no_charts).await?;
    for unread in found.iter().flat_map(|dataset| dataset.unread.first()) {
        let (partition, error) = unread;
        output::print_message(&format!("warning: the charts lack {partition}: {error}"));
    }
    let n_unread: usize = found.iter().map(|dataset| dataset.unread.len()).sum();
    if n_unread > 1 {
        output::print_message(&format!("warning: the charts lack {}", counted(n_unread as u64, "partition")));
    }
    let about = About { lake: &args.lake, dataset_arg: &args.dataset, root, mark, now: SystemClock.now() };
    render(&about, &found)
}
