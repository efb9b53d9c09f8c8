//! `rollcall describe`: the columns of a table or view, and what their values mean.

mod comments;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;
use rollcall_adapters::file_catalog::{CatalogColumn, CatalogTable};
use rollcall_adapters::folder::FolderStore;
use rollcall_core::dataset::built_in::built_in_name;
use rollcall_core::dataset::{AxisKind, Dataset};
use rollcall_core::text::nearest;
use serde::{Deserialize, Serialize};

use crate::completions;
use crate::escape::visible;
use crate::exit::BadInput;
use crate::lake;
use crate::lake::args::LakeArgs;
use crate::lake::busy;
use crate::output::{self, Format};
use crate::query::engine::LakeQuery;
use crate::rows::RowFormat;
use crate::rows::printed::Collected;
use crate::table;
use crate::tables::BUCKET_HINT;
use crate::tables::uncounted::count_rows;
use crate::words::{axis_values, counted, shell_word};

/// Codes of a column that are listed; of a longer list, only the first are.
const MAX_CODES: usize = 24;

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// Table or view, with or without its database
    #[arg(add = completions::tables())]
    table: String,
    #[command(flatten)]
    lake: LakeArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A table or a view.
#[derive(Serialize)]
struct Described {
    /// Name with its database.
    name: String,
    kind: &'static str,
    about: String,
    n_partitions: usize,
    /// Null if the file of a table without partitions is missing.
    n_rows: Option<u64>,
    columns: Vec<DescribedColumn>,
}

#[derive(Serialize)]
struct DescribedColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// Whether it is in the path of the files rather than in the files.
    is_partition: bool,
    comment: String,
    /// Labels by code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    codes: BTreeMap<i64, String>,
    /// For a partition column of text: its values, which are not the codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    coded_values: Vec<CodedLabel>,
    /// For a partition column: its values in the lake.
    #[serde(skip_serializing_if = "String::is_empty")]
    values: String,
}

/// A value in a path, such as `grade-pk`, with its code in other tables and its label.
#[derive(Clone, Serialize)]
struct CodedLabel {
    value: String,
    code: i64,
    label: String,
}

pub(crate) async fn run(args: DescribeArgs) -> anyhow::Result<ExitCode> {
    let store = args.lake.existing_folder(BUCKET_HINT).await?;
    busy::note_first_run(&store).await;
    describe(&store, &args.table, args.format).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what is known of a table or view.
pub(crate) async fn describe(store: &FolderStore, name: &str, format: Format) -> anyhow::Result<()> {
    let tables = lake::catalog(store).tables().await?;
    let lake = LakeArgs::of(store.root().to_path_buf());
    let described = match find(&tables, name, &lake)? {
        Found::Table(table) => of_table(store, table).await,
        Found::View(table, view) => of_view(store, table, view).await?,
    };
    match format {
        Format::Json => output::print_json(&described)?,
        Format::Table => output::print_long(&text(&described, &lake))?,
    }
    Ok(())
}

enum Found<'t> {
    Table(&'t CatalogTable),
    /// A view of a table, by its name.
    View(&'t CatalogTable, &'t str),
}

/// Finds a table or view by its name, with or without its database, or the table of a built-in dataset by the dataset's.
fn find<'t>(tables: &'t [CatalogTable], name: &str, lake: &LakeArgs) -> Result<Found<'t>, BadInput> {
    if let Some(table) = tables.iter().find(|table| built_in_name(&table.database, &table.table) == Some(name)) {
        return Ok(Found::Table(table));
    }
    let (database, bare) = name.rsplit_once('.').map_or((None, name), |(database, bare)| (Some(database), bare));
    let in_database = || tables.iter().filter(|table| database.is_none_or(|database| table.database == database));
    if let Some(table) = in_database().find(|table| table.table == bare) {
        return Ok(Found::Table(table));
    }
    let views = in_database().filter_map(|table| Some((table, table.view.as_ref()?.name.as_str())));
    if let Some((table, view)) = views.clone().find(|(_, view)| *view == bare) {
        return Ok(Found::View(table, view));
    }
    let meant = nearest(bare, tables.iter().flat_map(CatalogTable::names));
    let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
    Err(BadInput(format!(
        "describe: expected a table or view of this lake, found `{}`\nhint: {meant}`{}` lists all",
        visible(name),
        lake.command("rollcall tables")
    )))
}

async fn of_table(store: &FolderStore, table: &CatalogTable) -> Described {
    let dataset = built_in_name(&table.database, &table.table).and_then(|name| Dataset::built_in(name).ok());
    let codes = |name: &str| dataset.as_ref().map(|dataset| codes(dataset, name)).unwrap_or_default();
    let described = |column: &CatalogColumn, is_partition| DescribedColumn {
        name: column.name.clone(),
        kind: column.kind.clone(),
        is_partition,
        comment: column.comment.clone(),
        codes: codes(&column.name),
        coded_values: dataset.as_ref().map(|dataset| coded_values(dataset, &column.name)).unwrap_or_default(),
        values: match is_partition {
            true => axis_values(table.partitions.iter().map(|it| &it.partition), dataset.as_ref(), &column.name),
            false => String::new(),
        },
    };
    let axes = table.partition_keys.iter().map(|column| described(column, true));
    Described {
        name: format!("{}.{}", table.database, table.table),
        kind: "table",
        about: table.comment.clone(),
        n_partitions: table.partitions.len(),
        n_rows: match table.partition_keys.is_empty() {
            true => count_rows(store, [table]).await.into_values().next(),
            false => Some(table.partitions.iter().map(|partition| partition.n_rows).sum()),
        },
        columns: axes.chain(table.columns.iter().map(|column| described(column, false))).collect(),
    }
}

/// Returns the labels of a column's codes.
fn codes(dataset: &Dataset, name: &str) -> BTreeMap<i64, String> {
    let of_axis = dataset.axes.iter().find(|axis| axis.name == name).and_then(|axis| axis.codes.as_ref());
    let of_column = || dataset.columns.iter().find(|column| column.name == name).and_then(|it| it.codes.as_ref());
    let list = of_axis.or_else(of_column).and_then(|list| dataset.list(list));
    list.unwrap_or_default().into_iter().map(|(code, label)| (code, label.into_owned())).collect()
}

/// Returns the values of an axis of text with their codes and labels. Those of an axis of numbers are its codes.
fn coded_values(dataset: &Dataset, name: &str) -> Vec<CodedLabel> {
    let labels = codes(dataset, name);
    let axis = dataset.axes.iter().find(|axis| axis.name == name && axis.kind == AxisKind::String);
    let coded = axis.into_iter().flat_map(|axis| &axis.values).map(|coded| CodedLabel {
        value: coded.value.clone(),
        code: coded.code,
        label: labels.get(&coded.code).cloned().unwrap_or_default(),
    });
    coded.collect()
}

/// Describes a view: its columns as the engine plans them, with the comments of its table's.
async fn of_view(store: &FolderStore, table: &CatalogTable, view: &str) -> anyhow::Result<Described> {
    #[derive(Deserialize)]
    struct Planned {
        column_name: String,
        data_type: String,
    }
    let sql = format!("describe \"{}\".\"{view}\"", table.database);
    let rows = LakeQuery::new(store, &sql).run(|schema| Collected::new(RowFormat::Json, schema)).await?.finish()?;
    let planned: Vec<Planned> = serde_json::from_str(&rows)?;
    let mut of_table = of_table(store, table).await;
    let names: BTreeSet<String> = planned.iter().map(|planned| planned.column_name.clone()).collect();
    let has = |name: &str| names.contains(name);
    let columns = planned.into_iter().map(|Planned { column_name: name, data_type }| {
        let same = of_table.columns.iter_mut().find(|column| column.name == name);
        let (comment, codes, coded_values) = match same {
            // The codes of a measure are null.
            Some(column) if has(&format!("{name}_note")) => {
                (comments::of_column(&name, &column.comment, has), BTreeMap::new(), Vec::new())
            }
            Some(column) => (
                comments::of_column(&name, &column.comment, has),
                std::mem::take(&mut column.codes),
                std::mem::take(&mut column.coded_values),
            ),
            None => (comments::of_added(&name), BTreeMap::new(), Vec::new()),
        };
        let kind = match data_type.as_str() {
            "Utf8" | "Utf8View" => "string",
            "Int32" => "int",
            "Int64" => "bigint",
            "Float64" => "double",
            "Boolean" => "boolean",
            other => other,
        };
        DescribedColumn {
            kind: kind.to_owned(),
            name,
            is_partition: false,
            comment,
            codes,
            coded_values,
            values: String::new(),
        }
    });
    let columns = columns.collect();
    Ok(Described {
        name: format!("{}.{view}", table.database),
        kind: "view",
        about: format!("{} with labels: codes of measures are null, and named beside them.", of_table.name),
        columns,
        ..of_table
    })
}

fn text(described: &Described, lake: &LakeArgs) -> String {
    let Described { name, about, n_partitions, n_rows, columns, .. } = described;
    let mut text = format!("{}\n", visible(name));
    if !about.is_empty() {
        text.push_str(&format!("{}\n", visible(about)));
    }
    if let Some(n_rows) = n_rows {
        let partitions = counted(*n_partitions as u64, "partition");
        let partitions = if *n_partitions > 0 { format!(" in {partitions}") } else { String::new() };
        text.push_str(&format!("{}{partitions}\n", counted(*n_rows, "row")));
    }
    let mut listed = table::table(&["column", "type", "meaning"]);
    for column in columns {
        let key = if column.is_partition { " (partition)" } else { "" };
        listed.add_row([&column.name, &column.kind, &format!("{}{key}", column.comment)]);
    }
    text.push_str(&format!("\n{}", table::render(&listed)));
    let with_values: Vec<&DescribedColumn> =
        columns.iter().filter(|column| !column.codes.is_empty() || !column.values.is_empty()).collect();
    if !with_values.is_empty() {
        let mut listed = table::table(&["column", "values and codes"]);
        for column in with_values {
            if !column.values.is_empty() {
                listed.add_row([column.name.as_str(), &format!("in the lake: {}", column.values)]);
            }
            if !column.coded_values.is_empty() {
                listed.add_row([column.name.as_str(), &values_in_words(&column.coded_values)]);
            } else if !column.codes.is_empty() {
                listed.add_row([column.name.as_str(), &codes_in_words(&column.codes)]);
            }
        }
        text.push_str(&format!("\n{}", table::render(&listed)));
    }
    let query = format!("rollcall query {}", shell_word(&format!("select * from {name} limit 10")));
    text.push_str(&format!("\n{}\n", lake.command(&query)));
    text
}

fn codes_in_words(codes: &BTreeMap<i64, String>) -> String {
    first_of(codes.iter().map(|(code, label)| format!("{code} {label}")))
}

fn values_in_words(values: &[CodedLabel]) -> String {
    let in_words = |CodedLabel { value, code, label }: &CodedLabel| format!("{value} (code {code}) {label}");
    first_of(values.iter().map(|value| in_words(value).trim_end().to_owned()))
}

fn first_of(listed: impl ExactSizeIterator<Item = String>) -> String {
    let n = listed.len();
    let mut listed: Vec<String> = listed.take(MAX_CODES).collect();
    if let Some(n_more @ 1..) = n.checked_sub(MAX_CODES) {
        listed.push(format!("and {n_more} more"));
    }
    listed.join(", ")
}
