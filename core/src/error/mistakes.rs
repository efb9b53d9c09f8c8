//! Collects the mistakes of one request or descriptor, so that all are reported at once.

use crate::text::thousands;

/// Maximum number of mistakes listed in a message. More would not help a reader, and a function's response is limited to
/// 6 MB.
pub(crate) const MAX_MISTAKES: usize = 20;

/// Start of the line that counts the remaining mistakes.
const AND_MORE: &str = "… and ";

/// The mistakes found so far. Those beyond [`MAX_MISTAKES`] are only counted.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    listed: Vec<String>,
    n_more: usize,
}

impl Mistakes {
    /// Adds one mistake. Calls `describe` only if the mistake will be listed.
    pub(crate) fn add(&mut self, describe: impl FnOnce() -> String) {
        if self.listed.len() < MAX_MISTAKES {
            self.listed.push(describe());
        } else {
            self.n_more += 1;
        }
    }

    /// Returns the number of mistakes, including those not listed.
    pub(crate) fn len(&self) -> usize {
        self.listed.len() + self.n_more
    }

    /// Returns one message per listed mistake. If there are more, a final one counts them.
    pub(crate) fn into_messages(mut self) -> Vec<String> {
        if self.n_more > 0 {
            self.listed.push(format!("{AND_MORE}{} more", thousands(self.n_more as u64)));
        }
        self.listed
    }
}

/// Joins mistakes into one message: a single mistake as is, several as a list below their count.
pub(super) fn join_mistakes(mistakes: &[String]) -> String {
    match mistakes {
        [one] => one.clone(),
        many => {
            let mut text = match many.split_last() {
                Some((last, listed)) if last.starts_with(AND_MORE) => {
                    format!("found more than {} mistakes", listed.len())
                }
                _ => format!("found {} mistakes", many.len()),
            };
            for mistake in many {
                text.push_str("\n  - ");
                text.push_str(mistake);
            }
            text
        }
    }
}
