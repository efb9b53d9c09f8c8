//! Each fault has only its own effect.

use crate::support::{PREK, ask, get, small, start, start_with};
use rollcall_simulator::{Action, Config, Fault};
use serde_json::{Value, json};

async fn rows_with(action: Action) -> (Vec<Value>, Vec<Value>) {
    let portal = start_with(Fault::new(action).on_page(2)).await;
    let changed = get(&portal, &format!("{PREK}?page=2")).await.rows();
    portal.set_faults(Vec::new());
    (get(&portal, &format!("{PREK}?page=2")).await.rows(), changed)
}

#[tokio::test]
async fn status_sends_its_code_header_and_body() {
    let action = Action::Status { code: 429, retry_after: Some("7".to_owned()), body: Some("slow down".to_owned()) };
    let portal = start_with(Fault::new(action)).await;
    let reply = get(&portal, PREK).await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.text().as_str()), (429, Some("7"), "slow down"));
    assert_eq!(portal.requests()[0].status, 429);
}

#[tokio::test]
async fn a_rule_ends_after_its_number_of_requests() {
    let action = Action::Status { code: 503, retry_after: None, body: None };
    let rule = Fault::new(action).on_path("grade-pk").on_page(2).starting_at(2).times(2);
    let portal = start_with(rule).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        assert_eq!(get(&portal, PREK).await.status, 200);
        statuses.push(get(&portal, &format!("{PREK}?page=2")).await.status);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
}

#[tokio::test]
async fn delay_waits_and_other_rules_still_apply() {
    let faults = vec![Fault::new(Action::Delay { ms: 30 }), Fault::new(Action::Html)];
    let portal = start(Config { faults, ..small() }).await;
    let reply = get(&portal, PREK).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let seen = &portal.requests()[0];
    assert!((seen.answered.unwrap() - seen.started).as_millis() >= 30);
}

#[tokio::test]
async fn truncate_shortens_or_breaks_off() {
    let whole = get(&start(small()).await, PREK).await.body.len();
    let truncate = |bytes, keep_length| Fault::new(Action::Truncate { bytes, keep_length });

    let short = get(&start_with(truncate(300, true)).await, PREK).await;
    assert_eq!((short.header("content-length"), short.body.len()), (Some("300"), 300));

    for (bytes, sent) in [(0, 0), (300, 300), (usize::MAX, whole - 1)] {
        let broken = get(&start_with(truncate(bytes, false)).await, PREK).await;
        assert_eq!(broken.header("content-length"), Some(whole.to_string().as_str()));
        assert_eq!(broken.body.len(), sent);
    }

    let portal = start_with(truncate(300, true)).await;
    let packed = ask(&portal, "GET", PREK, "Accept-Encoding: gzip\r\n").await.unwrap();
    assert_eq!(packed.body.len(), 300, "too short to be worth compressing");
}

#[tokio::test]
async fn disconnect_sends_nothing() {
    let portal = start_with(Fault::new(Action::Disconnect).times(1)).await;
    assert!(ask(&portal, "GET", PREK, "").await.is_err());
    assert_eq!(portal.requests()[0].status, 0);
    assert_eq!(get(&portal, PREK).await.status, 200);
}

#[tokio::test]
async fn redirect_sends_another_location() {
    let portal = start_with(Fault::new(Action::Redirect { location: "{origin}/x".to_owned() })).await;
    let reply = get(&portal, PREK).await;
    assert_eq!((reply.status, reply.header("location")), (302, Some(format!("{}/x", portal.origin()).as_str())));
}

#[tokio::test]
async fn body_replaces_the_whole_page() {
    let portal = start_with(Fault::new(Action::Body { text: "[not json".to_owned() })).await;
    let reply = get(&portal, PREK).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "[not json"));
}

#[tokio::test]
async fn count_and_next_are_replaced() {
    let other = Action::Next { url: Some("{origin}/other/?page=9".to_owned()) };
    let faults = vec![Fault::new(Action::CountAdd { delta: -2 }), Fault::new(other).times(1)];
    let portal = start(Config { faults, ..small() }).await;
    let wrong = get(&portal, PREK).await.json();
    assert_eq!(wrong["next"], format!("{}/other/?page=9", portal.origin()));
    portal.set_faults(vec![Fault::new(Action::Next { url: None }), Fault::new(Action::Count { value: 5 })]);
    let ended = get(&portal, PREK).await.json();
    assert_eq!((&ended["next"], &ended["count"]), (&Value::Null, &json!(5)));
    portal.set_faults(Vec::new());
    let right = get(&portal, PREK).await.json();
    assert_eq!(wrong["count"].as_i64().unwrap() + 2, right["count"].as_i64().unwrap());
}

#[tokio::test]
async fn rows_are_dropped_repeated_and_reversed() {
    let (right, dropped) = rows_with(Action::DropRow { index: 1 }).await;
    assert_eq!((dropped.len(), &dropped[1]), (right.len() - 1, &right[2]));
    let (right, repeated) = rows_with(Action::RepeatRow { index: 1 }).await;
    assert_eq!((repeated.len(), &repeated[2]), (right.len() + 1, &right[1]));
    let (mut right, reversed) = rows_with(Action::ReverseRows).await;
    right.reverse();
    assert_eq!(reversed, right);
}

#[tokio::test]
async fn fields_are_set_added_and_removed() {
    let set = |row| Action::SetField { row, field: "grade".to_owned(), json: "\"-1\"".to_owned() };
    let (_, rows) = rows_with(set(Some(4))).await;
    assert_eq!((&rows[4]["grade"], &rows[5]["grade"]), (&json!("-1"), &json!(-1)));
    let (_, rows) = rows_with(set(None)).await;
    assert!(rows.iter().all(|row| row["grade"] == "-1"));
    let (_, rows) = rows_with(Action::AddField { name: "new".to_owned(), json: "1.5".to_owned() }).await;
    assert!(rows.iter().all(|row| row["new"] == 1.5));
    let (_, rows) = rows_with(Action::RemoveField { name: "fips".to_owned() }).await;
    assert!(rows.iter().all(|row| row.get("fips").is_none()));
}

#[tokio::test]
async fn a_fault_changes_compressed_pages_and_no_later_ones() {
    let portal = start_with(Fault::new(Action::Count { value: 1 }).starting_at(2).times(1)).await;
    let mut counts = Vec::new();
    for _ in 0..3 {
        let reply = ask(&portal, "GET", PREK, "Accept-Encoding: gzip\r\n").await.unwrap();
        let page: Value = serde_json::from_slice(&reply.unzipped()).unwrap();
        counts.push(page["count"].as_u64().unwrap());
    }
    assert_eq!(counts[0], counts[2]);
    assert_eq!(counts[1], 1);
}
