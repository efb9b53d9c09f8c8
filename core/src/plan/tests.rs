//! Tests of `plan`.

use std::collections::BTreeSet;

use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dataset::Axis;
use crate::keys;
use crate::ledger::Receipt;
use crate::ledger::{self, Outcome};
use crate::testing::{CannedPages, MemoryStore, NOW, time};

fn expand_json(input: &serde_json::Value, listed: Option<&BTreeSet<i32>>) -> Result<Vec<PartitionKey>, Error> {
    let dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let request = Request::parse(input, &dataset).unwrap();
    expand(&dataset, &resolve_latest(&request.selection, listed), listed)
}

#[test]
fn all_grades_exclude_the_total_which_must_be_named() {
    let listed: BTreeSet<i32> = (1986..=2024).collect();
    let partitions = expand_json(&json!({"years": "all", "grades": "all"}), Some(&listed)).unwrap();
    assert_eq!(partitions.len(), 39 * 17);
    assert!(!partitions.iter().any(|partition| partition.to_string().contains("grade-99")));
    assert_eq!(partitions[0].to_string(), "year=2024/grade=grade-pk");
    let named = expand_json(&json!({"years": [2020], "grades": ["grade-99"]}), Some(&listed)).unwrap();
    assert_eq!(named[0].to_string(), "year=2020/grade=grade-99");
}

#[test]
fn the_latest_years_are_the_newest_that_the_portal_lists() {
    let listed = BTreeSet::from([1991, 1993, 2005, 2009]);
    for (years, expected) in [
        ("latest", vec!["year=2009"]),
        ("latest-1", vec!["year=2009"]),
        ("latest-3", vec!["year=2009", "year=2005", "year=1993"]),
        ("latest-99", vec!["year=2009", "year=2005", "year=1993", "year=1991"]),
    ] {
        let partitions = expand_json(&json!({"years": years, "grades": ["grade-pk"]}), Some(&listed)).unwrap();
        let found: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected.iter().map(|year| format!("{year}/grade=grade-pk")).collect::<Vec<_>>(), "{years}");
    }
}

#[test]
fn a_failed_total_is_planned_again_and_axes_only_narrow_the_failed_partitions() {
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
        (json!({"failed_of": "r1", "partitions": [{"year": 2020, "grade": "grade-99"}]}), "year=2020/grade=grade-99"),
    ] {
        let request = Request::parse(&input, &dataset).unwrap();
        let portal = CannedPages::new(Vec::new());
        let plan = block_on(plan_partitions(&portal, &store, &dataset, &request, time(NOW))).unwrap();
        let found: Vec<String> = plan.items.iter().map(|item| item.partition.to_string()).collect();
        assert_eq!(found.join(" "), expected, "{input}");
    }
}

/// Found by use: B8.
#[test]
fn w16_a_plan_of_more_than_a_hundred_thousand_partitions_is_refused_before_it_is_built() {
    let mut dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let value = |i: i64| crate::dataset::CodedValue { value: format!("v{i}"), code: i };
    let axis = |name: &str| Axis {
        name: name.to_owned(),
        kind: crate::dataset::AxisKind::String,
        comment: String::new(),
        total: None,
        values: (0..100).map(value).collect(),
        codes: None,
        years: None,
    };
    for (n_axes, found) in [
        (2, None),
        (3, Some("1,000,000: 100 as × 100 bs × 100 cs")),
        (5, Some("10,000,000,000: 100 as × 100 bs × 100 cs × 100 ds × 100 es")),
    ] {
        dataset.axes = ["a", "b", "c", "d", "e"].into_iter().take(n_axes).map(axis).collect();
        let selection = Selection::Axes(vec![AxisSelection::All; n_axes]);
        let planned = expand(&dataset, &selection, None).map(|partitions| partitions.len());
        match found {
            None => assert_eq!(planned.unwrap(), 10_000),
            Some(found) => assert_eq!(
                planned.unwrap_err().chain(),
                format!(
                    "check request: expected at most 100,000 partitions in one plan, found {found}\n    hint: split the \
                     request into several runs with fewer values each"
                )
            ),
        }
    }
}

#[test]
fn without_a_readable_list_only_a_request_for_all_or_the_latest_years_is_refused() {
    let dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let plan = |input: serde_json::Value| {
        let request = Request::parse(&input, &dataset).unwrap();
        let portal = CannedPages::new(vec!["<html>busy</html>".to_owned()]);
        block_on(plan_partitions(&portal, &MemoryStore::default(), &dataset, &request, time(NOW)))
    };
    for grades in [json!("all"), json!(["grade-pk"])] {
        for years in ["all", "latest", "latest-3"] {
            let error = plan(json!({"years": years, "grades": grades})).unwrap_err();
            assert_eq!(error.name(), "YearsUnknown");
        }
    }
    for (input, n_partitions) in [
        (json!({"years": [2020], "grades": "all"}), 17),
        (json!({"years": "2015-2016", "grades": ["grade-pk"]}), 2),
        (json!({"partitions": [{"year": 2020, "grade": "grade-pk"}]}), 1),
    ] {
        let plan = plan(input.clone()).unwrap();
        assert_eq!((plan.items.len(), plan.warnings.len()), (n_partitions, 1), "{input}");
        assert!(plan.warnings[0].starts_with("years of `ccd_enrollment` were not checked"), "{:?}", plan.warnings);
    }
}

#[test]
fn a_year_that_the_portal_does_not_list_is_reported_by_name() {
    let listed: BTreeSet<i32> = [1980].into_iter().chain(1984..=2022).collect();
    let error = expand_json(&json!({"years": "2021-2024", "grades": "all"}), Some(&listed)).unwrap_err();
    assert_eq!(
        error.chain(),
        "check request: `years`: expected years that the portal lists for `ccd_enrollment` (1980, 1984-2022), found 2023-2024"
    );
}

/// Found by use: B11.
#[test]
fn an_empty_partition_is_missing_again_after_a_new_release() {
    let store = MemoryStore::default();
    let dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let named = expand_json(&json!({"years": [2021], "grades": ["grade-pk"]}), None).unwrap();
    let empty = |portal_release: Option<&str>| Receipt {
        outcome: Outcome::Empty,
        portal_release: portal_release.map(str::to_owned),
        ..Receipt::without_rows(named[0].clone(), None, time(NOW), time(NOW))
    };
    for (then, now, is_missing) in [
        (Some("0.26.0"), Some("0.26.0"), false),
        (Some("0.26.0"), Some("0.26.1"), true),
        (Some("0.26.0"), None, true),
        (None, Some("0.26.0"), true),
        (None, None, true),
    ] {
        let key = keys::receipt(&dataset, "r1", &named[0]);
        block_on(ledger::write_json(&store, &key, &empty(then))).unwrap();
        let found = block_on(missing(&store, &dataset, named.clone(), now)).unwrap();
        assert_eq!(found.len(), usize::from(is_missing), "{then:?} and {now:?}");
    }
}

#[test]
fn only_partitions_that_failed_or_were_not_tried_are_planned_again() {
    let store = MemoryStore::default();
    let dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let named = expand_json(&json!({"years": [2021], "grades": ["grade-pk"]}), None).unwrap();
    for &outcome in Outcome::ALL {
        let receipt = Receipt { outcome, ..Receipt::without_rows(named[0].clone(), None, time(NOW), time(NOW)) };
        block_on(ledger::write_json(&store, &keys::receipt(&dataset, "r1", &named[0]), &receipt)).unwrap();
        let found = block_on(failed(&store, &dataset, named.clone())).unwrap();
        let is_expected = matches!(outcome, Outcome::Failed | Outcome::NotTried);
        assert_eq!(found.len(), usize::from(is_expected), "{outcome:?}");
    }
}

/// Years in any form that a request accepts, some repeated, and the years that they denote.
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
        // Selected by axis, and listed one by one in some order with the first repeated.
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
    fn a_plan_of_all_covers_each_listed_year_and_each_grade_except_the_total_once(
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
