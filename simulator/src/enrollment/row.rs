//! Writes enrollment rows as JSON.

use crate::enrollment::axes::Axes;
use crate::enrollment::school_cells::SchoolCells;
use crate::json::push_number;
use crate::sample::school::{Cell, Reported};

/// Writes rows of one partition. Keeps the parts that are the same in every row.
pub(super) struct RowWriter {
    axes: Axes,
    head: Vec<u8>,
    grade: Vec<u8>,
}

impl RowWriter {
    pub(super) fn new(axes: Axes) -> RowWriter {
        let head = format!("{{\"year\":{},\"ncessch\":\"", axes.year).into_bytes();
        let grade = format!(",\"grade\":{},\"race\":", axes.grade.0).into_bytes();
        RowWriter { axes, head, grade }
    }

    /// Appends a row as a JSON object.
    pub(super) fn push(&self, cells: &SchoolCells, race: u8, sex: u8, into: &mut Vec<u8>) {
        let id = cells.id_text.as_slice();
        let n_omitted = usize::from(id.first() == Some(&b'0'));
        into.extend_from_slice(&self.head);
        into.extend_from_slice(id);
        into.extend_from_slice(b"\",\"ncessch_num\":");
        into.extend_from_slice(id.get(n_omitted..).unwrap_or_default());
        into.extend_from_slice(&self.grade);
        push_number(race.into(), into);
        into.extend_from_slice(b",\"sex\":");
        push_number(sex.into(), into);
        into.extend_from_slice(b",\"enrollment\":");
        let cell = Cell { year: self.axes.year, grade: self.axes.grade, race, sex };
        match cells.school.report(cell, cells.students(race, sex) as u32) {
            Reported::Students(students) => push_number(students.into(), into),
            Reported::Code(code) => {
                into.push(b'-');
                push_number(code.unsigned_abs().into(), into);
            }
            Reported::Null => into.extend_from_slice(b"null"),
        }
        into.extend_from_slice(b",\"fips\":");
        into.extend_from_slice(id.get(n_omitted..2).unwrap_or_default());
        // The enrollment endpoints omit the leading zero of `leaid`.
        into.extend_from_slice(b",\"leaid\":\"");
        into.extend_from_slice(id.get(n_omitted..7).unwrap_or_default());
        into.extend_from_slice(b"\"}");
    }
}
