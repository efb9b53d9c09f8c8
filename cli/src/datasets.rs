//! `rollcall datasets`: lists, shows, checks and generates descriptors, and prints the AWS resources derived from them.

mod add;
mod drift;
mod generate;
mod keys;
mod list;
mod new;
mod source;
mod view;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rollcall_core::dataset::built_in::endpoint_paths;
use rollcall_core::dataset::{Axis, AxisKind, Dataset};
use rollcall_core::text::nearest;

use crate::completions;
use crate::escape::visible;
use crate::exit;
use crate::output::{self, Format};
use crate::request::dataset::{load_dataset, load_descriptor};
use crate::table;
use crate::template;
use crate::words::counted;

#[derive(Debug, Args)]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    command: DatasetsCommand,
}

#[derive(Debug, Subcommand)]
enum DatasetsCommand {
    /// List every dataset of the portal, and which of them are usable
    List(list::ListArgs),
    /// Show one dataset: its path, table, key, source and columns
    Show {
        /// Dataset by name, or a descriptor file
        #[arg(add = completions::datasets())]
        dataset: String,
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Write descriptors from the portal's metadata
    Generate(generate::GenerateArgs),
    /// Show what has changed at the portal since the descriptors were written
    Drift(drift::DriftArgs),
    /// Print infra/catalog.yaml, or the Glue table of one dataset
    Template {
        /// Dataset by name, or a descriptor file [default: all of infra/catalog.yaml]
        #[arg(add = completions::datasets())]
        dataset: Option<String>,
    },
    /// Print the statement that makes the view with labels, for other engines
    View {
        /// Dataset by name or descriptor file, or several: 'ccd_*', schools, all
        #[arg(add = completions::datasets())]
        dataset: String,
    },
    /// Write a descriptor to start from
    New(new::NewArgs),
    /// Print what each key of a descriptor means
    Keys,
    /// Put a descriptor into a lake in a bucket, for runs on AWS
    Add(add::AddArgs),
    /// Check descriptor files
    Check {
        /// Paths of the files
        #[arg(required = true)]
        files: Vec<String>,
    },
}

pub(crate) async fn run(args: &DatasetsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        DatasetsCommand::List(args) => list::list(args)?,
        DatasetsCommand::Show { dataset, format } => show(&load_dataset(dataset)?, *format)?,
        DatasetsCommand::Generate(args) => return generate::run(args).await,
        DatasetsCommand::Drift(args) => return drift::run(args).await,
        DatasetsCommand::Template { dataset } => {
            let dataset = dataset.as_deref().map(load_dataset).transpose()?;
            let text = dataset.as_ref().map_or_else(template::catalog, |dataset| Ok(template::table(dataset)))?;
            output::print_data(&text)?;
        }
        DatasetsCommand::View { dataset } => view::print_views(dataset)?,
        DatasetsCommand::New(args) => new::write_new(args)?,
        DatasetsCommand::Keys => keys::print_keys()?,
        DatasetsCommand::Add(args) => add::add(args).await?,
        DatasetsCommand::Check { files } => return check(files),
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks every file, and reports the mistakes of each.
fn check(files: &[String]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        // Reads a file whatever its name. `load_dataset` would look for a built-in dataset if it lacks `.toml`.
        match load_descriptor(file) {
            Ok(dataset) => {
                dataset.axes.iter().for_each(note_numeric_values);
                note_unknown_path(&dataset.path);
                output::print(&format!(
                    "{}: valid, {}, key {}\n",
                    visible(file),
                    counted(dataset.columns.len() as u64, "column"),
                    visible(&dataset.key.join(", "))
                ))?;
            }
            Err(error) => code = exit::report(&error),
        }
    }
    Ok(code)
}

/// Notes an axis of text whose values include numbers, which some engines misread.
fn note_numeric_values(axis: &Axis) {
    let is_number = |value: &str| value.bytes().all(|byte| byte.is_ascii_digit());
    if axis.kind == AxisKind::String
        && let Some(number) = axis.values.iter().find(|coded| is_number(&coded.value))
    {
        output::print_message(&format!(
            "note: axis `{}` has the value `{}`: engines that infer types from paths, such as ClickHouse and fastparquet, \
             take it for a number unless they are told that the column is text",
            visible(&axis.name),
            visible(&number.value)
        ));
    }
}

/// Notes a path that is not a known path of the portal, which may have newer endpoints; a descriptor may also be for another
/// portal.
fn note_unknown_path(path: &str) {
    if !endpoint_paths().any(|known| known == path) {
        let nearest =
            nearest(path, endpoint_paths()).map_or_else(String::new, |nearest| format!("; the closest is `{nearest}`"));
        output::print_note(&format!(
            "the path `{}` is not one of the {} in `rollcall datasets list --format json`{nearest}",
            visible(path),
            endpoint_paths().count()
        ));
    }
}

fn show(dataset: &Dataset, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::print_json(dataset);
    }
    let spec = dataset.table_spec();
    let mut text = format!(
        "{}: {}\npath   {}\ntable  {}\nkey    {}\nsource {}\n",
        visible(&dataset.name),
        visible(&dataset.title),
        visible(&dataset.path),
        visible(&dataset.qualified_table()),
        visible(&dataset.key.join(", ")),
        visible(&dataset.attribution)
    );
    if let Some(secret) = &dataset.secret {
        let secret = format!("secret {} in header {}, from {}", secret.name, secret.header, secret.variable());
        text.push_str(&(visible(&secret).into_owned() + "\n"));
    }
    if let Some(memory) = dataset.memory_mib {
        text.push_str(&format!("memory {memory} MiB for one partition\n"));
    }
    if let Some(in_flight) = dataset.in_flight {
        text.push_str(&format!("in flight {in_flight} requests\n"));
    }
    let mut table = table::table(&["column", "type", "comment"]);
    for (name, kind, comment) in &spec.columns {
        table.add_row([name, kind, comment]);
    }
    for (name, kind, comment) in &spec.partition_keys {
        table.add_row([name.as_str(), kind, &format!("Partition. {comment}")]);
    }
    text.push_str(&table::render(&table));
    output::print(&text)?;
    Ok(())
}
