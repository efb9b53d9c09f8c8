//! Descriptors that were added to a lake.

use crate::dataset::Dataset;
use crate::dataset::built_in::{built_in_text, not_built_in};
use crate::error::Error;
use crate::keys;
use crate::ports::store::Store;
use crate::text::excerpt;

impl Dataset {
    /// Returns the dataset of this name: the one that was added to the lake, or else the one that is built in.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if there is none; [`Error::InvalidDescriptor`] if the added one is invalid;
    /// [`Error::StoreFailed`].
    pub async fn find(store: &impl Store, name: &str) -> Result<Self, Error> {
        // A name becomes part of a key.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Self::built_in(name);
        }
        let key = keys::added_descriptor(name);
        let Some(added) = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))? else {
            return match built_in_text(name) {
                Some(_) => Self::built_in(name),
                None => Err(Error::InvalidRequest {
                    mistakes: vec![not_built_in(name, " or one that was added to the lake")],
                }),
            };
        };
        let dataset = Self::parse_added(&key, &added.bytes)?;
        if dataset.name == name {
            return Ok(dataset);
        }
        let mistake = format!("`name`: expected `{name}` as in the file's name, found `{}`", excerpt(&dataset.name));
        Err(Error::InvalidDescriptor { file: key, mistakes: vec![mistake] })
    }

    /// Parses and validates a descriptor from its bytes.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`].
    pub fn parse_added(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(file, text),
            Err(error) => Err(Error::InvalidDescriptor {
                file: file.to_owned(),
                mistakes: vec![format!("expected UTF-8 text, found an invalid byte at offset {}", error.valid_up_to())],
            }),
        }
    }
}
