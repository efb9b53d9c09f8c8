//! What to fetch for a query that finds nothing, because the lake lacks what it reads.

use std::path::Path;

use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_core::dataset::built_in::{built_in_called, built_in_name};
use rollcall_core::dataset::{AxisKind, Dataset};
use rollcall_core::request::DEFAULT_DATASET;

use crate::lake::args::LakeArgs;
use crate::query::shipped::Shipped;

/// Says how to fetch into a lake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetching<'l> {
    /// The lake's folder.
    pub(crate) root: &'l Path,
    /// Whether it holds sample data.
    pub(crate) is_sample: bool,
}

impl Fetching<'_> {
    /// Returns the command that fetches a part of a dataset.
    ///
    /// - `which`: flags that say which part.
    fn command(self, dataset: &str, which: &str) -> String {
        let sample = self.is_sample.then(|| "--sample".to_owned());
        let dataset = (dataset != DEFAULT_DATASET).then(|| format!("--dataset {dataset}"));
        let lake = LakeArgs::of(self.root.to_path_buf()).flag();
        let flags: Vec<String> = [sample, dataset, Some(which.to_owned()), lake].into_iter().flatten().collect();
        format!("rollcall run {}", flags.join(" "))
    }

    /// Returns the command that fetches a table that the lake lacks; `None` if no built-in dataset fills it.
    ///
    /// - `sql`: the query, which may be a shipped one and thus say what it needs.
    /// - `tables`: the tables of the lake.
    pub(super) fn table(self, table: &str, sql: &str, tables: &[CatalogTable]) -> Option<String> {
        let name = built_in_called(table.rsplit('.').next().unwrap_or_default())?;
        if tables.iter().any(|table| built_in_name(&table.database, &table.table) == Some(name)) {
            return None;
        }
        let needed =
            Shipped::with_sql(sql).and_then(|shipped| shipped.needs.iter().find(|(needed, _)| *needed == name));
        if let Some((_, which)) = needed {
            return Some(self.command(name, which));
        }
        let flags = Dataset::built_in(name).ok()?.axes.into_iter().map(|axis| match axis.name.as_str() {
            _ if axis.kind == AxisKind::Int && axis.values.is_empty() => "--years latest".to_owned(),
            "grade" => "--grades all".to_owned(),
            other => format!("--axis {other}=all"),
        });
        Some(self.command(name, &flags.collect::<Vec<_>>().join(" ")))
    }

    /// Returns a note for a shipped query that found no rows; `None` if it need not find any, or is no shipped one.
    pub(super) fn note_on_nothing(self, sql: &str) -> Option<String> {
        let shipped = Shipped::with_sql(sql).filter(|shipped| !shipped.may_find_nothing)?;
        let commands = shipped.needs.iter().map(|(dataset, which)| format!("`{}`", self.command(dataset, which)));
        let commands = commands.collect::<Vec<_>>().join(" and ");
        let (name, needs) = (shipped.name, shipped.needs_in_words());
        Some(format!("`{name}` found no rows; it needs {needs}\nhint: fetch it with {commands}"))
    }
}
