//! Responses of the simulated portal.

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, VARY};
use hyper::{Response, StatusCode};

use crate::response_body::ResponseBody;

/// A response, with its body as sent over the wire.
#[derive(Debug, Clone)]
pub(crate) struct PortalResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) is_json: bool,
    pub(crate) is_gzip: bool,
    pub(crate) header: Option<(HeaderName, String)>,
}

impl PortalResponse {
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> PortalResponse {
        PortalResponse { status, body: body.into(), is_json: true, is_gzip: false, header: None }
    }

    /// Returns an HTML page that shows `title`, as Django and proxies do.
    pub(crate) fn html(status: StatusCode, title: &str) -> PortalResponse {
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><title>{title}</title></head>\n\
             <body><h1>{title}</h1></body>\n</html>\n"
        );
        PortalResponse { is_json: false, ..PortalResponse::json(status, page) }
    }

    pub(crate) fn status(code: u16, retry_after: Option<&str>, body: Option<&str>) -> PortalResponse {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response = match body {
            Some(text) if text.starts_with(['{', '[']) => PortalResponse::json(status, text.to_owned()),
            Some(text) => PortalResponse { is_json: false, ..PortalResponse::json(status, text.to_owned()) },
            None => PortalResponse::html(status, status.canonical_reason().unwrap_or("Unknown status")),
        };
        PortalResponse { header: retry_after.map(|text| (RETRY_AFTER, text.to_owned())), ..response }
    }

    /// Returns a bot challenge page.
    pub(crate) fn challenge() -> PortalResponse {
        PortalResponse::html(StatusCode::OK, "Enable JavaScript and cookies to continue")
    }

    pub(crate) fn not_found() -> PortalResponse {
        PortalResponse::html(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn no_such_page() -> PortalResponse {
        PortalResponse::json(StatusCode::NOT_FOUND, r#"{"detail":"Invalid page."}"#)
    }

    pub(crate) fn server_error() -> PortalResponse {
        PortalResponse::html(StatusCode::INTERNAL_SERVER_ERROR, "Server Error (500)")
    }

    pub(crate) fn only_get() -> PortalResponse {
        let response = PortalResponse::html(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        PortalResponse { header: Some((ALLOW, "GET".to_owned())), ..response }
    }

    pub(crate) fn redirect(status: StatusCode, location: String) -> PortalResponse {
        PortalResponse { header: Some((LOCATION, location)), ..PortalResponse::html(status, "Moved") }
    }

    /// Converts the response to HTTP. With `cut_at`, the connection is dropped after that many bytes of the body.
    pub(crate) fn into_http(self, cut_at: Option<usize>) -> Response<ResponseBody> {
        let announced = self.body.len() as u64;
        let (data, is_cut) = match cut_at {
            // Omits at least the last byte; otherwise nothing would be missing.
            Some(bytes) => (self.body.slice(..bytes.min(self.body.len().saturating_sub(1))), true),
            None => (self.body, false),
        };
        let mut response = Response::new(ResponseBody::new(data, announced, is_cut));
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
