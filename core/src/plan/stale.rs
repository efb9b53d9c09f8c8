//! Selects the partitions that a run has reason to refresh.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::history::refreshes::{LastRefresh, Refreshes, read_refreshes};
use crate::ledger::plan::{PlanItem, Reason};
use crate::ledger::read_records::read_records;
use crate::ledger::receipt::Outcome;
use crate::ledger::records::{LastAttempt, Records, staleness};
use crate::ledger::survey::{Seen, Survey, survey};
use crate::partition::PartitionKey;
use crate::ports::store::Store;
use crate::request::Selection;

/// What a partition must have been refreshed under, and since when, to be up to date.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpToDate<'r> {
    /// The portal's latest release, if it could be read.
    pub(super) release: Option<&'r str>,
    /// The earliest time.
    pub(super) since: Timestamp,
}

/// What the lake knows about the partitions of a dataset.
pub(super) struct Known {
    records: Records,
    survey: Survey,
    refreshes: Refreshes,
}

impl Known {
    pub(super) async fn read(store: &impl Store, dataset: &Dataset) -> Result<Self, Error> {
        let records = read_records(store, dataset).await?;
        let survey = survey(store, dataset, &records).await?;
        let refreshes = read_refreshes(store, &dataset.table).await?;
        Ok(Self { records, survey, refreshes })
    }

    /// Returns the selected partitions of which anything is known, newest year first.
    pub(super) fn select(&self, dataset: &Dataset, selection: &Selection) -> Vec<PartitionKey> {
        let known: BTreeSet<&PartitionKey> = self.survey.objects.keys().chain(self.records.keys()).collect();
        let mut selected = selection.narrow(dataset, known.into_iter().cloned().collect());
        selected.sort_by_cached_key(|partition| Reverse(partition.axes().first().map(|(_, value)| value.clone())));
        selected
    }

    /// Returns those of `partitions` that are stale, in the same order.
    pub(super) fn stale(
        &self,
        dataset: &Dataset,
        partitions: Vec<PartitionKey>,
        up_to_date: UpToDate<'_>,
    ) -> Vec<PlanItem> {
        let stale = partitions.into_iter().filter_map(|partition| {
            let reason = self.reason(dataset, &partition, up_to_date)?;
            Some(PlanItem { partition, reason })
        });
        stale.collect()
    }

    fn reason(&self, dataset: &Dataset, partition: &PartitionKey, up_to_date: UpToDate<'_>) -> Option<Reason> {
        let attempt = self.records.get(partition).and_then(|record| record.last_attempt.as_ref());
        if attempt.is_some_and(|attempt| attempt.outcome.is_open()) {
            return Some(Reason::Failed);
        }
        match self.survey.objects.get(partition).map(|object| &object.seen) {
            Some(Seen::Readable(stamp)) => {
                if let Some(reason) = staleness(&stamp.edition, dataset) {
                    return Some(reason);
                }
            }
            Some(Seen::NotOurs | Seen::Unknown(_)) => return Some(Reason::Missing),
            None if attempt.is_some_and(|attempt| attempt.outcome == Outcome::Empty) => {}
            None => return Some(Reason::Missing),
        }
        let Some(release) = up_to_date.release else { return Some(Reason::UnknownRelease) };
        // The last attempt may be of a run that was killed before it was published.
        let refreshes = self.refreshes.last(partition).into_iter().chain(attempt.and_then(as_refresh));
        match refreshes.max_by_key(|refresh| refresh.at) {
            Some(last) if last.release == release => (last.at < up_to_date.since).then_some(Reason::RefreshDue),
            _ => Some(Reason::OlderRelease),
        }
    }
}

fn as_refresh(attempt: &LastAttempt) -> Option<LastRefresh<'_>> {
    Some(LastRefresh { release: attempt.portal_release.as_deref()?, at: attempt.at })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::file::edition::{Digest, ENCODING_VERSION, Edition};
    use crate::file::stamp::Stamp;
    use crate::history::refreshes::ReleaseRefreshes;
    use crate::ledger::records::PartitionRecord;
    use crate::ledger::survey::Object;
    use crate::testing::{enrollment, partition, time};

    const LAST_WEEK: &str = "2026-11-16T12:00:00Z";

    /// A partition whose object and last attempt are up to date, refreshed under a release at a time.
    fn known(release: &str, at: &str) -> Known {
        let (dataset, partition) = (enrollment(), partition());
        let edition = Edition { digest: Digest(1), schema_id: dataset.schema_id(), encoding_version: ENCODING_VERSION };
        let (named, fetched_at) = (Some(partition.to_string()), time(LAST_WEEK));
        let stamp = Stamp { edition, partition: named, n_rows: 5, fetched_at, run: None };
        let object = Object { etag: "e1".into(), size_bytes: 7, seen: Seen::Readable(stamp) };
        let partitions = BTreeMap::from([(partition.to_string(), time(at))]);
        let of_release =
            ReleaseRefreshes { release: release.into(), first_at: time(at), last_at: time(at), partitions };
        let attempt = LastAttempt {
            run: "r1".into(),
            outcome: Outcome::Written,
            error: None,
            at: time(at),
            portal_release: None,
        };
        let record = PartitionRecord { partition: partition.clone(), committed: None, last_attempt: Some(attempt) };
        Known {
            records: Records::from([(partition.clone(), record)]),
            survey: Survey { objects: BTreeMap::from([(partition, object)]), ..Survey::default() },
            refreshes: Refreshes { kept_since: None, releases: vec![of_release] },
        }
    }

    fn reason(known: &Known, release: Option<&str>) -> Option<Reason> {
        let up_to_date = UpToDate { release, since: time(LAST_WEEK) };
        known.stale(&enrollment(), vec![partition()], up_to_date).first().map(|item| item.reason)
    }

    #[test]
    fn a_partition_is_stale_unless_it_was_refreshed_under_the_latest_release_within_the_last_days() {
        let yesterday = "2026-11-22T12:00:00Z";
        for (release, at, latest, expected) in [
            ("0.26.1", yesterday, Some("0.26.1"), None),
            ("0.26.1", LAST_WEEK, Some("0.26.1"), None),
            ("0.26.1", "2026-11-16T11:59:59Z", Some("0.26.1"), Some(Reason::RefreshDue)),
            ("0.25.0", yesterday, Some("0.26.1"), Some(Reason::OlderRelease)),
            ("0.26.1", yesterday, None, Some(Reason::UnknownRelease)),
        ] {
            assert_eq!(reason(&known(release, at), latest), expected, "{release} at {at}, latest {latest:?}");
        }
        // A partition whose refreshes are unknown counts as older.
        let unknown = Known { refreshes: Refreshes::default(), ..known("0.26.1", yesterday) };
        assert_eq!(reason(&unknown, Some("0.26.1")), Some(Reason::OlderRelease));
        // The attempt of a run that was killed before it was published counts too.
        let mut killed = known("0.25.0", LAST_WEEK);
        killed.records.get_mut(&partition()).unwrap().last_attempt.as_mut().unwrap().portal_release =
            Some("0.26.1".to_owned());
        assert_eq!(reason(&killed, Some("0.26.1")), None);
    }

    #[test]
    fn a_partition_is_stale_if_it_is_missing_failed_or_was_not_tried_or_differs_in_schema_or_encoding() {
        let fresh = || known("0.26.1", LAST_WEEK);
        let latest = Some("0.26.1");
        for (outcome, with_object, without_object) in [
            (Outcome::Written, None, Some(Reason::Missing)),
            (Outcome::Rewritten, None, Some(Reason::Missing)),
            (Outcome::Unchanged, None, Some(Reason::Missing)),
            (Outcome::Superseded, None, Some(Reason::Missing)),
            (Outcome::Empty, None, None),
            (Outcome::Failed, Some(Reason::Failed), Some(Reason::Failed)),
            (Outcome::NotTried, Some(Reason::Failed), Some(Reason::Failed)),
        ] {
            let mut known = fresh();
            known.records.get_mut(&partition()).unwrap().last_attempt.as_mut().unwrap().outcome = outcome;
            assert_eq!(reason(&known, latest), with_object, "{outcome:?}");
            known.survey.objects.clear();
            assert_eq!(reason(&known, latest), without_object, "{outcome:?} without an object");
        }
        let with_seen = |change: &dyn Fn(&mut Seen)| {
            let mut known = fresh();
            change(&mut known.survey.objects.get_mut(&partition()).unwrap().seen);
            reason(&known, latest)
        };
        let edition = |change: &dyn Fn(&mut Edition)| {
            with_seen(&|seen| {
                if let Seen::Readable(stamp) = seen {
                    change(&mut stamp.edition);
                }
            })
        };
        assert_eq!(edition(&|edition| edition.schema_id += 1), Some(Reason::OtherSchema));
        assert_eq!(edition(&|edition| edition.encoding_version += 1), Some(Reason::OtherEncoding));
        assert_eq!(with_seen(&|seen| *seen = Seen::NotOurs), Some(Reason::Missing));
        assert_eq!(with_seen(&|seen| *seen = Seen::Unknown("no response".into())), Some(Reason::Missing));
    }
}
