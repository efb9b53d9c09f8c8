//! `rollcall datasets new`: writes a descriptor to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::escape::visible;
use crate::exit::BadInput;
use crate::output;
use crate::words::shell_word;

/// A valid descriptor with every key, those that are optional as comments. `NAME` stands for the name.
const SCAFFOLD: &str = include_str!("new.toml");

/// Writes a descriptor to `path`, unless there is a file. The dataset is named after the file.
pub(crate) fn write_new(path: &str) -> anyhow::Result<()> {
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name: String = stem.to_lowercase().replace(['-', ' ', '.'], "_");
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_name || !path.ends_with(".toml") {
        return Err(BadInput(format!(
            "write descriptor: expected a file named after the dataset, such as my_dataset.toml, found `{}`",
            visible(path)
        ))
        .into());
    }
    let refuse = |error: std::io::Error| {
        let found = match error.kind() {
            ErrorKind::AlreadyExists => "one that exists".to_owned(),
            _ => error.to_string(),
        };
        BadInput(format!("write descriptor `{}`: expected a file that can be created, found {found}", visible(path)))
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(refuse)?;
    file.write_all(SCAFFOLD.replace("NAME", &name).as_bytes()).map_err(refuse)?;
    output::print(&format!("wrote {}; next: rollcall datasets check {}\n", visible(path), shell_word(path)))?;
    Ok(())
}
