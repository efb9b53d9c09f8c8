//! The list `api-values/`: codes and their labels.

use serde::Serialize;

use crate::datasets::CODE_LISTS;

/// A row of `api-values/`.
#[derive(Serialize)]
pub(super) struct Code {
    id: usize,
    pub(super) format_name: &'static str,
    code: i64,
    code_label: String,
    hide: &'static str,
}

/// Returns the codes of all lists.
pub(super) fn codes() -> Vec<Code> {
    let codes = CODE_LISTS.iter().flat_map(|list| list.codes.iter().map(move |code| (list.name.as_str(), code)));
    let row = |(id, (format_name, (code, label))): (usize, (_, &(i64, String)))| Code {
        id,
        format_name,
        code: *code,
        code_label: format!("{code} - {label}"),
        hide: "0",
    };
    codes.enumerate().map(row).collect()
}
