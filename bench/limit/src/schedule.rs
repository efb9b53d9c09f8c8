//! Which page is requested next, and how many are held.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::{Client, Page};
use crate::output::{Format, Output};

/// A partition: its year and its grade.
pub(crate) type Partition = (u16, Arc<str>);

/// What may happen at once.
pub(crate) struct Limits {
    /// Number of requests.
    pub(crate) in_flight: usize,
    /// Number of partitions.
    pub(crate) open: usize,
}

/// A page on its way to the encoder, with its place among the pages that are held. Page 1 takes no place, because the
/// number of open partitions limits the number of first pages.
struct Coming {
    page: JoinHandle<anyhow::Result<Page>>,
    _place: Option<OwnedSemaphorePermit>,
}

/// A partition that is being fetched.
struct Open {
    partition: Partition,
    /// Closed after the last page.
    to_encoder: UnboundedSender<Coming>,
}

/// What is left to request of a partition whose number of pages is known.
struct Rest {
    open: Open,
    next_page: usize,
    n_pages: usize,
}

/// Requests the pages of all partitions, in the order of the partitions and then of the pages, except that page 1 is
/// requested early.
pub(crate) struct Schedule {
    client: Arc<Client>,
    permits: Arc<Semaphore>,
    places: Arc<Semaphore>,
    rests: VecDeque<Rest>,
    /// Number of pages in `rests`.
    n_left: usize,
    /// Number of partitions whose page 1 has not arrived.
    n_awaited: usize,
    arrived: UnboundedReceiver<Rest>,
    on_arrival: UnboundedSender<Rest>,
    encoders: JoinSet<anyhow::Result<()>>,
    limits: Limits,
    format: Format,
}

impl Schedule {
    pub(crate) fn new(client: Client, limits: Limits, format: Format) -> Self {
        let (on_arrival, arrived) = mpsc::unbounded_channel();
        Self {
            client: Arc::new(client),
            permits: Arc::new(Semaphore::new(limits.in_flight)),
            // More than requests, so that a page that arrives late does not hold up the requests after it.
            places: Arc::new(Semaphore::new(limits.in_flight + (limits.in_flight / 4).max(4))),
            rests: VecDeque::new(),
            n_left: 0,
            n_awaited: 0,
            arrived,
            on_arrival,
            encoders: JoinSet::new(),
            limits,
            format,
        }
    }

    /// Fetches all partitions into files below `out`.
    ///
    /// # Errors
    /// Returns the first error of a partition. What is still going on ends with the program.
    pub(crate) async fn fetch(mut self, partitions: Vec<Partition>, out: &Path) -> anyhow::Result<()> {
        let mut partitions = partitions.into_iter().peekable();
        loop {
            let permit = self.permits.clone().acquire_owned().await?;
            while let Ok(rest) = self.arrived.try_recv() {
                self.add(rest);
            }
            while let Some(encoded) = self.encoders.try_join_next() {
                encoded??;
            }
            // While there are still pages for all permits, so that none is unused until page 1 arrives.
            let may_open = self.n_left < self.limits.in_flight && self.encoders.len() < self.limits.open;
            if let Some(partition) = partitions.next_if(|_| may_open) {
                self.open(partition, out, permit);
            } else if self.n_left > 0 {
                self.request_next(permit).await?;
            } else if self.n_awaited > 0 || !self.encoders.is_empty() {
                drop(permit);
                tokio::select! {
                    Some(rest) = self.arrived.recv() => self.add(rest),
                    Some(encoded) = self.encoders.join_next() => encoded??,
                }
            } else if partitions.peek().is_none() {
                return Ok(());
            }
        }
    }

    /// Notes what is left to request of a partition whose page 1 has arrived.
    fn add(&mut self, rest: Rest) {
        self.n_awaited -= 1;
        let n_left = rest.n_pages - 1;
        if n_left > 0 {
            self.n_left += n_left;
            self.rests.push_back(rest);
        }
    }

    /// Requests page 1 of a partition.
    fn open(&mut self, partition: Partition, out: &Path, permit: OwnedSemaphorePermit) {
        let (year, grade) = &partition;
        let path = out.join(format!("year={year}/grade={grade}"));
        let (to_encoder, coming) = mpsc::unbounded_channel();
        self.encoders.spawn(encode(self.client.clone(), path, coming, self.format));
        let (client, on_arrival) = (self.client.clone(), self.on_arrival.clone());
        let (to, (year, grade)) = (to_encoder.clone(), partition.clone());
        let page = tokio::spawn(async move {
            let page = client.page(year, &grade, 1).await?;
            drop(permit);
            let n_pages = page.count.div_ceil(page.columns.n_rows.max(1)).max(1);
            // Nobody needs it after an error.
            let _ = on_arrival.send(Rest { open: Open { partition, to_encoder }, next_page: 2, n_pages });
            Ok(page)
        });
        // The encoder ends only after an error.
        let _ = to.send(Coming { page, _place: None });
        self.n_awaited += 1;
    }

    /// Requests the next page of the first partition that has one left.
    async fn request_next(&mut self, permit: OwnedSemaphorePermit) -> anyhow::Result<()> {
        let place = self.places.clone().acquire_owned().await?;
        let rest = self.rests.front_mut().context("expected a page to request")?;
        let (client, (year, grade), number) = (self.client.clone(), rest.open.partition.clone(), rest.next_page);
        let page = tokio::spawn(async move {
            let page = client.page(year, &grade, number).await;
            // The page has been scanned.
            drop(permit);
            page
        });
        // The encoder ends only after an error.
        let _ = rest.open.to_encoder.send(Coming { page, _place: Some(place) });
        rest.next_page += 1;
        self.n_left -= 1;
        if rest.next_page > rest.n_pages {
            self.rests.pop_front();
        }
        Ok(())
    }
}

/// Encodes the pages of a partition in order. Runs on one of the runtime's threads, next to the tasks that scan pages.
async fn encode(
    client: Arc<Client>,
    path: PathBuf,
    mut coming: UnboundedReceiver<Coming>,
    format: Format,
) -> anyhow::Result<()> {
    let first = coming.recv().await.context("expected page 1")?.page.await??;
    let n_rows = first.count;
    let mut next = coming.recv().await;
    // An encoder needs more memory than a page, so there is none until it is the partition's turn.
    let mut output = Output::create(&path, n_rows, format)?;
    client.columns.put_back(output.add(first.columns)?);
    while let Some(Coming { page, _place }) = next {
        client.columns.put_back(output.add(page.await??.columns)?);
        next = coming.recv().await;
    }
    output.finish()
}
