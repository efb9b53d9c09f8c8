//! Plausible text for columns that are neither ids nor codes.

use std::io::Write as _;

use crate::rows::entity::Entity;
use crate::sample::hash::mix;
use crate::states::STATES;

/// What the text of a column looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Words {
    /// `Sample school name 042`, the same in all rows of an entity. Names of districts are the same in all of theirs.
    Named {
        label: String,
        is_of_district: bool,
    },
    City,
    Street,
    /// Two letters.
    State,
    Phone,
    Url,
    Date,
}

impl Words {
    /// Guesses from the name of a column.
    pub(super) fn of(column: &str) -> Words {
        let has = |part: &str| column.contains(part);
        match column {
            _ if has("url") => Words::Url,
            _ if has("phone") || has("fax") => Words::Phone,
            _ if has("date") => Words::Date,
            "state_abbr" | "state_mailing" | "state_location" | "lea_state" => Words::State,
            _ if has("city") => Words::City,
            _ if has("street") || has("address") => Words::Street,
            _ => Words::Named { label: column.replace('_', " "), is_of_district: column.starts_with("lea_") },
        }
    }

    /// Appends the text, which needs no escaping in JSON.
    pub(super) fn push(&self, entity: Entity, year: i64, hash: u64, into: &mut Vec<u8>) {
        // Writing to a `Vec` does not fail.
        let _ = match self {
            Words::Named { label, is_of_district } => {
                let id = if *is_of_district { entity.parent() } else { entity.id() };
                write!(into, "Sample {label} {:03}", mix(id, 0) % 1_000)
            }
            Words::City => write!(into, "Sample City {:03}", entity.parent() % 1_000),
            Words::Street => write!(into, "{} Sample Street", 1 + hash % 9_000),
            Words::State => {
                let state = STATES.iter().find(|state| u64::from(state.fips) == entity.fips);
                write!(into, "{}", state.map_or("", |state| state.postal))
            }
            Words::Phone => write!(into, "55555501{:02}", hash % 100),
            Words::Url => write!(into, "www.example.org/{}", hash % 10_000),
            Words::Date => write!(into, "{year}-{:02}-{:02}", 1 + hash % 12, 1 + hash / 12 % 28),
        };
    }
}
