//! The list `api-endpoint-varlist/`: the fields of each endpoint's rows.

use serde::Serialize;

use crate::dataset::{Axis, CodeList, Column, Dataset, Kind};

/// A row of `api-endpoint-varlist/`, with fields in the portal's order. Absent values are the text `None`.
#[derive(Serialize)]
pub(super) struct Variable {
    endpoint_id: String,
    variable: String,
    label: String,
    is_filter: &'static str,
    format: String,
    data_type: &'static str,
    string_length: String,
    description: &'static str,
    total_exist: &'static str,
    values: String,
}

/// Codes that the portal lists for fields without codes of their own.
const MISSING: [(i64, &str); 3] = [(-1, "Missing/not reported"), (-2, "Not applicable"), (-3, "Suppressed data")];

/// Length of a field whose values have no declared length.
const NUMBER_LENGTH: usize = 8;
const LONG_NUMBER_LENGTH: usize = 12;
const DECIMAL_LENGTH: usize = 20;
const TEXT_LENGTH: usize = 100;

/// Returns the fields of a dataset's rows: its axes, then its columns.
///
/// - `id`: id of its endpoint.
pub(super) fn variables(dataset: &Dataset, id: u32) -> Vec<Variable> {
    let axes = dataset.axes.iter().map(|axis| axis_variable(axis, id));
    axes.chain(dataset.columns.iter().map(|column| column_variable(column, id))).collect()
}

fn axis_variable(axis: &Axis, id: u32) -> Variable {
    let list = axis.list.as_deref();
    Variable {
        endpoint_id: id.to_string(),
        variable: axis.name.clone(),
        label: html(if axis.label.is_empty() { &axis.name } else { &axis.label }),
        is_filter: "1",
        format: list.map_or("numeric", |list| &list.name).to_owned(),
        data_type: "integer",
        string_length: list.map_or(4, longest_code).to_string(),
        description: "None",
        total_exist: "None",
        values: values(list),
    }
}

fn column_variable(column: &Column, id: u32) -> Variable {
    let list = column.list.as_deref();
    let coded = list.filter(|list| !list.is_of_measures());
    let (data_type, length) = match column.kind {
        Kind::String => ("string", column.width.unwrap_or(TEXT_LENGTH)),
        Kind::Int => ("integer", coded.map_or(NUMBER_LENGTH, longest_code)),
        Kind::Bigint => ("integer", LONG_NUMBER_LENGTH),
        Kind::Double => ("float", DECIMAL_LENGTH),
    };
    let without_list = if column.kind == Kind::String { "string" } else { "numeric" };
    Variable {
        endpoint_id: id.to_string(),
        variable: column.field.clone(),
        label: html(if column.label.is_empty() { &column.field } else { &column.label }),
        is_filter: if column.is_filter { "1" } else { "None" },
        format: list.map_or(without_list, |list| &list.name).to_owned(),
        data_type,
        string_length: length.to_string(),
        description: "None",
        total_exist: "None",
        values: values(list),
    }
}

/// Returns codes in the portal's notation: `"1" : "Male","2" : "Female"`.
fn values(list: Option<&CodeList>) -> String {
    let pair = |(code, label): (&i64, &str)| format!("\"{code}\" : \"{}\"", html(label));
    let pairs: Vec<String> = match list {
        Some(list) => list.codes.iter().map(|(code, label)| pair((code, label))).collect(),
        None => MISSING.iter().map(|(code, label)| pair((code, label))).collect(),
    };
    pairs.join(",")
}

/// Returns the number of characters of the longest code.
fn longest_code(list: &CodeList) -> usize {
    list.codes.iter().map(|(code, _)| code.to_string().len()).max().unwrap_or(NUMBER_LENGTH)
}

/// Writes dashes as the portal does.
fn html(text: &str) -> String {
    text.replace('–', "&ndash;").replace('—', "&mdash;")
}
