//! Which certificates the clients trust: those they were given, or the system's.

use std::net::{Ipv4Addr, SocketAddr};

use aws_sdk_s3::config::{Credentials, Region};
use rollcall_adapters::http_portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_aws::certificates::{BadRoots, Roots};
use rollcall_aws::client;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading};
use rollcall_simulator::{Config, Running, Simulator};
use rollcall_tests::https::HttpsFront;

async fn serve() -> (Running, HttpsFront) {
    let config = Config { n_schools: 100, page_size: 100, ..Config::default() };
    let server = Simulator::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let front = HttpsFront::before(server.address());
    (server, front)
}

fn roots(front: &HttpsFront) -> Roots {
    Roots::from_pem(front.certificate_pem.clone().into_bytes()).unwrap()
}

/// Fetches a page with a client that trusts `roots`.
async fn page(front: &HttpsFront, roots: Option<&Roots>) -> Result<usize, PortalError> {
    let mut settings = PortalSettings::new(parse_origin(&front.origin()).unwrap());
    settings.roots = roots.map(|roots| roots.certificates().collect());
    let portal = HttpPortal::new(settings, None).unwrap();
    portal
        .get("schools/ccd/enrollment/2021/grade-pk/", 1, PageRequest::default(), |_| Reading::Done(()))
        .await
        .map(|response| response.size_bytes)
}

#[tokio::test]
async fn a8_a_portal_with_an_untrusted_certificate_is_rejected_and_gets_no_request() {
    let (server, front) = serve().await;
    let other = HttpsFront::before(server.address());
    for roots in [None, Some(roots(&other))] {
        let error = page(&front, roots.as_ref()).await.unwrap_err();
        assert!(matches!(error, PortalError::Unusable { .. }), "{error:?}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_portal_with_a_certificate_among_the_roots_gets_requests() {
    let (server, front) = serve().await;
    assert!(page(&front, Some(&roots(&front))).await.unwrap() > 0);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn aws_gets_requests_only_when_its_certificate_is_among_the_roots() {
    let (server, front) = serve().await;
    let other = HttpsFront::before(server.address());
    for (roots, is_trusted) in [(None, false), (Some(roots(&other)), false), (Some(roots(&front)), true)] {
        let config = client::loader(roots.as_ref())
            .endpoint_url(front.origin())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await;
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let error = aws_sdk_s3::Client::from_conf(config).head_bucket().bucket("lake").send().await.unwrap_err();
        // Only a server that received the request can report that the bucket does not exist.
        assert_eq!(error.as_service_error().is_some(), is_trusted, "{error:?}");
        assert_eq!(server.requests().is_empty(), !is_trusted);
    }
}

#[tokio::test]
async fn roots_with_one_invalid_certificate_are_rejected() {
    let (_server, front) = serve().await;
    let with = |text: &str| Roots::from_pem(format!("{}{text}", front.certificate_pem).into_bytes()).err();
    assert!(with("# a comment\n").is_none());
    let no_certificate = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    assert!(matches!(with(no_certificate), Some(BadRoots::Certificate { number: 2, .. })));
    assert!(matches!(with("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"), Some(BadRoots::Pem(_))));
    assert!(matches!(Roots::from_pem(b"# nothing\n".to_vec()), Err(BadRoots::Empty)));
}
