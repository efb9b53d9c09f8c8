//! A lake that is queried, once or again and again.

use clap::Args;
use rollcall_adapters::folder::FolderStore;

use crate::query::as_of::AsOf;
use crate::query::engine::LakeQuery;
use crate::query::limits::Limits;
use crate::rows::RowFormat;
use crate::rows::printed::Printed;

/// How rows are printed.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct View {
    /// Output format
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    format: RowFormat,
    /// Rows of a table that a terminal shows; 0 for all
    #[arg(long, value_name = "N", default_value_t = 40)]
    max_rows: usize,
}

/// A lake that is queried, and how.
pub(super) struct Session<'s> {
    pub(super) store: &'s FolderStore,
    /// The moment in the past of the lake; `None` for now.
    pub(super) as_of: Option<&'s AsOf>,
    pub(super) view: View,
    pub(super) limits: Limits,
}

impl Session<'_> {
    /// Returns a query over the lake.
    pub(super) fn query<'q>(&'q self, sql: &'q str) -> LakeQuery<'q> {
        LakeQuery { store: self.store, sql, as_of: self.as_of, limits: self.limits }
    }

    /// Runs a query and prints its rows as they come.
    pub(super) async fn print(&self, sql: &str) -> anyhow::Result<()> {
        let View { format, max_rows } = self.view;
        let max_rows = (max_rows > 0).then_some(max_rows);
        self.query(sql).run(|schema| Printed::new(format, max_rows, schema)).await?.finish()
    }
}
