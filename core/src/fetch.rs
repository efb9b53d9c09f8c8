//! The page-fetch step: one partition from the portal to one committed object, a ledger record and a receipt.

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use url::Url;

use crate::dataset::Dataset;
use crate::edition::{Edition, Stamp};
use crate::error::{CountFound, Error, excerpt};
use crate::keys;
use crate::ledger::{self, ErrorFacts, LastAttempt, Outcome, PartitionRecord, Receipt, store_failed};
use crate::page::{Misfits, Page, PageDecoder};
use crate::partition::PartitionKey;
use crate::ports::{Clock, Condition, ObjectFacts, Portal, Put, Store};
use crate::table::{Encoded, TableWriter};
use crate::unique::KeySet;

/// A body that is no page is asked for again this often before the partition fails.
const BODY_TRIES: u32 = 3;
/// Conditional writes of one commit.
const WRITE_TRIES: u32 = 4;
/// Most rows whose keys are given room at once; a `count` beyond is believed only as its rows arrive.
const MOST_ROWS_AHEAD: u64 = 4_000_000;

/// What every partition of a run is told.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Name of the run.
    pub run: String,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// Pages of one partition asked for at once.
    pub pages_at_once: usize,
}

/// Fetches one partition, commits it, and records what it came to.
///
/// A failure is recorded too, and then returned. Nothing is written under `data/` unless every check holds.
///
/// # Errors
/// Any [`Error`] of a partition; its name is in the receipt.
pub async fn fetch_partition(
    portal: &impl Portal,
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
) -> Result<Receipt, Error> {
    let started_at = clock.now();
    let fetched = commit_partition(portal, store, dataset, partition, run).await;
    let finished_at = clock.now();
    let (receipt, error) = match fetched {
        Ok(done) => {
            tracing::info!(
                dataset = dataset.name,
                %partition,
                outcome = done.outcome.as_str(),
                n_rows = done.facts.n_rows,
                n_pages = done.facts.n_pages,
                n_unknown = done.facts.n_unknown,
                n_misfits = done.facts.n_misfits,
                "partition fetched"
            );
            let receipt = Receipt {
                partition: partition.clone(),
                outcome: done.outcome,
                error: None,
                n_rows: done.facts.n_rows,
                n_pages: done.facts.n_pages,
                size_bytes: done.size_bytes,
                n_unknown: done.facts.n_unknown,
                n_misfits: done.facts.n_misfits,
                started_at,
                finished_at,
            };
            (receipt, None)
        }
        Err(error) => {
            tracing::warn!(dataset = dataset.name, %partition, error = error.name(), "partition failed");
            let receipt = Receipt {
                partition: partition.clone(),
                outcome: Outcome::Failed,
                error: Some(ErrorFacts::from(&error)),
                n_rows: 0,
                n_pages: 0,
                size_bytes: None,
                n_unknown: 0,
                n_misfits: 0,
                started_at,
                finished_at,
            };
            (receipt, Some(error))
        }
    };
    let recorded = record(store, dataset, run, &receipt).await;
    match (error, recorded) {
        // The first failure is the one to mend.
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(receipt),
    }
}

/// Writes the ledger record, then the receipt.
async fn record(store: &impl Store, dataset: &Dataset, run: &RunFacts, receipt: &Receipt) -> Result<(), Error> {
    let partition = &receipt.partition;
    let before: Option<PartitionRecord> = ledger::read_json(store, &keys::record(dataset, partition)).await?;
    let attempt = LastAttempt {
        run: run.run.clone(),
        outcome: receipt.outcome,
        error: receipt.error.clone(),
        at: receipt.finished_at,
    };
    ledger::update_record(store, dataset, partition, before, Some((attempt, receipt.n_pages))).await?;
    ledger::write_json(store, &keys::receipt(dataset, &run.run, partition), receipt).await
}

/// What was received of a partition.
#[derive(Debug, Default)]
struct FetchFacts {
    n_rows: u64,
    n_pages: u32,
    n_unknown: u64,
    n_misfits: u64,
}

struct Done {
    outcome: Outcome,
    facts: FetchFacts,
    size_bytes: Option<u64>,
}

async fn commit_partition(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
) -> Result<Done, Error> {
    let key = keys::partition_object(dataset, partition);
    let before = head(store, &key).await?;
    let (facts, fetched) = fetch_rows(portal, dataset, partition, run.pages_at_once).await?;
    let Some((encoded, fetched_at)) = fetched else {
        return commit_empty(store, partition, &key, before, facts, run).await;
    };
    let stamp = Stamp { edition: encoded.edition, n_rows: encoded.n_rows, fetched_at, run: Some(run.run.clone()) };
    let (outcome, size_bytes) = commit(store, partition, &key, before, &encoded, &stamp, run.force).await?;
    Ok(Done { outcome, facts, size_bytes: Some(size_bytes) })
}

/// Puts the object in place of the one last seen, or finds that there is no need to.
async fn commit(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
    before: Option<ObjectFacts>,
    encoded: &Encoded,
    stamp: &Stamp,
    force: bool,
) -> Result<(Outcome, u64), Error> {
    let mut seen = before;
    for tries in 0..WRITE_TRIES {
        let seen_stamp = seen.as_ref().and_then(|facts| facts.stamp.as_ref().map(|stamp| (stamp, facts.size_bytes)));
        if let Some((seen, size_bytes)) = seen_stamp {
            if seen.edition == stamp.edition {
                // After a lost write, an equal edition is ours whose answer was lost, or another's of the same rows.
                let outcome = if tries == 0 { Outcome::Unchanged } else { Outcome::Written };
                return Ok((outcome, size_bytes));
            }
            if tries > 0 && seen.fetched_at > stamp.fetched_at {
                return Ok((Outcome::Superseded, size_bytes));
            }
            check_shrink(partition, seen.n_rows, stamp.n_rows, force)?;
        }
        let condition = match &seen {
            Some(facts) => Condition::Matches(facts.etag.clone()),
            None => Condition::Absent,
        };
        let put = store
            .put(key, encoded.bytes.clone(), &condition, stamp)
            .await
            .map_err(|source| store_failed("write", key, source))?;
        match put {
            Put::Done(_) => return Ok((Outcome::Written, encoded.bytes.len() as u64)),
            Put::Lost => seen = head(store, key).await?,
        }
    }
    Err(Error::WriteConflict { key: key.to_owned(), tries: WRITE_TRIES })
}

/// The portal has no rows: nothing to write, and nothing to take away without `force`.
async fn commit_empty(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
    before: Option<ObjectFacts>,
    facts: FetchFacts,
    run: &RunFacts,
) -> Result<Done, Error> {
    if let Some(before) = before {
        // An object that cannot be read holds who knows what: at least not nothing.
        let n_rows = before.stamp.as_ref().map_or(1, |stamp| stamp.n_rows);
        check_shrink(partition, n_rows, 0, run.force)?;
        let removed = store.remove(key, &before.etag).await.map_err(|source| store_failed("remove", key, source))?;
        if removed == Put::Lost {
            return Err(Error::WriteConflict { key: key.to_owned(), tries: 1 });
        }
    }
    Ok(Done { outcome: Outcome::Empty, facts, size_bytes: None })
}

/// A partition that shrank by more than half, or to nothing, does not replace the fuller one without `force`.
fn check_shrink(partition: &PartitionKey, before: u64, after: u64, force: bool) -> Result<(), Error> {
    if !force && before > 0 && (after == 0 || after < before.div_ceil(2)) {
        return Err(Error::ShrankTooMuch { partition: partition.clone(), before, after });
    }
    Ok(())
}

async fn head(store: &impl Store, key: &str) -> Result<Option<ObjectFacts>, Error> {
    store.head(key).await.map_err(|source| store_failed("read", key, source))
}

/// Every row of a partition, checked and encoded; `None` when the portal has none.
async fn fetch_rows(
    portal: &impl Portal,
    dataset: &Dataset,
    partition: &PartitionKey,
    pages_at_once: usize,
) -> Result<(FetchFacts, Option<(Encoded, Timestamp)>), Error> {
    let path = dataset.portal_path(partition);
    let decoder = PageDecoder::new(dataset, partition);
    let fetcher = PageFetcher { portal, decoder: &decoder, partition, path: &path };
    let (first, received_at) = fetcher.page(1).await?;
    let expected = first.count;
    let page_length = first.batch.num_rows() as u64;
    let links = Links { root: portal.root(), path: &path, partition };
    if expected == 0 && page_length == 0 {
        links.check(1, first.next.as_deref(), true, 0)?;
        return Ok((FetchFacts { n_pages: 1, ..FetchFacts::default() }, None));
    }
    let mismatch = |found| Error::CountMismatch { partition: partition.clone(), expected, found };
    if page_length == 0 || page_length > expected {
        return Err(mismatch(CountFound::Received(page_length)));
    }
    let Ok(n_pages) = u32::try_from(expected.div_ceil(page_length)) else {
        return Err(mismatch(CountFound::Received(page_length)));
    };
    let mut gate = Gate::new(dataset, partition, expected)?;
    let mut fetched_at = received_at;
    let mut pages = stream::iter(2..=n_pages)
        .map(|page| async move { fetcher.page(page).await.map(|(decoded, at)| (page, decoded, at)) })
        .buffered(pages_at_once.max(1));
    let mut next = Some((1, first, received_at));
    while let Some((page, decoded, received_at)) = next {
        if decoded.count != expected {
            return Err(mismatch(CountFound::OnPage { page, count: decoded.count }));
        }
        let n_rows = decoded.batch.num_rows() as u64;
        let due = page_length.min(expected - u64::from(page - 1) * page_length);
        let n_received = gate.n_rows + n_rows;
        if decoded.next.is_none() && page < n_pages {
            return Err(mismatch(CountFound::Received(n_received)));
        }
        links.check(page, decoded.next.as_deref(), page == n_pages, n_pages)?;
        if n_rows != due {
            return Err(mismatch(if page == n_pages {
                CountFound::Received(n_received)
            } else {
                CountFound::PageLength { page, n_rows, expected: due }
            }));
        }
        gate.admit(page, decoded)?;
        fetched_at = fetched_at.max(received_at);
        next = pages.next().await.transpose()?;
    }
    drop(pages);
    let (facts, encoded) = gate.finish(n_pages)?;
    Ok((facts, Some((encoded, fetched_at))))
}

/// Gets and decodes pages of one partition.
struct PageFetcher<'f, P> {
    portal: &'f P,
    decoder: &'f PageDecoder<'f>,
    partition: &'f PartitionKey,
    path: &'f str,
}

impl<P> Clone for PageFetcher<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for PageFetcher<'_, P> {}

impl<P: Portal> PageFetcher<'_, P> {
    /// One page. A body that is none is asked for again, since a proxy's error page or a cut answer passes.
    async fn page(self, page: u32) -> Result<(Page, Timestamp), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let body = self.portal.get(self.path, page).await.map_err(|error| error.of_page(self.partition, page))?;
            match self.decoder.decode(page, &body.bytes) {
                Ok(decoded) => return Ok((decoded, body.received_at)),
                Err(error @ Error::BadBody { .. }) if tries < BODY_TRIES => {
                    tracing::warn!(partition = %self.partition, page, tries, error = error.chain(), "page asked for again");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Checks every page's `next`. Pages are asked for by number; the link must say the same, and is never followed.
struct Links<'l> {
    root: &'l Url,
    path: &'l str,
    partition: &'l PartitionKey,
}

impl Links<'_> {
    fn check(&self, page: u32, next: Option<&str>, is_last: bool, n_pages: u32) -> Result<(), Error> {
        let Some(next) = next else { return Ok(()) };
        let refuse = |expected: String| {
            Err(Error::UntrustedNext { partition: self.partition.clone(), page, expected, found: excerpt(next) })
        };
        if is_last {
            return refuse(format!("none after the last of {n_pages} pages"));
        }
        let Ok(mut due) = self.root.join(self.path) else {
            return refuse(format!("a link below `{}`", self.root));
        };
        due.query_pairs_mut().append_pair("page", &(page + 1).to_string());
        // Compared as parsed, so that spellings of the same URL are equal and nothing else is.
        match Url::parse(next) {
            Ok(found) if found == due => Ok(()),
            _ => refuse(format!("`{due}`")),
        }
    }
}

/// What every row of a partition passes before anything is written.
struct Gate<'g> {
    dataset: &'g Dataset,
    partition: &'g PartitionKey,
    keys: KeySet,
    table: TableWriter,
    misfits: Vec<Misfits>,
    n_rows: u64,
    n_unknown: u64,
}

impl<'g> Gate<'g> {
    fn new(dataset: &'g Dataset, partition: &'g PartitionKey, expected: u64) -> Result<Self, Error> {
        let n_ahead = usize::try_from(expected.min(MOST_ROWS_AHEAD)).unwrap_or(0);
        Ok(Self {
            dataset,
            partition,
            keys: KeySet::new(dataset, n_ahead),
            table: TableWriter::new(dataset).map_err(|source| encode_failed(partition, source))?,
            misfits: vec![Misfits::default(); dataset.columns.len()],
            n_rows: 0,
            n_unknown: 0,
        })
    }

    fn admit(&mut self, page: u32, decoded: Page) -> Result<(), Error> {
        for (i, (column, found)) in self.dataset.columns.iter().zip(&decoded.misfits).enumerate() {
            let Some((row, raw)) = &found.first else { continue };
            let Some(sum) = self.misfits.get_mut(i) else { continue };
            sum.n_values += found.n_values;
            let row = self.n_rows + row;
            sum.first.get_or_insert((row, raw.clone()));
            if self.dataset.key.contains(&column.name) {
                return Err(self.drift(i, self.n_rows + decoded.batch.num_rows() as u64));
            }
        }
        if let Err(null) = self.keys.add(&decoded.batch) {
            if let Some(sum) = self.misfits.get_mut(null.column) {
                *sum =
                    Misfits { n_values: 1, first: Some((self.n_rows + null.row as u64 + 1, Some("null".to_owned()))) };
            }
            return Err(self.drift(null.column, self.n_rows + decoded.batch.num_rows() as u64));
        }
        self.n_rows += decoded.batch.num_rows() as u64;
        self.n_unknown += decoded.n_unknown;
        tracing::debug!(partition = %self.partition, page, n_rows = self.n_rows, "page admitted");
        self.table.append(decoded.batch).map_err(|source| encode_failed(self.partition, source))
    }

    fn finish(mut self, n_pages: u32) -> Result<(FetchFacts, Encoded), Error> {
        for (i, found) in self.misfits.iter().enumerate() {
            // More than one value in a thousand is not an accident any more.
            if found.n_values * 1000 > self.n_rows {
                return Err(self.drift(i, self.n_rows));
            }
        }
        if let Some(repeated) = self.keys.find_repeated() {
            return Err(Error::DuplicateKey {
                partition: self.partition.clone(),
                key: repeated.key,
                n_repeated: repeated.n_rows,
                n_rows: self.n_rows,
            });
        }
        let facts = FetchFacts {
            n_rows: self.n_rows,
            n_pages,
            n_unknown: self.n_unknown,
            n_misfits: self.misfits.iter().map(|found| found.n_values).sum(),
        };
        let partition = self.partition;
        let encoded = self.table.finish().map_err(|source| encode_failed(partition, source))?;
        Ok((facts, encoded))
    }

    fn drift(&self, column: usize, n_rows: u64) -> Error {
        let (name, kind) =
            self.dataset.columns.get(column).map_or(("", ""), |column| (column.name.as_str(), column.kind.glue_type()));
        let found = self.misfits.get(column).cloned().unwrap_or_default();
        let (row, raw) = found.first.unwrap_or_default();
        let is_key = self.dataset.key.iter().any(|key| key == name);
        Error::SchemaDrift {
            partition: self.partition.clone(),
            column: name.to_owned(),
            expected: if is_key { format!("{kind}, never null") } else { kind.to_owned() },
            found: raw.map_or_else(|| "no such field".to_owned(), |raw| format!("`{}`", excerpt(&raw))),
            row,
            n_misfits: found.n_values,
            n_rows,
        }
    }
}

fn encode_failed(partition: &PartitionKey, source: parquet::errors::ParquetError) -> Error {
    Error::EncodeFailed { partition: partition.to_string(), source }
}

/// Writes a table without partitions (a look-up) when its edition is not the one there. Gives whether it wrote.
pub(crate) async fn commit_plain(
    store: &impl Store,
    key: &str,
    bytes: Bytes,
    edition: Edition,
    n_rows: u64,
    now: Timestamp,
    run: &str,
) -> Result<bool, Error> {
    let seen = head(store, key).await?;
    if seen.as_ref().and_then(|facts| facts.stamp.as_ref()).is_some_and(|stamp| stamp.edition == edition) {
        return Ok(false);
    }
    let condition = match seen {
        Some(facts) => Condition::Matches(facts.etag),
        None => Condition::Absent,
    };
    let stamp = Stamp { edition, n_rows, fetched_at: now, run: Some(run.to_owned()) };
    let put = store.put(key, bytes, &condition, &stamp).await.map_err(|source| store_failed("write", key, source))?;
    // A write lost here was another run's of the same program: the same table.
    Ok(put != Put::Lost)
}
