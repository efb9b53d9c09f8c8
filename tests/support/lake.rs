//! A lake in a temporary folder, and functions that read a lake's folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use rollcall_core::ledger::PartitionRecord;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, TestPortal, rollcall};

/// A lake in a temporary folder.
pub struct TestLake {
    folder: TempDir,
}

/// A file's bytes and modification time.
pub type Seen = (Vec<u8>, SystemTime);

impl Default for TestLake {
    fn default() -> Self {
        Self::new()
    }
}

impl TestLake {
    /// Creates an empty lake.
    #[must_use]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be created") }
    }

    /// Creates a lake with only a mark.
    #[must_use]
    pub fn marked() -> Self {
        let lake = Self::new();
        fs::write(lake.path().join("lake.json"), "{\"is_sample\": false}").expect("a mark can be written");
        lake
    }

    /// Returns its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `rollcall <command> --lake <this> <args>`.
    #[must_use]
    pub fn rollcall(&self, command: &str, args: &[&str]) -> Outcome {
        self.rollcall_with(command, args, |_| {})
    }

    /// Same as [`Self::rollcall`], after `change` has been applied to the command.
    #[must_use]
    pub fn rollcall_with(&self, command: &str, args: &[&str], change: impl FnOnce(&mut Command)) -> Outcome {
        let lake = self.path().to_str().expect("temporary folders have UTF-8 names");
        let mut all = vec![command, "--lake", lake];
        all.extend(args);
        let mut process = rollcall(&all);
        change(&mut process);
        Outcome::from_output(process.output().expect("the binary starts"))
    }

    /// Runs `rollcall run` against a portal, without waits before retries.
    #[must_use]
    pub fn run(&self, portal: &TestPortal, args: &[&str]) -> Outcome {
        let origin = portal.origin();
        let mut all = vec!["--portal", origin.as_str(), "--retry-wait", "0"];
        all.extend(args);
        self.rollcall("run", &all)
    }

    /// Returns every file below `prefix` (`data`, `ledger`, …), by its path in the lake.
    #[must_use]
    pub fn files(&self, prefix: &str) -> BTreeMap<String, Seen> {
        let seen = |(path, bytes): (String, Vec<u8>)| {
            // A run may have removed it since.
            let metadata = self.path().join(&path).metadata().ok()?;
            Some((path, (bytes, metadata.modified().expect("a file has a time"))))
        };
        files_below(self.path(), prefix).into_iter().filter_map(seen).collect()
    }

    /// Returns the ledger's records of a dataset, by Hive path.
    #[must_use]
    pub fn records(&self, dataset: &str) -> BTreeMap<String, Value> {
        records(self.path(), dataset)
    }

    /// Returns the committed part of all records, by dataset and Hive path. A failed run must not change it.
    #[must_use]
    pub fn committed(&self) -> BTreeMap<String, Value> {
        let files = self.files("ledger").into_keys();
        let datasets =
            files.filter_map(|path| Some(path.strip_prefix("ledger/")?.strip_suffix("/records.json")?.to_owned()));
        datasets
            .flat_map(|dataset| {
                let records = self.records(&dataset).into_iter();
                records.map(move |(partition, mut record)| {
                    let mut committed = record["committed"].take();
                    // An object in a folder does not name the run that wrote it.
                    committed.as_object_mut().map(|committed| committed.remove("run"));
                    (format!("{dataset}/{partition}"), committed)
                })
            })
            .filter(|(_, committed)| !committed.is_null())
            .collect()
    }
}

/// Returns the ledger's records of a dataset in a lake's folder, by Hive path, or nothing if none exist.
///
/// # Panics
/// If they are invalid.
#[must_use]
pub fn records(lake: &Path, dataset: &str) -> BTreeMap<String, Value> {
    fs::read(lake.join(format!("ledger/{dataset}/records.json"))).map(|text| by_path(&text)).unwrap_or_default()
}

/// Parses the ledger's records, by Hive path.
///
/// # Panics
/// If they are invalid.
#[must_use]
pub fn by_path(records: &[u8]) -> BTreeMap<String, Value> {
    // `Value` does not keep the order of the axes.
    let named: Vec<PartitionRecord> = serde_json::from_slice(records).expect("the records are valid");
    let records: Vec<Value> = serde_json::from_slice(records).expect("records are JSON");
    named.iter().map(|record| record.partition.to_string()).zip(records).collect()
}

/// Returns the bytes of every file below a folder of a lake, by its path in the lake. Dangling links and files that are
/// removed in the meantime are left out.
///
/// # Panics
/// If something cannot be read.
#[must_use]
pub fn files_below(lake: &Path, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![lake.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => panic!("{}: {error}", folder.display()),
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => {
                    let name = path.strip_prefix(lake).expect("files are in the lake").to_string_lossy().into_owned();
                    found.insert(name, bytes);
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}: {error}", path.display()),
            }
        }
    }
    found
}

/// Folder of the enrollment dataset's objects in a lake.
pub const ENROLLMENT: &str = "data/us_education_ccd_enrollment_data";

/// Returns the bytes of the enrollment dataset's objects, by path. They depend only on the rows.
#[must_use]
pub fn data(lake: &Path) -> BTreeMap<String, Vec<u8>> {
    files_below(lake, ENROLLMENT)
}
