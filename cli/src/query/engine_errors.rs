//! Classifies and formats the errors of the SQL engine.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use rollcall_core::Error;
use rollcall_core::ports::CatalogError;

use crate::lake::args::LakeArgs;
use crate::query::file_check::MismatchedFile;

/// Returns the error for an unreadable catalog, with a hint.
///
/// One unreadable file fails every query, because it is unknown which table it described.
pub(super) fn unreadable_catalog(error: CatalogError, lake: &LakeArgs) -> Error {
    let source = CatalogError {
        message: format!(
            "{}; `{}` rebuilds it from the objects, and with --dataset FILE.toml those of a dataset that is not built in",
            error.message,
            lake.command("rollcall repair")
        ),
        source: error.source,
    };
    Error::CatalogFailed { table: "of this lake".to_owned(), source }
}

/// Returns the mismatched file that made a query fail, if one did.
pub(super) fn mismatched_file(error: &DataFusionError) -> Option<&MismatchedFile> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(file) = error.downcast_ref::<MismatchedFile>() {
            return Some(file);
        }
        cause = error.source();
    }
    None
}

/// Checks whether a failure at run time is caused by the SQL, such as a cast of text that is not a number.
pub(super) fn is_caused_by_sql(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::SQL(..)
        | DataFusionError::NotImplemented(_) => true,
        DataFusionError::Execution(message) => message.starts_with("Placeholder "),
        DataFusionError::ArrowError(error, _) => matches!(
            **error,
            ArrowError::CastError(_)
                | ArrowError::ParseError(_)
                | ArrowError::DivideByZero
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::InvalidArgumentError(_)
                | ArrowError::ComputeError(_)
        ),
        _ => false,
    }
}

/// Returns the engine's message on one line, without repeating its causes.
pub(super) fn in_one_line(error: &DataFusionError) -> String {
    let mut parts: Vec<String> = Vec::new();
    let text = error.strip_backtrace();
    // The engine's rules mean nothing to the author of SQL, nor does its advice to report errors to its developers.
    let text = text.split("This issue was likely caused by a bug").next().unwrap_or_default().trim_end();
    let is_of_rule =
        |cause: &&str| ["Optimizer rule '", "PhysicalOptimizer rule '"].iter().any(|it| cause.starts_with(it));
    for cause in text.split("\ncaused by\n").filter(|cause| !is_of_rule(cause)) {
        if !parts.iter().any(|part| part.ends_with(cause)) {
            parts.retain(|part| !cause.ends_with(part.as_str()));
            parts.push(cause.replace('\n', " "));
        }
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_no_rule_of_the_engine_and_does_not_send_users_to_its_developers() {
        let cause = Box::new(DataFusionError::Internal("unexpected type".to_owned()));
        let error = DataFusionError::Context("Optimizer rule 'simplify_expressions' failed".to_owned(), cause);
        assert!(error.strip_backtrace().contains("simplify_expressions"), "{error}");
        assert_eq!(in_one_line(&error), "Internal error: unexpected type.");
    }
}
