//! Embeds every descriptor and lookup table of `datasets/` in the simulator.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Read when the script runs: a target folder, and the script in it, may have been copied from another checkout.
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let folder = Path::new(&package).join("../datasets");
    let mut code = String::new();
    for (name, folder, extension) in
        [("DESCRIPTORS", folder.clone(), "toml"), ("LOOKUPS", folder.join("lookups"), "csv")]
    {
        println!("cargo::rerun-if-changed={}", folder.display());
        let entries = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        let mut files: Vec<&Path> = entries
            .iter()
            .map(PathBuf::as_path)
            .filter(|path| path.extension().is_some_and(|it| it == extension))
            .collect();
        files.sort_unstable();
        let _ = writeln!(code, "/// File name without extension, and contents.");
        let _ = writeln!(code, "static {name}: [(&str, &str); {}] = [", files.len());
        for path in files {
            let stem = path.file_stem().unwrap_or_default();
            let _ = writeln!(code, "    ({stem:?}, include_str!({:?})),", path.canonicalize()?);
        }
        code.push_str("];\n");
    }
    fs::write(Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("datasets.rs"), code)
}
