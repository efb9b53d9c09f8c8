//! Tests of `request`.

use serde_json::json;

use super::*;
use crate::dataset::partitions::OTHER_FIELDS;
use crate::request::size::MAX_PARTITIONS;
use crate::testing::enrollment;

fn parse(input: Value) -> Result<Request, Error> {
    Request::parse(&input, &Dataset::built_in("ccd_enrollment").unwrap())
}

#[test]
fn the_scheduled_input_is_a_complete_request() {
    let request = parse(json!({"years": [2020, 2021], "grades": ["grade-pk"]})).unwrap();
    assert_eq!(
        request,
        Request {
            selection: Selection::Axes(vec![
                AxisSelection::Values(vec![AxisValue::Int(2020), AxisValue::Int(2021)]),
                AxisSelection::Values(vec![AxisValue::Text("grade-pk".into())]),
            ]),
            mode: Mode::All,
            failed_of: None,
            force: false,
            refresh_after_days: 7,
            keep_pages: false,
            catalog: CatalogMode::Partitions,
        }
    );
}

#[test]
fn ranges_lists_and_all_are_accepted() {
    let request = parse(json!({"years": "2015-2017,2020", "grades": "all"})).unwrap();
    let years = [2015, 2016, 2017, 2020].map(AxisValue::Int).to_vec();
    assert_eq!(request.selection, Selection::Axes(vec![AxisSelection::Values(years), AxisSelection::All]));
    let request = parse(json!({"partitions": [{"grade": "grade-3", "year": 2019}], "mode": "all"})).unwrap();
    let Selection::Partitions(partitions) = request.selection else { panic!("{request:?}") };
    assert_eq!(partitions[0].to_string(), "year=2019/grade=grade-3");
    let request = parse(json!({"years": [2020], "grades": "all", "failed_of": "run-1"})).unwrap();
    assert_eq!((request.mode, request.failed_of.as_deref()), (Mode::Failed, Some("run-1")));
}

#[test]
fn the_latest_years_are_one_or_as_many_as_named() {
    for (years, n) in [("latest", 1), ("latest-1", 1), ("latest-3", 3), ("latest-999", 999)] {
        let request = parse(json!({"years": years, "grades": "all"})).unwrap();
        assert_eq!(request.selection, Selection::Axes(vec![AxisSelection::Latest(n), AxisSelection::All]), "{years}");
    }
    for years in ["latest-0", "latest-1000", "latest-", "latest--1", "latest 3", "latest3", "latest-3-5", "latest-x"] {
        let message = parse(json!({"years": years, "grades": "all"})).unwrap_err().chain();
        assert_eq!(
            message,
            format!(
                "check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\", found \
                 `{years}`\n    hint: write `latest-3` for the three newest years"
            )
        );
    }
    // Only a year can be the latest.
    let _ = parse(json!({"years": [2020], "grades": "latest"})).unwrap_err();
}

#[test]
fn a_range_repeated_a_thousand_times_takes_the_memory_of_one() {
    let request = parse(json!({"years": vec!["1900-2100"; 1_000], "grades": "all"})).unwrap();
    let Selection::Axes(axes) = request.selection else { panic!("{request:?}") };
    let AxisSelection::Values(years) = &axes[0] else { panic!("{axes:?}") };
    assert_eq!(years.len(), 201);
    assert!(years.capacity() < 500, "room for {} years", years.capacity());
}

#[test]
fn w10_all_mistakes_of_a_request_are_reported_at_once() {
    let error = parse(json!({
        "years": "2021-2020", "grades": ["pk", "grade-16"], "mode": "some", "forced": true, "catalog": 1,
        "failed_of": "../x"
    }))
    .unwrap_err();
    insta::assert_snapshot!(error.chain(), @r"
        check request: found 7 mistakes
          - `forced`: expected one of years, grades, dataset, axes, partitions, mode, refresh_after_days, failed_of, force, keep_pages, catalog for dataset `ccd_enrollment`, found an unknown field
            hint: write `force`
          - `years`: expected the earlier year of a range first, found `2021-2020`
            hint: write `2020-2021`
          - `grades`: expected one of grade-pk, grade-k, grade-1 to grade-15, grade-99, found `pk`
            hint: write `grade-pk`
          - `grades`: expected one of grade-pk, grade-k, grade-1 to grade-15, grade-99, found `grade-16`
          - `mode`: expected one of all, missing, failed, stale, found `some`
          - `failed_of`: expected the name of a run, found `../x`
          - `catalog`: expected one of partitions, crawler, found `1`
        ");
}

#[test]
fn w10_each_kind_of_mistake_is_refused() {
    for (input, expected) in [
        (
            json!([]),
            "check request: expected an object such as {\"years\": [2020, 2021], \"grades\": [\"grade-pk\"]}, found `[]`",
        ),
        (json!({"dataset": 3}), "check request: `dataset`: expected a name, found `3`"),
        (
            json!({"years": [2020]}),
            "check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found none",
        ),
        (json!({"years": [], "grades": "all"}), "check request: `years`: expected at least one value, found none"),
        (
            json!({"years": [20], "grades": "all"}),
            "check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\", found `20`",
        ),
        (
            json!({"years": [2020.5], "grades": "all"}),
            "check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\", found `2020.5`",
        ),
        (
            json!({"years": {"from": 2020}, "grades": "all"}),
            "check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\", found `{\"from\":2020}`",
        ),
        (
            json!({"years": [2020], "grades": [3]}),
            "check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found `3`\n    hint: write `grade-3`",
        ),
        (
            json!({"years": [2020], "grades": "all", "force": "yes"}),
            "check request: `force`: expected true or false, found the string \"yes\"",
        ),
        (json!({"partitions": []}), "check request: `partitions`: expected at least one, found none"),
        (
            json!({"partitions": [{"year": 2019}]}),
            "check request: `partitions[0].grade`: expected a value such as \"grade-pk\", found none",
        ),
        (
            json!({"partitions": [{"year": 2019, "grade": "grade-3", "sex": 1}]}),
            "check request: `partitions[0].sex`: expected one of year, grade, found an unknown field",
        ),
        (
            json!({"years": [2020], "partitions": [{"year": 2019, "grade": "grade-3"}]}),
            "check request: `years`: expected either `years` or `partitions`, found both",
        ),
        (
            json!({"years": "latest", "failed_of": "r"}),
            "check request: `years`: expected years by number together with `failed_of`, found `latest`\n    hint: leave out \
             `years` to run everything again that failed",
        ),
        (
            json!({"years": [2020], "grades": "all", "mode": "all", "failed_of": "r"}),
            "check request: `failed_of`: expected mode `failed`, found `all`",
        ),
    ] {
        assert_eq!(parse(input.clone()).unwrap_err().chain(), expected, "{input}");
    }
}

/// Found by use: W5.
#[test]
fn w13_a_null_field_of_a_request_counts_as_absent() {
    let plain = json!({"years": [2020], "grades": ["grade-3"]});
    let expected = parse(plain.clone()).unwrap();
    for field in OTHER_FIELDS.into_iter().chain(["forced"]) {
        let mut input = plain.clone();
        input[field] = Value::Null;
        assert_eq!(parse(input).unwrap(), expected, "{field}");
    }
    let partition = json!({"year": 2020, "grade": "grade-3", "sex": null});
    let one = parse(json!({"partitions": [partition], "years": null, "grades": null})).unwrap();
    let Selection::Partitions(partitions) = one.selection else { panic!("{one:?}") };
    assert_eq!(partitions[0].to_string(), "year=2020/grade=grade-3");
    assert_eq!(dataset_name(&json!({"dataset": null})).unwrap(), DEFAULT_DATASET);
    for (input, expected) in [
        (
            json!({"years": null, "grades": "all"}),
            "check request: `years`: expected years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\", found none",
        ),
        (
            json!({"partitions": [{"year": null, "grade": "grade-3"}]}),
            "check request: `partitions[0].year`: expected a year such as 2021, found none",
        ),
    ] {
        assert_eq!(parse(input).unwrap_err().chain(), expected);
    }
}

/// Found by use: W6.
#[test]
fn w14_only_unknown_fields_that_aws_or_a_tracer_adds_are_ignored() {
    let plain = json!({"years": [2020], "grades": ["grade-3"]});
    let mut input = plain.clone();
    for (field, value) in [
        ("AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID", json!("arn:aws:states:us-east-1:1:execution:a:b")),
        ("_datadog", json!({"x-datadog-trace-id": "1"})),
        ("_X_AMZN_TRACE_ID", json!("Root=1-2-3")),
    ] {
        input[field] = value;
    }
    assert_eq!(parse(input).unwrap(), parse(plain).unwrap());
    for field in ["aws_step_functions_x", "AWS_STEP", "x_", "Comment"] {
        let mut input = json!({"years": [2020], "grades": ["grade-3"]});
        input[field] = json!("x");
        let message = parse(input).unwrap_err().chain();
        assert!(message.starts_with(&format!("check request: `{field}`: expected one of years, grades")), "{message}");
    }
}

/// Found by use: W7.
#[test]
fn w15_an_eventbridge_event_and_json_inside_a_string_are_each_named_in_one_message() {
    let event = json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Scheduled Event",
        "source": "aws.events", "account": "123456789012", "time": "2026-11-26T12:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/r"], "detail": {},
    });
    insta::assert_snapshot!(parse(event).unwrap_err().chain(), @r#"
        check request: expected a request such as {"years": [2020, 2021], "grades": ["grade-pk"]}, found an EventBridge event (`detail-type`: the string "Scheduled Event")
            hint: set the input of the rule or schedule to constant JSON: the request
        "#);
    let twice = json!(json!({"years": [2020], "grades": "all"}).to_string());
    insta::assert_snapshot!(parse(twice).unwrap_err().chain(), @r#"
        check request: expected an object such as {"years": [2020, 2021], "grades": ["grade-pk"]}, found the string "{"grades":"all","years":[2020]}", which is JSON inside a string
            hint: pass the object itself, without quotes around it
        "#);
    let fields = json!({
        "years": "[2020, 2021]", "grades": "[\"grade-pk\"]", "force": "false", "mode": true, "dataset": null,
        "catalog": ["partitions"],
    });
    insta::assert_snapshot!(parse(fields).unwrap_err().chain(), @r#"
        check request: found 5 mistakes
          - `years`: expected years such as [2020, 2021], "2015-2021", "latest" or "all", found the string "[2020, 2021]"
            hint: remove the quotes around the value
          - `grades`: expected values such as ["grade-pk"] or "all", found the string "["grade-pk"]"
            hint: remove the quotes around the value
          - `mode`: expected one of all, missing, failed, stale, found `true`
          - `force`: expected true or false, found the string "false"
          - `catalog`: expected one of partitions, crawler, found `["partitions"]`
        "#);
    let partitions = json!({"partitions": "[{\"year\": 2020, \"grade\": \"grade-3\"}]"});
    insta::assert_snapshot!(parse(partitions).unwrap_err().chain(), @r#"
        check request: `partitions`: expected an array of objects, found the string "[{"year": 2020, "grade": "grade-3"}]"
            hint: remove the quotes around the value
        "#);
}

/// Found by use: B8.
#[test]
fn w16_of_a_hundred_thousand_mistakes_twenty_are_listed_and_the_rest_counted() {
    let error = parse(json!({"years": vec!["x".repeat(1_000); 130_000], "grades": [vec!["a"; 200]]})).unwrap_err();
    let message = error.chain();
    assert!(message.starts_with("check request: found more than 20 mistakes\n  - `years`: expected"), "{message}");
    assert!(message.ends_with("\n  - … and 129,981 more"), "{message}");
    assert!(message.len() < 10_000, "{} bytes", message.len());
    let exactly = parse(json!({"years": vec!["x"; 20], "grades": "all"})).unwrap_err().chain();
    assert!(exactly.starts_with("check request: found 20 mistakes\n"), "{exactly}");
    assert!(!exactly.contains("more"), "{exactly}");
    let partitions = vec![json!({"year": 2020, "grade": "grade-3"}); MAX_PARTITIONS + 1];
    let message = parse(json!({"partitions": partitions[1..]})).map(|_| ()).map_err(|error| error.chain());
    assert_eq!(message, Ok(()));
    assert_eq!(
        parse(json!({"partitions": partitions})).unwrap_err().chain(),
        "check request: `partitions`: expected at most 100,000 partitions in one plan, found 100,001"
    );
}

/// Found by use: W12.
#[test]
fn a_hint_suggests_the_grade_for_a_code_and_the_years_for_a_school_year() {
    for (input, hint) in [
        (json!({"years": [2020], "grades": [0]}), "write `grade-k`"),
        (json!({"years": [2020], "grades": ["-1"]}), "write `grade-pk`"),
        (json!({"years": [2020], "grades": -1.0}), "write `grade-pk`"),
        (json!({"partitions": [{"year": 2020, "grade": 99}]}), "write `grade-99`"),
        (
            json!({"years": "2020-21", "grades": "all"}),
            "write `2020` for the school year that starts in 2020, or `2020-2021` for two school years",
        ),
        (
            json!({"years": ["1999/00"], "grades": "all"}),
            "write `1999` for the school year that starts in 1999, or `1999-2000` for two school years",
        ),
        (json!({"years": "2015\u{2013}2021", "grades": "all"}), "write `2015-2021`"),
        (
            json!({"partitions": [{"year": "2020-21", "grade": "grade-3"}]}),
            "write `2020` for the school year that starts in 2020",
        ),
    ] {
        let message = parse(input.clone()).unwrap_err().chain();
        assert!(message.ends_with(&format!("\n    hint: {hint}")), "{input}: {message}");
    }
    for input in [
        json!({"years": [2020], "grades": [50]}),
        json!({"years": "2020-2x", "grades": "all"}),
        json!({"years": "2020-19", "grades": "all"}),
        json!({"years": "20-21", "grades": "all"}),
    ] {
        let message = parse(input.clone()).unwrap_err().chain();
        assert!(!message.contains("hint"), "{input}: {message}");
    }
}

#[test]
fn an_axis_that_the_dataset_lacks_is_reported_by_name() {
    let directory = Dataset::built_in("ccd_directory").unwrap();
    Request::parse(&json!({"dataset": "ccd_directory", "years": [2020]}), &directory).unwrap();
    let error = Request::parse(&json!({"years": [2020], "grades": "all"}), &directory).unwrap_err();
    assert_eq!(
        error.chain(),
        "check request: `grades`: expected one of years, dataset, axes, partitions, mode, refresh_after_days, failed_of, force, keep_pages, catalog for dataset `ccd_directory`, found an unknown field"
    );
}

#[test]
fn pages_are_kept_after_the_commit_only_in_a_folder_where_they_can_be_read_again() {
    parse(json!({"years": [2020], "grades": ["grade-pk"], "keep_pages": false}))
        .unwrap()
        .check_for_bucket(&enrollment())
        .unwrap();
    let request = parse(json!({"years": [2020], "grades": ["grade-pk"], "keep_pages": true})).unwrap();
    let message = request.check_for_bucket(&enrollment()).unwrap_err().chain();
    assert!(message.starts_with("check request: `keep_pages`: expected a lake in a folder, found one in a bucket"));
}

#[test]
fn values_of_an_axis_can_be_given_by_its_name() {
    let by_field = parse(json!({"years": [2020], "grades": ["grade-pk"]})).unwrap();
    assert_eq!(parse(json!({"axes": {"year": [2020], "grade": ["grade-pk"]}})).unwrap(), by_field);
    assert_eq!(parse(json!({"years": "2020", "axes": {"grade": "grade-pk"}})).unwrap(), by_field);
    for (input, expected) in [
        (
            json!({"years": "all", "axes": {"year": "all", "grade": "all"}}),
            "`years`: expected either `years` or `axes.year`, found both",
        ),
        (
            json!({"years": "all", "axes": {"grad": "all"}}),
            "found 2 mistakes\n  - `axes.grad`: expected one of year, grade for dataset `ccd_enrollment`, found an unknown axis\n    hint: write `grade`\n  - `grades`: expected values such as [\"grade-pk\"] or \"all\", found none",
        ),
        (
            json!({"years": "all", "axes": {"grade": "pk"}}),
            "`axes.grade`: expected one of grade-pk, grade-k, grade-1 to grade-15, grade-99, found `pk`\n    hint: write `grade-pk`",
        ),
        (
            json!({"axes": "all"}),
            "found 3 mistakes\n  - `axes`: expected an object such as {\"grade\": \"all\"}, found the string \"all\"",
        ),
        (
            json!({"axes": {"year": 2020}, "partitions": [{"year": 2020, "grade": "grade-1"}]}),
            "`axes`: expected either `axes` or `partitions`, found both",
        ),
    ] {
        let found = parse(input).unwrap_err().chain();
        assert!(found.starts_with(&format!("check request: {expected}")), "{found}");
    }
}

#[test]
fn numbers_of_an_axis_are_read_as_numbers() {
    let text = "name='n'\ntitle='N'\nattribution='A'\npath='n/{level}/'\ndatabase='d'\ntable='n'\nkey=['id']\n\
                [[axis]]\nname='level'\ntype='int'\nvalues=[1, 2, 10]\n[[column]]\nname='id'\ntype='int'\n";
    let dataset = Dataset::parse("n.toml", text).unwrap();
    let select = |value: Value| Request::parse(&json!({"levels": value}), &dataset).map(|request| request.selection);
    let two = Selection::Axes(vec![AxisSelection::Values(vec![AxisValue::Int(2), AxisValue::Int(10)])]);
    assert_eq!(select(json!([2, 10])).unwrap(), two);
    assert_eq!(select(json!("2,10,2")).unwrap(), two);
    assert_eq!(select(json!("all")).unwrap(), Selection::Axes(vec![AxisSelection::All]));
    let message = "check request: `levels`: expected one of 1 to 2, 10, found `3`";
    assert_eq!(select(json!([3])).unwrap_err().chain(), message);
    for wrong in [json!("latest"), json!("1-2")] {
        assert!(
            select(wrong.clone()).unwrap_err().chain().starts_with("check request: `levels`: expected one of"),
            "{wrong}"
        );
    }
    let named = Request::parse(&json!({"partitions": [{"level": 10}, {"level": "2"}]}), &dataset).unwrap();
    let Selection::Partitions(partitions) = named.selection else { panic!("{named:?}") };
    assert_eq!(partitions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["level=10", "level=2"]);
}

#[test]
fn axes_that_a_request_does_not_name_are_completed() {
    let dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let all = json!({"years": "latest", "grades": "all"});
    assert_eq!(with_every_axis(json!({"years": "latest"}), &dataset), all);
    assert_eq!(with_every_axis(json!({"years": "latest", "grades": null}), &dataset), all);
    assert_eq!(with_every_axis(all.clone(), &dataset), all);
    let by_name = json!({"axes": {"year": "latest", "grade": "grade-1"}});
    assert_eq!(with_every_axis(by_name.clone(), &dataset), by_name);
}

#[test]
fn a_crawler_adds_partitions_only_to_the_table_of_the_template() {
    let request = parse(json!({"years": [2020], "grades": ["grade-pk"], "catalog": "crawler"})).unwrap();
    request.check_for_bucket(&enrollment()).unwrap();
    let other = Dataset::built_in("crdc_directory").unwrap();
    assert_eq!(
        request.check_for_bucket(&other).unwrap_err().chain(),
        "check request: `catalog`: expected `partitions` for dataset `crdc_directory`, found `crawler`, which adds partitions \
         only to the table of `ccd_enrollment`"
    );
}
