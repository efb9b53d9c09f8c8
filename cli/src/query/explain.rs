//! Explains to the author of SQL why the engine does not accept it.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::parser::ParserError;
use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_core::text::{closest, misspelled, nearest};

use crate::lake::args::LakeArgs;
use crate::query::default_database::CATALOG;
use crate::query::engine_errors::in_one_line;
use crate::query::offers::Offers;

/// Maximum number of names that a hint lists.
const MAX_LISTED: usize = 10;
/// Number of the nearest columns that a hint lists if there are more.
const MAX_NEAREST: usize = 5;
/// Lists the columns of a table.
const DESCRIBE: &str = "rollcall describe TABLE";
/// Width of the line of SQL that a message shows, in characters.
const EXCERPT: usize = 70;

/// What is wrong with a query, and what to do about it.
struct Explanation {
    cause: String,
    hint: Option<String>,
    unknown: Option<Unknown>,
}

/// What a query names that is not there. The hint depends on what is.
enum Unknown {
    Table(String),
    Function(String),
}

impl Explanation {
    fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), hint: None, unknown: None }
    }

    fn with_hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    fn of_unknown(what: &str, name: &str, unknown: impl Fn(String) -> Unknown) -> Self {
        Self { unknown: Some(unknown(name.to_owned())), ..Self::new(format!("no {what} `{name}`")) }
    }
}

/// Returns what is wrong with a query: one line, the line of SQL with a caret below the place if it is known, and a hint if
/// there is one.
///
/// - `offers`: knows how to fetch what the lake lacks.
/// - `context`: knows the functions.
pub(super) fn explain(
    error: &DataFusionError,
    sql: &str,
    tables: &[CatalogTable],
    offers: &Offers,
    context: &SessionContext,
) -> String {
    let names = names(tables);
    let Explanation { cause, hint, unknown } = explanation(error, &names, &offers.lake);
    let hint = match unknown {
        Some(Unknown::Table(table)) if names.is_empty() => Some(offers.on_empty(&table, sql)),
        Some(Unknown::Table(table)) => {
            Some(offers.on_missing(&table, sql, tables).unwrap_or_else(|| similar_table(&table, &names, &offers.lake)))
        }
        Some(Unknown::Function(function)) => similar_function(&function, context),
        None => hint,
    };
    let place = marked_place(error, sql);
    let hint = hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    format!("{cause}{place}{hint}")
}

/// Returns what is wrong with the syntax of a query, without running it; `None` if nothing is.
pub(crate) fn syntax_error(sql: &str) -> Option<String> {
    let parsed = datafusion::sql::parser::DFParser::parse_sql(sql);
    let error = parsed.err()?;
    let cause = match error.find_root() {
        DataFusionError::SQL(error, _) => syntax(error),
        _ => in_one_line(&error),
    };
    Some(cause + &marked_place(&error, sql))
}

/// Returns the names of tables and views, with their databases.
fn names(tables: &[CatalogTable]) -> Vec<String> {
    let names =
        |table: &CatalogTable| table.names().map(|name| format!("{}.{name}", table.database)).collect::<Vec<_>>();
    tables.iter().flat_map(names).collect()
}

fn explanation(error: &DataFusionError, names: &[String], lake: &LakeArgs) -> Explanation {
    match error.find_root() {
        DataFusionError::SQL(error, _) => Explanation::new(syntax(error)),
        DataFusionError::SchemaError(error, _) => column(error, names, lake),
        DataFusionError::ArrowError(error, _) => value(error),
        DataFusionError::Plan(message) => plan(message, names),
        DataFusionError::NotImplemented(message) if message.contains("a single SQL statement") => {
            Explanation::new("expected one statement, found several")
        }
        DataFusionError::NotImplemented(message) => Explanation::new(not_supported(message)),
        DataFusionError::Execution(message) if message.starts_with("Placeholder ") => {
            let name = quoted_after(message, "Placeholder '").unwrap_or_default();
            Explanation::new(format!("expected a value instead of the placeholder `{name}`"))
        }
        _ => Explanation::new(without_databases(&in_one_line(error), names)),
    }
}

/// Explains what the engine cannot do, without its advice to those who build it and without its data structures.
fn not_supported(message: &str) -> String {
    if message.contains("array literal") {
        return "lists such as `[1, 2]` are not supported".to_owned();
    }
    // Such as `MAP not supported by ExprPlanner: [Literal(Utf8("a"), None)]`.
    if let Some((what, _)) = message.split_once(" not supported by ExprPlanner") {
        return format!("not supported: {what}");
    }
    let message = message.split(" Hint:").next().unwrap_or_default();
    let message = message.split(" {").next().unwrap_or_default().trim_end_matches('.');
    let message = in_sql_types(&message.replace('\n', " ").replace("Unsupported ast node ", ""));
    let says_so = message.to_lowercase().contains("support");
    if says_so { message } else { format!("not supported: {message}") }
}

/// Explains what the parser reports: `Expected: an expression, found: , at Line: 2, Column: 4`.
fn syntax(error: &ParserError) -> String {
    let (ParserError::TokenizerError(message) | ParserError::ParserError(message)) = error else {
        return error.to_string();
    };
    let message = message.rsplit_once(" at Line: ").map_or(message.as_str(), |(message, _)| message);
    match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, "EOF")) => format!("expected {expected}, found the end"),
        Some((expected, found)) => format!("expected {expected}, found `{found}`"),
        None => message.to_owned(),
    }
}

fn column(error: &SchemaError, names: &[String], lake: &LakeArgs) -> Explanation {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let columns: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
            let cause = format!("no column `{}`", field.flat_name());
            if let Some(hint) = column_of_table(field, valid_fields, lake) {
                return Explanation::new(cause).with_hint(hint);
            }
            let hint = match nearest(&field.name, columns.iter().copied()) {
                // The name is right, but that of its table is not.
                Some(meant) if meant == field.name => {
                    let meant = valid_fields.iter().find(|field| field.name == meant);
                    meant.map(|meant| format!("write `{}`", without_databases(&meant.flat_name(), names)))
                }
                Some(meant) => Some(format!("did you mean `{meant}`?")),
                None if columns.is_empty() => None,
                None if columns.len() <= MAX_LISTED => Some(format!("columns: {}", columns.join(", "))),
                None => Some(format!("`{}` lists the columns", lake.command(DESCRIBE))),
            };
            Explanation::new(cause).with_hint(hint)
        }
        SchemaError::AmbiguousReference { field } => {
            let name = &field.name;
            Explanation::new(format!("column `{name}` is in several of these tables"))
                .with_hint(format!("name its table, as in `t.{name}`"))
        }
        other => Explanation::new(without_databases(&other.to_string(), names)),
    }
}

/// Returns a hint for a column that is not in the table before it; `None` if the query has no such table.
fn column_of_table(field: &Column, valid_fields: &[Column], lake: &LakeArgs) -> Option<String> {
    let table = field.relation.as_ref()?;
    let of_table = |other: &&Column| other.relation.as_ref().is_some_and(|other| other.resolved_eq(table));
    let columns: Vec<&str> = valid_fields.iter().filter(of_table).map(|field| field.name.as_str()).collect();
    if columns.is_empty() {
        return None;
    }
    let table = table.table();
    let elsewhere = valid_fields.iter().filter(|other| other.name == field.name).find_map(|it| it.relation.as_ref());
    let elsewhere = elsewhere.map_or_else(String::new, |other| format!("; `{}` has `{}`", other.table(), field.name));
    Some(match nearest(&field.name, columns.iter().copied()) {
        Some(meant) => format!("did you mean `{table}.{meant}`?"),
        None if columns.len() <= MAX_LISTED => format!("columns of `{table}`: {}{elsewhere}", columns.join(", ")),
        None => {
            let nearest = closest(&field.name, columns, MAX_NEAREST).join(", ");
            let describe = lake.command(DESCRIBE);
            format!("the nearest columns of `{table}`: {nearest}{elsewhere}; `{describe}` lists all")
        }
    })
}

/// Explains a value that cannot be computed.
fn value(error: &ArrowError) -> Explanation {
    match error {
        ArrowError::DivideByZero => Explanation::new("division by zero"),
        ArrowError::CastError(message) => {
            // Such as `Cannot cast string 'x' to value of Int32 type`.
            let parts = message.strip_prefix("Cannot cast string '").and_then(|rest| rest.split_once("' to value of "));
            match parts {
                Some((text, kind)) => Explanation::new(format!("'{text}' is not {}", a_kind(kind)))
                    .with_hint("`try_cast` gives null for what cannot be cast".to_owned()),
                None => Explanation::new(in_sql_types(message)),
            }
        }
        ArrowError::ParseError(message) | ArrowError::ComputeError(message) => Explanation::new(in_sql_types(message)),
        other => Explanation::new(in_sql_types(&other.to_string())),
    }
}

/// Explains what planning reports.
fn plan(message: &str, names: &[String]) -> Explanation {
    if let Some(table) = unknown_table(message) {
        return Explanation::of_unknown("table", table, Unknown::Table);
    }
    let quoted = |before| quoted_after(message, before);
    if let Some(function) = quoted("Invalid function '") {
        return Explanation::of_unknown("function", function, Unknown::Function);
    }
    if let Some(call) = quoted("No function matches the given name and argument types '") {
        return Explanation::new(format!("no function takes `{}`", in_sql_types(call)));
    }
    if message.starts_with("Column in SELECT must be in GROUP BY")
        && let Some((name, _)) = message.split_once("column \"").and_then(|(_, rest)| rest.split_once('"'))
    {
        let name = without_databases(name, names);
        return Explanation::new(format!("column `{name}` must be in `group by`, or inside a function such as `max`"));
    }
    if ["DDL", "DML", "Statement"].iter().any(|kind| message.starts_with(&format!("{kind} not supported: "))) {
        return Explanation::new("expected a query, which only reads, found a statement that changes something");
    }
    if message.starts_with("No SQL statements") {
        return Explanation::new("expected a statement, found none");
    }
    let message = message.split(" Hint:").next().unwrap_or_default();
    Explanation::new(in_sql_types(&without_databases(&message.replace('\n', " "), names)))
}

/// Returns the table that planning does not find.
fn unknown_table(message: &str) -> Option<&str> {
    let table = quoted_after(message.strip_suffix(" not found")?, "table '")?;
    Some(table.strip_prefix(CATALOG).and_then(|table| table.strip_prefix('.')).unwrap_or(table))
}

/// Returns what is in a message between some text that ends with a quote, and the next quote.
fn quoted_after<'m>(message: &'m str, before: &str) -> Option<&'m str> {
    message.split_once(before).and_then(|(_, rest)| rest.split_once('\'')).map(|(quoted, _)| quoted)
}

/// Returns a hint with the function that was probably meant. The engine's own suggests whatever function is nearest.
fn similar_function(name: &str, context: &SessionContext) -> Option<String> {
    let functions: Vec<String> = context.udfs().into_iter().chain(context.udafs()).chain(context.udwfs()).collect();
    misspelled(name, functions.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"))
}

/// Returns a hint with the table that was probably meant, or with all of them.
fn similar_table(table: &str, names: &[String], lake: &LakeArgs) -> String {
    let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let missing = bare(table);
    let bares: Vec<String> = names.iter().map(|name| bare(name)).collect();
    let meant = nearest(&missing, bares.iter().map(String::as_str));
    let meant = meant.and_then(|meant| names.iter().find(|name| bare(name) == meant));
    let list = lake.command("rollcall tables");
    match meant {
        Some(meant) => format!("did you mean `{meant}`? `{list}` lists all"),
        None if names.len() <= MAX_LISTED => format!("tables of this lake: {}", names.join(", ")),
        None => format!("`{list}` lists the {} tables and views", names.len()),
    }
}

/// Returns a kind of value with its article: `Int32 type` → `a number`.
fn a_kind(kind: &str) -> String {
    match kind.trim_end_matches(" type") {
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => "a whole number".to_owned(),
        "Float16" | "Float32" | "Float64" => "a number".to_owned(),
        "Date32" | "Date64" => "a date".to_owned(),
        "Boolean" => "true or false".to_owned(),
        other => format!("of type {other}"),
    }
}

/// Returns a message with the names that SQL has for types.
fn in_sql_types(message: &str) -> String {
    let types = [
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("Int32", "int"),
        ("Int64", "bigint"),
        ("Float64", "double"),
        ("Date32", "date"),
        ("Boolean", "boolean"),
    ];
    types.iter().fold(message.to_owned(), |text, (arrow, sql)| text.replace(arrow, sql))
}

/// Returns a message with the names of columns only, where the engine puts those of databases and tables before them.
fn without_databases(message: &str, names: &[String]) -> String {
    let strip = |text: String, name: &str| text.replace(&format!("{name}."), "");
    names.iter().fold(message.to_owned(), |text, name| {
        let bare = name.rsplit('.').next().unwrap_or_default();
        strip(strip(text, name), bare)
    })
}

/// Returns the line of SQL in which the engine found the mistake, with a caret below it; nothing if it does not say.
fn marked_place(error: &DataFusionError, sql: &str) -> String {
    place(error).and_then(|(line, column)| marked(sql, line, column)).unwrap_or_default()
}

/// Returns where the engine found the mistake: line and column, from 1.
fn place(error: &DataFusionError) -> Option<(usize, usize)> {
    if let DataFusionError::SQL(error, _) = error.find_root()
        && let ParserError::TokenizerError(message) | ParserError::ParserError(message) = error.as_ref()
    {
        let (_, place) = message.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        return Some((line.parse().ok()?, column.parse().ok()?));
    }
    let start = error.diagnostic()?.span?.start;
    Some((usize::try_from(start.line).ok()?, usize::try_from(start.column).ok()?))
}

/// Returns a line of SQL with a caret below a column, as two lines; `None` if there is no such line.
fn marked(sql: &str, line: usize, column: usize) -> Option<String> {
    let shown: Vec<char> = sql.lines().nth(line.checked_sub(1)?)?.chars().collect();
    let at = column.checked_sub(1)?.min(shown.len());
    // A long line is shown from some way before the place.
    let start = if at >= EXCERPT { at - EXCERPT / 2 } else { 0 };
    let excerpt = shown.iter().skip(start).take(EXCERPT);
    // One character stays one character, so that the caret is below it.
    let excerpt: String =
        excerpt.map(|c| if c.is_whitespace() || crate::escape::is_control(*c) { ' ' } else { *c }).collect();
    let (before, after) = (if start > 0 { "…" } else { "" }, if start + EXCERPT < shown.len() { "…" } else { "" });
    let indent = " ".repeat(at - start + before.chars().count());
    Some(format!("\n  {before}{}{after}\n  {indent}^", excerpt.trim_end()))
}
