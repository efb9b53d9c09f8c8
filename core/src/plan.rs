//! The planner step: request × what the portal lists × what the lake holds → the exact list of partitions to fetch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::availability::{self, ENDPOINTS_PATH};
use crate::dataset::{Axis, AxisKind, Dataset};
use crate::error::{Error, chain};
use crate::keys;
use crate::ledger::{self, Outcome};
use crate::partition::{AxisValue, PartitionKey};
use crate::ports::{Portal, Store};
use crate::records::{self, Records};
use crate::request::{AxisSelection, Mode, Request, Selection, check_size, plural};
use crate::schema::keep_schema;
use crate::survey::{self, Seen};

/// One partition to fetch, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// The partition.
    pub partition: PartitionKey,
    /// Why it is fetched.
    pub reason: Reason,
}

/// Why a partition is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request names it, and mode `all` fetches whatever is named.
    Requested,
    /// It has no committed object.
    Missing,
    /// Its last attempt failed, or its last run ended before it was tried.
    Failed,
    /// Its object is of another schema than the descriptor's.
    OtherSchema,
    /// Its object is of the descriptor's schema and of another encoding than this program's.
    OtherEncoding,
}

impl Reason {
    /// The words used on the terminal. Plans have `_` between them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::OtherSchema => "other schema",
            Self::OtherEncoding => "other encoding",
        }
    }
}

/// What a run will fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Partitions, newest year first, then in the descriptor's order.
    pub items: Vec<PlanItem>,
    /// What could not be checked, a sentence each.
    pub warnings: Vec<String>,
    /// The portal's newest release, where it says.
    pub portal_release: Option<String>,
}

/// Plans a run. Changes nothing.
///
/// # Errors
/// [`Error::InvalidRequest`] naming every year or grade that the portal does not list; [`Error::YearsUnknown`] when all
/// years are asked for and the list cannot be read; [`Error::StoreFailed`] when the lake does not answer.
pub async fn plan_partitions(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    request: &Request,
) -> Result<Plan, Error> {
    if let Some(run) = &request.failed_of {
        // Its years were checked when that run was planned.
        let named = request.selection.narrow(dataset, failed_of(store, dataset, run).await?);
        let portal_release = availability::newest_release(portal).await;
        return Ok(Plan { items: with_reason(named, Reason::Failed), warnings: Vec::new(), portal_release });
    }
    let mut warnings = Vec::new();
    let listed = match availability::listed_years(portal, dataset).await {
        Ok(years) => Some(years),
        Err(error) if asks_for_all_years(dataset, request) => {
            tracing::warn!(dataset = dataset.name, error = chain(&error), "years unknown");
            return Err(Error::YearsUnknown {
                dataset: dataset.name.clone(),
                path: ENDPOINTS_PATH.to_owned(),
                source: error,
            });
        }
        Err(error) => {
            warnings.push(format!(
                "years of `{}` are not checked against the portal's list: {}",
                dataset.name,
                chain(&error)
            ));
            None
        }
    };
    // A portal that could not list its endpoints is not asked for more than the data.
    let portal_release = match listed {
        Some(_) => availability::newest_release(portal).await,
        None => None,
    };
    let items = match request.mode {
        Mode::Stale if is_open_ended(&request.selection) => {
            check_unlisted(dataset, named_and_unlisted(&request.selection, listed.as_ref()), listed.as_ref())?;
            stale(store, dataset, &request.selection, listed.as_ref(), &mut warnings).await?
        }
        mode => {
            let named = expand(dataset, request, listed.as_ref())?;
            match mode {
                Mode::All => with_reason(named, Reason::Requested),
                Mode::Missing => {
                    with_reason(missing(store, dataset, named, portal_release.as_deref()).await?, Reason::Missing)
                }
                Mode::Failed => with_reason(failed(store, dataset, named).await?, Reason::Failed),
                Mode::Stale => {
                    let named = Selection::Partitions(named);
                    stale(store, dataset, &named, None, &mut warnings).await?
                }
            }
        }
    };
    Ok(Plan { items, warnings, portal_release })
}

/// Writes a run's plan, which makes it a run of the lake. The schema of what it will write is kept first.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not take it.
pub async fn write_plan(store: &impl Store, dataset: &Dataset, run: &str, items: &[PlanItem]) -> Result<(), Error> {
    keep_schema(store, dataset).await?;
    ledger::write_json(store, &keys::plan(dataset, run), &items).await
}

/// Years that a selection names one by one and the portal does not list.
fn named_and_unlisted(selection: &Selection, listed: Option<&BTreeSet<i32>>) -> BTreeSet<i32> {
    let (Selection::Axes(axes), Some(listed)) = (selection, listed) else { return BTreeSet::new() };
    let named = axes.iter().flat_map(|axis| match axis {
        AxisSelection::Values(values) => values.as_slice(),
        AxisSelection::Any | AxisSelection::All => &[],
    });
    let years = named.filter_map(|value| match value {
        AxisValue::Int(year) => Some(*year),
        AxisValue::Text(_) => None,
    });
    years.filter(|year| !listed.contains(year)).collect()
}

/// Whether a selection leaves it to the lake which partitions there are.
fn is_open_ended(selection: &Selection) -> bool {
    matches!(selection, Selection::Axes(axes) if axes.contains(&AxisSelection::Any))
}

fn with_reason(partitions: Vec<PartitionKey>, reason: Reason) -> Vec<PlanItem> {
    partitions.into_iter().map(|partition| PlanItem { partition, reason }).collect()
}

fn asks_for_all_years(dataset: &Dataset, request: &Request) -> bool {
    match &request.selection {
        Selection::Axes(axes) => dataset
            .axes
            .iter()
            .zip(axes)
            .any(|(axis, selection)| axis.kind == AxisKind::Int && *selection == AxisSelection::All),
        Selection::Partitions(_) => false,
    }
}

/// Every partition that the request names, each once, newest year first.
fn expand(dataset: &Dataset, request: &Request, listed: Option<&BTreeSet<i32>>) -> Result<Vec<PartitionKey>, Error> {
    let mut unlisted = BTreeSet::new();
    let mut check = |value: &AxisValue| {
        if let (AxisValue::Int(year), Some(listed)) = (value, listed)
            && !listed.contains(year)
        {
            unlisted.insert(*year);
        }
    };
    let partitions = match &request.selection {
        Selection::Partitions(partitions) => {
            for (_, value) in partitions.iter().flat_map(PartitionKey::axes) {
                check(value);
            }
            partitions.clone()
        }
        Selection::Axes(axes) => {
            let values: Vec<Vec<AxisValue>> =
                dataset.axes.iter().zip(axes).map(|(axis, selection)| axis_values(axis, selection, listed)).collect();
            check_size(dataset, &values.iter().map(Vec::len).collect::<Vec<_>>())?;
            let mut combinations = vec![Vec::new()];
            for (axis, values) in dataset.axes.iter().zip(&values) {
                values.iter().for_each(&mut check);
                combinations = combinations
                    .iter()
                    .flat_map(|earlier: &Vec<(String, AxisValue)>| {
                        values.iter().map(|value| {
                            let mut combination = earlier.clone();
                            combination.push((axis.name.clone(), value.clone()));
                            combination
                        })
                    })
                    .collect();
            }
            combinations.into_iter().map(PartitionKey::new).collect()
        }
    };
    check_unlisted(dataset, unlisted, listed)?;
    Ok(partitions)
}

/// Refuses years that are named and not listed.
fn check_unlisted(dataset: &Dataset, unlisted: BTreeSet<i32>, listed: Option<&BTreeSet<i32>>) -> Result<(), Error> {
    if unlisted.is_empty() {
        return Ok(());
    }
    let field = dataset.axes.iter().find(|axis| axis.kind == AxisKind::Int).map_or_else(String::new, plural);
    let listed = describe_years(listed.into_iter().flatten().copied());
    let mistakes = vec![format!(
        "`{field}`: expected years that the portal lists for `{}` ({listed}), found {}",
        dataset.name,
        describe_years(unlisted.into_iter())
    )];
    Err(Error::InvalidRequest { mistakes })
}

fn axis_values(axis: &Axis, selection: &AxisSelection, listed: Option<&BTreeSet<i32>>) -> Vec<AxisValue> {
    let mut values: Vec<AxisValue> = match (selection, axis.kind) {
        (AxisSelection::Values(values), _) => values.clone(),
        // A request of a run's failures is planned from that run.
        (AxisSelection::Any, _) => Vec::new(),
        (AxisSelection::All, AxisKind::Int) => listed.into_iter().flatten().map(|year| AxisValue::Int(*year)).collect(),
        (AxisSelection::All, AxisKind::String) => axis
            .values
            .iter()
            .filter(|coded| axis.total.as_ref() != Some(&coded.value))
            .map(|coded| AxisValue::Text(coded.value.clone()))
            .collect(),
    };
    if axis.kind == AxisKind::Int {
        // Newest first: the years that people wait for are there before the long tail.
        values.sort_unstable_by(|a, b| b.cmp(a));
    }
    values
}

/// Years in few words: `1980, 1984-2022`.
fn describe_years(years: impl Iterator<Item = i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for year in years {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == year => *last = year,
            _ => ranges.push((year, year)),
        }
    }
    let words: Vec<String> = ranges
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    words.join(", ")
}

/// Those without an object that can be read. What the portal had no rows for is asked for again only under a release that
/// is not the one it was asked under, or where either is not known.
async fn missing(
    store: &impl Store,
    dataset: &Dataset,
    named: Vec<PartitionKey>,
    portal_release: Option<&str>,
) -> Result<Vec<PartitionKey>, Error> {
    let records = records::read_records(store, dataset).await?;
    let survey = survey::survey(store, dataset, &records).await?;
    let is_known_empty = |partition: &PartitionKey| {
        let attempt = records.get(partition).and_then(|record| record.last_attempt.as_ref());
        attempt.is_some_and(|attempt| {
            attempt.outcome == Outcome::Empty
                && portal_release.is_some()
                && attempt.portal_release.as_deref() == portal_release
        })
    };
    let is_missing = |partition: &PartitionKey| match survey.objects.get(partition) {
        Some(object) => !matches!(object.seen, Seen::Readable(_)),
        None => !is_known_empty(partition),
    };
    Ok(named.into_iter().filter(is_missing).collect())
}

/// Those whose last attempt failed, or whose last run ended before it tried them.
async fn failed(store: &impl Store, dataset: &Dataset, named: Vec<PartitionKey>) -> Result<Vec<PartitionKey>, Error> {
    let records = records::read_records(store, dataset).await?;
    let is_failed = |partition: &PartitionKey| last_outcome(&records, partition).is_some_and(Outcome::is_open);
    Ok(named.into_iter().filter(is_failed).collect())
}

/// Those selected whose object is of another schema or encoding, newest year first.
async fn stale(
    store: &impl Store,
    dataset: &Dataset,
    selection: &Selection,
    listed: Option<&BTreeSet<i32>>,
    warnings: &mut Vec<String>,
) -> Result<Vec<PlanItem>, Error> {
    let records = records::read_records(store, dataset).await?;
    let survey = survey::survey(store, dataset, &records).await?;
    let mut unlisted = BTreeSet::new();
    let is_listed = |partition: &PartitionKey| {
        partition.axes().iter().all(|(_, value)| match (value, listed) {
            (AxisValue::Int(year), Some(listed)) => listed.contains(year),
            _ => true,
        })
    };
    let stale: BTreeMap<PartitionKey, Reason> = survey
        .objects
        .into_iter()
        .filter_map(|(partition, object)| match object.seen {
            Seen::Readable(stamp) => Some((partition, records::staleness(&stamp.edition, dataset)?)),
            Seen::NotOurs | Seen::Unknown(_) => None,
        })
        .collect();
    let mut items = Vec::new();
    for partition in selection.narrow(dataset, stale.keys().cloned().collect()) {
        match stale.get(&partition) {
            Some(reason) if is_listed(&partition) => items.push(PlanItem { partition, reason: *reason }),
            _ => {
                unlisted.insert(partition.to_string());
            }
        }
    }
    items.sort_by_cached_key(|item| std::cmp::Reverse(item.partition.axes().first().map(|(_, value)| value.clone())));
    if !unlisted.is_empty() {
        let named: Vec<String> = unlisted.into_iter().collect();
        warnings
            .push(format!("stale, and not written anew since the portal does not list its year: {}", named.join(", ")));
    }
    Ok(items)
}

/// Partitions of a run's plan that failed, were not tried or left nothing, in that plan's order.
async fn failed_of(store: &impl Store, dataset: &Dataset, run: &str) -> Result<Vec<PartitionKey>, Error> {
    let plan: Option<Vec<PlanItem>> = ledger::read_json(store, &keys::plan(dataset, run)).await?;
    let Some(plan) = plan else {
        return Err(Error::InvalidRequest {
            mistakes: vec![format!("`failed_of`: expected a run of `{}`, found none named `{run}`", dataset.name)],
        });
    };
    let planned = plan.iter().filter_map(|item| dataset.arrange(&item.partition));
    let left = ledger::read_left(store, dataset, run).await?;
    let is_failed =
        |partition: &PartitionKey| left.receipts.get(partition).is_none_or(|receipt| receipt.outcome.is_open());
    Ok(planned.filter(is_failed).collect())
}

fn last_outcome(records: &Records, partition: &PartitionKey) -> Option<Outcome> {
    Some(records.get(partition)?.last_attempt.as_ref()?.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Receipt;
    use crate::testing::{CannedPages, MemoryStore, NOW, time};
    use futures::executor::block_on;
    use proptest::prelude::*;
    use serde_json::json;

    fn expand_json(input: &serde_json::Value, listed: Option<&BTreeSet<i32>>) -> Result<Vec<PartitionKey>, Error> {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        expand(&dataset, &Request::parse(input, &dataset).unwrap(), listed)
    }

    #[test]
    fn all_grades_are_every_grade_but_the_total_which_must_be_named() {
        let listed: BTreeSet<i32> = (1986..=2024).collect();
        let partitions = expand_json(&json!({"years": "all", "grades": "all"}), Some(&listed)).unwrap();
        assert_eq!(partitions.len(), 39 * 17);
        assert!(!partitions.iter().any(|partition| partition.to_string().contains("grade-99")));
        assert_eq!(partitions[0].to_string(), "year=2024/grade=grade-pk");
        let named = expand_json(&json!({"years": [2020], "grades": ["grade-99"]}), Some(&listed)).unwrap();
        assert_eq!(named[0].to_string(), "year=2020/grade=grade-99");
    }

    #[test]
    fn a_failed_total_is_fetched_again_and_axes_only_narrow_a_runs_failures() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let store = MemoryStore::default();
        let planned = expand_json(&json!({"years": [2019, 2020], "grades": ["grade-pk", "grade-99"]}), None).unwrap();
        let items = with_reason(planned, Reason::Requested);
        block_on(ledger::write_json(&store, &keys::plan(&dataset, "r1"), &items)).unwrap();
        for (input, expected) in [
            (
                json!({"failed_of": "r1"}),
                "year=2020/grade=grade-pk year=2020/grade=grade-99 year=2019/grade=grade-pk year=2019/grade=grade-99",
            ),
            (json!({"failed_of": "r1", "years": [2019]}), "year=2019/grade=grade-pk year=2019/grade=grade-99"),
            (json!({"failed_of": "r1", "grades": "all"}), "year=2020/grade=grade-pk year=2019/grade=grade-pk"),
            (
                json!({"failed_of": "r1", "partitions": [{"year": 2020, "grade": "grade-99"}]}),
                "year=2020/grade=grade-99",
            ),
        ] {
            let request = Request::parse(&input, &dataset).unwrap();
            let portal = CannedPages::new(Vec::new());
            let plan = block_on(plan_partitions(&portal, &store, &dataset, &request)).unwrap();
            let found: Vec<String> = plan.items.iter().map(|item| item.partition.to_string()).collect();
            assert_eq!(found.join(" "), expected, "{input}");
        }
    }

    /// Found by use: B8.
    #[test]
    fn w16_a_plan_of_more_than_a_hundred_thousand_partitions_is_refused_before_it_is_made() {
        let mut dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let word = |i: i64| crate::dataset::CodedValue { value: format!("v{i}"), code: i };
        let axis = |name: &str| Axis {
            name: name.to_owned(),
            kind: AxisKind::String,
            comment: String::new(),
            total: None,
            values: (0..100).map(word).collect(),
        };
        for (n_axes, found) in [
            (2, None),
            (3, Some("1,000,000: 100 as × 100 bs × 100 cs")),
            (5, Some("10,000,000,000: 100 as × 100 bs × 100 cs × 100 ds × 100 es")),
        ] {
            dataset.axes = ["a", "b", "c", "d", "e"].into_iter().take(n_axes).map(axis).collect();
            let selection = Selection::Axes(vec![AxisSelection::All; n_axes]);
            let plain = Request::parse(&json!({"partitions": [{}]}), &Dataset { axes: Vec::new(), ..dataset.clone() });
            let request = Request { selection, ..plain.unwrap() };
            let planned = expand(&dataset, &request, None).map(|partitions| partitions.len());
            match found {
                None => assert_eq!(planned.unwrap(), 10_000),
                Some(found) => assert_eq!(
                    planned.unwrap_err().chain(),
                    format!(
                        "check request: expected at most 100,000 partitions in one plan, found {found}\n    hint: name fewer \
                         values of an axis, and make several runs of it"
                    )
                ),
            }
        }
    }

    #[test]
    fn all_years_of_a_list_that_cannot_be_read_are_refused_and_years_by_name_are_not() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let plan = |input: serde_json::Value| {
            let request = Request::parse(&input, &dataset).unwrap();
            let portal = CannedPages::new(vec!["<html>busy</html>".to_owned()]);
            block_on(plan_partitions(&portal, &MemoryStore::default(), &dataset, &request))
        };
        for grades in [json!("all"), json!(["grade-pk"])] {
            let error = plan(json!({"years": "all", "grades": grades})).unwrap_err();
            assert_eq!(error.name(), "YearsUnknown");
        }
        for (input, n_partitions) in [
            (json!({"years": [2020], "grades": "all"}), 17),
            (json!({"years": "2015-2016", "grades": ["grade-pk"]}), 2),
            (json!({"partitions": [{"year": 2020, "grade": "grade-pk"}]}), 1),
        ] {
            let plan = plan(input.clone()).unwrap();
            assert_eq!((plan.items.len(), plan.warnings.len()), (n_partitions, 1), "{input}");
            assert!(plan.warnings[0].starts_with("years of `ccd_enrollment` are not checked"), "{:?}", plan.warnings);
        }
    }

    #[test]
    fn a_year_that_the_portal_does_not_list_is_refused_by_name() {
        let listed: BTreeSet<i32> = [1980].into_iter().chain(1984..=2022).collect();
        let error = expand_json(&json!({"years": "2021-2024", "grades": "all"}), Some(&listed)).unwrap_err();
        assert_eq!(
            error.chain(),
            "check request: `years`: expected years that the portal lists for `ccd_enrollment` (1980, 1984-2022), found 2023-2024"
        );
    }

    /// Found by use: B11.
    #[test]
    fn what_the_portal_had_no_rows_for_is_asked_again_under_another_release() {
        let store = MemoryStore::default();
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let named = expand_json(&json!({"years": [2021], "grades": ["grade-pk"]}), None).unwrap();
        let empty = |portal_release: Option<&str>| Receipt {
            outcome: Outcome::Empty,
            portal_release: portal_release.map(str::to_owned),
            ..Receipt::of_nothing(named[0].clone(), None, time(NOW), time(NOW))
        };
        for (then, now, is_asked) in [
            (Some("0.26.0"), Some("0.26.0"), false),
            (Some("0.26.0"), Some("0.26.1"), true),
            (Some("0.26.0"), None, true),
            (None, Some("0.26.0"), true),
            (None, None, true),
        ] {
            let key = keys::receipt(&dataset, "r1", &named[0]);
            block_on(ledger::write_json(&store, &key, &empty(then))).unwrap();
            let found = block_on(missing(&store, &dataset, named.clone(), now)).unwrap();
            assert_eq!(found.len(), usize::from(is_asked), "{then:?} and {now:?}");
        }
    }

    #[test]
    fn what_failed_or_was_not_tried_is_planned_again_and_nothing_else() {
        let store = MemoryStore::default();
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let named = expand_json(&json!({"years": [2021], "grades": ["grade-pk"]}), None).unwrap();
        for outcome in Outcome::ALL {
            let receipt = Receipt { outcome, ..Receipt::of_nothing(named[0].clone(), None, time(NOW), time(NOW)) };
            block_on(ledger::write_json(&store, &keys::receipt(&dataset, "r1", &named[0]), &receipt)).unwrap();
            let found = block_on(failed(&store, &dataset, named.clone())).unwrap();
            let is_expected = matches!(outcome, Outcome::Failed | Outcome::NotTried);
            assert_eq!(found.len(), usize::from(is_expected), "{outcome:?}");
        }
    }

    /// Years as a request may spell them, with the years that they are; some of them twice.
    fn years() -> impl Strategy<Value = (serde_json::Value, BTreeSet<i32>)> {
        let item = (1986..2025i32, 0..4i32, 0..3u8).prop_map(|(first, more, how)| match how {
            0 => (json!(first), first..=first),
            1 => (json!(first.to_string()), first..=first),
            _ => (json!(format!("{first}-{}", first + more)), first..=first + more),
        });
        (prop::collection::vec(item, 1..8), any::<bool>()).prop_map(|(items, is_text)| {
            let named = items.iter().flat_map(|(_, years)| years.clone()).collect();
            let items: Vec<_> = items.into_iter().map(|(item, _)| item).collect();
            let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            (if is_text { json!(texts.collect::<Vec<_>>().join(", ")) } else { json!(items) }, named)
        })
    }

    proptest! {
        #[test]
        fn a_plan_covers_each_named_partition_once(
            (years, named) in years(),
            grades in prop::collection::vec(prop::sample::select(vec!["grade-pk", "grade-k", "grade-1", "grade-99"]), 1..6),
            order in any::<prop::sample::Index>(),
        ) {
            let expected: BTreeSet<String> = named
                .iter()
                .flat_map(|year| grades.iter().map(move |grade| format!("year={year}/grade={grade}")))
                .collect();
            // Named by their axes, and each by itself in some order, the first twice.
            let mut one_by_one: Vec<_> =
                named.iter().flat_map(|year| grades.iter().map(move |grade| json!({"grade": grade, "year": year}))).collect();
            let n_turned = order.index(one_by_one.len());
            one_by_one.rotate_left(n_turned);
            one_by_one.push(one_by_one[0].clone());
            for input in [json!({"years": years, "grades": grades}), json!({"partitions": one_by_one})] {
                let partitions = expand_json(&input, None).unwrap();
                let found: BTreeSet<String> = partitions.iter().map(ToString::to_string).collect();
                prop_assert_eq!(partitions.len(), found.len());
                prop_assert_eq!(&found, &expected);
            }
        }

        #[test]
        fn a_plan_of_all_covers_every_listed_year_and_every_grade_but_the_total_once(
            listed in prop::collection::btree_set(1900..2100i32, 1..40),
        ) {
            let grades = Dataset::built_in("ccd_enrollment").unwrap().axes[1].values.clone();
            let partitions = expand_json(&json!({"years": "all", "grades": "all"}), Some(&listed)).unwrap();
            let found: BTreeSet<String> = partitions.iter().map(ToString::to_string).collect();
            prop_assert_eq!(partitions.len(), found.len());
            let grades = grades.iter().map(|coded| &coded.value).filter(|value| *value != "grade-99");
            let expected = grades.flat_map(|grade| listed.iter().map(move |year| format!("year={year}/grade={grade}")));
            prop_assert_eq!(found, expected.collect::<BTreeSet<_>>());
        }
    }
}
