//! The HTTP client against the simulator: what it asks again, what it refuses, and how much it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use rollcall_adapters::portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_aws::roots::Roots;
use rollcall_core::dataset::Dataset;
use rollcall_core::error::chain;
use rollcall_core::ports::{Asked, Portal, PortalError};
use rollcall_simulator::{Action, Config, Fault, Running, Simulator};
use rollcall_tests::client;
use rollcall_tests::https::HttpsFront;
use tokio::time::Instant;

const PATH: &str = "schools/ccd/enrollment/2021/grade-pk/";

async fn serve(faults: Vec<Fault>) -> Running {
    let config = Config { n_schools: 300, page_size: 100, faults, ..Config::default() };
    Simulator::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
}

fn status(code: u16, retry_after: Option<&str>) -> Action {
    Action::Status { code, retry_after: retry_after.map(str::to_owned), body: Some("busy".into()) }
}

/// Asked for before, with no useful answer.
fn asked_before(tries: u32) -> Asked {
    Asked { tries, ..Asked::default() }
}

async fn get(portal: &HttpPortal) -> Result<usize, PortalError> {
    portal.get(PATH, 1, Asked::default()).await.map(|body| body.bytes.len())
}

#[tokio::test]
async fn a4_an_answer_that_comes_after_two_faults_is_taken() {
    for code in [429, 500, 502, 503, 504] {
        let server = serve(vec![Fault::new(status(code, None)).times(2)]).await;
        // A deadline far away keeps nothing from being tried again.
        get(&client(&server.origin(), |_| {}).until(Instant::now() + Duration::from_secs(60))).await.unwrap();
        let seen: Vec<u16> = server.requests().iter().map(|request| request.status).collect();
        assert_eq!(seen, [code, code, 200]);
    }
}

#[tokio::test]
async fn a3_a4_a_fault_without_end_is_given_up_after_four_tries() {
    let server = serve(vec![Fault::new(status(503, None))]).await;
    let error = get(&client(&server.origin(), |_| {})).await.unwrap_err();
    assert_eq!(error.to_string(), "HTTP 503 after 4 tries: `busy`");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a1_a_wait_that_the_portal_asks_for_is_kept_and_bounded() {
    // Asked for 50 ms by a portal that may ask for 50 ms at most: an hour becomes 50 ms, and no less.
    let server = serve(vec![Fault::new(status(429, Some("3600"))).times(1)]).await;
    let portal = client(&server.origin(), |settings| settings.most_backoff = Duration::from_millis(50));
    get(&portal).await.unwrap();
    let seen = server.requests();
    let waited = seen[1].started - seen[0].answered.unwrap();
    assert!(waited >= Duration::from_millis(45), "{waited:?}");
}

#[tokio::test]
async fn a5_a6_a_refusal_is_not_asked_again() {
    for code in [400, 401, 403, 404, 413] {
        let server = serve(vec![Fault::new(status(code, None))]).await;
        let error = get(&client(&server.origin(), |_| {})).await.unwrap_err();
        assert_eq!(error.to_string(), format!("HTTP {code}: `busy`"));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a21_a_redirect_is_refused_and_its_target_sees_nothing() {
    let elsewhere = serve(Vec::new()).await;
    let location = format!("{}/api/v1/{PATH}", elsewhere.origin());
    let server = serve(vec![Fault::new(Action::Redirect { location: location.clone() })]).await;
    let error = get(&client(&server.origin(), |_| {})).await.unwrap_err();
    assert!(matches!(&error, PortalError::Refused { excerpt, .. } if excerpt.contains(&location)), "{error}");
    assert_eq!((server.requests().len(), elsewhere.requests().len()), (1, 0));
}

#[tokio::test]
async fn a8_a_portal_that_is_not_there_is_no_answer() {
    let server = serve(Vec::new()).await;
    let origin = server.origin();
    server.stop().await;
    let error = get(&client(&origin, |_| {})).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer after 4 tries");
}

#[tokio::test]
async fn a9_a11_a_body_cut_short_is_asked_again_and_never_parsed() {
    for action in [Action::Disconnect, Action::Truncate { bytes: 100, keep_length: false }] {
        let server = serve(vec![Fault::new(action).times(1)]).await;
        let whole = get(&client(&serve(Vec::new()).await.origin(), |_| {})).await.unwrap();
        // Both bodies are whole but for the origin in their links, which may differ by a digit of the port.
        let found = get(&client(&server.origin(), |_| {})).await.unwrap();
        assert!(whole.abs_diff(found) <= 2, "{whole} and {found}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a23_a24_the_cap_counts_bytes_after_decompression() {
    let server = serve(Vec::new()).await;
    let size = get(&client(&server.origin(), |_| {})).await.unwrap();
    let portal = client(&server.origin(), |settings| settings.body_limit_bytes = size - 1);
    let error = get(&portal).await.unwrap_err();
    assert_eq!(error.to_string(), format!("expected at most {} bytes, found more", size - 1));
    get(&client(&server.origin(), |settings| settings.body_limit_bytes = size)).await.unwrap();
    // All three were compressed on the way: the answer is smaller than the cap that refused it.
    let accepted = server
        .requests()
        .iter()
        .all(|request| request.headers.iter().any(|(name, value)| name == "accept-encoding" && value.contains("gzip")));
    assert!(accepted);
}

#[tokio::test]
async fn a14_a15_no_call_outlives_its_deadline() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 60_000 })]).await;
    let deadline = Instant::now() + Duration::from_millis(100);
    let portal = client(&server.origin(), |_| {}).until(deadline);
    let error = get(&portal).await.unwrap_err();
    assert_eq!(error.to_string(), "no time left after 1 tries");
    assert!(Instant::now() < deadline + Duration::from_secs(5));
}

#[tokio::test]
async fn a15_a_portal_that_stalls_is_given_up_by_the_idle_timeout() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 60_000 })]).await;
    let portal = client(&server.origin(), |settings| {
        settings.idle_timeout = Duration::from_millis(50);
        settings.tries = 2;
    });
    assert_eq!(get(&portal).await.unwrap_err().to_string(), "no answer after 2 tries");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn tries_made_before_count_and_the_last_one_says_so() {
    let server = serve(vec![Fault::new(status(503, None))]).await;
    let portal = client(&server.origin(), |_| {});
    let error = portal.get(PATH, 1, asked_before(3)).await.map(|body| body.tries).unwrap_err();
    assert_eq!((error.to_string(), server.requests().len()), ("HTTP 503 after 4 tries: `busy`".into(), 1));
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {});
    for (tries, expected) in [(0, (1, true)), (2, (3, true)), (3, (4, false))] {
        let body = portal.get(PATH, 1, asked_before(tries)).await.unwrap();
        assert_eq!((body.tries, body.may_ask_again), expected);
    }
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_ends_and_gives_its_place_back() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 600_000 }).times(1)]).await;
    let portal = client(&server.origin(), |settings| settings.in_flight = 1);
    let mut stalled = Box::pin(portal.get(PATH, 1, Asked::default()));
    while server.requests().is_empty() {
        // Polled once a turn, as a caller does that is not only waiting for this.
        let _ = futures::poll!(&mut stalled);
        tokio::task::yield_now().await;
    }
    drop(stalled);
    // Long before the first answer would have come.
    get(&portal.until(Instant::now() + Duration::from_secs(20))).await.unwrap();
}

#[tokio::test]
async fn a_wait_before_another_try_is_as_long_as_it_should_be_but_for_the_deadline() {
    let long = Duration::from_secs(3_600);
    let portal = client("http://127.0.0.1:9", |settings| (settings.backoff, settings.most_backoff) = (long, long));
    let deadline = Instant::now() + Duration::from_millis(20);
    portal.until(deadline).pause(1).await;
    assert!(Instant::now() >= deadline);
}

#[tokio::test]
async fn a_page_is_waited_for_when_it_was_asked_for_before_and_else_not() {
    let server = serve(Vec::new()).await;
    let long = Duration::from_secs(3_600);
    let portal = client(&server.origin(), |settings| (settings.backoff, settings.most_backoff) = (long, long));
    let late = Instant::now() + Duration::from_secs(60);
    portal.until(late).get(PATH, 1, Asked::default()).await.unwrap();
    assert!(Instant::now() < late);
    // One whose answer was useful is not waited for, and counts all the same.
    let again = |tries| Asked { tries, was_useful: true, room: None };
    assert_eq!(portal.until(late).get(PATH, 1, again(1)).await.map(|body| body.tries).unwrap(), 2);
    assert!(Instant::now() < late);
    let used_up = portal.get(PATH, 1, again(4)).await.map(|body| body.tries).unwrap_err();
    assert_eq!(used_up.to_string(), "answered at the last of 4 tries, and is to be asked for once more");
    // The wait would be an hour and ends with the deadline.
    let soon = Instant::now() + Duration::from_millis(20);
    let _ = portal.until(soon).get(PATH, 1, asked_before(1)).await;
    assert!(Instant::now() >= soon);
}

/// Guard: a page that is asked for ahead never waits for memory, whatever the others take.
///
/// Found by use: B6.
#[tokio::test]
async fn a42_a_page_asked_for_ahead_is_given_up_when_it_outgrows_its_room_and_the_page_that_is_due_waits() {
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {}).until(Instant::now() + Duration::from_secs(20));
    let size = get(&portal).await.unwrap();
    let ahead = |n_bytes| {
        let mut room = portal.page_memory().room();
        assert!(room.try_hold(n_bytes));
        Asked { room: Some(room), ..Asked::default() }
    };
    let outgrown = portal.get(PATH, 1, ahead(size - 1)).await.map(|body| body.tries).unwrap_err();
    assert_eq!(outgrown.to_string(), "larger than expected after 1 tries");
    assert_eq!(portal.page_memory().held_bytes(), 0);
    let body = portal.get(PATH, 1, ahead(size)).await.unwrap();
    assert_eq!(portal.page_memory().held_bytes(), size);
    drop(body);
    // Someone exceeds the limit: what is due next waits until they are done.
    let mut other = portal.page_memory().room();
    other.hold(1 << 40).await;
    let soon = portal.until(Instant::now() + Duration::from_millis(200));
    assert_eq!(get(&soon).await.unwrap_err().to_string(), "no time left after 1 tries");
    drop(other);
    let body = portal.get(PATH, 1, Asked::default()).await.unwrap();
    assert_eq!(portal.page_memory().held_bytes(), 2 * size);
    drop(body);
    assert_eq!(portal.page_memory().held_bytes(), 0);
}

#[tokio::test]
async fn pages_are_asked_for_by_number_from_the_second_on() {
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {});
    for page in [1, 2] {
        portal.get(PATH, page, Asked::default()).await.unwrap();
    }
    let queries: Vec<String> = server.requests().into_iter().map(|request| request.query).collect();
    assert_eq!(queries, ["", "page=2"]);
}

#[tokio::test]
async fn a_wait_for_a_place_ends_with_the_deadline_too() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 60_000 })]).await;
    let portal = client(&server.origin(), |settings| settings.in_flight = 1);
    let stalled = portal.get(PATH, 1, Asked::default());
    let soon = portal.until(Instant::now() + Duration::from_millis(100));
    let late = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        get(&soon).await
    };
    tokio::select! {
        _ = stalled => panic!("the first request ended"),
        late = late => assert_eq!(late.unwrap_err().to_string(), "no time left after 0 tries"),
    }
}

#[tokio::test]
async fn a_secret_is_not_sent_in_the_clear() {
    let secret = ("x-api-key".parse().unwrap(), "canary".parse().unwrap());
    let settings = PortalSettings::new(parse_origin("http://portal.test").unwrap());
    let error = HttpPortal::new(settings, Some(secret)).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "send secret to `http://portal.test/`: expected https, found http\nhint: only an address of this machine may be asked in the clear"
    );
}

/// A cause may quote what the other side said, here the name that its certificate is for.
///
/// Found by use: H2.
#[tokio::test]
async fn a35_a_cause_that_holds_the_secret_is_left_out() {
    let server = serve(Vec::new()).await;
    let front = HttpsFront::named("canary-4f1b7d.test", server.address());
    for (secret, expected) in [("canary-4f1b7d", false), ("canary-00000", true)] {
        let mut settings = PortalSettings::new(parse_origin(&front.origin()).unwrap());
        settings.roots =
            Some(Roots::from_pem(front.certificate_pem.clone().into_bytes()).unwrap().certificates().collect());
        let secret = ("x-api-key".parse().unwrap(), secret.parse().unwrap());
        let error = get(&HttpPortal::new(settings, Some(secret)).unwrap()).await.unwrap_err();
        let (words, debug) = (chain(&error), format!("{error:?}"));
        assert!(words.starts_with("no usable connection: "), "{words}");
        assert_eq!((words.contains("canary-4f1b7d"), debug.contains("canary-4f1b7d")), (expected, expected), "{words}");
        assert_eq!(words.ends_with("(left out: it repeats the secret)"), !expected, "{words}");
    }
}

#[tokio::test]
async fn requests_in_flight_stay_within_the_limit_over_all_clones() {
    let config = Config { n_schools: 300, page_size: 100, latency: Duration::from_millis(5), ..Config::default() };
    let server = Simulator::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let portal = client(&server.origin(), |settings| settings.in_flight = 4);
    let n_done = futures::stream::iter(0..40)
        .map(|_| {
            let portal = portal.clone();
            async move { get(&portal).await.unwrap() }
        })
        .buffer_unordered(40)
        .count()
        .await;
    assert_eq!((n_done, server.max_in_flight()), (40, 4));
}

#[tokio::test]
async fn l9_a_secret_is_sent_in_its_header_and_refused_by_name_when_unset() {
    let dataset = Dataset::parse("secret.toml", &rollcall_tests::descriptor_with_secret()).unwrap();
    let error = rollcall_adapters::secret::header(&dataset, |_| None).unwrap_err();
    assert_eq!(
        error.chain(),
        "read secret `portal-key`: expected a value in the environment variable `ROLLCALL_SECRET_PORTAL_KEY`, found none"
    );
    let server = serve(Vec::new()).await;
    let header = rollcall_adapters::secret::header(&dataset, |_| Some("canary-1".into())).unwrap();
    assert!(!format!("{header:?}").contains("canary-1"));
    let settings = PortalSettings::new(parse_origin(&server.origin()).unwrap());
    get(&HttpPortal::new(settings, header).unwrap()).await.unwrap();
    let seen = server.requests();
    let sent = seen[0].headers.iter().find(|(name, _)| name == "x-api-key").map(|(_, value)| value.as_str());
    assert_eq!(sent, Some("canary-1"));
}
