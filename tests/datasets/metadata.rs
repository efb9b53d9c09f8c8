//! The recorded metadata of the real portal, and small metadata of our own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rollcall_core::dataset::{ColumnKind, Dataset};
use rollcall_core::metadata::Metadata;
use rollcall_tests::{recorded_bodies, write_page};
use serde_json::{Value, json};

/// Returns the folder with the recorded metadata, or `None`, which it says, if it is not there.
pub(crate) fn recorded() -> Option<PathBuf> {
    recorded_bodies()
}

/// Returns a saved answer, decompressed.
pub(crate) fn answer(folder: &Path, name: &str) -> String {
    let file = fs::File::open(folder.join(format!("{name}.json.gz"))).expect("the answer is recorded");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the answer is compressed text");
    text
}

/// Returns the recorded metadata.
pub(crate) fn read(folder: &Path) -> Metadata {
    Metadata::parse(&answer(folder, "api-endpoints"), &answer(folder, "api-endpoint-varlist"))
        .expect("the answers are lists")
}

/// The two lists of a portal with one endpoint, as JSON.
pub(crate) struct Answers {
    pub(crate) endpoints: Value,
    pub(crate) variables: Value,
}

impl Answers {
    /// Returns what a portal would say about a built-in dataset if nothing had changed.
    pub(crate) fn of(dataset: &Dataset, id: u32) -> Self {
        let values = |list: Option<&String>| -> String {
            let codes = list.and_then(|list| dataset.list(list)).unwrap_or_default();
            codes.iter().map(|(code, label)| format!("\"{code}\" : \"{label}\"")).collect::<Vec<_>>().join(",")
        };
        let row = |name: &str, kind: &str, list: Option<&String>| {
            json!({
                "endpoint_id": id.to_string(), "variable": name, "label": name, "is_filter": "1", "data_type": kind,
                "format": list.map_or("string", String::as_str), "string_length": "7", "values": values(list),
            })
        };
        let axes = dataset.axes.iter().map(|axis| row(&axis.name, "integer", axis.codes.as_ref()));
        let columns = dataset.columns.iter().map(|column| {
            let kind = match column.kind {
                ColumnKind::String => "string",
                ColumnKind::Double => "float",
                ColumnKind::Int | ColumnKind::Bigint => "integer",
            };
            row(column.field(), kind, column.codes.as_ref())
        });
        let years = dataset.axes.iter().find_map(|axis| axis.years.clone());
        let endpoint = json!({
            "endpoint_id": id, "endpoint_url": format!("/api/v1/{}", dataset.path), "class_name": "CRDC",
            "years_available": years,
        });
        Self { endpoints: json!([endpoint]), variables: axes.chain(columns).collect() }
    }

    /// Writes the lists as saved answers.
    pub(crate) fn save(&self, folder: &Path) {
        for (name, results) in [("api-endpoints", &self.endpoints), ("api-endpoint-varlist", &self.variables)] {
            fs::write(folder.join(format!("{name}.json")), list(results)).expect("an answer can be written");
        }
    }

    /// Writes the lists where a recorded portal serves them.
    pub(crate) fn serve(&self, folder: &Path) {
        write_page(folder, "api-endpoints", 1, list(&self.endpoints).as_bytes());
        write_page(folder, "api-endpoint-varlist", 1, list(&self.variables).as_bytes());
    }
}

fn list(results: &Value) -> String {
    let count = results.as_array().map_or(0, Vec::len);
    json!({ "count": count, "next": null, "previous": null, "results": results }).to_string()
}
