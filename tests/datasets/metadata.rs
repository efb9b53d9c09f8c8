//! The recorded metadata of the real portal, and small metadata of our own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rollcall_core::metadata::Metadata;
use rollcall_tests::recorded_bodies;

/// Returns the folder with the recorded metadata, or `None`, which it says, if it is not there.
pub(crate) fn recorded() -> Option<PathBuf> {
    recorded_bodies()
}

/// Returns a saved answer, decompressed.
pub(crate) fn answer(folder: &Path, name: &str) -> String {
    let file = fs::File::open(folder.join(format!("{name}.json.gz"))).expect("the answer is recorded");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the answer is compressed text");
    text
}

/// Returns the recorded metadata.
pub(crate) fn read(folder: &Path) -> Metadata {
    Metadata::parse(&answer(folder, "api-endpoints"), &answer(folder, "api-endpoint-varlist"))
        .expect("the answers are lists")
}
