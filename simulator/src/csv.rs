//! Reads the small CSV files that are embedded in the simulator.

/// Returns the records of `text`. Skips empty lines and comments, which start with `#`. The first record is the header.
///
/// A cell may be quoted; `""` is a quote in it. Line breaks in cells are not supported.
pub(crate) fn records(text: &str) -> impl Iterator<Item = Vec<String>> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(cells)
}

fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                push('"', &mut cells);
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            _ => push(character, &mut cells),
        }
    }
    cells
}

fn push(character: char, cells: &mut [String]) {
    if let Some(cell) = cells.last_mut() {
        cell.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_cell_may_have_commas_and_quotes() {
        let records: Vec<_> = records("# list\na,b\n\n1,\"x, \"\"y\"\"\"\n,\n").collect();
        assert_eq!(records, [vec!["a", "b"], vec!["1", "x, \"y\""], vec!["", ""]]);
    }
}
