//! Edits parts of a page body, and keeps everything else unchanged, including the key order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault::Action;
use crate::json::string_or_null;

/// Applies the edits among `actions` in order. A body that is not a page is returned unchanged.
pub(crate) fn edit(body: &[u8], actions: &[Action], origin: &str) -> Vec<u8> {
    let Some((mut envelope, mut rows)) = parse(body) else {
        return body.to_vec();
    };
    for action in actions {
        match action {
            Action::Count { value } => envelope.set("count", value.to_string()),
            Action::CountAdd { delta } => {
                let count = envelope.get("count").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
                envelope.set("count", count.saturating_add(*delta).to_string());
            }
            Action::Next { url } => {
                let url = url.as_ref().map(|url| url.replace("{origin}", origin));
                envelope.set("next", string_or_null(url.as_deref()));
            }
            Action::DropRow { index } if *index < rows.len() => {
                rows.remove(*index);
            }
            Action::RepeatRow { index } => {
                if let Some(row) = rows.get(*index).cloned() {
                    rows.insert(*index, row);
                }
            }
            Action::SetField { row, field, json } => {
                let is_selected = |index: &usize| row.is_none_or(|row| row == *index);
                for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| is_selected(index)) {
                    row.set(field, json.clone());
                }
            }
            Action::AddField { name, json } => {
                rows.iter_mut().for_each(|row| row.0.push((name.clone(), json.clone())));
            }
            Action::RemoveField { name } => rows.iter_mut().for_each(|row| row.0.retain(|(key, _)| key != name)),
            Action::ReverseRows => rows.reverse(),
            _ => {}
        }
    }
    let rows: Vec<String> = rows.iter().map(Object::to_string).collect();
    envelope.set("results", format!("[{}]", rows.join(",")));
    envelope.to_string().into_bytes()
}

/// Checks whether an action edits the body of a page.
pub(crate) fn is_edit(action: &Action) -> bool {
    use Action::{AddField, Count, CountAdd, DropRow, Next, RemoveField, RepeatRow, ReverseRows, SetField};
    matches!(action, Count { .. } | CountAdd { .. } | Next { .. } | DropRow { .. } | RepeatRow { .. })
        || matches!(action, SetField { .. } | AddField { .. } | RemoveField { .. } | ReverseRows)
}

fn parse(body: &[u8]) -> Option<(Object, Vec<Object>)> {
    let envelope: Object = serde_json::from_slice(body).ok()?;
    let rows = serde_json::from_str(envelope.get("results")?).ok()?;
    Some((envelope, rows))
}

/// A JSON object: names and their values as JSON, in order.
#[derive(Clone)]
struct Object(Vec<(String, String)>);

impl Object {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }

    fn set(&mut self, name: &str, json: String) {
        if let Some((_, text)) = self.0.iter_mut().find(|(key, _)| key == name) {
            *text = json;
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, json)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{json}", Value::from(name.as_str()))?;
        }
        f.write_str("}")
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    pairs.push((name, value.get().to_owned()));
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"count":2,"next":null,"previous":null,"results":[{"b":1,"a":"x"},{"b":2,"a":"y"}]}"#;

    fn edited(action: Action) -> String {
        String::from_utf8(edit(PAGE.as_bytes(), &[action], "http://here")).unwrap()
    }

    #[test]
    fn each_edit_changes_only_its_own_part() {
        let set = |row, json: &str| Action::SetField { row, field: "b".to_owned(), json: json.to_owned() };
        let named = "c".to_owned();
        let cases = [
            (Action::DropRow { index: 0 }, r#"[{"b":2,"a":"y"}]"#),
            (Action::DropRow { index: 2 }, r#"[{"b":1,"a":"x"},{"b":2,"a":"y"}]"#),
            (Action::RepeatRow { index: 1 }, r#"[{"b":1,"a":"x"},{"b":2,"a":"y"},{"b":2,"a":"y"}]"#),
            (set(Some(1), "\"?\""), r#"[{"b":1,"a":"x"},{"b":"?","a":"y"}]"#),
            (set(None, "null"), r#"[{"b":null,"a":"x"},{"b":null,"a":"y"}]"#),
            (Action::AddField { name: named, json: "[]".into() }, r#"[{"b":1,"a":"x","c":[]},{"b":2,"a":"y","c":[]}]"#),
            (Action::RemoveField { name: "b".into() }, r#"[{"a":"x"},{"a":"y"}]"#),
            (Action::ReverseRows, r#"[{"b":2,"a":"y"},{"b":1,"a":"x"}]"#),
        ];
        for (action, rows) in cases {
            let expected = format!(r#"{{"count":2,"next":null,"previous":null,"results":{rows}}}"#);
            assert_eq!(edited(action), expected);
        }
    }

    #[test]
    fn edits_change_the_envelope_too() {
        assert!(edited(Action::Count { value: -1 }).starts_with(r#"{"count":-1,"#));
        assert!(edited(Action::CountAdd { delta: 3 }).starts_with(r#"{"count":5,"#));
        let next = edited(Action::Next { url: Some("{origin}/x?page=1".to_owned()) });
        assert!(next.starts_with(r#"{"count":2,"next":"http://here/x?page=1","#), "{next}");
        assert_eq!(edited(Action::Next { url: None }), PAGE);
    }

    #[test]
    fn a_body_that_is_not_a_page_is_unchanged() {
        for body in ["", "[]", "<html>", r#"{"detail":"Invalid page."}"#] {
            assert_eq!(edit(body.as_bytes(), &[Action::ReverseRows], ""), body.as_bytes());
        }
    }
}
