//! The catalog table of a dataset.

use crate::dataset::Dataset;
use crate::file::columns::RESCUED;
use crate::keys;
use crate::ports::catalog::TableSpec;

impl Dataset {
    /// Returns the desired catalog table.
    #[must_use]
    pub fn table_spec(&self) -> TableSpec {
        let mut columns: Vec<_> =
            self.columns.iter().map(|c| (c.name.clone(), c.kind.glue_type().to_owned(), c.comment.clone())).collect();
        columns.push((
            RESCUED.to_owned(),
            "string".to_owned(),
            "JSON of fields not declared and of values that do not fit; null when there are none".to_owned(),
        ));
        TableSpec {
            database: self.database.clone(),
            table: self.table.clone(),
            comment: format!("{} Source: {}", self.comment, self.attribution),
            location: keys::table_prefix(&self.table),
            columns,
            partition_keys: self
                .axes
                .iter()
                .map(|a| (a.name.clone(), a.kind.glue_type().to_owned(), a.comment.clone()))
                .collect(),
            view: Some(self.labeled_view()),
        }
    }

    /// Returns `database.table`, the table's name in queries.
    #[must_use]
    pub fn qualified_table(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}
