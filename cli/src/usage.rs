//! Reports mistakes in flags, and prints the help.

use std::error::Error;
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Command, FromArgMatches};

use crate::exit;
use crate::output;

/// Parses the command line, or prints what is wrong with it, or the help it asks for, and returns the exit code.
///
/// - `program`: the definition of the command line.
pub(crate) fn parse<C: FromArgMatches>(mut program: Command) -> Result<C, ExitCode> {
    let parsed = program.try_get_matches_from_mut(std::env::args_os()).and_then(|found| C::from_arg_matches(&found));
    let error = match parsed {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let error = match in_words(&error) {
        Some(message) => clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(&program),
        None => error,
    };
    match error.print() {
        Err(failed) if !error.use_stderr() => Err(exit::report(&output::write_error(&failed).into())),
        _ => Err(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::BAD_INPUT))),
    }
}

/// Returns what is wrong with the value of a flag that is to be a number; `None` for other mistakes.
fn in_words(error: &clap::Error) -> Option<String> {
    let cause = error.source()?.to_string();
    let context = |kind| error.get(kind).map(ToString::to_string);
    let (value, flag) = (context(ContextKind::InvalidValue)?, context(ContextKind::InvalidArg)?);
    let expected = match error.source().and_then(|cause| cause.downcast_ref::<ParseIntError>()).map(ParseIntError::kind)
    {
        Some(IntErrorKind::PosOverflow) => "a smaller number".to_owned(),
        Some(IntErrorKind::NegOverflow) => "a larger number".to_owned(),
        Some(IntErrorKind::Zero) => "a number of at least 1".to_owned(),
        Some(_) if is_negative(&value) => "a whole number that is not negative".to_owned(),
        Some(_) => "a whole number".to_owned(),
        None => {
            // Such as `0 is not in 1..=86400`.
            let (_, range) = cause.split_once(" is not in ")?;
            let (from, to) = range.split_once("..")?;
            format!("a number from {from} to {}", to.trim_start_matches('='))
        }
    };
    Some(format!("invalid value '{value}' for '{flag}': expected {expected}\n\nFor more information, try '--help'.\n"))
}

/// Returns whether text is a negative whole number.
fn is_negative(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
