//! Fault rules, which make chosen requests fail as a portal, a proxy or a network would.

pub(crate) mod edit;
pub(crate) mod script;

use serde::Deserialize;

/// One rule: which requests it matches, and what it does to them.
///
/// A request can match several rules. Their delays add up, and their edits apply in order. The first action that replaces
/// the response (`status`, `html`, `redirect`, `body`, `disconnect`) decides it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Text that the path contains; if absent, the rule matches every path.
    pub path: Option<String>,
    /// 1-based page number; a request without `page` is for page 1. If absent, the rule matches every page.
    pub page: Option<u64>,
    /// 1-based number of the first matching request that fails.
    #[serde(default = "first")]
    pub from: u64,
    /// Number of requests that fail; if absent, all further ones do.
    pub times: Option<u64>,
    /// What happens to a matching request.
    pub action: Action,
}

/// What a [`Fault`] does. Row positions are 0-based within the page; a position past the end has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Responds with an HTTP status.
    Status {
        /// HTTP status code.
        code: u16,
        /// Value of `Retry-After`, sent unchanged.
        retry_after: Option<String>,
        /// Body; if absent, a short HTML page.
        body: Option<String>,
    },
    /// Delays the response.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Responds with 200 and an HTML page, as a bot challenge or a proxy does.
    Html,
    /// Sends only the beginning of the body.
    Truncate {
        /// Number of bytes to send.
        bytes: usize,
        /// Whether the response is well-formed HTTP with a shorter body, truncated before compression. Otherwise
        /// its `Content-Length` is that of the whole body, and the connection is dropped.
        #[serde(default)]
        keep_length: bool,
    },
    /// Closes the connection without a response.
    Disconnect,
    /// Responds with 302.
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
        /// Number to add.
        delta: i64,
    },
    /// Replaces `next`.
    Next {
        /// The new URL, in which `{origin}` stands for the simulator; if absent, null.
        url: Option<String>,
    },
    /// Drops a row.
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
        /// Position of the row; if absent, every row.
        row: Option<usize>,
        /// Name of the field. A row without it is unchanged.
        field: String,
        /// The new value as JSON, written verbatim.
        json: String,
    },
    /// Adds a field at the end of every row.
    AddField {
        /// Name of the field.
        name: String,
        /// Its value as JSON, written verbatim.
        json: String,
    },
    /// Removes a field from every row.
    RemoveField {
        /// Name of the field.
        name: String,
    },
    /// Sends the rows of the page in reverse order.
    ReverseRows,
    /// Responds with 200 and this body.
    Body {
        /// The body.
        text: String,
    },
}

fn first() -> u64 {
    1
}

impl Fault {
    /// Creates a rule that applies `action` to every request.
    pub fn new(action: Action) -> Fault {
        Fault { path: None, page: None, from: first(), times: None, action }
    }

    /// Limits the rule to paths that contain `text`.
    #[must_use]
    pub fn on_path(self, text: &str) -> Fault {
        Fault { path: Some(text.to_owned()), ..self }
    }

    /// Limits the rule to one page.
    #[must_use]
    pub fn on_page(self, page: u64) -> Fault {
        Fault { page: Some(page), ..self }
    }

    /// Starts with matching request number `from`.
    #[must_use]
    pub fn starting_at(self, from: u64) -> Fault {
        Fault { from, ..self }
    }

    /// Ends the rule after this number of requests.
    #[must_use]
    pub fn times(self, times: u64) -> Fault {
        Fault { times: Some(times), ..self }
    }

    /// Parses rules from TOML text with `[[fault]]` tables.
    ///
    /// # Errors
    /// Fails for an unknown key, an unknown action or a value of the wrong type, and reports its position.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_rules_is_parsed() {
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
    fn the_error_names_an_unknown_key() {
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
}
