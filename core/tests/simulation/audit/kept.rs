//! Judges kept pages: a partition may continue only from pages of its own version of the source.

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::keys;

use crate::audit::{Auditor, CONTINUED, FETCH_LIMIT, Session};
use crate::schedule::TaskId;
use crate::source::{self, Row};

/// A kept page, as the portal served it.
pub(super) struct Kept {
    partition: usize,
    page: u32,
    rows: Vec<Row>,
    received_at: Option<Timestamp>,
    /// `count` and page 1 of the fetch that kept it.
    version: (usize, Vec<Row>),
    is_sound: bool,
}

fn version(session: &Session) -> (usize, Vec<Row>) {
    (session.content.len(), session.pages.get(&1).cloned().unwrap_or_default())
}

impl Auditor {
    /// Records that a fetch kept a page.
    pub(super) fn page_kept(&mut self, dataset: &Dataset, task: TaskId, key: &str) {
        let Some(fetching) = self.fetches.get(&task) else { return };
        let (partition, name) = (fetching.partition, source::key_of(fetching.partition));
        if let Some((partition, run)) = keys::parse_fetch_count(dataset, key) {
            let is_own = (&partition, run) == (&name, fetching.run.as_str());
            return self.demand(FETCH_LIMIT, is_own, || format!("t{task} of `{name}` wrote `{key}`"));
        }
        let Some(found) = keys::parse_kept(dataset, key).filter(|found| found.partition == name) else {
            return self.demand(CONTINUED, false, || format!("t{task} of `{name}` wrote `{key}`"));
        };
        let is_own = found.run == fetching.run;
        let (page, session) = (keys::parse_kept_page(found.name), fetching.session.as_ref());
        if let (Some((page, _)), Some(session)) = (page, session) {
            let kept = Kept {
                partition,
                page,
                rows: session.pages.get(&page).cloned().unwrap_or_default(),
                received_at: session.received.get(&page).copied(),
                version: version(session),
                is_sound: !session.unsound_pages.contains(&page),
            };
            self.kept.entry(key.to_owned()).or_insert(kept);
        }
        self.demand(CONTINUED, is_own, || format!("t{task} of `{name}` wrote `{key}` into a set of another run"));
    }

    /// Records that a fetch requested a page, and checks that no more than three fetches of its run did, apart from
    /// those that received every page. Page 1 is requested by every fetch.
    pub(crate) fn page_requested(&mut self, task: TaskId, page: u32) {
        let Some(fetching) = self.fetches.get(&task).filter(|_| page > 1) else { return };
        let (run, partition) = (fetching.run.clone(), fetching.partition);
        if self.counted_after.get(&(run.clone(), partition)).is_some_and(|last| task <= *last) {
            return;
        }
        let by = self.requested_by.entry((run.clone(), partition)).or_default().entry(page).or_default();
        by.insert(task);
        let is_complete = |task: &TaskId| self.fetches[task].session.as_ref().is_some_and(Session::is_confirmed);
        let (n_fetches, name) = (by.iter().filter(|task| !is_complete(task)).count(), source::key_of(partition));
        let found = || format!("`{name}`: {n_fetches} fetches of {run} requested page {page}");
        self.demand(FETCH_LIMIT, n_fetches <= 3, found);
    }

    /// Checks that only a fetch that received every page deletes the count of its run's fetches. Fetches that start later
    /// are counted anew.
    pub(super) fn count_deleted(&mut self, dataset: &Dataset, task: TaskId, key: &str) {
        let Some((_, run)) = keys::parse_fetch_count(dataset, key) else { return };
        let Some(fetching) = self.fetches.get(&task) else { return };
        let is_complete = fetching.session.as_ref().is_some_and(Session::is_confirmed);
        let (is_own, partition) = (run == fetching.run, fetching.partition);
        self.requested_by.remove(&(run.to_owned(), partition));
        let last = self.fetches.keys().max().copied().unwrap_or_default();
        self.counted_after.insert((run.to_owned(), partition), last);
        self.demand(FETCH_LIMIT, is_own && is_complete, || format!("t{task} deleted the count of {run}"));
    }

    /// Records that a fetch read a kept page, which then counts as served to it. Returns whether another fetch kept it.
    pub(crate) fn page_read(&mut self, task: TaskId, key: &str) -> bool {
        let (Some(kept), Some(fetching)) = (self.kept.get(key), self.fetches.get_mut(&task)) else { return false };
        let Some(session) = &mut fetching.session else { return false };
        let is_same = kept.partition == fetching.partition && kept.version == version(session);
        let is_new = !session.received.contains_key(&kept.page);
        session.pages.insert(kept.page, kept.rows.clone());
        if let Some(at) = kept.received_at {
            session.received.insert(kept.page, at);
        }
        session.is_sound &= kept.is_sound;
        let found = format!("t{task} continued from `{key}` of {:?}", kept.version);
        self.demand(CONTINUED, is_same, || found);
        is_new
    }
}
