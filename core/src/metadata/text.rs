//! Cleans the portal's text: HTML entities, blanks, and `None` for nothing.

use crate::metadata::list::{self, Fields};

/// Returns a text field without blanks around it, decoded. `None` if it is absent, null, empty or the word `None`.
///
/// A number is returned as text: the portal sends some fields as either.
pub(super) fn clean_field(fields: &Fields, name: &str) -> Option<String> {
    let text = list::text(fields, name).or_else(|| {
        let number: serde_json::Number = serde_json::from_str(fields.get(name)?.get()).ok()?;
        Some(number.to_string())
    })?;
    let text = clean(&text);
    (!text.is_empty() && text != "None").then_some(text)
}

/// Returns text without blanks around it, with HTML entities decoded and control characters replaced by blanks.
pub(super) fn clean(text: &str) -> String {
    let text = decode_entities(text).replace(|c: char| c.is_control() || c == '\u{a0}', " ");
    text.trim().to_owned()
}

/// Replaces the HTML entities that the portal's text has. Leaves others as they are.
fn decode_entities(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        decoded.push_str(before);
        match after.split_once(';').and_then(|(entity, after)| Some((character(entity)?, after))) {
            Some((character, after)) => {
                decoded.push(character);
                rest = after;
            }
            None => {
                decoded.push('&');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn character(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "hellip" => '…',
        "eacute" => 'é',
        "ntilde" => 'ñ',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_and_others_stay() {
        for (text, expected) in [
            ("Ages 5&ndash;17", "Ages 5–17"),
            ("liability&mdash;end of year", "liability—end of year"),
            ("Arts & sciences &amp; more; x", "Arts & sciences & more; x"),
            ("&#8217;&#x2019;&unknown;&#xd800;&", "’’&unknown;&#xd800;&"),
            ("  NCAA Division I\u{a0}\n", "NCAA Division I"),
        ] {
            assert_eq!(clean(text), expected);
        }
    }

    #[test]
    fn the_word_none_and_an_empty_text_are_nothing_and_a_number_is_text() {
        let fields: Fields =
            serde_json::from_str(r#"{"a":"None","b":" ","c":null,"d":7,"e":["x"],"f":" x "}"#).unwrap();
        let found = ["a", "b", "c", "d", "e", "f", "g"].map(|name| clean_field(&fields, name));
        assert_eq!(found, [None, None, None, Some("7".into()), None, Some("x".into()), None]);
    }
}
