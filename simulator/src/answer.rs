//! Answers before they become HTTP, and the body that can break off.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, VARY};
use hyper::{Response, StatusCode};
use tokio::time::Sleep;

/// How long a body that breaks off leaves its last bytes on their way before the connection is cut.
const FLUSH_TIME: Duration = Duration::from_millis(30);

/// An answer, its body as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) is_json: bool,
    pub(crate) is_gzip: bool,
    pub(crate) header: Option<(HeaderName, String)>,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
        Answer { status, body: body.into(), is_json: true, is_gzip: false, header: None }
    }

    /// An HTML page that says `title`, as Django and proxies do.
    pub(crate) fn html(status: StatusCode, title: &str) -> Answer {
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><title>{title}</title></head>\n\
             <body><h1>{title}</h1></body>\n</html>\n"
        );
        Answer { is_json: false, ..Answer::json(status, page) }
    }

    pub(crate) fn status(code: u16, retry_after: Option<&str>, body: Option<&str>) -> Answer {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = match body {
            Some(text) if text.starts_with(['{', '[']) => Answer::json(status, text.to_owned()),
            Some(text) => Answer { is_json: false, ..Answer::json(status, text.to_owned()) },
            None => Answer::html(status, status.canonical_reason().unwrap_or("Unknown status")),
        };
        Answer { header: retry_after.map(|text| (RETRY_AFTER, text.to_owned())), ..answer }
    }

    pub(crate) fn challenge() -> Answer {
        Answer::html(StatusCode::OK, "Enable JavaScript and cookies to continue")
    }

    pub(crate) fn not_found() -> Answer {
        Answer::html(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn no_such_page() -> Answer {
        Answer::json(StatusCode::NOT_FOUND, r#"{"detail":"Invalid page."}"#)
    }

    pub(crate) fn server_error() -> Answer {
        Answer::html(StatusCode::INTERNAL_SERVER_ERROR, "Server Error (500)")
    }

    pub(crate) fn only_get() -> Answer {
        let answer = Answer::html(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        Answer { header: Some((ALLOW, "GET".to_owned())), ..answer }
    }

    pub(crate) fn redirect(status: StatusCode, location: String) -> Answer {
        Answer { header: Some((LOCATION, location)), ..Answer::html(status, "Moved") }
    }

    /// Turns the answer into HTTP; with `cut_at`, the connection breaks after so many bytes of the body.
    pub(crate) fn into_response(self, cut_at: Option<usize>) -> Response<AnswerBody> {
        let announced = self.body.len() as u64;
        let (data, is_cut) = match cut_at {
            // Even the shortest cut leaves out the last byte: otherwise nothing would be missing.
            Some(bytes) => (self.body.slice(..bytes.min(self.body.len().saturating_sub(1))), true),
            None => (self.body, false),
        };
        let mut response = Response::new(AnswerBody { data, announced, is_cut, flush: None });
        *response.status_mut() = self.status;
        let content_type = if self.is_json { "application/json" } else { "text/html; charset=utf-8" };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if self.is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        response
    }
}

/// A body of known length that may break off before its end.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    data: Bytes,
    announced: u64,
    is_cut: bool,
    flush: Option<Pin<Box<Sleep>>>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            if !self.is_cut {
                self.announced = 0;
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.is_cut {
            return Poll::Ready(None);
        }
        // An error at once would discard what is still to be written.
        let flush = self.flush.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH_TIME)));
        ready!(flush.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

pub(crate) fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

pub(crate) fn decompress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(body).read_to_end(&mut plain)?;
    Ok(plain)
}
