//! `rollcall query`: SQL over the lake's catalog, by an engine in this process.

pub(crate) mod engine;
mod file_check;
mod lake_table;
mod pinned_folder;
mod render;

use std::process::ExitCode;

use clap::Args;

use crate::exit::BadInput;
use crate::lake::mark::LakeMark;
use crate::lake::{self, LakeArgs};
use crate::output::{self};
use crate::query::engine::result;
use crate::query::render::QueryFormat;
use crate::table;
use crate::warnings;

/// Queries shipped, by name.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    ("charter_share_by_state", include_str!("../../queries/charter_share_by_state.sql")),
    ("codes_by_state", include_str!("../../queries/codes_by_state.sql")),
    ("cohort_progression", include_str!("../../queries/cohort_progression.sql")),
    ("enrollment_by_year_and_grade", include_str!("../../queries/enrollment_by_year_and_grade.sql")),
    ("grades_against_total", include_str!("../../queries/grades_against_total.sql")),
    ("largest_districts", include_str!("../../queries/largest_districts.sql")),
    ("race_composition_by_state", include_str!("../../queries/race_composition_by_state.sql")),
    ("rescued_values", include_str!("../../queries/rescued_values.sql")),
    ("school_openings_and_closings", include_str!("../../queries/school_openings_and_closings.sql")),
    ("state_change_by_year", include_str!("../../queries/state_change_by_year.sql")),
    ("top_ten_pk_states", include_str!("../../queries/top_ten_pk_states.sql")),
];

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// A shipped query's name, or SQL; the shipped queries are listed when it is left out
    #[arg(allow_hyphen_values = true)]
    query: Option<String>,
    #[command(flatten)]
    lake: LakeArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    format: QueryFormat,
}

pub(crate) async fn run(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let Some(query) = &args.query else {
        let mut table = table::table(&["query", "question"]);
        for (name, sql) in SHIPPED {
            table.add_row([*name, question(sql)]);
        }
        output::print(&table::render(&table))?;
        return Ok(ExitCode::SUCCESS);
    };
    let sql = find(query)?;
    let store =
        args.lake.existing_folder("Athena answers queries over a bucket; the stack has a work group for them").await?;
    let text = result(&lake::catalog(&store), store.root(), &sql, args.format).await?;
    match args.format {
        QueryFormat::Csv => output::print_data(&text)?,
        QueryFormat::Table | QueryFormat::Json => output::print(&text)?,
    }
    warnings::note_sample(LakeMark::find(&store).await?.is_some_and(|mark| mark.is_sample));
    Ok(ExitCode::SUCCESS)
}

/// The first comment line of a query: the question it answers.
pub(crate) fn question(sql: &str) -> &str {
    sql.lines().find_map(|line| line.strip_prefix("-- Question: ")).unwrap_or_default()
}

/// The SQL of a shipped query's name, or the text itself when it is SQL.
///
/// # Errors
/// [`BadInput`] naming the shipped queries when it is one word that is none of them.
pub(crate) fn find(query: &str) -> Result<String, BadInput> {
    if let Some((_, sql)) = SHIPPED.iter().find(|(name, _)| *name == query) {
        return Ok((*sql).to_owned());
    }
    if query.split_whitespace().count() > 1 {
        return Ok(query.to_owned());
    }
    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    Err(BadInput(format!("find query: expected SQL or one of {}, found `{query}`", names.join(", "))))
}
