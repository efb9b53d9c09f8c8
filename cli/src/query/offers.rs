//! Commands that are offered to those who query a lake that lacks what they read, or is damaged.

use std::path::Path;

use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::{Called, built_in_called, built_in_name};
use rollcall_core::request::DEFAULT_DATASET;

use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::lake::offer::{Offer, REFRESH, flag_of, run_command};
use crate::query::default_database::DEFAULT_DATABASE;
use crate::query::shipped::Shipped;
use crate::query::words::words_of;

/// Knows the commands for a lake.
#[derive(Debug, Clone)]
pub(crate) struct Offers {
    pub(super) lake: LakeArgs,
    /// Says where the lake's data came from.
    mark: Option<LakeMark>,
    /// Whether the lake is queried as it was. Nothing that is fetched now was there then.
    pub(super) is_past: bool,
}

impl Offers {
    pub(super) fn new(root: &Path, mark: Option<&LakeMark>, is_past: bool) -> Self {
        Self { lake: LakeArgs::of(root.to_path_buf()), mark: mark.cloned(), is_past }
    }

    /// Returns the command that fetches a part of a built-in dataset, from where the rest of it came.
    fn fetch(&self, name: &str, command: impl Fn(&Offer<'_>) -> String) -> Option<String> {
        let dataset = Dataset::built_in(name).ok().filter(|_| !self.is_past)?;
        let flags = self.mark.as_ref().map(|mark| mark.source_flags(&dataset)).unwrap_or_default();
        Some(command(&Offer { lake: &self.lake, dataset: &dataset, dataset_arg: None, flags }))
    }

    /// Returns the command that fetches enough of a dataset for a query.
    ///
    /// - `sql`: the query, which may be a shipped one and thus say what it needs.
    fn fetch_for(&self, name: &str, sql: &str) -> Option<String> {
        let needs = Shipped::with_sql(sql).map(|shipped| shipped.needs).unwrap_or_default();
        match needs.iter().find(|(needed, _)| *needed == name) {
            Some((_, which)) => self.fetch(name, |offer| offer.run(which)),
            None => self.fetch(name, |offer| offer.first()),
        }
    }

    /// Returns what to do about a table that the lake lacks; `None` if no built-in dataset has to do with it.
    ///
    /// - `table`: its name, with that of its database.
    /// - `tables`: the tables of the lake.
    pub(super) fn on_missing(&self, table: &str, sql: &str, tables: &[CatalogTable]) -> Option<String> {
        let (database, table) = table.rsplit_once('.').unwrap_or((DEFAULT_DATABASE, table));
        // The engine names the default database where the author names none, and then the table may be in any.
        let database = Some(database).filter(|database| *database != DEFAULT_DATABASE);
        let called = built_in_called(database, table)?;
        let is_there =
            tables.iter().any(|table| built_in_name(&table.database, &table.table) == Some(called.dataset()));
        let fetch = if is_there { None } else { self.fetch_for(called.dataset(), sql) };
        let fetch = fetch.map(|fetch| format!("fetch it with `{fetch}`"));
        let name = match called {
            Called::Table(_) => None,
            Called::Dataset { name, table } => Some(format!("the table of dataset `{name}` is `{table}`")),
        };
        let parts: Vec<String> = [name, fetch].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Returns what to do about a lake without tables.
    ///
    /// - `table`: the table that a query reads.
    pub(super) fn on_empty(&self, table: &str, sql: &str) -> String {
        let fetch = self.on_missing(table, sql, &[]);
        let any = || self.fetch_for(DEFAULT_DATASET, sql).map(|fetch| format!("fetch some with `{fetch}`"));
        let fetch = fetch.or_else(any).map_or_else(String::new, |fetch| format!("{fetch}, or "));
        format!(
            "the lake `{}` holds no tables yet; {fetch}register the files in its folder `data` with `{}`",
            self.lake.name(),
            self.lake.command("rollcall repair")
        )
    }

    /// Returns a note for a shipped query that found no rows; `None` if it need not find any, or is no shipped one.
    pub(super) fn note_on_nothing(&self, sql: &str) -> Option<String> {
        let shipped = Shipped::with_sql(sql).filter(|shipped| !shipped.may_find_nothing)?;
        let commands = shipped.needs.iter().map(|(dataset, which)| self.fetch(dataset, |offer| offer.run(which)));
        let commands: Vec<String> = commands.flatten().map(|command| format!("`{command}`")).collect();
        let hint = match commands.is_empty() {
            true => String::new(),
            false => format!("\nhint: fetch it with {}", commands.join(" and ")),
        };
        Some(format!("`{}` found no rows; it needs {}{hint}", shipped.name, shipped.needs_in_words()))
    }

    /// Returns the command that fetches again what there is reason to, such as missing and damaged files.
    pub(super) fn refresh(&self, database: &str, table: &str) -> String {
        let flags = self.mark.as_ref().map(|mark| mark.source_flags_of(table)).unwrap_or_default();
        run_command(REFRESH, dataset_flag(database, table), &self.lake, &flags)
    }

    /// Returns the command that updates the catalog of a table.
    pub(super) fn repair(&self, database: &str, table: &str) -> String {
        let flag = dataset_flag(database, table).map_or_else(String::new, |flag| format!(" {flag}"));
        self.lake.command(&format!("rollcall repair{flag}"))
    }

    /// Returns the command that writes the lookup tables.
    pub(super) fn repair_lookups(&self) -> String {
        self.lake.command("rollcall repair")
    }

    /// Returns what to do about objects of a table that the catalog names but the lake lacks.
    pub(super) fn on_missing_objects(&self, database: &str, table: &str) -> String {
        if self.is_past {
            return "restore them from a backup".to_owned();
        }
        let (refresh, repair) = (self.refresh(database, table), self.repair(database, table));
        format!("fetch again with `{refresh}`, or update the catalog with `{repair}`")
    }

    /// Returns what to do if a file may be damaged that a query reads; `None` if it reads no table.
    pub(super) fn on_damage(&self, sql: &str, tables: &[CatalogTable]) -> Option<String> {
        if self.is_past {
            return Some("if a file is damaged, restore it from a backup".to_owned());
        }
        let words = words_of(sql);
        let named = tables.iter().filter(|table| table.names().any(|name| words.contains(name)));
        let commands = named.map(|table| match table.partition_keys.is_empty() {
            true => format!("`{}`", self.repair_lookups()),
            false => format!("`{}`", self.refresh(&table.database, &table.table)),
        });
        let commands: Vec<String> = commands.collect();
        (!commands.is_empty()).then(|| format!("if a file is damaged, replace it with {}", commands.join(" or ")))
    }
}

/// Returns the flag that selects the dataset in a table; `None` for the default.
fn dataset_flag(database: &str, table: &str) -> Option<String> {
    // A dataset that is not built in is in a file, whose name the lake does not know.
    flag_of(built_in_name(database, table).unwrap_or("FILE.toml"))
}
