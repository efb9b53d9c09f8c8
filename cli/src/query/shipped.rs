//! The shipped queries, from the folder `queries/`.

use rollcall_core::text::nearest;

use crate::exit::BadInput;
use crate::table;

/// The shipped queries: name and SQL.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    ("charter_share_by_state", include_str!("../../../queries/charter_share_by_state.sql")),
    ("codes_by_state", include_str!("../../../queries/codes_by_state.sql")),
    ("cohort_progression", include_str!("../../../queries/cohort_progression.sql")),
    ("enrollment_by_year_and_grade", include_str!("../../../queries/enrollment_by_year_and_grade.sql")),
    ("grades_against_total", include_str!("../../../queries/grades_against_total.sql")),
    ("largest_districts", include_str!("../../../queries/largest_districts.sql")),
    ("race_composition_by_state", include_str!("../../../queries/race_composition_by_state.sql")),
    ("rescued_values", include_str!("../../../queries/rescued_values.sql")),
    ("school_openings_and_closings", include_str!("../../../queries/school_openings_and_closings.sql")),
    ("state_change_by_year", include_str!("../../../queries/state_change_by_year.sql")),
    ("top_ten_pk_states", include_str!("../../../queries/top_ten_pk_states.sql")),
];

/// Returns the question that a shipped query answers, from its first comment line.
pub(crate) fn question(sql: &str) -> &str {
    sql.lines().find_map(|line| line.strip_prefix("-- Question: ")).unwrap_or_default()
}

/// Returns the SQL of a shipped query, or `query` itself if it is SQL.
///
/// # Errors
/// [`BadInput`] if `query` is a single word and no shipped query has that name, with the nearest one.
pub(crate) fn find_sql(query: &str) -> Result<String, BadInput> {
    let name = query.trim().trim_end_matches(';');
    if let Some((_, sql)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return Ok((*sql).to_owned());
    }
    if query.split_whitespace().count() > 1 {
        return Ok(query.to_owned());
    }
    if query.ends_with(".sql") {
        return Err(BadInput(format!(
            "find query: expected SQL or the name of a shipped query, found `{query}`\nhint: read a file with --file {query}"
        )));
    }
    let meant = nearest(query, SHIPPED.iter().map(|(name, _)| *name));
    let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
    Err(BadInput(format!(
        "find query: expected SQL or the name of a shipped query, found `{query}`\nhint: {meant}`rollcall query --list` lists \
         the shipped queries, and `rollcall tables` the tables"
    )))
}

/// Returns the shipped queries and their questions, a line each.
pub(super) fn list() -> String {
    let mut table = table::table(&["query", "question"]);
    for (name, sql) in SHIPPED {
        table.add_row([*name, question(sql)]);
    }
    table::render(&table)
}
