//! The columns of a dataset's files, and the schema id.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::dataset::Dataset;
use crate::file::columns::{RESCUED, TypedColumn};

impl Dataset {
    /// Returns the columns of the files: the descriptor's, then `_rescued`.
    #[must_use]
    pub fn file_schema(&self) -> SchemaRef {
        let mut fields = self.fields();
        fields.push(Field::new(RESCUED, DataType::Utf8, true));
        Arc::new(Schema::new(fields))
    }

    /// Returns the descriptor's columns, without `_rescued`.
    pub(crate) fn plain_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields()))
    }

    fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|column| Field::new(&column.name, column.kind.arrow_type(), true)).collect()
    }

    /// Returns the columns of this descriptor's files, in file order.
    #[must_use]
    pub fn typed_columns(&self) -> Vec<TypedColumn> {
        let declared = self.columns.iter().map(|column| (column.name.as_str(), column.kind.glue_type()));
        let typed = declared.chain([(RESCUED, "string")]);
        typed.map(|(name, kind)| TypedColumn { name: name.to_owned(), kind: kind.to_owned() }).collect()
    }

    /// Returns a hash of everything in the descriptor that affects a file: axes with their codes, columns, and key.
    /// Comments are left out.
    #[must_use]
    pub fn schema_id(&self) -> u64 {
        let mut text = String::new();
        let mut push = |part: &str| {
            text.push_str(part);
            text.push('\u{1f}');
        };
        for axis in &self.axes {
            push(&axis.name);
            push(axis.kind.glue_type());
            for value in &axis.values {
                push(&value.value);
                push(&value.code.to_string());
            }
        }
        for column in &self.columns {
            push(&column.name);
            if let Some(field) = &column.field {
                push(field);
            }
            push(column.kind.glue_type());
            push(&column.width.map_or_else(String::new, |width| width.to_string()));
            for (name, digits) in &column.starts_with {
                push(&format!("{name}={digits}"));
            }
            push(if column.dictionary { "dictionary" } else { "plain" });
        }
        for name in &self.key {
            push(name);
        }
        twox_hash::XxHash3_64::oneshot(text.as_bytes())
    }
}
