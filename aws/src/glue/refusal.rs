//! Errors for individual entries in a batch call.

use aws_sdk_glue::types::ErrorDetail;
use rollcall_core::ports::CatalogError;

use crate::glue::failed::failed;
use crate::glue::transient::TRANSIENT_CODES;

/// What a call does with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Update,
}

/// Why a call rejected an entry.
pub(super) struct Refusal {
    pub(super) values: Vec<String>,
    code: String,
    message: String,
}

impl Refusal {
    pub(super) fn new(values: Option<Vec<String>>, detail: Option<ErrorDetail>) -> Self {
        let (code, message) = detail.map(|detail| (detail.error_code, detail.error_message)).unwrap_or_default();
        Self {
            values: values.unwrap_or_default(),
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
        }
    }

    /// Returns what to try next for an entry whose `action` was rejected, or `None` if no retry will help.
    pub(super) fn next(&self, action: Action) -> Option<Action> {
        match (action, self.code.as_str()) {
            (Action::Create, "AlreadyExistsException") => Some(Action::Update),
            (Action::Update, "EntityNotFoundException") => Some(Action::Create),
            (_, code) if TRANSIENT_CODES.contains(&code) => Some(action),
            _ => None,
        }
    }

    pub(super) fn into_error(self) -> CatalogError {
        let action = format!("add or change partition `{}`", self.values.join("/"));
        failed(&action, format!("{}: {}", self.code, self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_g2_g3_a_refused_entry_is_retried_with_the_action_that_may_succeed() {
        let refusal = |code: &str| Refusal { values: Vec::new(), code: code.to_owned(), message: String::new() };
        for (action, code, next) in [
            (Action::Create, "AlreadyExistsException", Some(Action::Update)),
            (Action::Update, "EntityNotFoundException", Some(Action::Create)),
            (Action::Create, "ConcurrentModificationException", Some(Action::Create)),
            (Action::Update, "ThrottlingException", Some(Action::Update)),
            (Action::Create, "EntityNotFoundException", None),
            (Action::Update, "InvalidInputException", None),
            (Action::Create, "", None),
        ] {
            assert_eq!(refusal(code).next(action), next, "{action:?} {code}");
        }
    }
}
