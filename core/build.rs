//! Embeds every descriptor and lookup table of `datasets/` in the program, with an index of the descriptors.
//!
//! The index is written here, so that the program need not parse all descriptors to find one. It comes from lines such as
//! `name = "ccd_enrollment"`; a test compares it with the parsed descriptors.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Read when the script runs: a target folder, and the script in it, may have been copied from another checkout.
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let folder = Path::new(&package).join("../datasets");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut code = String::new();

    let descriptors = files(&folder, "toml")?;
    let _ = writeln!(code, "pub(crate) const DATASETS: [BuiltIn; {}] = [", descriptors.len());
    for path in descriptors {
        let text = fs::read_to_string(&path)?;
        // The keys of the dataset itself come before its axes.
        let own = text.split("\n[[").next().unwrap_or_default();
        let fields = ["name", "database", "table", "path"].map(|key| format!("{key}: {:?}", value(own, key)));
        let _ = writeln!(
            code,
            "    BuiltIn {{ file: {:?}, {}, text: include_str!({:?}) }},",
            path.file_stem().unwrap_or_default(),
            fields.join(", "),
            path.canonicalize()?
        );
    }
    code.push_str("];\n");

    let lookups = files(&folder.join("lookups"), "csv")?;
    let _ = writeln!(code, "pub(crate) const LOOKUPS: [(&str, &str); {}] = [", lookups.len());
    for path in lookups {
        let stem = path.file_stem().unwrap_or_default();
        let _ = writeln!(code, "    ({stem:?}, include_str!({:?})),", path.canonicalize()?);
    }
    code.push_str("];\n");

    let exceptions = fs::read_to_string(folder.join("generator/exceptions.toml"))?;
    let unknown: Vec<&str> = exceptions.split("\n[[").filter_map(|table| table.strip_prefix("unknown]]\n")).collect();
    let _ = writeln!(code, "pub(crate) const UNKNOWN: [UnknownColumns; {}] = [", unknown.len());
    for table in unknown {
        let fields = ["name", "path", "years"].map(|key| format!("{key}: {:?}", value(table, key)));
        let _ = writeln!(code, "    UnknownColumns {{ {} }},", fields.join(", "));
    }
    code.push_str("];\n");
    fs::write(Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("registry.rs"), code)
}

/// Returns the files of a folder with an extension, sorted by name.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    let mut files: Vec<PathBuf> =
        entries.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort_unstable();
    Ok(files)
}

/// Returns the text in quotes of a line `key = "text"`.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let value = |line: &'t str| line.strip_prefix(key)?.trim_start().strip_prefix('=')?.split('"').nth(1);
    text.lines().find_map(value).unwrap_or_default()
}
