//! The HTTP client against the simulator: what it retries, what it rejects, and what it limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rollcall_adapters::http_portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_aws::certificates::Roots;
use rollcall_core::dataset::Dataset;
use rollcall_core::error::chain;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading};
use rollcall_simulator::{Action, Config, Fault, Running, Simulator};
use rollcall_tests::https::HttpsFront;
use rollcall_tests::{TestPortal, client};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const PATH: &str = "schools/ccd/enrollment/2021/grade-pk/";
/// Longer than anything here takes unless it never ends.
const TIMEOUT: Duration = Duration::from_secs(20);

async fn serve(faults: Vec<Fault>) -> Running {
    let config = Config { n_schools: 300, page_size: 100, faults, ..Config::default() };
    Simulator::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
}

fn status(code: u16, retry_after: Option<&str>) -> Action {
    Action::Status { code, retry_after: retry_after.map(str::to_owned), body: Some("busy".into()) }
}

/// Returns a request for a page that was requested before.
fn requested_before(tries: u32) -> PageRequest {
    PageRequest { tries, ..PageRequest::default() }
}

/// Accepts any body.
fn any(_: &Bytes) -> Reading<()> {
    Reading::Done(())
}

async fn get(portal: &HttpPortal) -> Result<usize, PortalError> {
    portal.get(PATH, 1, PageRequest::default(), any).await.map(|response| response.size_bytes)
}

#[tokio::test]
async fn a4_a_response_after_two_faults_is_accepted() {
    for code in [429, 500, 502, 503, 504] {
        let server = serve(vec![Fault::new(status(code, None)).times(2)]).await;
        // A distant deadline does not prevent retries.
        get(&client(&server.origin(), |_| {}).until(Instant::now() + Duration::from_secs(60))).await.unwrap();
        let seen: Vec<u16> = server.requests().iter().map(|request| request.status).collect();
        assert_eq!(seen, [code, code, 200]);
    }
}

#[tokio::test]
async fn a3_a4_a_permanent_fault_is_given_up_after_four_tries() {
    let server = serve(vec![Fault::new(status(503, None))]).await;
    let error = get(&client(&server.origin(), |_| {})).await.unwrap_err();
    assert_eq!(error.to_string(), "HTTP 503 after 4 tries: `busy`");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a1_a_wait_that_the_portal_requests_is_respected_up_to_a_maximum() {
    // The portal asks for an hour. With a maximum of 50 ms, the client waits exactly 50 ms.
    let server = serve(vec![Fault::new(status(429, Some("3600"))).times(1)]).await;
    let portal = client(&server.origin(), |settings| settings.max_backoff = Duration::from_millis(50));
    get(&portal).await.unwrap();
    let seen = server.requests();
    let waited = seen[1].started - seen[0].answered.unwrap();
    assert!(waited >= Duration::from_millis(45), "{waited:?}");
}

#[tokio::test]
async fn a5_a6_a_refusal_is_not_retried() {
    for code in [400, 401, 403, 404, 413] {
        let server = serve(vec![Fault::new(status(code, None))]).await;
        let error = get(&client(&server.origin(), |_| {})).await.unwrap_err();
        assert_eq!(error.to_string(), format!("HTTP {code}: `busy`"));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a21_a_redirect_is_rejected_and_its_target_gets_no_request() {
    let elsewhere = serve(Vec::new()).await;
    let location = format!("{}/api/v1/{PATH}", elsewhere.origin());
    let server = serve(vec![Fault::new(Action::Redirect { location: location.clone() })]).await;
    let error = get(&client(&server.origin(), |_| {})).await.unwrap_err();
    assert!(matches!(&error, PortalError::Refused { excerpt, .. } if excerpt.contains(&location)), "{error}");
    assert_eq!((server.requests().len(), elsewhere.requests().len()), (1, 0));
}

#[tokio::test]
async fn a8_a_portal_without_a_listener_gives_no_response() {
    let server = serve(Vec::new()).await;
    let origin = server.origin();
    server.stop().await;
    let error = get(&client(&origin, |_| {})).await.unwrap_err();
    assert_eq!(error.to_string(), "no response after 4 tries");
}

#[tokio::test]
async fn a9_a11_a_truncated_body_is_retried_and_never_parsed() {
    for action in [Action::Disconnect, Action::Truncate { bytes: 100, keep_length: false }] {
        let server = serve(vec![Fault::new(action).times(1)]).await;
        let whole = get(&client(&serve(Vec::new()).await.origin(), |_| {})).await.unwrap();
        // The bodies differ only in the origin of their links, by at most one digit of the port.
        let found = get(&client(&server.origin(), |_| {})).await.unwrap();
        assert!(whole.abs_diff(found) <= 2, "{whole} and {found} bytes");
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn a42_the_memory_for_pages_grows_with_the_requests_in_flight_up_to_a_maximum() {
    let fits = |in_flight: usize, max_mib: usize, n_bytes: usize| {
        let portal = client("http://127.0.0.1:1", |settings| {
            settings.in_flight = in_flight;
            settings.max_page_memory_bytes = max_mib << 20;
        });
        portal.page_memory().room().try_hold(n_bytes)
    };
    for (in_flight, max_mib, expected_mib) in [(8, 1024, 32), (16, 1024, 64), (16, 32, 32), (4, 32, 16)] {
        let expected = expected_mib << 20;
        assert!(fits(in_flight, max_mib, expected) && !fits(in_flight, max_mib, expected + 1), "{in_flight}");
    }
}

#[tokio::test]
async fn a23_a24_the_body_limit_counts_decompressed_bytes() {
    let server = serve(Vec::new()).await;
    let size = get(&client(&server.origin(), |_| {})).await.unwrap();
    let portal = client(&server.origin(), |settings| settings.body_limit_bytes = size - 1);
    let error = get(&portal).await.unwrap_err();
    assert_eq!(error.to_string(), format!("expected at most {} bytes, found more", size - 1));
    get(&client(&server.origin(), |settings| settings.body_limit_bytes = size)).await.unwrap();
    // All three were compressed: the response is smaller than the limit that rejected it.
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
    assert_eq!(error.to_string(), "no time left after 1 try");
    assert!(Instant::now() < deadline + Duration::from_secs(5));
}

#[tokio::test]
async fn a14_no_request_is_sent_after_the_deadline() {
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {});
    get(&portal).await.unwrap();
    // The connection is still open, so a request would be sent at once.
    for _ in 0..20 {
        assert_eq!(get(&portal.until(Instant::now())).await.unwrap_err().to_string(), "no time left after 0 tries");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a15_a_portal_that_stalls_is_given_up_after_the_idle_timeout() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 60_000 })]).await;
    let portal = client(&server.origin(), |settings| {
        settings.idle_timeout = Duration::from_millis(50);
        settings.tries = 2;
    });
    assert_eq!(get(&portal).await.unwrap_err().to_string(), "no response after 2 tries");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn earlier_tries_count_and_the_last_try_is_reported_as_such() {
    let server = serve(vec![Fault::new(status(503, None))]).await;
    let portal = client(&server.origin(), |_| {});
    let error = portal.get(PATH, 1, requested_before(3), any).await.map(|body| body.tries).unwrap_err();
    assert_eq!((error.to_string(), server.requests().len()), ("HTTP 503 after 4 tries: `busy`".into(), 1));
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {});
    for (tries, expected) in [(0, (1, true)), (2, (3, true)), (3, (4, false))] {
        let body = portal.get(PATH, 1, requested_before(tries), any).await.unwrap();
        assert_eq!((body.tries, body.has_tries_left), expected);
    }
}

#[tokio::test]
async fn a_cancelled_request_ends_and_releases_its_slot() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 600_000 }).times(1)]).await;
    let portal = client(&server.origin(), |settings| settings.in_flight = 1);
    let mut stalled = Box::pin(portal.get(PATH, 1, PageRequest::default(), any));
    while server.requests().is_empty() {
        // Polled repeatedly, as by a caller that is also waiting for something else.
        let _ = futures::poll!(&mut stalled);
        tokio::task::yield_now().await;
    }
    drop(stalled);
    // This is long before the first response would arrive.
    get(&portal.until(Instant::now() + Duration::from_secs(20))).await.unwrap();
}

#[tokio::test]
async fn a_wait_before_a_retry_has_its_full_length_unless_the_deadline_is_sooner() {
    let long = Duration::from_secs(3_600);
    let portal = client("http://127.0.0.1:9", |settings| (settings.backoff, settings.max_backoff) = (long, long));
    let deadline = Instant::now() + Duration::from_millis(20);
    portal.until(deadline).pause(1, 4, "test").await;
    assert!(Instant::now() >= deadline);
}

#[tokio::test]
async fn only_a_page_that_failed_before_is_waited_for() {
    let server = serve(Vec::new()).await;
    let long = Duration::from_secs(3_600);
    let portal = client(&server.origin(), |settings| (settings.backoff, settings.max_backoff) = (long, long));
    let late = Instant::now() + Duration::from_secs(60);
    portal.until(late).get(PATH, 1, PageRequest::default(), any).await.unwrap();
    assert!(Instant::now() < late);
    // A try with a useful response needs no wait, but still counts.
    let again = requested_before;
    assert_eq!(portal.until(late).get(PATH, 1, again(1), any).await.map(|body| body.tries).unwrap(), 2);
    assert!(Instant::now() < late);
    let used_up = portal.get(PATH, 1, again(4), any).await.map(|body| body.tries).unwrap_err();
    assert_eq!(used_up.to_string(), "page must be requested again, but all 4 requests for it are used");
    // The wait would take an hour, but ends at the deadline.
    let soon = Instant::now() + Duration::from_millis(20);
    let invalid = |_: &Bytes| Reading::Invalid { result: (), reason: "not a page".to_owned() };
    let _ = portal.until(soon).get(PATH, 1, PageRequest::default(), invalid).await;
    assert!(Instant::now() >= soon);
}

/// Guard: a prefetched page never waits for memory, however much the others use.
///
/// Found by use: B6.
#[tokio::test]
async fn a42_a_prefetched_page_that_outgrows_its_memory_is_dropped_and_a_page_that_is_due_waits() {
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {}).until(Instant::now() + Duration::from_secs(20));
    let size = get(&portal).await.unwrap();
    let ahead = |n_bytes| {
        let mut room = portal.page_memory().room();
        assert!(room.try_hold(n_bytes));
        PageRequest { room: Some(room), ..PageRequest::default() }
    };
    let outgrown = portal.get(PATH, 1, ahead(size - 1), any).await.map(|body| body.tries).unwrap_err();
    assert_eq!(outgrown.to_string(), "page larger than expected after 1 try");
    assert_eq!(portal.page_memory().held_bytes(), 0);
    let body = portal.get(PATH, 1, ahead(size), any).await.unwrap();
    assert_eq!(portal.page_memory().held_bytes(), size);
    drop(body);
    // Another page uses more than the limit. The page that is due waits until the other is done.
    let mut other = portal.page_memory().room();
    other.hold(1 << 40).await;
    let soon = portal.until(Instant::now() + Duration::from_millis(200));
    assert_eq!(get(&soon).await.unwrap_err().to_string(), "no time left after 1 try");
    drop(other);
    let body = portal.get(PATH, 1, PageRequest::default(), any).await.unwrap();
    assert_eq!(portal.page_memory().held_bytes(), 2 * size);
    drop(body);
    assert_eq!(portal.page_memory().held_bytes(), 0);
}

#[tokio::test]
async fn pages_are_requested_by_number_from_the_second_on() {
    let server = serve(Vec::new()).await;
    let portal = client(&server.origin(), |_| {});
    for page in [1, 2] {
        portal.get(PATH, page, PageRequest::default(), any).await.unwrap();
    }
    let queries: Vec<String> = server.requests().into_iter().map(|request| request.query).collect();
    assert_eq!(queries, ["", "page=2"]);
}

#[tokio::test]
async fn a_wait_for_a_slot_ends_at_the_deadline_too() {
    let server = serve(vec![Fault::new(Action::Delay { ms: 60_000 })]).await;
    let portal = client(&server.origin(), |settings| settings.in_flight = 1);
    let stalled = portal.get(PATH, 1, PageRequest::default(), any);
    let soon = portal.until(Instant::now() + Duration::from_millis(100));
    let late = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        get(&soon).await
    };
    tokio::select! {
        _ = stalled => panic!("the first request has ended"),
        late = late => assert_eq!(late.unwrap_err().to_string(), "no time left after 0 tries"),
    }
}

#[tokio::test]
async fn an_invalid_page_that_takes_the_rest_of_the_time_is_not_requested_again() {
    let server = serve(Vec::new()).await;
    let deadline = Instant::now() + Duration::from_millis(100);
    let portal = client(&server.origin(), |_| {}).until(deadline);
    let read = move |_: &Bytes| {
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        Reading::Invalid { result: (), reason: "not a page".to_owned() }
    };
    let error = portal.get(PATH, 1, PageRequest::default(), read).await.unwrap_err();
    assert_eq!(error.to_string(), "no time left after 1 try");
    assert_eq!((server.requests().len(), portal.metered().n_requests), (1, 1));
}

#[tokio::test]
async fn a_secret_is_not_sent_over_plain_http() {
    let secret = ("x-api-key".parse().unwrap(), "canary".parse().unwrap());
    let settings = PortalSettings::new(parse_origin("http://portal.test").unwrap());
    let error = HttpPortal::new(settings, Some(secret)).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "send secret to `http://portal.test/`: expected https, found http\nhint: with a secret, only addresses of this machine may use http"
    );
}

/// The cause of an error may quote the other side, here the host name in its certificate.
///
/// Found by use: H2.
#[tokio::test]
async fn a35_a_cause_that_contains_the_secret_is_omitted() {
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
        assert_eq!(words.ends_with("(omitted: it repeats the secret)"), !expected, "{words}");
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

#[test]
fn pages_of_one_caller_are_read_on_several_cores() {
    let server = TestPortal::small();
    let portal = client(&server.origin(), |_| {});
    let meeting = Arc::new((Mutex::new(0), Condvar::new()));
    let get = |page| {
        let meeting = meeting.clone();
        // Each read ends once there are two.
        portal.get(PATH, page, PageRequest::default(), move |_| {
            // If this thread was the one that waits for the network, this wakes the other one to take its place.
            tokio::spawn(async {});
            let (n_reading, changed) = &*meeting;
            let mut n_reading = n_reading.lock().unwrap();
            *n_reading += 1;
            changed.notify_all();
            let (n_reading, _) = changed.wait_timeout_while(n_reading, TIMEOUT, |n_reading| *n_reading < 2).unwrap();
            Reading::Done(*n_reading)
        })
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (first, second) = runtime.block_on(async { futures::join!(get(1), get(2)) });
    assert_eq!([first, second].map(|response| response.unwrap().result), [2, 2]);
}

#[test]
fn a_page_keeps_its_slot_until_it_is_read() {
    let server = TestPortal::small();
    let portal = client(&server.origin(), |settings| settings.in_flight = 1);
    let other = portal.clone();
    let read = move |_: &Bytes| {
        let soon = other.until(Instant::now() + Duration::from_millis(100));
        let late = std::thread::spawn(move || Runtime::new().unwrap().block_on(get(&soon)));
        Reading::Done(late.join().unwrap().unwrap_err().to_string())
    };
    let response = Runtime::new().unwrap().block_on(portal.get(PATH, 1, PageRequest::default(), read)).unwrap();
    assert_eq!(response.result, "no time left after 0 tries");
}

#[tokio::test]
async fn l9_a_secret_is_sent_in_its_header_and_an_unset_one_is_reported_by_name() {
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
