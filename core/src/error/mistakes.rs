//! The mistakes of one request or descriptor, collected so that all are reported at once.

use crate::text::thousands;

/// Most mistakes of one request or descriptor that are written out: a message is for people, and a function's answer
/// may have 6 MB.
pub(crate) const MOST_MISTAKES: usize = 20;

/// How the line begins that stands for the mistakes beyond.
const AND_MORE: &str = "… and ";

/// Mistakes while they are found. Those beyond [`MOST_MISTAKES`] are counted and take no room.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    written: Vec<String>,
    n_more: usize,
}

impl Mistakes {
    /// Adds one mistake; `describe` is called only when there is room for it.
    pub(crate) fn add(&mut self, describe: impl FnOnce() -> String) {
        if self.written.len() < MOST_MISTAKES {
            self.written.push(describe());
        } else {
            self.n_more += 1;
        }
    }

    /// Mistakes so far.
    pub(crate) fn len(&self) -> usize {
        self.written.len() + self.n_more
    }

    /// A sentence each, for [`Error::InvalidRequest`] and [`Error::InvalidDescriptor`]; the last one counts those left out.
    pub(crate) fn into_sentences(mut self) -> Vec<String> {
        if self.n_more > 0 {
            self.written.push(format!("{AND_MORE}{} more", thousands(self.n_more as u64)));
        }
        self.written
    }
}

pub(super) fn join_mistakes(mistakes: &[String]) -> String {
    match mistakes {
        [one] => one.clone(),
        many => {
            let mut text = match many.split_last() {
                Some((last, written)) if last.starts_with(AND_MORE) => {
                    format!("found more than {} mistakes", written.len())
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
