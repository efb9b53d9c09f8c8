//! `rollcall datasets`: lists, shows, checks and generates descriptors, and prints the AWS resources derived from them.

mod generate;
mod source;

mod new;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rollcall_core::dataset::{Axis, AxisKind, Dataset};

use crate::escape::visible;
use crate::output::{self, Format};
use crate::request::dataset::{load_dataset, load_descriptor};
use crate::table;
use crate::template;

#[derive(Debug, Args)]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    command: DatasetsCommand,
}

#[derive(Debug, Subcommand)]
enum DatasetsCommand {
    /// List the built-in datasets
    List {
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Show one dataset: its path, table, key, source and columns
    Show {
        /// Dataset by name, or a descriptor file
        dataset: String,
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Write descriptors from the portal's metadata
    Generate(generate::GenerateArgs),
    /// Print infra/catalog.yaml, or the Glue table of one dataset
    Template {
        /// Dataset by name, or a descriptor file [default: all of infra/catalog.yaml]
        dataset: Option<String>,
    },
    /// Write a descriptor to start from
    New {
        /// Path of the new file; the dataset is named after it
        file: String,
    },
    /// Check a descriptor file
    Check {
        /// Path of the file
        file: String,
    },
}

pub(crate) async fn run(args: &DatasetsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        DatasetsCommand::List { format } => list(*format)?,
        DatasetsCommand::Show { dataset, format } => show(&load_dataset(dataset)?, *format)?,
        DatasetsCommand::Generate(args) => return generate::run(args).await,
        DatasetsCommand::Template { dataset } => {
            let dataset = dataset.as_deref().map(load_dataset).transpose()?;
            let text = dataset.as_ref().map_or_else(template::catalog, |dataset| Ok(template::table(dataset)))?;
            output::print_data(&text)?;
        }
        DatasetsCommand::New { file } => new::write_new(file)?,
        DatasetsCommand::Check { file } => {
            // Reads a file whatever its name. `load_dataset` would look for a built-in dataset if it lacks `.toml`.
            let dataset = load_descriptor(file)?;
            for axis in &dataset.axes {
                note_numeric_values(axis);
            }
            output::print(&format!(
                "{}: valid, {} columns, key {}\n",
                visible(file),
                dataset.columns.len(),
                visible(&dataset.key.join(", "))
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
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

fn list(format: Format) -> anyhow::Result<()> {
    let datasets = Dataset::built_in_names().into_iter().map(Dataset::built_in).collect::<Result<Vec<_>, _>>()?;
    match format {
        Format::Json => output::print_json(&datasets),
        Format::Table => {
            let mut table = table::table(&["dataset", "axes", "columns", "title"]);
            for dataset in &datasets {
                let axes: Vec<&str> = dataset.axes.iter().map(|axis| axis.name.as_str()).collect();
                table.add_row([
                    dataset.name.clone(),
                    axes.join(", "),
                    dataset.columns.len().to_string(),
                    // Last, because only the last column wraps on a narrow terminal.
                    dataset.title.clone(),
                ]);
            }
            table::align_right(&mut table, &[2]);
            output::print(&table::render(&table))?;
            Ok(())
        }
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
    if let Some(in_flight) = dataset.in_flight {
        text.push_str(&format!("in flight {in_flight} requests for one partition\n"));
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
