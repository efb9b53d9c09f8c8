//! The columns that two files share, and the cells in them.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};

use crate::file::columns::RESCUED;

/// A column that both files have.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) old: usize,
    pub(super) new: usize,
    /// Whether both files have the same type.
    is_same_type: bool,
    form: Form,
}

/// The form in which cells are compared, if the types differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Int,
    Double,
    Text,
}

/// The value of one cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
}

/// How a cell changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Recoded,
    Revised,
    Filled,
    Blanked,
}

impl Shared {
    /// Returns the columns that both files have, in the new file's order. If their columns differ, a field may have
    /// moved between a column and [`RESCUED`], so that one is left out.
    pub(super) fn columns(old: &Schema, new: &Schema) -> Vec<Self> {
        let are_equal = old.fields() == new.fields();
        let shared = new.fields().iter().enumerate().filter_map(|(index, field)| {
            if field.name() == RESCUED && !are_equal {
                return None;
            }
            let (old, before) = old.column_with_name(field.name())?;
            let form = form(field.data_type()).max(form(before.data_type()));
            let is_same_type = before.data_type() == field.data_type();
            Some(Self { name: field.name().clone(), old, new: index, is_same_type, form })
        });
        shared.collect()
    }

    /// Returns whether two batches have the same cells in this column.
    pub(super) fn is_equal(&self, old: &RecordBatch, new: &RecordBatch) -> bool {
        self.is_same_type && old.column(self.old) == new.column(self.new)
    }

    /// Returns the cell of a row of the old or the new file in the form in which both are compared.
    pub(super) fn cell<'a>(&self, column: &'a ArrayRef, row: usize) -> Cell<'a> {
        let cell = Cell::read(column, row);
        if self.is_same_type { cell } else { cell.into_form(self.form) }
    }
}

fn form(kind: &DataType) -> Form {
    match kind {
        DataType::Int32 | DataType::Int64 => Form::Int,
        DataType::Float64 => Form::Double,
        _ => Form::Text,
    }
}

impl<'a> Cell<'a> {
    /// Reads a cell of a column that a descriptor can declare.
    pub(crate) fn read(column: &'a ArrayRef, row: usize) -> Self {
        if column.is_null(row) {
            return Self::Null;
        }
        match column.data_type() {
            DataType::Int32 => Self::Int(column.as_primitive::<Int32Type>().value(row).into()),
            DataType::Int64 => Self::Int(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Self::Double(column.as_primitive::<Float64Type>().value(row)),
            _ => Self::Text(column.as_string::<i32>().value(row).into()),
        }
    }

    fn into_form(self, form: Form) -> Self {
        match (self, form) {
            (Self::Int(value), Form::Double) => Self::Double(value as f64),
            (cell @ (Self::Int(_) | Self::Double(_)), Form::Text) => Self::Text(cell.to_string().into()),
            (cell, _) => cell,
        }
    }

    /// Returns whether the cell says that there is no value.
    fn is_code(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Int(value) => matches!(value, -3..=-1),
            Self::Double(value) => [-1.0, -2.0, -3.0].contains(value),
            Self::Text(text) => matches!(text.as_ref(), "" | "-1" | "-2" | "-3"),
        }
    }

    /// Returns how this cell changed into `new`; `None` if it is the same.
    pub(super) fn change(&self, new: &Self) -> Option<Class> {
        if self == new {
            return None;
        }
        Some(match (self.is_code(), new.is_code()) {
            (true, true) => Class::Recoded,
            (true, false) => Class::Filled,
            (false, true) => Class::Blanked,
            (false, false) => Class::Revised,
        })
    }

    /// Appends the cell in a form in which only equal cells are equal.
    pub(super) fn write_canonical(&self, row: &mut Vec<u8>) {
        match self {
            Self::Null => row.push(0),
            Self::Int(value) => {
                row.push(1);
                row.extend_from_slice(&value.to_le_bytes());
            }
            Self::Double(value) => {
                row.push(1);
                // The sum turns -0.0 into 0.0, because both are equal.
                row.extend_from_slice(&(value + 0.0).to_bits().to_le_bytes());
            }
            Self::Text(text) => {
                row.push(1);
                row.extend_from_slice(&(text.len() as u64).to_le_bytes());
                row.extend_from_slice(text.as_bytes());
            }
        }
    }
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}
