//! Recorded bodies are served unchanged.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::support::{PREK, ask, get, small, start};
use flate2::Compression;
use flate2::write::GzEncoder;
use rollcall_simulator::{Action, Config, Fault, Running};

/// A folder that is deleted when its test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    async fn serve(&self) -> Running {
        start(Config { recorded: Some(self.0.clone()), ..small() }).await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bytes_are_served_unchanged_and_read_at_each_request() {
    let folder = Folder::new("bytes");
    let portal = folder.serve().await;
    for odd in [&b"{ \"count\":1 ,\n no json"[..], b"", b"\xff\x00"] {
        folder.write("schools/ccd/enrollment/2021/grade-pk/1.json", odd);
        let reply = get(&portal, &format!("{PREK}?fips=1")).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, odd));
    }
}

#[tokio::test]
async fn a_compressed_file_is_sent_unchanged_or_decompressed() {
    let folder = Folder::new("gzip");
    let packed = gzip(b"{\"count\":3,\"results\":[]}");
    folder.write("schools/ccd/enrollment/2021/grade-pk/2.json.gz", &packed);
    let portal = folder.serve().await;
    let path = format!("{PREK}?page=2");

    let accepted = ask(&portal, "GET", &path, "Accept-Encoding: gzip\r\n").await.unwrap();
    assert_eq!((accepted.header("content-encoding"), &accepted.body), (Some("gzip"), &packed));
    assert_eq!(get(&portal, &path).await.text(), "{\"count\":3,\"results\":[]}");

    portal.set_faults(vec![Fault::new(Action::Count { value: 4 })]);
    let changed = ask(&portal, "GET", &path, "Accept-Encoding: gzip\r\n").await.unwrap();
    assert_eq!(changed.text(), "{\"count\":4,\"results\":[]}");
}

#[tokio::test]
async fn a_page_that_is_not_recorded_is_404() {
    let folder = Folder::new("missing");
    folder.write("schools/ccd/enrollment/2021/grade-pk/1.json", b"{}");
    let portal = folder.serve().await;
    let page = get(&portal, &format!("{PREK}?page=2")).await;
    assert_eq!((page.status, page.text().as_str()), (404, r#"{"detail":"Invalid page."}"#));
    for path in ["/api/v1/schools/ccd/enrollment/2021/grade-k/", "/api/v1/schools/../../x/", "/api/v1/"] {
        let reply = get(&portal, path).await;
        assert_eq!((reply.status, reply.header("content-type")), (404, Some("text/html; charset=utf-8")), "{path}");
    }
    assert_eq!(get(&portal, PREK.trim_end_matches('/')).await.status, 301);
}

#[tokio::test]
async fn metadata_is_built_in_until_it_is_recorded() {
    let folder = Folder::new("metadata");
    let portal = folder.serve().await;
    assert_eq!(get(&portal, "/api/v1/api-endpoints/").await.json()["count"], 123);
    folder.write("api-endpoints/1.json", b"{\"count\":0}");
    assert_eq!(get(&portal, "/api/v1/api-endpoints/").await.text(), "{\"count\":0}");
}
