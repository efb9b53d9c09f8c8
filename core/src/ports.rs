//! Where core meets the world: the traits that adapters implement. Nothing else is a trait.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

use crate::dataset::Dataset;
use crate::edition::Stamp;
use crate::memory::{Memory, Room};
use crate::partition::PartitionKey;
use crate::schema::TypedColumn;
use crate::table::Footer;

/// Any cause from outside, kept whole.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The source API.
///
/// Permits, timeouts, retries and deadlines are the adapter's; core says which page it wants.
pub trait Portal: Send + Sync {
    /// The API root that paths are joined to, ending in `/`, e.g. `https://educationdata.urban.org/api/v1/`.
    fn root(&self) -> &Url;

    /// GETs page `page` (from 1) of `path` below the root.
    ///
    /// # Errors
    /// What the portal did, after the adapter's own retries.
    fn get(&self, path: &str, page: u32, asked: Asked) -> impl Future<Output = Result<Body, PortalError>> + Send;

    /// What bodies and decoded pages of all partitions take together.
    fn page_memory(&self) -> Memory {
        Memory::new(usize::MAX)
    }

    /// What all partitions take together, without their pages: files in the making and keys.
    fn partition_memory(&self) -> Memory {
        Memory::new(usize::MAX)
    }

    /// Waits for room as [`Room::hold`] does, no longer than a page would be waited for.
    ///
    /// # Errors
    /// [`PortalError::Deadline`], [`PortalError::Interrupted`].
    fn hold(&self, room: &mut Room, n_bytes: usize) -> impl Future<Output = Result<(), PortalError>> + Send {
        async move {
            room.hold(n_bytes).await;
            Ok(())
        }
    }
}

/// How a page is asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// Requests already made for this page ([`Body::tries`]). They count against the adapter's limit.
    pub tries: u32,
    /// Whether the last of them had a useful answer. If not, a wait comes before the next.
    pub was_useful: bool,
    /// Of a page that is asked for ahead of the one due next: the room that its body and its rows may take. A larger one is
    /// [`PortalError::Outgrown`]. The page that is due waits for room instead.
    pub room: Option<Room>,
}

/// One answer of the portal, whole.
pub struct Body {
    /// The decoded (decompressed) bytes.
    pub bytes: Bytes,
    /// When the last byte arrived.
    pub received_at: Timestamp,
    /// Requests made for this page so far.
    pub tries: u32,
    /// Whether the adapter would ask for this page once more.
    pub may_ask_again: bool,
    /// Held until the page's rows are in its table, so that pages in memory stay within a limit over all partitions.
    pub permit: Option<Room>,
}

/// What the portal did instead of serving a page.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// HTTP 429 or 5xx, each time it was tried.
    #[error("HTTP {status} after {tries} tries: `{excerpt}`")]
    Status {
        /// HTTP status.
        status: u16,
        /// Requests made.
        tries: u32,
        /// Start of the body.
        excerpt: String,
    },
    /// No answer, each time it was tried: connection refused or cut, name not found, timeout.
    #[error("no answer after {tries} tries")]
    NoAnswer {
        /// Requests made.
        tries: u32,
        /// Whether there was a connection the last time.
        is_connected: bool,
        /// The last cause.
        #[source]
        source: BoxError,
    },
    /// HTTP 3xx or 4xx, or a certificate that does not hold: asking again will not help.
    #[error("HTTP {status}: `{excerpt}`")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Start of the body, or the redirect's target.
        excerpt: String,
    },
    /// The answer repeats the secret that was sent, so nothing of it is read.
    #[error("HTTP {status}: the response repeats the secret that was sent, and was not read")]
    RepeatsSecret {
        /// HTTP status.
        status: u16,
    },
    /// The connection cannot be trusted or made at all.
    #[error("no usable connection")]
    Unusable {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// More decoded bytes than allowed.
    #[error("expected at most {limit_bytes} bytes, found more")]
    TooLarge {
        /// The cap.
        limit_bytes: usize,
    },
    /// More of something than a page may have.
    #[error("expected at most {limit} {what}, found more")]
    TooMany {
        /// The cap.
        limit: u64,
        /// Of what, such as `rows of 51 columns`.
        what: String,
    },
    /// A page that was asked for ahead is larger than the room it was given. It is asked for again when it is due.
    #[error("larger than expected after {tries} tries")]
    Outgrown {
        /// Requests made.
        tries: u32,
    },
    /// All requests that are made for a page were made, and one more would be needed.
    #[error("answered at the last of {tries} tries, and is to be asked for once more")]
    UsedUp {
        /// Requests made.
        tries: u32,
    },
    /// Whoever asked does not wait any more, since the run ends.
    #[error("interrupted")]
    Interrupted,
    /// The time allowed is used up.
    #[error("no time left after {tries} tries")]
    Deadline {
        /// Requests made.
        tries: u32,
    },
}

impl PortalError {
    /// Whether there was no connection that a request could be made on.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoAnswer { is_connected: false, .. } | Self::Unusable { .. })
    }

    /// Turns what the portal did into the error of a partition's page.
    ///
    /// - `dataset`: its secret is named where HTTP 401 or 403 may be about that.
    #[must_use]
    pub fn of_page(self, dataset: &Dataset, partition: &PartitionKey, page: u32) -> crate::Error {
        let partition = partition.clone();
        match self {
            Self::Status { .. } | Self::NoAnswer { .. } | Self::Outgrown { .. } | Self::UsedUp { .. } => {
                crate::Error::PortalUnavailable { partition, page, source: self }
            }
            Self::Refused { .. } | Self::RepeatsSecret { .. } | Self::Unusable { .. } => {
                let is_of_secret = matches!(self, Self::Refused { status: 401 | 403, .. } | Self::RepeatsSecret { .. });
                let secret = dataset.secret.as_ref().filter(|_| is_of_secret).map(|secret| secret.name.clone());
                crate::Error::PortalRefused { partition, page, secret, source: self }
            }
            Self::TooLarge { .. } | Self::TooMany { .. } => {
                crate::Error::BodyTooLarge { partition, page, source: self }
            }
            Self::Interrupted => crate::Error::Interrupted { partition, page },
            Self::Deadline { .. } => crate::Error::DeadlineExceeded { partition, page, source: self },
        }
    }
}

/// Where the lake's objects live: a bucket or a folder.
pub trait Store: Send + Sync {
    /// What is known of the data object at `key` without reading its rows; `None` when there is none.
    fn head(&self, key: &str) -> impl Future<Output = Result<Option<ObjectFacts>, StoreError>> + Send;

    /// What the footer of the data object at `key` says; `None` when there is none, or it is not one of ours.
    fn footer(&self, key: &str) -> impl Future<Output = Result<Option<Footer>, StoreError>> + Send;

    /// Writes a data object whole or not at all, if `condition` still holds when it is committed.
    fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: &Condition,
        stamp: &Stamp,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Removes a data object, if it still is the one with `etag`.
    fn remove(&self, key: &str, etag: &str) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Reads a ledger object; `None` when there is none.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Content>, StoreError>> + Send;

    /// Writes a ledger object whole or not at all, whatever was there.
    fn write(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a ledger object whole or not at all, if `condition` still holds.
    fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        condition: &Condition,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send;

    /// Deletes ledger objects; those that are not there count as deleted.
    fn delete(&self, keys: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every object whose key starts with `prefix`, in the order of their keys. `prefix` ends in `/`. Where a part below it
    /// cannot be listed, its prefix stands for it, ending in `/`.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;
}

/// A ledger object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it holds.
    pub bytes: Bytes,
    /// Changes with every write; what [`Condition::Matches`] compares.
    pub etag: String,
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key. One that ends with `/` is of a folder that could not be listed.
    pub key: String,
    /// That of [`ObjectFacts`] or [`Content`]; empty where the object cannot be looked at.
    pub etag: String,
    /// When it was written; in a folder, for a data object, when its last page was received.
    pub modified_at: Timestamp,
}

/// What a store knows of a data object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Changes with every write; what [`Condition::Matches`] compares.
    pub etag: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// What the writer said of it; `None` when the object is not one of ours or cannot be read.
    pub stamp: Option<Stamp>,
    /// Whether it could be looked at. If not, what it holds is not known.
    pub is_readable: bool,
}

/// What must hold for a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No object is there (`If-None-Match: *`).
    Absent,
    /// The object there has this etag (`If-Match`).
    Matches(String),
}

/// What a conditional write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is committed; the new etag (empty after a removal).
    Done(String),
    /// The condition does not hold any more; nothing was changed.
    Lost,
}

/// Why a store refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What was done to which object, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: BoxError,
}

/// Tables and partitions as a query engine sees them: Glue, or its local stand-in.
pub trait Catalog: Send + Sync {
    /// Makes sure that the table of `dataset` is there with the columns declared.
    fn ensure_table(&self, table: &TableSpec) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// The same of several tables, in fewer calls where the catalog can. The error names the table.
    fn ensure_tables(&self, tables: &[TableSpec]) -> impl Future<Output = Result<(), CatalogError>> + Send {
        async move {
            for table in tables {
                self.ensure_table(table).await.map_err(|error| error.of_table(table))?;
            }
            Ok(())
        }
    }

    /// Every partition registered of `database.table`.
    fn partitions(&self, dataset: &Dataset)
    -> impl Future<Output = Result<Vec<CatalogPartition>, CatalogError>> + Send;

    /// Adds or replaces `put` and takes out `remove`.
    fn change_partitions(
        &self,
        dataset: &Dataset,
        put: &[CatalogPartition],
        remove: &[PartitionKey],
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// A table as the catalog should hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// What the table holds, with its attribution.
    pub comment: String,
    /// Prefix of the table's objects, ending in `/`.
    pub location: String,
    /// Columns of the files: name, type in Glue's words, comment.
    pub columns: Vec<(String, String, String)>,
    /// Partition columns, likewise; none for a look-up table.
    pub partition_keys: Vec<(String, String, String)>,
}

/// A partition as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPartition {
    /// Axis values.
    pub partition: PartitionKey,
    /// Prefix of its object, ending in `/`.
    pub location: String,
    /// Rows of its object.
    pub n_rows: u64,
    /// Columns of its object's file, which may be of another schema than the table's.
    pub columns: Arc<Vec<TypedColumn>>,
}

/// Why a catalog refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CatalogError {
    /// What was done to which table, without the cause.
    pub message: String,
    /// The cause.
    #[source]
    pub source: BoxError,
}

impl CatalogError {
    /// The error of one table among several.
    #[must_use]
    pub fn of_table(self, table: &TableSpec) -> Self {
        let message = format!("{} `{}.{}`", self.message, table.database, table.table);
        Self { message, ..self }
    }
}

/// The time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Secret;
    use crate::lookup::Lookup;
    use crate::testing::{enrollment, partition};
    use futures::executor::block_on;

    #[test]
    fn a5_a_secret_is_named_where_the_portal_may_have_refused_it() {
        let secret = Some(Secret { header: "x-api-key".into(), name: "portal-key".into() });
        let hint = "\nhint: see that the value of the secret `portal-key` still holds";
        let repeated = Dataset { secret: secret.clone(), ..enrollment() };
        assert_eq!(
            PortalError::RepeatsSecret { status: 200 }.of_page(&repeated, &partition(), 2).chain(),
            "fetch page 2 of `year=2021/grade=grade-pk`: portal refused: HTTP 200: the response repeats the secret that \
             was sent, and was not read\nhint: ask who runs the portal why its responses hold the value of the secret \
             `portal-key`"
        );
        for (status, secret, hint) in
            [(401, &secret, hint), (403, &secret, hint), (400, &secret, ""), (404, &secret, ""), (403, &None, "")]
        {
            let dataset = Dataset { secret: secret.clone(), ..enrollment() };
            let refused = PortalError::Refused { status, excerpt: "no".into() };
            assert_eq!(
                refused.of_page(&dataset, &partition(), 2).chain(),
                format!("fetch page 2 of `year=2021/grade=grade-pk`: portal refused: HTTP {status}: `no`{hint}")
            );
        }
    }

    /// A catalog without the table of this name.
    struct Without(&'static str);

    impl Catalog for Without {
        async fn ensure_table(&self, table: &TableSpec) -> Result<(), CatalogError> {
            if table.table == self.0 {
                return Err(CatalogError { message: "read table".to_owned(), source: "found none".into() });
            }
            Ok(())
        }

        async fn partitions(&self, _: &Dataset) -> Result<Vec<CatalogPartition>, CatalogError> {
            Ok(Vec::new())
        }

        async fn change_partitions(
            &self,
            _: &Dataset,
            _: &[CatalogPartition],
            _: &[PartitionKey],
        ) -> Result<(), CatalogError> {
            Ok(())
        }
    }

    #[test]
    fn of_several_tables_the_one_that_is_wrong_is_named() {
        let specs: Vec<TableSpec> = Lookup::built_in().unwrap().iter().map(Lookup::table_spec).collect();
        let ensured = |missing| block_on(Without(missing).ensure_tables(&specs)).map_err(|error| error.message);
        assert_eq!(ensured("another"), Ok(()));
        assert_eq!(ensured("lookup_races"), Err("read table `ccd_school.lookup_races`".to_owned()));
    }
}
