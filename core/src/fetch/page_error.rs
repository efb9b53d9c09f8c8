//! Converts portal errors to partition errors.

use crate::dataset::Dataset;
use crate::error::Error;
use crate::partition::PartitionKey;
use crate::ports::portal::PortalError;

/// Converts a portal error to a partition error.
///
/// - `dataset`: provides the secret's name, for HTTP 401 or 403 and for a response that repeats the secret.
#[must_use]
pub(crate) fn page_error(error: PortalError, dataset: &Dataset, partition: &PartitionKey, page: u32) -> Error {
    use PortalError as P;
    let partition = partition.clone();
    match error {
        P::Status { .. } | P::NoAnswer { .. } | P::Outgrown { .. } | P::UsedUp { .. } => {
            Error::PortalUnavailable { partition, page, source: error }
        }
        P::Refused { .. } | P::RepeatsSecret { .. } | P::Unusable { .. } => {
            let is_about_secret = matches!(error, P::Refused { status: 401 | 403, .. } | P::RepeatsSecret { .. });
            let secret = dataset.secret.as_ref().filter(|_| is_about_secret).map(|secret| secret.name.clone());
            Error::PortalRefused { partition, page, secret, source: error }
        }
        P::TooLarge { .. } | P::TooMany { .. } => Error::BodyTooLarge { partition, page, source: error },
        P::Interrupted => Error::Interrupted { partition, page },
        P::Deadline { .. } => Error::DeadlineExceeded { partition, page, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Secret;
    use crate::testing::{enrollment, partition};

    #[test]
    fn a5_the_error_names_a_secret_that_the_portal_may_have_refused() {
        let secret = Some(Secret { header: "x-api-key".into(), name: "portal-key".into() });
        let hint = "\nhint: check that the value of the secret `portal-key` is still valid";
        let repeated = Dataset { secret: secret.clone(), ..enrollment() };
        assert_eq!(
            page_error(PortalError::RepeatsSecret { status: 200 }, &repeated, &partition(), 2).chain(),
            "fetch page 2 of `year=2021/grade=grade-pk`: portal refused the request: HTTP 200: the response repeats the \
             secret that was sent, so it was not read\nhint: ask the portal's operator why its responses contain the value \
             of the secret `portal-key`"
        );
        for (status, secret, hint) in
            [(401, &secret, hint), (403, &secret, hint), (400, &secret, ""), (404, &secret, ""), (403, &None, "")]
        {
            let dataset = Dataset { secret: secret.clone(), ..enrollment() };
            let refused = PortalError::Refused { status, excerpt: "no".into() };
            assert_eq!(
                page_error(refused, &dataset, &partition(), 2).chain(),
                format!(
                    "fetch page 2 of `year=2021/grade=grade-pk`: portal refused the request: HTTP {status}: `no`{hint}"
                )
            );
        }
    }
}
