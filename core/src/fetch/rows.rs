//! Fetches all rows of a partition: prefetches pages, then checks and encodes them in order.

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::error::found::CountFound;
use crate::fetch::links::Links;
use crate::fetch::page_error::page_error;
use crate::fetch::pages::{FetchedPage, PageFetcher};
use crate::fetch::validator::{FetchFacts, Validator};
use crate::file::row_hash::fingerprint;
use crate::file::writer::Encoded;
use crate::memory::Room;
use crate::page::PageDecoder;
use crate::partition::PartitionKey;
use crate::ports::portal::{PageRequest, Portal, PortalError};

/// Fetches, checks and encodes every row of a partition. Returns `None` instead of a file if the portal has no rows.
///
/// The returned time is when the last page arrived.
pub(super) async fn fetch_rows(
    portal: &impl Portal,
    dataset: &Dataset,
    partition: &PartitionKey,
    pages_at_once: usize,
    room: &mut Room,
) -> Result<(FetchFacts, Option<(Encoded, Timestamp)>), Error> {
    let path = dataset.portal_path(partition);
    let decoder = PageDecoder::new(dataset, partition);
    let fetcher = PageFetcher { portal, decoder: &decoder, dataset, partition, path: &path };
    let first = fetcher.page(1, PageRequest::default()).await?;
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
    let mut validator = Validator::new(dataset, partition, expected)?;
    // The fingerprint of page 1, and the number of requests made for it.
    let mut first_page = None;
    let mut fetched_at = first.received_at;
    let memory = portal.page_memory();
    // Pages have the same number of rows and therefore about the same size. An eighth is added to allow for
    // differences.
    let page_bytes = first.n_bytes + first.n_bytes / 8;
    let mut ahead = FuturesOrdered::new();
    let (mut page, mut next_request, mut due) = (1, 2, first);
    loop {
        let FetchedPage { page: decoded, room: page_room, received_at, tries, has_tries_left, .. } = due;
        let with_page = validator.memory_bytes() + 2 * decoded.batch.get_array_memory_size();
        if !room.try_hold(with_page) {
            // This is the only place where a partition waits for memory. It must hold nothing that another partition
            // waits for, so it drops this page and requests it again. Afterwards it may exceed the limit, so this
            // happens only once.
            drop((decoded, page_room));
            let held = portal.hold(room, with_page).await;
            held.map_err(|error| page_error(error, dataset, partition, page))?;
            due = fetcher.page(page, PageRequest { tries, room: None }).await?;
            continue;
        }
        if decoded.count != expected {
            return Err(mismatch(CountFound::OnPage { page, count: decoded.count }));
        }
        let n_rows = decoded.batch.num_rows() as u64;
        let n_due = page_length.min(expected - u64::from(page - 1) * page_length);
        let n_received = validator.n_rows + n_rows;
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
            if !has_tries_left {
                return Err(page_error(PortalError::UsedUp { tries }, dataset, partition, 1));
            }
            first_page = Some((fingerprint(&decoded.batch), tries));
        }
        validator.admit(page, decoded)?;
        drop(page_room);
        // This normally shrinks the room, because encoded rows take less memory than the page. If they take more, the
        // difference is small.
        let _ = room.try_hold(validator.memory_bytes());
        fetched_at = fetched_at.max(received_at);
        if page == n_pages {
            break;
        }
        page += 1;
        while next_request <= n_pages && ahead.len() < pages_at_once.max(1) {
            let mut request = PageRequest::default();
            if next_request > page {
                let mut room = memory.room();
                if !room.try_hold(page_bytes) {
                    break;
                }
                request.room = Some(room);
            }
            ahead.push_back(fetcher.page(next_request, request));
            next_request += 1;
        }
        let fetched = match ahead.next().await {
            Some(Err(Error::PortalUnavailable { source: PortalError::Outgrown { tries }, .. })) => {
                fetcher.page(page, PageRequest { tries, room: None }).await
            }
            Some(fetched) => fetched,
            // Cannot happen: the page that is due has been requested by now.
            None => break,
        };
        due = fetched.map_err(|error| count_earlier_rows(validator.n_rows, error))?;
    }
    drop(ahead);
    if let Some((first_page, tries)) = first_page {
        // The source may have changed between two pages without a change of `count`. Fetching page 1 again detects many
        // such changes, though not all. Both fetches of page 1 share one request limit.
        let again = fetcher.page(1, PageRequest { tries, room: None }).await?.page;
        if again.count != expected || fingerprint(&again.batch) != first_page {
            return Err(mismatch(CountFound::Changed));
        }
    }
    let (facts, encoded) = validator.finish(n_pages)?;
    Ok((facts, Some((encoded, fetched_at))))
}

/// Adds `n_rows`, the number of rows on earlier pages, to the row numbers in a page's error.
fn count_earlier_rows(n_rows: u64, mut error: Error) -> Error {
    if let Error::SchemaDrift { row, n_rows: n_so_far, .. } = &mut error {
        *row += n_rows;
        *n_so_far += n_rows;
    }
    error
}
