//! The page-fetch step: one partition from the portal to one committed object and a receipt.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use jiff::Timestamp;
use url::Url;

use crate::dataset::Dataset;
use crate::edition::{Edition, Stamp};
use crate::error::{CountFound, Error, Shrunk, excerpt};
use crate::gate::{FetchFacts, Gate};
use crate::keys;
use crate::ledger::{self, ErrorFacts, Outcome, Receipt, store_failed};
use crate::memory::Room;
use crate::page::{Page, PageDecoder};
use crate::partition::PartitionKey;
use crate::ports::{Asked, Body, Clock, Condition, ObjectFacts, Portal, PortalError, Put, Store};
use crate::table::{Encoded, fingerprint};

/// Conditional writes of one commit.
const WRITE_TRIES: u32 = 4;

/// What every partition of a run is told.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Name of the run.
    pub run: String,
    /// The portal's release that the run reads, where known.
    pub portal_release: Option<String>,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// Most pages of one partition asked for ahead of the one due next, where there is memory for them. More than there are
    /// requests in flight keeps these busy while pages that came are decoded.
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
    match commit_partition(portal, store, dataset, partition, run).await {
        Ok(done) => {
            let facts = done.facts;
            tracing::info!(
                dataset = dataset.name,
                %partition,
                outcome = done.outcome.as_str(),
                n_rows = facts.n_rows,
                n_pages = facts.n_pages,
                n_unknown = facts.n_unknown,
                n_misfits = facts.n_misfits,
                "partition fetched"
            );
            let receipt = Receipt {
                partition: partition.clone(),
                outcome: done.outcome,
                error: None,
                n_rows: facts.n_rows,
                n_pages: facts.n_pages,
                edition: done.edition,
                portal_release: run.portal_release.clone(),
                size_bytes: done.size_bytes,
                n_unknown: facts.n_unknown,
                unknown_fields: facts.unknown_fields.into_names(),
                n_misfits: facts.n_misfits,
                started_at,
                finished_at: clock.now(),
            };
            write_receipt(store, dataset, run, &receipt).await?;
            Ok(receipt)
        }
        // Nothing came of it: whoever ends the run says that it was not tried.
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => Err(record_failure(store, clock, dataset, partition, run, started_at, error).await),
    }
}

/// Writes the receipt of a partition that failed, and gives `error` back, the one to act on: that it could not be recorded
/// is logged.
pub async fn record_failure(
    store: &impl Store,
    clock: &impl Clock,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    started_at: Timestamp,
    error: Error,
) -> Error {
    tracing::warn!(dataset = dataset.name, %partition, error = error.name(), "partition failed");
    let receipt = Receipt {
        portal_release: run.portal_release.clone(),
        ..Receipt::of_nothing(partition.clone(), Some(ErrorFacts::from(&error)), started_at, clock.now())
    };
    if let Err(unrecorded) = write_receipt(store, dataset, run, &receipt).await {
        tracing::error!(%partition, error = unrecorded.chain(), "failure not recorded");
    }
    error
}

async fn write_receipt(store: &impl Store, dataset: &Dataset, run: &RunFacts, receipt: &Receipt) -> Result<(), Error> {
    ledger::write_json(store, &keys::receipt(dataset, &run.run, &receipt.partition), receipt).await?;
    tracing::debug!(partition = %receipt.partition, "receipt written");
    Ok(())
}

struct Done {
    outcome: Outcome,
    facts: FetchFacts,
    edition: Option<Edition>,
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
    let before = head(store, partition, &key).await?;
    // Held until the file is committed.
    let mut room = portal.partition_memory().room();
    let (facts, fetched) = fetch_rows(portal, dataset, partition, run.pages_at_once, &mut room).await?;
    let Some((encoded, fetched_at)) = fetched else {
        return commit_empty(store, partition, &key, before, facts, run).await;
    };
    let stamp = Stamp {
        edition: encoded.edition,
        partition: Some(partition.to_string()),
        n_rows: encoded.n_rows,
        fetched_at,
        run: Some(run.run.clone()),
    };
    let (outcome, size_bytes) = commit(store, partition, &key, before, &encoded, &stamp, run.force).await?;
    Ok(Done { outcome, facts, edition: Some(encoded.edition), size_bytes: Some(size_bytes) })
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
                // After a lost write, an equal edition is ours whose answer was lost, or another's of the same rows. Before
                // one, it is ours where an earlier try of this run committed it and left no receipt.
                let is_own = tries > 0 || seen.run == stamp.run;
                return Ok((if is_own { Outcome::Written } else { Outcome::Unchanged }, size_bytes));
            }
            if tries > 0 && seen.fetched_at > stamp.fetched_at {
                return Ok((Outcome::Superseded, size_bytes));
            }
            check_rows(partition, seen.n_rows, stamp.n_rows, force)?;
            check_values(store, partition, key, encoded, force).await?;
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
            Put::Lost => seen = head(store, partition, key).await?,
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
        match &before.stamp {
            Some(stamp) => check_rows(partition, stamp.n_rows, 0, run.force)?,
            None if run.force => {}
            None => return Err(shrank(partition, Shrunk::Rows { before: None, after: 0 })),
        }
        let removed = store.remove(key, &before.etag).await.map_err(|source| store_failed("remove", key, source))?;
        // Gone is gone: by another, or by us and the answer was lost.
        if removed == Put::Lost && head(store, partition, key).await?.is_some() {
            return Err(Error::WriteConflict { key: key.to_owned(), tries: 1 });
        }
    }
    Ok(Done { outcome: Outcome::Empty, facts, edition: None, size_bytes: None })
}

/// A partition that shrank by more than half, or to nothing, does not replace the fuller one without `force`.
fn check_rows(partition: &PartitionKey, before: u64, after: u64, force: bool) -> Result<(), Error> {
    if !force && after < before.div_ceil(2) {
        return Err(shrank(partition, Shrunk::Rows { before: Some(before), after }));
    }
    Ok(())
}

/// Nor does one of which a column lost most of its values. The file to be replaced says how many it has; one written before
/// files said so may be replaced.
async fn check_values(
    store: &impl Store,
    partition: &PartitionKey,
    key: &str,
    encoded: &Encoded,
    force: bool,
) -> Result<(), Error> {
    if force {
        return Ok(());
    }
    let before = store.footer(key).await.map_err(|source| store_failed("read", key, source))?;
    match before.and_then(|footer| encoded.values.lost_since(&footer.values?)) {
        Some(lost) => Err(shrank(partition, Shrunk::Values(lost))),
        None => Ok(()),
    }
}

fn shrank(partition: &PartitionKey, shrunk: Shrunk) -> Error {
    Error::ShrankTooMuch { partition: partition.clone(), shrunk }
}

/// What is known of a partition's object. One that says it is another partition's is as good as unreadable.
async fn head(store: &impl Store, partition: &PartitionKey, key: &str) -> Result<Option<ObjectFacts>, Error> {
    let found = store.head(key).await.map_err(|source| store_failed("read", key, source))?;
    Ok(found.map(|facts| ObjectFacts { stamp: facts.stamp.filter(|stamp| stamp.is_of(partition)), ..facts }))
}

/// Every row of a partition, checked and encoded; `None` when the portal has none.
async fn fetch_rows(
    portal: &impl Portal,
    dataset: &Dataset,
    partition: &PartitionKey,
    pages_at_once: usize,
    room: &mut Room,
) -> Result<(FetchFacts, Option<(Encoded, Timestamp)>), Error> {
    let path = dataset.portal_path(partition);
    let decoder = PageDecoder::new(dataset, partition);
    let fetcher = PageFetcher { portal, decoder: &decoder, dataset, partition, path: &path };
    let first = fetcher.page(1, Asked::default()).await?;
    let expected = first.page.count;
    let page_length = first.page.batch.num_rows() as u64;
    let links = Links { root: portal.root(), path: &path, partition };
    if expected == 0 && page_length == 0 {
        links.check(1, first.page.next.as_deref(), true, 1)?;
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
    // What page 1 held when it was taken in, and the requests that it took.
    let mut first_page = None;
    let mut fetched_at = first.received_at;
    let memory = portal.page_memory();
    // Pages are of one length, and so of about one size: an eighth more is room for what differs.
    let page_bytes = first.n_bytes + first.n_bytes / 8;
    let mut ahead = FuturesOrdered::new();
    let (mut page, mut to_ask, mut due) = (1, 2, first);
    loop {
        let Fetched { page: decoded, permit, received_at, tries, may_ask_again, .. } = due;
        let with_page = gate.memory_bytes() + 2 * decoded.batch.get_array_memory_size();
        if !room.try_hold(with_page) {
            // Here and nowhere else a partition waits, when it holds nothing that another one may wait for: not even this
            // page, which is asked for once more. It may exceed the limit then, so this happens once.
            drop((decoded, permit));
            let held = portal.hold(room, with_page).await;
            held.map_err(|error| error.of_page(dataset, partition, page))?;
            due = fetcher.page(page, Asked { tries, was_useful: true, room: None }).await?;
            continue;
        }
        if decoded.count != expected {
            return Err(mismatch(CountFound::OnPage { page, count: decoded.count }));
        }
        let n_rows = decoded.batch.num_rows() as u64;
        let n_due = page_length.min(expected - u64::from(page - 1) * page_length);
        let n_received = gate.n_rows + n_rows;
        if decoded.next.is_none() && page < n_pages {
            return Err(mismatch(CountFound::Received(n_received)));
        }
        links.check(page, decoded.next.as_deref(), page == n_pages, n_pages)?;
        if n_rows != n_due {
            return Err(mismatch(if page == n_pages {
                CountFound::Received(n_received)
            } else {
                CountFound::PageLength { page, n_rows, expected: n_due }
            }));
        }
        if page == 1 && n_pages > 1 {
            if !may_ask_again {
                return Err(PortalError::UsedUp { tries }.of_page(dataset, partition, 1));
            }
            first_page = Some((fingerprint(&decoded.batch), tries));
        }
        gate.admit(page, decoded)?;
        drop(permit);
        // No more than before, since rows take less when they are encoded; if they do take more, by a little.
        let _ = room.try_hold(gate.memory_bytes());
        fetched_at = fetched_at.max(received_at);
        if page == n_pages {
            break;
        }
        page += 1;
        while to_ask <= n_pages && ahead.len() < pages_at_once.max(1) {
            let mut asked = Asked::default();
            if to_ask > page {
                let mut room = memory.room();
                if !room.try_hold(page_bytes) {
                    break;
                }
                asked.room = Some(room);
            }
            ahead.push_back(fetcher.page(to_ask, asked));
            to_ask += 1;
        }
        let fetched = match ahead.next().await {
            Some(Err(Error::PortalUnavailable { source: PortalError::Outgrown { tries }, .. })) => {
                fetcher.page(page, Asked { tries, was_useful: true, room: None }).await
            }
            Some(fetched) => fetched,
            // The page that is due was asked for above, if not before.
            None => break,
        };
        due = fetched.map_err(|error| counted_after(gate.n_rows, error))?;
    }
    drop(ahead);
    if let Some((first_page, tries)) = first_page {
        // The source may have changed between two pages with its `count` as it was: what page 1 holds now tells, as far as
        // one look can. Its requests count with those of the first look.
        let again = fetcher.page(1, Asked { tries, was_useful: true, room: None }).await?.page;
        if again.count != expected || fingerprint(&again.batch) != first_page {
            return Err(mismatch(CountFound::Changed));
        }
    }
    let (facts, encoded) = gate.finish(n_pages)?;
    Ok((facts, Some((encoded, fetched_at))))
}

/// A page, with what it took to get it.
struct Fetched {
    page: Page,
    received_at: Timestamp,
    /// Bytes of its body and of its rows.
    n_bytes: usize,
    permit: Option<Room>,
    tries: u32,
    may_ask_again: bool,
}

/// An error of the rows of one page, of which `n_rows` came before.
fn counted_after(n_rows: u64, mut error: Error) -> Error {
    if let Error::SchemaDrift { row, n_rows: n_so_far, .. } = &mut error {
        *row += n_rows;
        *n_so_far += n_rows;
    }
    error
}

/// Gets and decodes pages of one partition.
struct PageFetcher<'f, P> {
    portal: &'f P,
    decoder: &'f PageDecoder<'f>,
    dataset: &'f Dataset,
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
    async fn page(self, page: u32, mut asked: Asked) -> Result<Fetched, Error> {
        let is_ahead = asked.room.is_some();
        loop {
            let body = self.portal.get(self.path, page, asked).await;
            let body = body.map_err(|error| error.of_page(self.dataset, self.partition, page))?;
            let Body { bytes, received_at, tries, may_ask_again, mut permit } = body;
            match self.decoder.decode(page, &bytes) {
                Ok(decoded) => {
                    let row_bytes = decoded.batch.get_array_memory_size();
                    let n_bytes = bytes.len() + row_bytes;
                    drop(bytes);
                    let has_room = permit.as_mut().is_none_or(|room| room.try_hold(row_bytes));
                    if is_ahead && !has_room {
                        return Err(PortalError::Outgrown { tries }.of_page(self.dataset, self.partition, page));
                    }
                    return Ok(Fetched { page: decoded, received_at, n_bytes, permit, tries, may_ask_again });
                }
                Err(error @ Error::BadBody { .. }) if may_ask_again => {
                    tracing::warn!(partition = %self.partition, page, tries, error = error.chain(), "page asked for again");
                }
                Err(error) => return Err(error),
            }
            asked = Asked { tries, was_useful: false, room: permit.filter(|_| is_ahead) };
        }
    }
}

/// Checks every page's `next`. Pages are asked for by number; the link must say the same, and is never followed.
pub(crate) struct Links<'l> {
    pub(crate) root: &'l Url,
    pub(crate) path: &'l str,
    pub(crate) partition: &'l PartitionKey,
}

impl Links<'_> {
    pub(crate) fn check(&self, page: u32, next: Option<&str>, is_last: bool, n_pages: u32) -> Result<(), Error> {
        let Some(next) = next else { return Ok(()) };
        let refuse = |expected: String| {
            Err(Error::UntrustedNext { partition: self.partition.clone(), page, expected, found: excerpt(next) })
        };
        if is_last {
            let pages = if n_pages == 1 { "page" } else { "pages" };
            return refuse(format!("none after the last of {n_pages} {pages}"));
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
    let seen = store.head(key).await.map_err(|source| store_failed("read", key, source))?;
    if seen.as_ref().and_then(|facts| facts.stamp.as_ref()).is_some_and(|stamp| stamp.edition == edition) {
        return Ok(false);
    }
    let condition = match seen {
        Some(facts) => Condition::Matches(facts.etag),
        None => Condition::Absent,
    };
    let stamp = Stamp { edition, partition: None, n_rows, fetched_at: now, run: Some(run.to_owned()) };
    let put = store.put(key, bytes, &condition, &stamp).await.map_err(|source| store_failed("write", key, source))?;
    // A write lost here was another run's of the same program: the same table.
    Ok(put != Put::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edition::{Digest, ENCODING_VERSION};
    use crate::memory::Memory;
    use crate::testing::{CannedPages, MemoryStore, NOW, StandingClock, enrollment, page, pages, partition, row, time};
    use futures::executor::block_on;
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::task::Poll;

    const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";

    fn run_facts(force: bool) -> RunFacts {
        RunFacts { run: "r1".into(), portal_release: None, force, pages_at_once: 4 }
    }

    fn fetch_with(store: &MemoryStore, portal: &CannedPages, dataset: &Dataset, force: bool) -> Result<Receipt, Error> {
        block_on(fetch_partition(portal, store, &StandingClock, dataset, &partition(), &run_facts(force)))
    }

    /// Fetches in a run of another name.
    fn fetch_as(run: &str, store: &MemoryStore, portal: &CannedPages, dataset: &Dataset) -> Result<Receipt, Error> {
        let facts = RunFacts { run: run.into(), ..run_facts(false) };
        block_on(fetch_partition(portal, store, &StandingClock, dataset, &partition(), &facts))
    }

    fn fetch(store: &MemoryStore, bodies: Vec<String>) -> Result<Receipt, Error> {
        fetch_with(store, &CannedPages::new(bodies), &enrollment(), false)
    }

    fn rows(n_rows: u64) -> Vec<String> {
        (1..=n_rows).map(|school| row(school, "5")).collect()
    }

    #[test]
    fn pages_become_one_object_and_a_receipt() {
        let store = MemoryStore::default();
        let receipt = fetch(&store, pages(&rows(5), 2)).unwrap();
        assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Written, 5, 3));
        assert_eq!(store.keys(""), [KEY, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json",]);
        let stamp = store.stamp(KEY).unwrap();
        assert_eq!((stamp.n_rows, stamp.fetched_at, stamp.run.as_deref()), (5, time(NOW), Some("r1")));
    }

    #[test]
    fn a_failure_leaves_a_receipt_with_its_error_and_the_release_that_was_read() {
        let (store, portal) = (MemoryStore::default(), CannedPages::new(vec![page(3, None, &rows(2))]));
        let run = RunFacts { portal_release: Some("0.24.0".into()), ..run_facts(false) };
        block_on(fetch_partition(&portal, &store, &StandingClock, &enrollment(), &partition(), &run)).unwrap_err();
        let receipt = store.bytes(&keys::receipt(&enrollment(), "r1", &partition())).unwrap();
        let receipt: Receipt = serde_json::from_slice(&receipt).unwrap();
        assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Failed, 0, 0));
        assert_eq!(receipt.error.unwrap().name, "CountMismatch");
        assert_eq!(receipt.portal_release.as_deref(), Some("0.24.0"));
    }

    #[test]
    fn the_same_rows_are_unchanged_in_any_order_and_any_page_size() {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 2)).unwrap();
        let before = store.bytes(KEY);
        let mut reversed = rows(5);
        reversed.reverse();
        for bodies in [pages(&rows(5), 2), pages(&rows(5), 5), pages(&reversed, 3)] {
            let later = fetch_as("r2", &store, &CannedPages::new(bodies), &enrollment());
            assert_eq!(later.unwrap().outcome, Outcome::Unchanged);
            assert_eq!(store.bytes(KEY), before);
        }
    }

    #[test]
    fn a_changed_value_descriptor_or_encoding_version_rewrites_the_partition() {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 2)).unwrap();
        let mut changed = rows(5);
        changed[3] = row(4, "6");
        assert_eq!(fetch(&store, pages(&changed, 2)).unwrap().outcome, Outcome::Written);

        let mut dataset = enrollment();
        dataset.columns[0].dictionary = true;
        let portal = CannedPages::new(pages(&changed, 2));
        assert_eq!(fetch_with(&store, &portal, &dataset, false).unwrap().outcome, Outcome::Written);
        assert_eq!(fetch_as("r2", &store, &portal, &dataset).unwrap().outcome, Outcome::Unchanged);

        let mut stamp = store.stamp(KEY).unwrap();
        stamp.edition.encoding_version = ENCODING_VERSION - 1;
        store.set(KEY, b"written by an older version", Some(stamp));
        assert_eq!(fetch_with(&store, &portal, &dataset, false).unwrap().outcome, Outcome::Written);
    }

    #[test]
    fn a18_a_lost_row_is_refused_with_both_counts() {
        let store = MemoryStore::default();
        let bodies = vec![page(3, Some(2), &rows(2)), page(3, None, &[])];
        let error = fetch(&store, bodies).unwrap_err();
        assert_eq!(error.name(), "CountMismatch");
        assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 3 rows, received 2");
        assert_eq!(store.bytes(KEY), None);
        let receipt: Receipt =
            block_on(ledger::read_json(&store, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json"))
                .unwrap()
                .unwrap();
        assert_eq!(receipt.error.unwrap().name, "CountMismatch");
    }

    #[test]
    fn a18_a_count_without_rows_or_rows_without_a_count_are_refused() {
        let store = MemoryStore::default();
        for (count, n_rows, expected) in [(5, 0, "expected 5 rows, received 0"), (0, 2, "expected 0 rows, received 2")]
        {
            let error = fetch(&store, vec![page(count, None, &rows(n_rows))]).unwrap_err();
            assert_eq!(error.chain(), format!("fetch `year=2021/grade=grade-pk`: {expected}"));
        }
        assert_eq!(store.bytes(KEY), None);
    }

    #[test]
    fn a_missing_next_stops_before_the_other_pages_are_asked_for() {
        let store = MemoryStore::default();
        let portal = CannedPages::new(vec![page(778_243, None, &rows(10))]);
        let error = fetch_with(&store, &portal, &enrollment(), false).unwrap_err();
        assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 778243 rows, received 10");
        assert_eq!(*portal.asked.lock().unwrap(), [1]);
    }

    #[test]
    fn a16_a_count_that_moves_is_refused() {
        let bodies = vec![page(4, Some(2), &rows(2)), page(5, None, &[row(3, "5"), row(4, "5")])];
        let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
        assert_eq!(error.chain(), "fetch `year=2021/grade=grade-pk`: expected 4 rows, page 2 says 5");
    }

    #[test]
    fn a19_a20_a22_a_next_that_is_not_the_page_that_follows_is_refused() {
        for next in [
            "https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=1",
            "https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=3",
            "https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2&fips=1",
            "https://portal.test/api/v1/schools/ccd/enrollment/2020/grade-pk/?page=2",
            "http://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
            "https://portal.test:8443/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
            "https://portal.test.evil/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
            "https://user@portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
            "//evil/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
            "/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2",
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "",
        ] {
            let first = page(4, Some(2), &rows(2))
                .replace("https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2", next);
            let error = fetch(&MemoryStore::default(), vec![first]).unwrap_err();
            assert_eq!(error.name(), "UntrustedNext", "{next}");
            assert_eq!(
                error.chain(),
                format!(
                    "check `next` on page 1 of `year=2021/grade=grade-pk`: expected \
                     `https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=2`, found `{next}`"
                )
            );
        }
    }

    #[test]
    fn a_next_after_the_last_page_is_refused() {
        let bodies = vec![page(4, Some(2), &rows(2)), page(4, Some(3), &[row(3, "5"), row(4, "5")])];
        let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
        assert_eq!(
            error.chain(),
            "check `next` on page 2 of `year=2021/grade=grade-pk`: expected none after the last of 2 pages, found \
             `https://portal.test/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=3`"
        );
    }

    #[test]
    fn a17_a_key_on_two_pages_is_refused() {
        let bodies = vec![page(4, Some(2), &rows(2)), page(4, None, &[row(2, "5"), row(4, "5")])];
        let error = fetch(&MemoryStore::default(), bodies).unwrap_err();
        assert_eq!(
            error.chain(),
            "check keys of `year=2021/grade=grade-pk`: expected every key once, found `ncessch 000000000002` more than \
             once (1 repeated of 4 rows)"
        );
    }

    #[test]
    fn a7_an_empty_answer_is_written_as_nothing_and_replaces_nothing_without_force() {
        let store = MemoryStore::default();
        let empty = || vec![page(0, None, &[])];
        assert_eq!(fetch(&store, empty()).unwrap().outcome, Outcome::Empty);
        assert_eq!(store.bytes(KEY), None);
        fetch(&store, pages(&rows(5), 5)).unwrap();
        let error = fetch(&store, empty()).unwrap_err();
        assert_eq!(
            error.chain(),
            "replace `year=2021/grade=grade-pk`: expected at least half of the 5 rows committed before, found 0\n\
             hint: if the portal is right, run this partition again with force"
        );
        assert!(store.bytes(KEY).is_some());
        let receipt = fetch_with(&store, &CannedPages::new(empty()), &enrollment(), true).unwrap();
        assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
    }

    #[test]
    fn a7_an_object_that_cannot_be_read_is_not_replaced_by_nothing_without_force() {
        let store = MemoryStore::default();
        store.set(KEY, b"unreadable", None);
        let empty = || CannedPages::new(vec![page(0, None, &[])]);
        let error = fetch_with(&store, &empty(), &enrollment(), false).unwrap_err();
        assert_eq!(error.name(), "ShrankTooMuch");
        assert!(store.bytes(KEY).is_some());
        let receipt = fetch_with(&store, &empty(), &enrollment(), true).unwrap();
        assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
    }

    #[test]
    fn an_object_that_was_replaced_under_a_removal_stays() {
        let newer = rival_stamp("2026-11-23T12:00:01Z");
        let store = MemoryStore::with_rivals(vec![Box::new(move |store| store.set(KEY, b"rival", Some(newer)))]);
        store.set(KEY, b"older", Some(rival_stamp("2026-11-23T11:00:00Z")));
        let error = fetch_with(&store, &CannedPages::new(vec![page(0, None, &[])]), &enrollment(), true).unwrap_err();
        assert_eq!(error.name(), "WriteConflict");
        assert_eq!(store.bytes(KEY).unwrap().as_ref(), b"rival");
    }

    #[test]
    fn a_partition_that_shrank_by_more_than_half_needs_force() {
        for (before, after, is_refused) in [(4, 2, false), (5, 2, true), (5, 3, false), (2, 1, false), (3, 1, true)] {
            let store = MemoryStore::default();
            fetch(&store, pages(&rows(before), 10)).unwrap();
            let result = fetch(&store, pages(&rows(after), 10));
            assert_eq!(result.is_err_and(|error| error.name() == "ShrankTooMuch"), is_refused, "{before} to {after}");
        }
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 10)).unwrap();
        let forced = fetch_with(&store, &CannedPages::new(pages(&rows(1), 10)), &enrollment(), true);
        assert_eq!(forced.unwrap().outcome, Outcome::Written);
    }

    #[test]
    fn a26_an_unknown_field_is_kept_and_counted_and_the_partition_is_written() {
        let store = MemoryStore::default();
        let mut all = rows(3);
        all[1] = all[1].replace("\"fips\"", "\"lunch\":[1, 2],\"fips\"");
        let receipt = fetch(&store, pages(&all, 3)).unwrap();
        assert_eq!((receipt.outcome, receipt.n_unknown, receipt.n_misfits), (Outcome::Written, 1, 0));
        assert_eq!(receipt.unknown_fields, ["lunch"]);
        // On several pages, a field of its own each.
        all[2] = all[2].replace("\"fips\"", "\"meals\":3,\"fips\"");
        let receipt = fetch(&store, pages(&all, 1)).unwrap();
        assert_eq!((receipt.n_unknown, receipt.unknown_fields), (2, vec!["lunch".to_owned(), "meals".to_owned()]));
    }

    #[test]
    fn a27_one_misfit_in_a_thousand_is_kept_and_two_fail_the_partition() {
        for (n_misfits, expected) in [(1, None), (2, Some("SchemaDrift"))] {
            let mut all = rows(1000);
            for i in 0..n_misfits {
                all[700 + i] = row(701 + i as u64, "\"many\"");
            }
            let result = fetch(&MemoryStore::default(), pages(&all, 400));
            match (result, expected) {
                (Ok(receipt), None) => assert_eq!((receipt.outcome, receipt.n_misfits), (Outcome::Written, 1)),
                (Err(error), Some(name)) => {
                    assert_eq!(error.name(), name);
                    assert_eq!(
                        error.chain(),
                        "check column `enrollment` of `year=2021/grade=grade-pk`: expected int, found `\"many\"` in row \
                         701 (2 of 1000 rows do not fit)\nhint: if the portal changed for good, change the column in \
                         the descriptor"
                    );
                }
                (result, _) => panic!("{result:?}"),
            }
        }
    }

    #[test]
    fn a28_a29_a_key_that_is_null_or_absent_or_no_key_fails_the_partition() {
        for (from, to, found) in [
            ("\"ncessch\":\"KEY\",", "\"ncessch\":null,", "`null`"),
            ("\"ncessch\":\"KEY\",", "", "no such field"),
            ("\"ncessch\":\"KEY\",", "\"ncessch\":[],", "`[]`"),
            ("\"ncessch\":\"KEY\",", "\"ncessch\":\"\",", "`\"\"`"),
        ] {
            // On the first page of a thousand rows, and on the second.
            for (n, n_rows) in [(2, 1000), (1500, 2000)] {
                let mut all = rows(2000);
                all[n - 1] = all[n - 1].replace(&from.replace("KEY", &format!("{n:012}")), to);
                let error = fetch(&MemoryStore::default(), pages(&all, 1000)).unwrap_err();
                assert_eq!(error.name(), "SchemaDrift");
                // A row that has no such field is the last that is read.
                let n_rows = if to.is_empty() { n } else { n_rows };
                let expected = format!(
                    "expected string, never null or empty, found {found} in row {n} (1 of {n_rows} rows do not fit)"
                );
                assert!(error.chain().contains(&expected), "{}", error.chain());
            }
        }
    }

    /// Found by use: H12.
    #[test]
    fn a41_a_key_that_its_row_does_not_let_pad_is_written_as_it_came_unless_there_are_many() {
        for (n_odd, expected) in [(1, None), (2, Some("of 1000 rows do not fit"))] {
            let mut all = rows(1000);
            for i in 0..n_odd {
                let odd = format!("\"2500003{:04}\"", 1636 + i);
                all[700 + i] = all[700 + i].replace(&format!("\"{:012}\"", 701 + i), &odd);
                all[700 + i] =
                    all[700 + i].replace("\"fips\":1,\"leaid\":\"100002\"", "\"fips\":25,\"leaid\":\"2500003\"");
            }
            match (fetch(&MemoryStore::default(), pages(&all, 400)), expected) {
                (Ok(receipt), None) => assert_eq!((receipt.outcome, receipt.n_misfits), (Outcome::Written, 1)),
                (Err(error), Some(_)) => assert_eq!(
                    error.chain(),
                    "check column `ncessch` of `year=2021/grade=grade-pk`: expected string of at most 12 characters that \
                     begins with the row's `fips` and `leaid` once it is padded, found `\"25000031636\"` in row 701 (2 of \
                     1000 rows do not fit)\nhint: if the portal changed for good, change the column in the descriptor"
                ),
                (result, _) => panic!("{result:?}"),
            }
        }
        // One that is kept hides none that is lost.
        let mut all = rows(1000);
        all[1] = all[1].replace("\"000000000002\"", "\"0000000000002\"");
        all[3] = all[3].replace("\"000000000004\"", "null");
        let error = fetch(&MemoryStore::default(), pages(&all, 1000)).unwrap_err();
        assert!(
            error.chain().contains("expected string, never null or empty, found `null` in row 4"),
            "{}",
            error.chain()
        );
    }

    /// Found by use: W12.
    #[test]
    fn the_hint_at_a_key_without_a_value_names_the_columns_of_the_key() {
        for to in ["\"\"", "null"] {
            let all = [rows(1).concat().replace("\"000000000001\"", to)];
            let error = fetch(&MemoryStore::default(), pages(&all, 1)).unwrap_err();
            let hint = "\nhint: the columns of the key (ncessch) are never null or empty; if the portal has rows without \
                        them, give the descriptor another `key`";
            assert!(error.chain().ends_with(hint), "{}", error.chain());
        }
    }

    #[test]
    fn a33_a_row_of_another_partition_is_refused() {
        for (from, to, expected) in [
            ("\"grade\":-1", "\"grade\":0", "expected `grade` -1, found 0"),
            ("\"year\":2021", "\"year\":2020", "expected `year` 2021, found 2020"),
            ("\"year\":2021,", "", "expected `year` 2021, found no such field"),
            ("\"grade\":-1", "\"grade\":null", "expected `grade` -1, found null"),
        ] {
            let mut all = rows(3);
            all[2] = all[2].replace(from, to);
            let error = fetch(&MemoryStore::default(), pages(&all, 2)).unwrap_err();
            assert_eq!(error.name(), "WrongPartition");
            assert_eq!(error.chain(), format!("check row 1 on page 2 of `year=2021/grade=grade-pk`: {expected}"));
        }
    }

    fn edition(digest: u128) -> Edition {
        Edition { digest: Digest(digest), schema_id: enrollment().schema_id(), encoding_version: ENCODING_VERSION }
    }

    /// A stamp of other rows, received at `fetched_at`.
    fn rival_stamp(fetched_at: &str) -> Stamp {
        Stamp {
            edition: edition(7),
            partition: Some("year=2021/grade=grade-pk".into()),
            n_rows: 5,
            fetched_at: time(fetched_at),
            run: Some("rival".into()),
        }
    }

    #[test]
    fn l5_a_stale_writer_ends_superseded_and_a_newer_one_wins() {
        for (fetched_at, outcome, winner) in [
            ("2026-11-23T12:00:01Z", Outcome::Superseded, "rival"),
            ("2026-11-23T12:00:00Z", Outcome::Written, "r1"),
            ("2026-11-23T11:59:59Z", Outcome::Written, "r1"),
        ] {
            let stamp = rival_stamp(fetched_at);
            let store = MemoryStore::with_rivals(vec![Box::new(move |store| store.set(KEY, b"rival", Some(stamp)))]);
            let receipt = fetch(&store, pages(&rows(5), 5)).unwrap();
            assert_eq!(receipt.outcome, outcome);
            assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some(winner));
        }
    }

    /// What was seen before the rows were read is older than they, whatever the clock of its writer said.
    #[test]
    fn an_object_of_a_clock_ahead_is_replaced_by_a_writer_that_saw_it_first() {
        let store = MemoryStore::default();
        store.set(KEY, b"ahead", Some(rival_stamp("2026-12-31T00:00:00Z")));
        assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
        assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
    }

    #[test]
    fn o3_a_write_whose_answer_was_lost_counts_as_written() {
        let store = MemoryStore::default();
        *store.loses_answer.lock().unwrap() = true;
        assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
        assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
    }

    /// Found by use: B14.
    #[test]
    fn a_try_that_finds_what_its_own_run_wrote_has_written_it() {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 2)).unwrap();
        // The receipt was lost, and the same event comes again.
        store.drop_object("ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json");
        assert_eq!(fetch(&store, pages(&rows(5), 2)).unwrap().outcome, Outcome::Written);
        let of_another = fetch_as("r2", &store, &CannedPages::new(pages(&rows(5), 2)), &enrollment());
        assert_eq!(of_another.unwrap().outcome, Outcome::Unchanged);
    }

    #[test]
    fn an_unchanged_partition_costs_one_look_and_one_write() {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 2)).unwrap();
        store.calls.lock().unwrap().clear();
        fetch_as("r2", &store, &CannedPages::new(pages(&rows(5), 2)), &enrollment()).unwrap();
        assert_eq!(*store.calls.lock().unwrap(), BTreeMap::from([("head", 1), ("write", 1)]));
    }

    /// Found by use: H4.
    #[test]
    fn an_object_of_another_partition_is_no_object_of_this_one() {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 5)).unwrap();
        let mut stamp = store.stamp(KEY).unwrap();
        stamp.partition = Some("year=2021/grade=grade-k".into());
        stamp.run = None;
        store.set(KEY, b"another's", Some(stamp.clone()));
        // The same edition and fewer rows are no reason to leave it there.
        assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
        store.set(KEY, b"another's", Some(stamp));
        assert_eq!(fetch(&store, pages(&rows(1), 5)).unwrap().outcome, Outcome::Written);
        // A file of the encoding before names no partition, and is taken at its word.
        let mut old = store.stamp(KEY).unwrap();
        (old.partition, old.edition.encoding_version, old.n_rows) = (None, 1, 500);
        store.set(KEY, b"old", Some(old.clone()));
        assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap_err().name(), "ShrankTooMuch");
        old.edition.encoding_version = 2;
        store.set(KEY, b"of no partition", Some(old));
        assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
    }

    /// Found by use: H7.
    #[test]
    fn a_column_that_loses_most_of_its_values_needs_force() {
        let with = |value: &str| (1..=150).map(|school| row(school, value)).collect::<Vec<String>>();
        for (value, is_refused) in [("null", true), ("-1", true), ("0", true), ("7", false)] {
            let store = MemoryStore::default();
            fetch(&store, pages(&with("5"), 200)).unwrap();
            let before = store.bytes(KEY);
            let result = fetch(&store, pages(&with(value), 200));
            assert_eq!(result.is_err(), is_refused, "{value}");
            let Err(error) = result else { continue };
            assert_eq!(
                error.chain(),
                "replace `year=2021/grade=grade-pk`: expected at least half of the 150 values of `enrollment` committed \
                 before, found 0\nhint: if the portal is right, run this partition again with force"
            );
            assert_eq!((error.name(), store.bytes(KEY)), ("ShrankTooMuch", before));
            let forced = fetch_with(&store, &CannedPages::new(pages(&with(value), 200)), &enrollment(), true);
            assert_eq!(forced.unwrap().outcome, Outcome::Written);
        }
    }

    /// A portal whose page 1 is served as `again` from the second time on.
    struct Revised {
        pages: CannedPages,
        again: String,
    }

    impl Portal for Revised {
        fn root(&self) -> &Url {
            self.pages.root()
        }

        async fn get(&self, path: &str, page: u32, asked: Asked) -> Result<Body, PortalError> {
            let is_again = page == 1 && self.pages.asked.lock().unwrap().contains(&1);
            let mut body = self.pages.get(path, page, asked).await?;
            if is_again {
                body.bytes = Bytes::from(self.again.clone());
            }
            Ok(body)
        }
    }

    /// Found by use: H6.
    #[test]
    fn a_source_that_changed_between_two_pages_is_read_again_from_page_1() {
        let first = |rows: &[String]| page(5, Some(2), rows);
        let changed =
            "fetch `year=2021/grade=grade-pk`: expected 5 rows, found page 1 changed while the others were read";
        for (what, again, expected) in [
            ("the same", first(&rows(2)), None),
            ("a school that closed", first(&[row(2, "5"), row(3, "5")]), Some(changed)),
            ("a value that was revised", first(&[row(1, "5"), row(2, "6")]), Some(changed)),
            ("another order", first(&[row(2, "5"), row(1, "5")]), Some(changed)),
            ("another count", page(6, Some(2), &rows(2)), Some(changed)),
        ] {
            let store = MemoryStore::default();
            let portal = Revised { pages: CannedPages::new(pages(&rows(5), 2)), again };
            let (dataset, partition, run) = (enrollment(), partition(), run_facts(false));
            let result = block_on(fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run));
            assert_eq!(result.as_ref().err().map(Error::chain).as_deref(), expected, "{what}");
            assert!(result.is_ok_and(|_| store.bytes(KEY).is_some()) || expected.is_some());
        }
        // One page is of one version anyway.
        let portal = CannedPages::new(pages(&rows(5), 5));
        fetch_with(&MemoryStore::default(), &portal, &enrollment(), false).unwrap();
        assert_eq!(*portal.asked.lock().unwrap(), [1]);
    }

    /// A portal with memory for next to nothing, which counts what is held.
    struct Tight {
        pages: CannedPages,
        page_memory: Memory,
        partition_memory: Memory,
        most_held: Mutex<(usize, usize)>,
    }

    impl Tight {
        async fn turn(&self) {
            {
                let mut most = self.most_held.lock().unwrap();
                most.0 = most.0.max(self.page_memory.held_bytes());
                most.1 = most.1.max(self.partition_memory.held_bytes());
            }
            next_turn().await;
        }
    }

    /// Lets the others act.
    async fn next_turn() {
        let mut is_later = false;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut is_later, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    impl Portal for Tight {
        fn root(&self) -> &Url {
            self.pages.root()
        }

        async fn get(&self, path: &str, page: u32, mut asked: Asked) -> Result<Body, PortalError> {
            self.turn().await;
            let room = asked.room.take();
            let mut body = self.pages.get(path, page, asked).await?;
            body.permit = Some(match room {
                Some(room) if room.n_bytes() < body.bytes.len() => {
                    return Err(PortalError::Outgrown { tries: body.tries });
                }
                Some(room) => room,
                None => {
                    let mut room = self.page_memory.room();
                    for i in 1..=4 {
                        room.hold(body.bytes.len() * i / 2).await;
                        self.turn().await;
                    }
                    room
                }
            });
            Ok(body)
        }

        fn page_memory(&self) -> Memory {
            self.page_memory.clone()
        }

        fn partition_memory(&self) -> Memory {
            self.partition_memory.clone()
        }
    }

    /// Guard: nothing waits while it holds what another one waits for. Where something does, this does not end.
    ///
    /// Found by use: B6.
    #[test]
    fn a42_partitions_that_share_too_little_memory_end_one_after_the_other() {
        let mut uneven = rows(40);
        // From the second page on, rows are longer than those of the first.
        uneven[5..]
            .iter_mut()
            .for_each(|row| *row = row.replace("\"fips\"", &format!("\"new\":\"{}\",\"fips\"", "x".repeat(500))));
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for limit in [0, 1, 5_000, 20_000, 1 << 20] {
                let bodies = pages(&uneven, 5);
                let most_body = bodies.iter().map(String::len).max().unwrap();
                let portal = Tight {
                    pages: CannedPages::new(bodies),
                    page_memory: Memory::new(limit),
                    partition_memory: Memory::new(limit),
                    most_held: Mutex::default(),
                };
                let stores: Vec<MemoryStore> = (0..8).map(|_| MemoryStore::default()).collect();
                let (dataset, partition, run) = (enrollment(), partition(), run_facts(false));
                let fetches = stores
                    .iter()
                    .map(|store| fetch_partition(&portal, store, &StandingClock, &dataset, &partition, &run));
                for receipt in block_on(futures::future::join_all(fetches)) {
                    assert_eq!(receipt.unwrap().n_rows, 40);
                }
                let (pages, partitions) = *portal.most_held.lock().unwrap();
                assert!(pages <= limit + 2 * most_body, "{pages} of {limit}");
                assert!(partitions <= limit + (1 << 20), "{partitions} of {limit}");
                assert_eq!((portal.page_memory.held_bytes(), portal.partition_memory.held_bytes()), (0, 0));
                // Each page once, page 1 twice, and one more for what was given up: a page ahead, or that of a partition.
                let asked = portal.pages.asked.lock().unwrap().len();
                assert!(asked <= 8 * (2 * 8 + 2), "{asked} requests");
            }
            done.send(()).unwrap();
        });
        ended.recv_timeout(std::time::Duration::from_secs(60)).expect("all partitions end");
    }

    /// A portal that writes down what it is asked, and answers a little later.
    struct Watched {
        pages: CannedPages,
        page_memory: Memory,
        partition_memory: Memory,
        /// Whether an answer may be asked for once more.
        may_ask_again: bool,
        /// Pages asked for, each with the room that it has.
        asked: Mutex<Vec<(u32, Option<usize>)>>,
        /// The requests for the same page that had been made before each.
        tries_before: Mutex<Vec<u32>>,
        /// What the first answer of all holds instead.
        once: Option<String>,
        /// Requests under way, and the most at once.
        in_flight: Mutex<(usize, usize)>,
    }

    impl Watched {
        fn new(bodies: Vec<String>) -> Self {
            Self {
                pages: CannedPages::new(bodies),
                page_memory: Memory::new(1 << 30),
                partition_memory: Memory::new(1 << 30),
                may_ask_again: true,
                asked: Mutex::default(),
                tries_before: Mutex::default(),
                once: None,
                in_flight: Mutex::default(),
            }
        }

        fn fetch(&self) -> Result<Receipt, Error> {
            let (store, run) = (MemoryStore::default(), run_facts(false));
            block_on(fetch_partition(self, &store, &StandingClock, &enrollment(), &partition(), &run))
        }

        fn asked(&self) -> Vec<(u32, Option<usize>)> {
            self.asked.lock().unwrap().clone()
        }
    }

    impl Portal for Watched {
        fn root(&self) -> &Url {
            self.pages.root()
        }

        async fn get(&self, path: &str, page: u32, mut asked: Asked) -> Result<Body, PortalError> {
            let room = asked.room.take();
            let is_first = self.asked().is_empty();
            self.asked.lock().unwrap().push((page, room.as_ref().map(Room::n_bytes)));
            self.tries_before.lock().unwrap().push(asked.tries);
            {
                let mut in_flight = self.in_flight.lock().unwrap();
                in_flight.0 += 1;
                in_flight.1 = in_flight.1.max(in_flight.0);
            }
            next_turn().await;
            self.in_flight.lock().unwrap().0 -= 1;
            let mut body = self.pages.get(path, page, asked).await?;
            if let Some(once) = self.once.as_ref().filter(|_| is_first) {
                body.bytes = Bytes::from(once.clone());
            }
            Ok(Body { permit: room, may_ask_again: body.may_ask_again && self.may_ask_again, ..body })
        }

        fn page_memory(&self) -> Memory {
            self.page_memory.clone()
        }

        fn partition_memory(&self) -> Memory {
            self.partition_memory.clone()
        }
    }

    /// Bytes that the rows of a page take.
    fn row_bytes(body: &str) -> usize {
        let (dataset, partition) = (enrollment(), partition());
        PageDecoder::new(&dataset, &partition).decode(1, body.as_bytes()).unwrap().batch.get_array_memory_size()
    }

    /// Found by use: B6.
    #[test]
    fn pages_are_asked_for_ahead_each_with_room_for_an_eighth_more_than_page_1() {
        let bodies = pages(&rows(16), 2);
        let page_1 = bodies[0].len() + row_bytes(&bodies[0]);
        let portal = Watched::new(bodies.clone());
        portal.fetch().unwrap();
        let ahead = Some(page_1 + page_1 / 8);
        // Four at once, of which the one that is due needs no room of its own beforehand.
        let expected = [(1, None), (2, None), (3, ahead), (4, ahead), (5, ahead), (6, ahead), (7, ahead), (8, ahead)];
        assert_eq!(portal.asked(), [&expected[..], &[(1, None)]].concat());
        assert_eq!(portal.in_flight.lock().unwrap().1, 4);
        // Where there is no room, none is asked for ahead.
        let portal = Watched { page_memory: Memory::new(page_1 + page_1 / 8 - 1), ..Watched::new(bodies) };
        portal.fetch().unwrap();
        assert!(portal.asked().iter().all(|(_, room)| room.is_none()), "{:?}", portal.asked());
        assert_eq!(portal.in_flight.lock().unwrap().1, 1);
    }

    /// Found by use: B6.
    #[test]
    fn a_page_is_held_twice_while_it_is_taken_in_and_given_up_where_there_is_no_room_for_that() {
        let body = page(5, None, &rows(5));
        let gate = Gate::new(&enrollment(), &partition(), 5).unwrap().memory_bytes();
        let needed = gate + 2 * row_bytes(&body);
        for (limit, n_asked) in [(needed, 1), (needed - 1, 2)] {
            let portal = Watched { partition_memory: Memory::new(limit), ..Watched::new(vec![body.clone()]) };
            portal.fetch().unwrap();
            assert_eq!(portal.asked().len(), n_asked, "{limit} of {needed}");
        }
    }

    #[test]
    fn a_page_1_that_was_given_up_is_asked_for_four_times_in_all_and_compared_as_it_was_taken_in() {
        let bodies = pages(&rows(5), 2);
        let gate = Gate::new(&enrollment(), &partition(), 5).unwrap().memory_bytes();
        let too_small = Memory::new(gate + 2 * row_bytes(&bodies[0]) - 1);
        // Once, once more when there is room, and once after the last page: a fourth request is left.
        let portal = Watched { partition_memory: too_small.clone(), ..Watched::new(bodies.clone()) };
        portal.fetch().unwrap();
        assert_eq!(portal.asked().iter().filter(|(page, _)| *page == 1).count(), 3);
        assert_eq!(*portal.tries_before.lock().unwrap(), [0, 1, 0, 0, 2]);
        // The first time it held other rows.
        let mut portal = Watched { partition_memory: too_small, ..Watched::new(bodies.clone()) };
        portal.once = Some(page(5, Some(2), &[row(7, "1"), row(8, "1")]));
        assert_eq!(portal.fetch().unwrap().n_rows, 5);
    }

    #[test]
    fn a_page_1_that_took_all_its_requests_is_enough_where_it_need_not_be_looked_at_again() {
        let portal = |length| Watched { may_ask_again: false, ..Watched::new(pages(&rows(5), length)) };
        assert_eq!(portal(5).fetch().unwrap().n_rows, 5);
        let several = portal(2);
        assert_eq!(several.fetch().unwrap_err().name(), "PortalUnavailable");
        assert_eq!(several.asked().len(), 1);
    }

    #[test]
    fn o3_a_removal_whose_answer_was_lost_is_a_removal() {
        let store = MemoryStore::default();
        fetch(&store, pages(&rows(5), 5)).unwrap();
        *store.loses_answer.lock().unwrap() = true;
        let receipt = fetch_with(&store, &CannedPages::new(vec![page(0, None, &[])]), &enrollment(), true).unwrap();
        assert_eq!((receipt.outcome, store.bytes(KEY)), (Outcome::Empty, None));
    }

    #[test]
    fn o4_a_write_lost_every_time_gives_up() {
        let rivals = (0..4)
            .map(|_| -> crate::testing::Rival {
                Box::new(|store| store.set(KEY, b"rival", Some(rival_stamp("2026-11-23T11:00:00Z"))))
            })
            .collect();
        let store = MemoryStore::with_rivals(rivals);
        let error = fetch(&store, pages(&rows(5), 5)).unwrap_err();
        assert_eq!(
            error.chain(),
            format!("write `{KEY}`: expected to replace the object last seen, found another one 4 times")
        );
    }

    #[test]
    fn an_object_deleted_under_a_writer_is_written_again() {
        let store = MemoryStore::with_rivals(vec![Box::new(|store| store.drop_object(KEY))]);
        store.set(KEY, b"older", Some(rival_stamp("2026-11-23T11:00:00Z")));
        assert_eq!(fetch(&store, pages(&rows(5), 5)).unwrap().outcome, Outcome::Written);
        assert_eq!(store.stamp(KEY).unwrap().run.as_deref(), Some("r1"));
    }

    #[test]
    fn a_table_without_partitions_is_written_when_its_rows_are_not_those_there() {
        const LOOKUP: &str = "data/lookup_states/part-00000.parquet";
        let write = |store: &MemoryStore, bytes: &'static [u8], digest| {
            block_on(commit_plain(store, LOOKUP, Bytes::from_static(bytes), edition(digest), 5, time(NOW), "r1"))
                .unwrap()
        };
        let store = MemoryStore::default();
        for (bytes, digest, is_written) in [(&b"one"[..], 1, true), (b"one", 1, false), (b"two", 2, true)] {
            assert_eq!(write(&store, bytes, digest), is_written);
            assert_eq!(store.bytes(LOOKUP).unwrap().as_ref(), bytes);
        }
        let lost = MemoryStore::with_rivals(vec![Box::new(|store| store.set(LOOKUP, b"rival", None))]);
        assert!(!write(&lost, b"one", 1));
        assert_eq!(lost.bytes(LOOKUP).unwrap().as_ref(), b"rival");
    }

    #[test]
    fn a10_a_body_that_is_no_page_is_asked_for_as_often_as_the_portal_allows() {
        let portal = CannedPages::new(vec!["{\"count\": 3, \"results\": [".into()]);
        let error = fetch_with(&MemoryStore::default(), &portal, &enrollment(), false).unwrap_err();
        assert_eq!(error.name(), "BadBody");
        assert_eq!(*portal.asked.lock().unwrap(), [1, 1, 1, 1]);
    }
}
