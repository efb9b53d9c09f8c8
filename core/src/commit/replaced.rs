//! Keeps the object that is about to be replaced or removed, and finds out what changes.

use jiff::Timestamp;

use crate::change::{Change, compare};
use crate::commit::target::Target;
use crate::error::Error;
use crate::file::stamp::Stamp;
use crate::file::writer::Encoded;
use crate::history::editions::{record_edition, replaced_by};
use crate::keys;
use crate::ports::store::{ObjectFacts, Put, Store};

/// What became of an object that was to be kept.
pub(super) enum Kept {
    /// It is kept. What replacing it changes.
    Object(Box<Change>),
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
        Change::default()
    } else {
        if !copy(target, key, seen, seen_stamp).await? {
            return Ok(Kept::Replaced);
        }
        let kept = keys::kept_edition(&dataset.table, partition, &seen_stamp.edition);
        compare_with(target, &kept, encoded).await?
    };
    if !record_edition(store, dataset, partition, &seen.etag, None).await? {
        return Ok(Kept::Replaced);
    }
    Ok(Kept::Object(Box::new(Change { replaced: Some(seen_stamp.edition), ..change })))
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
    let change = if replaced.digest == own.edition.digest {
        Change::default()
    } else {
        compare_with(target, &keys::kept_edition(&dataset.table, partition, &replaced), encoded).await?
    };
    Ok(Some(Box::new(Change { replaced: Some(replaced), ..change })))
}

/// Copies an object into the history. Returns `false` if it has been replaced meanwhile.
async fn copy(target: &Target<'_, impl Store>, key: &str, seen: &ObjectFacts, stamp: &Stamp) -> Result<bool, Error> {
    let Target { store, dataset, partition, .. } = *target;
    let to = keys::kept_edition(&dataset.table, partition, &stamp.edition);
    let copied = store.copy(key, &seen.etag, &to).await.map_err(|source| Error::store_failed("copy", key, source))?;
    Ok(copied != Put::Lost)
}

/// Compares a new file with a kept one. The new one was just encoded, so only the kept one can be damaged.
async fn compare_with(target: &Target<'_, impl Store>, kept: &str, encoded: &Encoded) -> Result<Change, Error> {
    let Target { store, dataset, partition, compares, .. } = *target;
    if !compares {
        return Ok(Change::not_compared());
    }
    let found = store.read(kept).await.map_err(|source| Error::store_failed("read", kept, source))?;
    let Some(content) = found else { return Ok(Change::not_compared()) };
    Ok(compare(dataset, content.bytes, encoded.bytes.clone()).unwrap_or_else(|error| {
        tracing::warn!(%partition, %error, "replaced object damaged");
        Change::not_compared()
    }))
}
