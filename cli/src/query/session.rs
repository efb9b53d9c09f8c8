//! A lake that is queried, once or again and again.

use clap::Args;
use rollcall_adapters::folder::FolderStore;

use crate::lake::mark::LakeMark;
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
    pub(super) format: RowFormat,
    /// Rows that a terminal shows, 0 for all [default: as many as fit, at least 10]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_rows: Option<usize>,
}

/// A lake that is queried, and how.
pub(super) struct Session<'s> {
    pub(super) store: &'s FolderStore,
    /// The moment in the past of the lake; `None` for now.
    pub(super) as_of: Option<&'s AsOf>,
    pub(super) view: View,
    /// Whether the queries are entered in the shell.
    pub(super) is_shell: bool,
    /// The lake's mark; `None` for a folder without files.
    pub(super) mark: Option<&'s LakeMark>,
    pub(super) limits: Limits,
}

impl Session<'_> {
    /// Returns a query over the lake.
    pub(super) fn query<'q>(&'q self, sql: &'q str) -> LakeQuery<'q> {
        let Self { store, as_of, limits, mark, .. } = *self;
        LakeQuery { store, sql, as_of, limits, mark }
    }

    /// Runs a query and prints its rows as they come.
    pub(super) async fn print(&self, sql: &str) -> anyhow::Result<()> {
        let View { format, max_rows } = self.view;
        let query = self.query(sql);
        let rows = query.run(|schema| Printed::new(format, max_rows, self.is_shell, schema)).await?;
        let n_rows = rows.n_rows();
        rows.finish()?;
        query.note_if_nothing(n_rows);
        Ok(())
    }
}
