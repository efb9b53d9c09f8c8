//! The shipped queries, from the folder `queries/`.

use rollcall_core::text::nearest;

use crate::exit::BadInput;
use crate::lake::args::LakeArgs;
use crate::table;

/// A shipped query.
#[derive(Debug)]
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    /// Datasets that it reads, each with the flags that fetch enough of it to find rows.
    pub(super) needs: &'static [(&'static str, &'static str)],
    /// Whether it may find nothing although the data is there.
    pub(super) may_find_nothing: bool,
}

const NEWEST: &[(&str, &str)] = &[("ccd_enrollment", "--years latest --grades all")];
const TWO_YEARS: &[(&str, &str)] = &[("ccd_enrollment", "--years latest-2 --grades all")];

/// The shipped queries.
pub(crate) const SHIPPED: &[Shipped] = &[
    shipped(
        "charter_share_by_state",
        include_str!("../../../queries/charter_share_by_state.sql"),
        &[("ccd_enrollment", "--years 2021 --grades all"), ("ccd_directory", "--years 2021")],
    ),
    shipped("codes_by_state", include_str!("../../../queries/codes_by_state.sql"), NEWEST),
    shipped("cohort_progression", include_str!("../../../queries/cohort_progression.sql"), TWO_YEARS),
    shipped("enrollment_by_year_and_grade", include_str!("../../../queries/enrollment_by_year_and_grade.sql"), NEWEST),
    shipped(
        "grades_against_total",
        include_str!("../../../queries/grades_against_total.sql"),
        &[("ccd_enrollment", "--years latest --grades grade-99"), ("ccd_enrollment", "--years latest --grades all")],
    ),
    shipped("largest_districts", include_str!("../../../queries/largest_districts.sql"), NEWEST),
    shipped(
        "race_composition_by_state",
        include_str!("../../../queries/race_composition_by_state.sql"),
        &[("ccd_enrollment_race_sex", "--years latest --grades all")],
    ),
    Shipped {
        may_find_nothing: true,
        ..shipped("rescued_values", include_str!("../../../queries/rescued_values.sql"), NEWEST)
    },
    shipped(
        "school_openings_and_closings",
        include_str!("../../../queries/school_openings_and_closings.sql"),
        TWO_YEARS,
    ),
    shipped("state_change_by_year", include_str!("../../../queries/state_change_by_year.sql"), TWO_YEARS),
    shipped(
        "top_ten_pk_states",
        include_str!("../../../queries/top_ten_pk_states.sql"),
        &[("ccd_enrollment", "--years 2021 --grades grade-pk")],
    ),
];

const fn shipped(name: &'static str, sql: &'static str, needs: &'static [(&'static str, &'static str)]) -> Shipped {
    Shipped { name, sql, needs, may_find_nothing: false }
}

impl Shipped {
    /// Finds the query that has this SQL.
    pub(super) fn with_sql(sql: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.sql == sql)
    }

    /// Returns the question that it answers, from its first comment line.
    pub(crate) fn question(&self) -> &'static str {
        self.comment("-- Question: ")
    }

    /// Returns what it needs, in words, from its comments.
    pub(super) fn needs_in_words(&self) -> &'static str {
        self.comment("-- Needs:").trim().trim_end_matches('.')
    }

    fn comment(&self, start: &str) -> &'static str {
        self.sql.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default()
    }
}

/// Returns the SQL of a shipped query, or `query` itself if it is SQL.
///
/// # Errors
/// [`BadInput`] if `query` is a single word and no shipped query has that name, with the nearest one.
pub(crate) fn find_sql(query: &str, lake: &LakeArgs) -> Result<String, BadInput> {
    let name = query.trim().trim_end_matches(';');
    if let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == name) {
        return Ok(shipped.sql.to_owned());
    }
    if query.split_whitespace().count() > 1 {
        return Ok(query.to_owned());
    }
    if query.ends_with(".sql") {
        return Err(BadInput(format!(
            "find query: expected SQL or the name of a shipped query, found `{query}`\nhint: read a file with --file {query}"
        )));
    }
    let meant = nearest(query, SHIPPED.iter().map(|shipped| shipped.name));
    let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
    Err(BadInput(format!(
        "find query: expected SQL or the name of a shipped query, found `{query}`\nhint: {meant}`rollcall query --list` lists \
         the shipped queries, and `{}` the tables",
        lake.command("rollcall tables")
    )))
}

/// Returns the shipped queries and their questions, a line each.
pub(super) fn list() -> String {
    let mut table = table::table(&["query", "question"]);
    for shipped in SHIPPED {
        table.add_row([shipped.name, shipped.question()]);
    }
    table::render(&table)
}
