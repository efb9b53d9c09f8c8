//! Responds to requests as the portal does, with the faults that apply.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::config::Config;
use crate::datasets::Datasets;
use crate::fault::Action;
use crate::fault::edit::{edit, is_edit};
use crate::gzip::{compress, decompress};
use crate::metadata;
use crate::page;
use crate::page_cache::PageCache;
use crate::page_source::PageSource;
use crate::portal_request::PortalRequest;
use crate::recorded::{self, Recorded};
use crate::response::PortalResponse;
use crate::route::{BASE, Partition, Route};
use crate::sample::Sample;
use crate::summary;

/// Minimum size of a body that is compressed.
const MIN_COMPRESSED_BYTES: usize = 500;

/// The simulated portal.
#[derive(Debug)]
pub(crate) struct Responder {
    config: Config,
    sample: Sample,
    datasets: Datasets,
    cache: Mutex<PageCache>,
    /// Names of further releases, oldest first.
    releases: Mutex<Vec<String>>,
}

impl Responder {
    /// # Errors
    /// Fails if a further descriptor cannot be parsed.
    pub(crate) fn new(mut config: Config) -> Result<Responder, toml::de::Error> {
        let sample = Sample::new(config.n_schools);
        let datasets = Datasets::with(&config.descriptors)?;
        let releases = Mutex::new(std::mem::take(&mut config.releases));
        Ok(Responder { config, sample, datasets, cache: Mutex::default(), releases })
    }

    /// Replaces the further releases.
    pub(crate) fn set_releases(&self, releases: Vec<String>) {
        *self.releases.lock().unwrap_or_else(PoisonError::into_inner) = releases;
    }

    /// Returns the response to a request; `None` to close the connection instead.
    pub(crate) async fn respond(
        self: &Arc<Self>,
        request: PortalRequest,
        actions: Vec<Action>,
    ) -> Option<PortalResponse> {
        for action in &actions {
            match action {
                Action::Status { code, retry_after, body } => {
                    return Some(PortalResponse::status(*code, retry_after.as_deref(), body.as_deref()));
                }
                Action::Html => return Some(PortalResponse::challenge()),
                Action::Redirect { location } => {
                    return Some(PortalResponse::redirect(
                        StatusCode::FOUND,
                        location.replace("{origin}", &request.origin),
                    ));
                }
                Action::Body { text } => return Some(PortalResponse::json(StatusCode::OK, text.clone())),
                Action::Disconnect => return None,
                _ => {}
            }
        }
        if request.method != Method::GET {
            return Some(PortalResponse::only_get());
        }
        let route = self.route(&request.path);
        if !request.path.ends_with('/') {
            return Some(self.add_slash(&request));
        }
        let is_data = match route {
            Route::Data(_) => true,
            Route::Metadata(_) => false,
            Route::NoSuchYear | Route::Unknown => self.config.recorded.is_some(),
        };
        // Even a sleep of zero can last until the next timer tick.
        if is_data && !self.config.latency.is_zero() {
            tokio::time::sleep(self.config.latency).await;
        }
        // Building a page takes milliseconds. On this thread it would delay other connections.
        let responder = Arc::clone(self);
        let page = tokio::task::spawn_blocking(move || responder.page(&request, route, &actions));
        Some(page.await.unwrap_or_else(|_| PortalResponse::server_error()))
    }

    fn route(&self, path: &str) -> Route {
        Route::from_path(path, &self.datasets)
    }

    fn add_slash(&self, request: &PortalRequest) -> PortalResponse {
        let path = format!("{}/", request.path);
        let is_known = self.route(&path) != Route::Unknown || self.config.recorded.is_some();
        if !is_known || !path.starts_with(BASE) {
            return PortalResponse::not_found();
        }
        let separator = if request.query_text.is_empty() { "" } else { "?" };
        PortalResponse::redirect(StatusCode::MOVED_PERMANENTLY, format!("{path}{separator}{}", request.query_text))
    }

    fn page(&self, request: &PortalRequest, route: Route, actions: &[Action]) -> PortalResponse {
        let recorded = self.config.recorded.as_ref().map(|folder| recorded_response(folder, request));
        let (response, key) = match (recorded, route) {
            // A recording without metadata uses the built-in lists.
            (Some(None), Route::Metadata(list)) | (None, Route::Metadata(list)) => {
                let releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
                let body = metadata::render(list, &self.datasets, &releases, &request.query);
                (PortalResponse::json(StatusCode::OK, body), None)
            }
            (Some(response), _) => (response.unwrap_or_else(PortalResponse::not_found), None),
            (None, Route::Data(partition)) => self.generated_response(request, partition),
            (None, Route::NoSuchYear) => (PortalResponse::server_error(), None),
            (None, Route::Unknown) => (PortalResponse::not_found(), None),
        };
        if response.status != StatusCode::OK {
            return response;
        }
        self.encode(change(response, actions, &request.origin), request, key)
    }

    /// Returns a page of the sample, and the key under which its body is cached.
    fn generated_response(&self, request: &PortalRequest, partition: Partition) -> (PortalResponse, Option<String>) {
        if let Partition::Summary { .. } = partition
            && let Err(body) = summary::check_arguments(&request.query)
        {
            return (PortalResponse::json(StatusCode::BAD_REQUEST, body), None);
        }
        let url = format!("{}{}", request.origin, request.path);
        let Some(number) = request.query.page() else {
            return (PortalResponse::no_such_page(), None);
        };
        let key = format!("{url}{}#{number}", request.query.with_page(1));
        let cached = self.cache().get(&key);
        let body = cached.or_else(|| {
            let source = PageSource {
                sample: &self.sample,
                page_size: self.config.page_size.max(1) as u64,
                enrollment_rows: self.config.rows,
                rows_per_partition: self.config.rows_per_partition,
            };
            let body = Bytes::from(page::render(&source, &partition, &url, &request.query)?);
            self.cache().insert(key.clone(), body.clone());
            Some(body)
        });
        match body {
            Some(body) => (PortalResponse::json(StatusCode::OK, body), Some(key)),
            None => (PortalResponse::no_such_page(), None),
        }
    }

    /// Compresses or decompresses the body, depending on what the client accepts.
    fn encode(&self, changed: Changed, request: &PortalRequest, key: Option<String>) -> PortalResponse {
        let Changed { response, is_changed } = changed;
        let wants_gzip = request.accepts_gzip && self.config.gzip;
        if response.is_gzip {
            return if wants_gzip { response } else { plain(response) };
        }
        if !wants_gzip || response.body.len() < MIN_COMPRESSED_BYTES {
            return response;
        }
        let key = key.filter(|_| !is_changed).map(|key| format!("{key} gzip"));
        let cached = key.as_ref().and_then(|key| self.cache().get(key));
        let Some(body) = cached.or_else(|| compress(&response.body).ok().map(Bytes::from)) else {
            return response;
        };
        if let Some(key) = key {
            self.cache().insert(key, body.clone());
        }
        PortalResponse { body, is_gzip: true, ..response }
    }

    fn cache(&self) -> MutexGuard<'_, PageCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A response to which the faults that change its body have been applied.
struct Changed {
    response: PortalResponse,
    is_changed: bool,
}

/// Applies the faults that change the body.
fn change(response: PortalResponse, actions: &[Action], origin: &str) -> Changed {
    let cut_at = |action: &Action| match action {
        Action::Truncate { bytes, keep_length: true } => Some(*bytes),
        _ => None,
    };
    let cut_at = actions.iter().filter_map(cut_at).min();
    let is_edited = actions.iter().any(is_edit);
    if !is_edited && cut_at.is_none() {
        return Changed { response, is_changed: false };
    }
    let mut response = plain(response);
    if is_edited {
        response.body = edit(&response.body, actions, origin).into();
    }
    if let Some(bytes) = cut_at {
        response.body.truncate(bytes);
    }
    Changed { response, is_changed: true }
}

/// Returns a response with its body decompressed.
fn plain(response: PortalResponse) -> PortalResponse {
    if !response.is_gzip {
        return response;
    }
    match decompress(&response.body) {
        Ok(body) => PortalResponse { body: body.into(), is_gzip: false, ..response },
        Err(_) => PortalResponse::server_error(),
    }
}

/// Returns the recorded response; `None` if the path is not recorded.
fn recorded_response(folder: &Path, request: &PortalRequest) -> Option<PortalResponse> {
    let Some(page) = request.query.page() else {
        return Some(PortalResponse::no_such_page());
    };
    match recorded::read(folder, &request.path, page) {
        Recorded::Plain(body) => Some(PortalResponse::json(StatusCode::OK, body)),
        Recorded::Gzip(body) => Some(PortalResponse { is_gzip: true, ..PortalResponse::json(StatusCode::OK, body) }),
        Recorded::NoPage => Some(PortalResponse::no_such_page()),
        Recorded::NoFolder => None,
    }
}
