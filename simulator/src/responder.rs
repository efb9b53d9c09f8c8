//! What the portal answers: from a request and the faults it meets to an [`Answer`].

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::answer::{Answer, compress, decompress};
use crate::cache::Cache;
use crate::config::Config;
use crate::edit::{edit, is_edit};
use crate::fault::Action;
use crate::metadata;
use crate::page::{self, PageSource};
use crate::query::Query;
use crate::recorded::{self, Recorded};
use crate::route::{BASE, Partition, Route};
use crate::sample::Sample;

/// Bodies shorter than this are not worth compressing.
const LEAST_COMPRESSED_BYTES: usize = 500;

/// What the answer depends on.
#[derive(Debug)]
pub(crate) struct PageRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Query as it was sent.
    pub(crate) query_text: String,
    pub(crate) query: Query,
    /// Scheme, host and port that the client used.
    pub(crate) origin: String,
    pub(crate) accepts_gzip: bool,
}

/// The simulated portal.
#[derive(Debug)]
pub(crate) struct Portal {
    config: Config,
    sample: Sample,
    cache: Mutex<Cache>,
}

impl Portal {
    pub(crate) fn new(config: Config) -> Portal {
        let sample = Sample::new(config.n_schools);
        Portal { config, sample, cache: Mutex::default() }
    }

    /// Returns the answer to a request, or nothing when the connection is to be closed instead.
    pub(crate) async fn answer(self: &Arc<Self>, request: PageRequest, actions: Vec<Action>) -> Option<Answer> {
        for action in &actions {
            match action {
                Action::Status { code, retry_after, body } => {
                    return Some(Answer::status(*code, retry_after.as_deref(), body.as_deref()));
                }
                Action::Html => return Some(Answer::challenge()),
                Action::Redirect { location } => {
                    return Some(Answer::redirect(StatusCode::FOUND, location.replace("{origin}", &request.origin)));
                }
                Action::Body { text } => return Some(Answer::json(StatusCode::OK, text.clone())),
                Action::Disconnect => return None,
                _ => {}
            }
        }
        if request.method != Method::GET {
            return Some(Answer::only_get());
        }
        let route = Route::of(&request.path);
        if !request.path.ends_with('/') {
            return Some(self.add_slash(&request));
        }
        let is_data = match route {
            Route::Data(_) => true,
            Route::Metadata(_) => false,
            Route::NoSuchYear | Route::Unknown => self.config.recorded.is_some(),
        };
        // A sleep of nothing would still take up to a tick of the timer.
        if is_data && !self.config.latency.is_zero() {
            tokio::time::sleep(self.config.latency).await;
        }
        // A page takes milliseconds to make: too long for a thread that serves other connections.
        let portal = Arc::clone(self);
        let page = tokio::task::spawn_blocking(move || portal.page(&request, route, &actions));
        Some(page.await.unwrap_or_else(|_| Answer::server_error()))
    }

    fn add_slash(&self, request: &PageRequest) -> Answer {
        let path = format!("{}/", request.path);
        let is_known = Route::of(&path) != Route::Unknown || self.config.recorded.is_some();
        if !is_known || !path.starts_with(BASE) {
            return Answer::not_found();
        }
        let mark = if request.query_text.is_empty() { "" } else { "?" };
        Answer::redirect(StatusCode::MOVED_PERMANENTLY, format!("{path}{mark}{}", request.query_text))
    }

    fn page(&self, request: &PageRequest, route: Route, actions: &[Action]) -> Answer {
        let recorded = self.config.recorded.as_ref().map(|folder| recorded_answer(folder, request));
        let (answer, key) = match (recorded, route) {
            // A recording without metadata leaves it to the built-in lists.
            (Some(None), Route::Metadata(list)) | (None, Route::Metadata(list)) => {
                (Answer::json(StatusCode::OK, metadata::render(list, &request.query)), None)
            }
            (Some(answer), _) => (answer.unwrap_or_else(Answer::not_found), None),
            (None, Route::Data(partition)) => self.generated_answer(request, partition),
            (None, Route::NoSuchYear) => (Answer::server_error(), None),
            (None, Route::Unknown) => (Answer::not_found(), None),
        };
        if answer.status != StatusCode::OK {
            return answer;
        }
        self.encode(change(answer, actions, &request.origin), request, key)
    }

    /// Returns the answer, and the key under which an unchanged body is kept.
    fn generated_answer(&self, request: &PageRequest, partition: Partition) -> (Answer, Option<String>) {
        let url = format!("{}{}", request.origin, request.path);
        let Some(number) = request.query.page() else {
            return (Answer::no_such_page(), None);
        };
        let key = format!("{url}{}#{number}", request.query.with_page(1));
        let kept = self.cache().get(&key);
        let body = kept.or_else(|| {
            let source = PageSource {
                sample: &self.sample,
                partition,
                page_size: self.config.page_size.max(1) as u64,
                fixed_rows: self.config.rows,
            };
            let body = Bytes::from(page::render(&source, &url, &request.query)?);
            self.cache().insert(key.clone(), body.clone());
            Some(body)
        });
        match body {
            Some(body) => (Answer::json(StatusCode::OK, body), Some(key)),
            None => (Answer::no_such_page(), None),
        }
    }

    /// Brings the body to an encoding that the client accepts.
    fn encode(&self, changed: Changed, request: &PageRequest, key: Option<String>) -> Answer {
        let Changed { answer, is_changed } = changed;
        let wants_gzip = request.accepts_gzip && self.config.gzip;
        if answer.is_gzip {
            return if wants_gzip { answer } else { plain(answer) };
        }
        if !wants_gzip || answer.body.len() < LEAST_COMPRESSED_BYTES {
            return answer;
        }
        let key = key.filter(|_| !is_changed).map(|key| format!("{key} gzip"));
        let kept = key.as_ref().and_then(|key| self.cache().get(key));
        let Some(body) = kept.or_else(|| compress(&answer.body).ok().map(Bytes::from)) else {
            return answer;
        };
        if let Some(key) = key {
            self.cache().insert(key, body.clone());
        }
        Answer { body, is_gzip: true, ..answer }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer after the faults that change its body.
struct Changed {
    answer: Answer,
    is_changed: bool,
}

fn change(answer: Answer, actions: &[Action], origin: &str) -> Changed {
    let shortest = |action: &Action| match action {
        Action::Truncate { bytes, keep_length: true } => Some(*bytes),
        _ => None,
    };
    let cut_at = actions.iter().filter_map(shortest).min();
    let is_edited = actions.iter().any(is_edit);
    if !is_edited && cut_at.is_none() {
        return Changed { answer, is_changed: false };
    }
    let mut answer = plain(answer);
    if is_edited {
        answer.body = edit(&answer.body, actions, origin).into();
    }
    if let Some(bytes) = cut_at {
        answer.body.truncate(bytes);
    }
    Changed { answer, is_changed: true }
}

fn plain(answer: Answer) -> Answer {
    if !answer.is_gzip {
        return answer;
    }
    match decompress(&answer.body) {
        Ok(body) => Answer { body: body.into(), is_gzip: false, ..answer },
        Err(_) => Answer::server_error(),
    }
}

/// Returns what is recorded, or nothing when the path is not.
fn recorded_answer(folder: &Path, request: &PageRequest) -> Option<Answer> {
    let Some(page) = request.query.page() else {
        return Some(Answer::no_such_page());
    };
    match recorded::read(folder, &request.path, page) {
        Recorded::Plain(body) => Some(Answer::json(StatusCode::OK, body)),
        Recorded::Gzip(body) => Some(Answer { is_gzip: true, ..Answer::json(StatusCode::OK, body) }),
        Recorded::NoPage => Some(Answer::no_such_page()),
        Recorded::NoFolder => None,
    }
}
