//! Exit codes, and the one place that prints the error that ends the program.

use std::process::ExitCode;

use rollcall_core::Error;
use rollcall_core::error::chain;
use rollcall_core::error::years::YearsUnreadable;
use rollcall_core::metadata::MetadataUnreadable;
use rollcall_simulator::ServeError;

use crate::output;

/// Success.
pub(crate) const OK: u8 = 0;
/// The lake, the catalog or the machine failed.
pub(crate) const FAILED: u8 = 1;
/// Invalid input: flags, request, descriptor or SQL.
pub(crate) const BAD_INPUT: u8 = 2;
/// Some partitions failed or were not tried; the others are published.
pub(crate) const PARTIAL: u8 = 3;
/// The portal could not be reached, or did not say what there is to fetch.
pub(crate) const PORTAL: u8 = 4;
/// The portal's metadata has changed since the descriptors were written.
pub(crate) const DRIFT: u8 = 5;
/// `verify` found numbers that differ.
pub(crate) const DIFFERENT: u8 = 6;
/// Another run holds the lake's lock.
pub(crate) const LOCKED: u8 = 75;
/// Interrupted by Ctrl-C, SIGTERM or SIGHUP; committed partitions are kept.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit codes, as `--help` prints them.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success
  1    the lake, the catalog or the machine failed
  2    invalid input: flags, request, descriptor or SQL
  3    some partitions failed or were not tried; the others are published
  4    the portal could not be reached, or did not say what there is to fetch
  5    the portal's metadata has changed since the descriptors were written
  6    `verify` found numbers that differ
  75   another run is using the lake
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP; committed partitions are kept";

/// Invalid input for which core has no error of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// Prints an error with its causes, and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let text = chain(error.as_ref());
    match error.downcast_ref::<Error>() {
        Some(error) => output::print_message(&format!("error: {}: {text}", error.name())),
        None => output::print_message(&format!("error: {text}")),
    }
    ExitCode::from(code(error))
}

/// Returns the exit code for an error name, from this program or from an execution.
pub(crate) fn code_of_name(name: &str) -> u8 {
    match name {
        "InvalidRequest" | "InvalidDescriptor" | "SecretMissing" => BAD_INPUT,
        "YearsUnknown" | "PortalUnavailable" | "PortalRefused" => PORTAL,
        "LakeLocked" => LOCKED,
        _ => FAILED,
    }
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(error) => code_of_name(error.name()),
        None if error.downcast_ref::<ServeError>().is_some_and(ServeError::is_bad_input) => BAD_INPUT,
        None if error.is::<MetadataUnreadable>() => PORTAL,
        None if error.is::<BadInput>() || error.is::<rollcall_adapters::http_portal::BadOrigin>() => BAD_INPUT,
        None => FAILED,
    }
}

/// Returns whether an error concerns only one dataset: it lacks what is requested, or the portal no longer lists it.
pub(crate) fn is_of_dataset_only(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<Error>(),
        Some(Error::InvalidRequest { .. } | Error::YearsUnknown { source: YearsUnreadable::NotListed(_), .. })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_refer_to_existing_error_names() {
        let coded: Vec<(&str, u8)> = Error::NAMES.iter().map(|name| (*name, code_of_name(name))).collect();
        let coded: Vec<(&str, u8)> = coded.into_iter().filter(|(_, code)| *code != FAILED).collect();
        let expected = [
            ("InvalidRequest", 2),
            ("InvalidDescriptor", 2),
            ("YearsUnknown", 4),
            ("PortalUnavailable", 4),
            ("PortalRefused", 4),
            ("SecretMissing", 2),
            ("LakeLocked", 75),
        ];
        assert_eq!(coded, expected);
    }
}
