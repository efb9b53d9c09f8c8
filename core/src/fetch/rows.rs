//! Fetches all rows of a partition: prefetches pages, then checks and encodes them in order.

use std::sync::Arc;

use futures::stream::FuturesOrdered;
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::error::found::CountFound;
use crate::fetch::kept_pages::FirstPage;
use crate::fetch::kept_pages::keeping::Keeping;
use crate::fetch::kept_pages::to_keep::ToKeep;
use crate::fetch::links::Links;
use crate::fetch::page_error::page_error;
use crate::fetch::page_rules::PageRules;
use crate::fetch::pages::{FetchedPage, PageFetcher};
use crate::fetch::run_facts::RunFacts;
use crate::fetch::validator::{FetchFacts, Validator};
use crate::file::row_hash::fingerprint;
use crate::file::stamp::Stamp;
use crate::file::writer::Encoded;
use crate::memory::Room;
use crate::page::PageDecoder;
use crate::partition::PartitionKey;
use crate::ports::portal::{PageRequest, Portal, PortalError};
use crate::ports::store::Store;

/// The rows of a partition.
pub(super) enum FetchedRows {
    /// The portal has none.
    Empty,
    /// They are those of a file in the lake.
    Unchanged,
    /// Their file, and when its oldest page arrived.
    Encoded(Encoded, Timestamp),
}

/// Fetches, checks and encodes every row of a partition.
///
/// - `unless_same_as`: the stamp of a file in the lake. If the rows are the same, no file is made.
pub(super) async fn fetch_rows(
    portal: &impl Portal,
    keeping: &mut Keeping<'_, impl Store, impl Future<Output = ()>>,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    unless_same_as: Option<&Stamp>,
    room: &mut Room,
) -> Result<(FetchFacts, FetchedRows), Error> {
    let kept = keeping.kept;
    let path = dataset.portal_path(partition);
    let decoder = Arc::new(PageDecoder::new(dataset, partition));
    let fetcher = PageFetcher { portal, kept, decoder: &decoder, dataset, partition, path: &path };
    let (first, compress) = fetcher.first().await?;
    let links = Links { root: portal.root(), path: &path, partition };
    let Some(rules) = PageRules::from_first(links, &first.page)? else {
        let facts = FetchFacts { n_pages: 1, emptied_at: Some(first.received_at), ..FetchFacts::default() };
        return Ok((facts, FetchedRows::Empty));
    };
    rules.check(1, &first.page)?;
    let n_pages = rules.n_pages;
    portal.expect_pages(n_pages);
    // Only compared with another page 1.
    let first_fingerprint = if n_pages > 1 { fingerprint(&first.page.batch) } else { 0 };
    let facts = FirstPage {
        root: portal.root().as_str(),
        count: rules.count,
        n_pages,
        fingerprint: first_fingerprint,
        received_at: first.received_at,
    };
    kept.open(&facts).await?;
    if let Some(compress) = compress {
        kept.add(ToKeep { page: 1, received_at: first.received_at, compress, slot: None }).await;
    }
    let first_again = async |tries| {
        let again = fetcher.first_again(tries).await?;
        // A single page need not agree with any other.
        let is_same = || again.page.count == rules.count && fingerprint(&again.page.batch) == first_fingerprint;
        if n_pages > 1 && !is_same() {
            return Err(rules.mismatch(CountFound::Changed));
        }
        rules.check(1, &again.page)?;
        Ok(again)
    };
    // Another number of rows means that they have changed.
    let other = unless_same_as.filter(|other| other.n_rows == rules.count).map(|other| other.edition);
    let mut validator = Validator::new(dataset, partition, rules.count)?.unless_same_as(other);
    // The number of requests made for page 1.
    let mut first_tries = 0;
    let mut fetched_at = first.received_at;
    let memory = portal.page_memory();
    let page_bytes = first.n_bytes_of_next();
    let mut ahead = FuturesOrdered::new();
    let (mut page, mut next_request, mut due) = (1, 2, first);
    loop {
        let next_bytes = due.n_bytes_of_next();
        let FetchedPage { page: decoded, room: page_room, received_at, tries, has_tries_left, .. } = due;
        let rows_bytes = decoded.batch.get_array_memory_size();
        let mut with_page = validator.memory_bytes() + 2 * rows_bytes;
        // Encoded rows take less memory.
        if !room.try_hold(with_page) && validator.encode_held()? {
            with_page = validator.memory_bytes() + 2 * rows_bytes;
        }
        if !room.try_hold(with_page) {
            // This is the only place where a partition that is not complete waits for memory. It must hold nothing that
            // another partition waits for, so it drops this page and requests it again. Afterwards it may exceed the
            // limit, so this happens only once.
            drop((decoded, page_room));
            let held = portal.hold(room, with_page).await;
            held.map_err(|error| page_error(error, dataset, partition, page))?;
            due = if page == 1 {
                first_again(tries).await?
            } else {
                fetcher.page(page, PageRequest { tries, room: None }, &rules, keeping.expect()).await?
            };
            continue;
        }
        if page == 1 && n_pages > 1 {
            if !has_tries_left {
                return Err(page_error(
                    PortalError::UsedUp { n_requests: tries, last_failure: None },
                    dataset,
                    partition,
                    1,
                ));
            }
            first_tries = tries;
        }
        if let Some(max_bytes) = run.max_partition_bytes {
            validator.restrict(max_bytes.saturating_sub(next_bytes));
        }
        validator.admit(page, decoded)?;
        drop(page_room);
        // This normally shrinks the room, because encoded rows take less memory than the page. If they take more, the
        // difference is small.
        let _ = room.try_hold(validator.memory_bytes());
        fetched_at = fetched_at.min(received_at);
        if page == n_pages {
            break;
        }
        if page > 1 {
            kept.reconsider(&facts, received_at).await?;
        }
        page += 1;
        while next_request <= n_pages && ahead.len() < run.pages_at_once() {
            let mut request = PageRequest::default();
            if next_request > page {
                let mut room = memory.room();
                if !room.try_hold(page_bytes) {
                    break;
                }
                request.room = Some(room);
            }
            ahead.push_back(fetcher.page(next_request, request, &rules, keeping.expect()));
            next_request += 1;
        }
        let fetched = match keeping.next_of(&mut ahead).await {
            Some(Err(Error::PortalUnavailable { source: PortalError::Outgrown { tries }, .. })) => {
                fetcher.page(page, PageRequest { tries, room: None }, &rules, keeping.expect()).await
            }
            Some(fetched) => fetched,
            // Cannot happen: the page that is due has been requested by now.
            None => break,
        };
        due = fetched.map_err(|error| count_earlier_rows(validator.n_rows, error))?;
    }
    drop(ahead);
    if n_pages > 1 {
        // The source may have changed between two pages without a change of `count`. Fetching page 1 again detects many
        // such changes, though not all. Both fetches of page 1 share one request limit.
        first_again(first_tries).await?;
    }
    let (facts, encoded) = validator.finish(n_pages)?;
    Ok((facts, encoded.map_or(FetchedRows::Unchanged, |encoded| FetchedRows::Encoded(encoded, fetched_at))))
}

/// Adds `n_rows`, the number of rows on earlier pages, to the row numbers in a page's error.
fn count_earlier_rows(n_rows: u64, mut error: Error) -> Error {
    if let Error::SchemaDrift { row, n_rows: n_so_far, .. } = &mut error {
        *row += n_rows;
        *n_so_far += n_rows;
    }
    error
}
