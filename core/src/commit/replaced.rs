//! Keeps the object that is about to be replaced or removed, and finds out what changes.

use bytes::Bytes;
use jiff::Timestamp;

use crate::change::{Change, compare};
use crate::commit::target::Target;
use crate::error::Error;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::file::writer::Encoded;
use crate::history::editions::{record_edition, replaced_by};
use crate::keys;
use crate::ports::store::{ObjectFacts, Put, Store};

/// What became of an object that was to be kept.
pub(super) enum Kept {
    /// It is kept. What replacing it changes, unless it is damaged.
    Object(Option<Box<Change>>),
    /// Another writer has replaced it meanwhile.
    Replaced,
}

/// Keeps the object that `encoded` is about to replace, and compares the two.
///
/// If the writer dies before the object is replaced, nothing has to be undone: the copy has the same rows as the object,
/// and the list of editions is read together with the object.
pub(super) async fn keep_replaced(
    target: &Target<'_, impl Store>,
    key: &str,
    seen: &ObjectFacts,
    seen_stamp: &Stamp,
    encoded: &Encoded,
) -> Result<Kept, Error> {
    let Target { store, dataset, partition, .. } = *target;
    let is_rewrite = seen_stamp.edition.digest == encoded.edition.digest;
    let change = if is_rewrite {
        Some(Box::default())
    } else {
        let found = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
        let Some(content) = found.filter(|content| content.etag == seen.etag) else { return Ok(Kept::Replaced) };
        if !copy(target, key, seen, seen_stamp).await? {
            return Ok(Kept::Replaced);
        }
        compare_or_warn(target, content.bytes, encoded.bytes.clone())
    };
    if !record_edition(store, dataset, partition, &seen.etag, None).await? {
        return Ok(Kept::Replaced);
    }
    Ok(Kept::Object(with_replaced(change, seen_stamp.edition)))
}

/// Keeps the object that is about to be removed. Returns `false` if it has been replaced meanwhile.
pub(super) async fn keep_removed(
    target: &Target<'_, impl Store>,
    key: &str,
    seen: &ObjectFacts,
    seen_stamp: &Stamp,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(copy(target, key, seen, seen_stamp).await?
        && record_edition(target.store, target.dataset, target.partition, &seen.etag, Some(now)).await?)
}

/// Returns what changed when this run wrote the current object, without leaving a receipt. `None` if there was no
/// readable object before.
///
/// - `encoded`: a file of the same edition.
pub(super) async fn change_from_history(
    target: &Target<'_, impl Store>,
    own: &Stamp,
    encoded: &Encoded,
) -> Result<Option<Box<Change>>, Error> {
    let Target { store, dataset, partition, .. } = *target;
    let Some(replaced) = replaced_by(store, dataset, partition, own).await? else { return Ok(None) };
    if replaced.digest == own.edition.digest {
        return Ok(with_replaced(Some(Box::default()), replaced));
    }
    let key = keys::kept_edition(&dataset.table, partition, &replaced);
    let before = store.read(&key).await.map_err(|source| Error::store_failed("read", &key, source))?;
    let change = before.and_then(|before| compare_or_warn(target, before.bytes, encoded.bytes.clone()));
    Ok(with_replaced(change, replaced))
}

/// Copies an object into the history. Returns `false` if it has been replaced meanwhile.
async fn copy(target: &Target<'_, impl Store>, key: &str, seen: &ObjectFacts, stamp: &Stamp) -> Result<bool, Error> {
    let Target { store, dataset, partition, .. } = *target;
    let to = keys::kept_edition(&dataset.table, partition, &stamp.edition);
    let copied = store.copy(key, &seen.etag, &to).await.map_err(|source| Error::store_failed("copy", key, source))?;
    Ok(copied != Put::Lost)
}

/// Compares two files. The new one was just written, so only the old one can be damaged. Returns `None` if it is.
fn compare_or_warn(target: &Target<'_, impl Store>, old: Bytes, new: Bytes) -> Option<Box<Change>> {
    let compared = compare(target.dataset, old, new);
    compared
        .map_err(|error| tracing::warn!(partition = %target.partition, %error, "replaced object damaged"))
        .ok()
        .map(Box::new)
}

fn with_replaced(change: Option<Box<Change>>, replaced: Edition) -> Option<Box<Change>> {
    change.map(|mut change| {
        change.replaced = Some(replaced);
        change
    })
}
