//! Compares the number of rows of each partition with the portal's `count`.

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::page_error::page_error;
use crate::ledger::read_records::read_records;
use crate::ledger::survey::survey;
use crate::metadata::list::parse_body;
use crate::partition::PartitionKey;
use crate::ports::portal::{PageRequest, Portal, PortalError, Reading};
use crate::ports::store::Store;
use crate::verify::check::Check;

/// Number of rows on a page, if the ledger does not say how many pages a partition has.
///
/// Source: Education Data Portal FAQ, "limits the number of records returned per page to 10,000".
const PAGE_ROWS: u64 = 10_000;

/// Maximum number of partitions requested at once. The portal limits its own requests in flight.
const AT_ONCE: usize = 8;

/// The part of a page that is compared.
#[derive(Deserialize)]
struct Count {
    count: u64,
}

/// Compares every partition in the lake, with one request each: for its last page, which is the shortest. Every page has
/// the `count` of all rows.
pub(super) async fn check_counts(portal: &impl Portal, store: &impl Store, dataset: &Dataset) -> Result<Check, Error> {
    let mut check = Check::new("rows against the portal's count", "none");
    let records = read_records(store, dataset).await?;
    let survey = survey(store, dataset, &records).await?;
    let readable = survey.objects.iter().filter_map(|(partition, object)| Some((partition, object.stamp()?.n_rows)));
    let counts: Vec<(&PartitionKey, u64, u64)> = stream::iter(readable)
        .map(|(partition, n_rows)| {
            let recorded = records.get(partition).and_then(|record| record.committed.as_ref()?.n_pages);
            let last = recorded.unwrap_or_else(|| u32::try_from(n_rows.div_ceil(PAGE_ROWS)).unwrap_or(1)).max(1);
            async move { Ok::<_, Error>((partition, n_rows, count(portal, dataset, partition, last).await?)) }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (partition, n_rows, count) in counts {
        let as_number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        check.compare(|| partition.to_string(), as_number(count), as_number(n_rows));
    }
    for partition in survey.unreadable() {
        check.skip(format!("{partition}: its object cannot be read"));
    }
    Ok(check)
}

/// Requests the portal's `count` of a partition. If it has fewer pages by now, requests page 1.
async fn count(
    portal: &impl Portal,
    dataset: &Dataset,
    partition: &PartitionKey,
    last_page: u32,
) -> Result<u64, Error> {
    let path = dataset.portal_path(partition);
    let mut page = last_page;
    loop {
        let read = |body: &bytes::Bytes| match parse_body::<Count>(&String::from_utf8_lossy(body)) {
            Ok(found) => Reading::Done(Ok(found.count)),
            Err(error) => Reading::Invalid { reason: error.to_string(), result: Err(error) },
        };
        match portal.get(&path, page, PageRequest::default(), read).await {
            Ok(response) => {
                let unusable = |error: serde_json::Error| PortalError::Unusable { source: error.into() };
                return response.result.map_err(|error| page_error(unusable(error), dataset, partition, page));
            }
            Err(PortalError::Refused { .. }) if page > 1 => page = 1,
            Err(error) => return Err(page_error(error, dataset, partition, page)),
        }
    }
}
