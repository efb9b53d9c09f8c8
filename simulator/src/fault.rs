//! Faults: rules that make chosen requests go wrong, in the ways a portal, a proxy or a network does.

use serde::Deserialize;

/// One rule: which requests it concerns, and what it does to them.
///
/// A request may meet several rules. Their delays add up, their edits are made in order, and the first that answers
/// by itself (`status`, `html`, `redirect`, `body`, `disconnect`) decides the answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Text that the path of the request holds; every path without it.
    pub path: Option<String>,
    /// Page asked for, from 1 (a request without `page` asks for 1); every page without it.
    pub page: Option<u64>,
    /// First of the requests that match `path` and `page` to go wrong, from 1.
    #[serde(default = "first")]
    pub from: u64,
    /// How many of them go wrong; all that follow without it.
    pub times: Option<u64>,
    /// What happens.
    pub action: Action,
}

/// What a [`Fault`] does. Positions of rows count from 0 within the page; a position past its end changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answers with an HTTP status.
    Status {
        /// HTTP status code.
        code: u16,
        /// Value of `Retry-After`, as it is.
        retry_after: Option<String>,
        /// Body; a short HTML page without it.
        body: Option<String>,
    },
    /// Waits before the answer.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Answers 200 with an HTML page, as a bot challenge or a proxy does.
    Html,
    /// Sends less of the body.
    Truncate {
        /// Bytes that are sent.
        bytes: usize,
        /// Whether the HTTP message is well formed, its body merely shorter (cut before compression). Otherwise
        /// the whole length is announced and the connection cut.
        #[serde(default)]
        keep_length: bool,
    },
    /// Closes the connection without an answer.
    Disconnect,
    /// Answers 302.
    Redirect {
        /// Value of `Location`; `{origin}` stands for the simulator.
        location: String,
    },
    /// Replaces `count`.
    Count {
        /// The new value.
        value: i64,
    },
    /// Changes `count`.
    CountAdd {
        /// Added to the value.
        delta: i64,
    },
    /// Replaces `next`.
    Next {
        /// The new address, `{origin}` standing for the simulator; null without it.
        url: Option<String>,
    },
    /// Leaves a row out.
    DropRow {
        /// Position of the row.
        index: usize,
    },
    /// Sends a row twice.
    RepeatRow {
        /// Position of the row.
        index: usize,
    },
    /// Replaces a value.
    SetField {
        /// Position of the row; every row without it.
        row: Option<usize>,
        /// Name of the field; a row without it is left alone.
        field: String,
        /// The new value as JSON text, written as it is.
        json: String,
    },
    /// Adds a field at the end of every row.
    AddField {
        /// Name of the field.
        name: String,
        /// Its value as JSON text, written as it is.
        json: String,
    },
    /// Takes a field out of every row.
    RemoveField {
        /// Name of the field.
        name: String,
    },
    /// Sends the rows of the page in reverse order.
    ReverseRows,
    /// Answers 200 with this body.
    Body {
        /// The body.
        text: String,
    },
}

fn first() -> u64 {
    1
}

impl Fault {
    /// Returns the rule that does `action` to every request.
    pub fn new(action: Action) -> Fault {
        Fault { path: None, page: None, from: first(), times: None, action }
    }

    /// Narrows the rule to paths that hold `text`.
    #[must_use]
    pub fn on_path(self, text: &str) -> Fault {
        Fault { path: Some(text.to_owned()), ..self }
    }

    /// Narrows the rule to one page.
    #[must_use]
    pub fn on_page(self, page: u64) -> Fault {
        Fault { page: Some(page), ..self }
    }

    /// Spares the matching requests before number `from`.
    #[must_use]
    pub fn starting_at(self, from: u64) -> Fault {
        Fault { from, ..self }
    }

    /// Ends the rule after so many requests.
    #[must_use]
    pub fn times(self, times: u64) -> Fault {
        Fault { times: Some(times), ..self }
    }

    /// Returns the rules of a TOML text of `[[fault]]` tables.
    ///
    /// # Errors
    /// The place and the name of an unknown key, an unknown action, or a value of the wrong type.
    pub fn list_from_toml(text: &str) -> Result<Vec<Fault>, toml::de::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            fault: Vec<Fault>,
        }
        toml::from_str(text).map(|file: File| file.fault)
    }
}

/// The rules in force, each with the number of requests that matched it.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<(Fault, u64)>);

impl Script {
    pub(crate) fn new(faults: Vec<Fault>) -> Script {
        Script(faults.into_iter().map(|fault| (fault, 0)).collect())
    }

    /// Counts a request and returns what is to happen to it, in the order of the rules.
    pub(crate) fn next_actions(&mut self, path: &str, page: Option<u64>) -> Vec<Action> {
        let mut actions = Vec::new();
        for (fault, n_matched) in &mut self.0 {
            let is_matched = fault.path.as_ref().is_none_or(|text| path.contains(text))
                && fault.page.is_none_or(|wanted| page == Some(wanted));
            if !is_matched {
                continue;
            }
            *n_matched += 1;
            let from = fault.from.max(1);
            let end = fault.times.map_or(u64::MAX, |times| from.saturating_add(times));
            if (from..end).contains(n_matched) {
                actions.push(fault.action.clone());
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_rules_is_read() {
        let text = r#"
            [[fault]]
            path = "2021/grade-pk/"
            page = 2
            from = 3
            times = 1
            action = { status = { code = 503, retry_after = "2" } }

            [[fault]]
            action = "disconnect"

            [[fault]]
            action = { next = {} }
        "#;
        let status = Action::Status { code: 503, retry_after: Some("2".to_owned()), body: None };
        let expected = vec![
            Fault::new(status).on_path("2021/grade-pk/").on_page(2).starting_at(3).times(1),
            Fault::new(Action::Disconnect),
            Fault::new(Action::Next { url: None }),
        ];
        assert_eq!(Fault::list_from_toml(text).unwrap(), expected);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let cases = [
            ("[[fault]]\nacton = \"html\"", "acton"),
            ("[[fault]]\naction = { delay = { seconds = 1 } }", "seconds"),
            ("[[fault]]\naction = \"explode\"", "explode"),
            ("[[faults]]\naction = \"html\"", "faults"),
        ];
        for (text, name) in cases {
            let message = Fault::list_from_toml(text).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn a_rule_concerns_the_requests_of_its_window() {
        let rule = Fault::new(Action::Html).on_path("pk").on_page(2).starting_at(2).times(2);
        let mut script = Script::new(vec![rule]);
        let mut n_faults = |path: &str, page| script.next_actions(path, page).len();
        assert_eq!(n_faults("grade-k", Some(2)), 0);
        assert_eq!(n_faults("grade-pk", Some(1)), 0);
        assert_eq!([2, 2, 2, 2].map(|page| n_faults("grade-pk", Some(page))), [0, 1, 1, 0]);
    }
}
