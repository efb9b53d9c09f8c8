//! Writes the JSON values of generated rows quickly.

/// Appends `number` in decimal.
pub(crate) fn push_number(mut number: u64, into: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    into.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Returns `text` as a JSON string; `null` for `None`.
pub(crate) fn string_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 99, 1_234_567_890, u64::MAX] {
            let mut text = Vec::new();
            push_number(number, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), number.to_string());
        }
    }
}
