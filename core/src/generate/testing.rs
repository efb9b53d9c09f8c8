//! Endpoints and columns for the tests of the rules.

use crate::dataset::{ColumnKind, Dataset};
use crate::metadata::{Endpoint, Format, Kind, Section, Variable};

pub(super) fn endpoint(id: u32, path: &str) -> Endpoint {
    Endpoint {
        id,
        path: path.into(),
        section: Section::of_segment(path.split('/').next().unwrap()).unwrap(),
        source: "CCD".into(),
        topic: Some("Enrollment".into()),
        sub_topic: Some("By grade".into()),
        years: "1986-2022".into(),
    }
}

pub(super) fn variable(name: &str, kind: &str, length: u32, list: Option<(&str, &[(i64, &str)])>) -> Variable {
    Variable {
        name: name.into(),
        label: format!("Label of {name}"),
        is_filter: false,
        kind: match kind {
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            _ => Kind::Text,
        },
        length,
        format: list.map_or(Format::Text, |(list, codes)| Format::List {
            name: list.into(),
            codes: codes.iter().map(|(code, label)| (*code, (*label).to_owned())).collect(),
        }),
    }
}

/// A filter, with a list of codes that has a total; without a list, it has the codes of a measure.
pub(super) fn filter(name: &str, list: Option<&str>) -> Variable {
    let list = list.map_or(("numeric", &[(-1, "Missing")][..]), |list| (list, &[(1, "One"), (99, "Total")]));
    Variable { is_filter: true, ..variable(name, "integer", 2, Some(list)) }
}

/// Returns what the portal would list for a dataset: its axes, then its columns.
pub(super) fn variables_of(dataset: &Dataset) -> Vec<Variable> {
    let list = |name: &Option<String>| -> Format {
        name.as_ref().map_or(Format::Text, |name| Format::List {
            name: name.clone(),
            codes: dataset.list(name).unwrap().into_iter().map(|(code, label)| (code, label.into_owned())).collect(),
        })
    };
    let axes = dataset.axes.iter().map(|axis| (axis.name.clone(), Kind::Integer, 4, list(&axis.codes)));
    let columns = dataset.columns.iter().map(|column| {
        let (kind, length) = match column.kind {
            ColumnKind::String => (Kind::Text, 12),
            ColumnKind::Double => (Kind::Float, 8),
            ColumnKind::Int => (Kind::Integer, 4),
            ColumnKind::Bigint => (Kind::Integer, 12),
        };
        (column.field().to_owned(), kind, length, list(&column.codes))
    });
    axes.chain(columns)
        .map(|(name, kind, length, format)| Variable {
            label: format!("Label of {name}"),
            is_filter: true,
            name,
            kind,
            length,
            format,
        })
        .collect()
}
