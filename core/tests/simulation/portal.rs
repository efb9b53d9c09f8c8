//! The simulated portal: pages of the source's content, and everything that can be wrong with them.
//!
//! For some fetches the portal serves each page from the source's current content; for others it serves one version of
//! the partition, with a different `count` if the source has changed. If the pages come from several versions, core
//! detects it by `count`, by a duplicate key, or, for any other change, by page 1, which it requests again after the
//! last page. A change that shows in none of these is invisible to anyone who reads pages. In that case, only the rows
//! of the served pages may be written (`Session::rows`).

use bytes::Bytes;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading, Response};
use url::Url;

use crate::audit::Session;
use crate::schedule::{TaskId, call};
use crate::source::{self, Row};
use crate::world::{Shared, World};

/// Maximum number of requests that the adapter makes for a page.
const MAX_TRIES: u32 = 4;
const BAD_BODY: u32 = 4;
const NO_FAULT: u32 = u32::MAX;
/// A page from a different version of the source than page 1, but with the same `count`.
const MIXED: &str = "page of another version";

/// The portal as one task sees it.
pub(crate) struct SimPortal {
    shared: Shared,
    task: TaskId,
    root: Url,
}

impl SimPortal {
    pub(crate) fn new(shared: &Shared, task: TaskId) -> Self {
        Self { shared: shared.clone(), task, root: Url::parse("https://portal.test/api/v1/").unwrap() }
    }
}

impl Portal for SimPortal {
    fn root(&self) -> &Url {
        &self.root
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        PageRequest { mut tries, .. }: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let mut is_retry = false;
        loop {
            let (task, path) = (self.task, path.to_owned());
            let (received_at, body) = call(&self.shared, task, false, move |world| {
                let served = serve(world, task, &path, page, is_retry);
                let result = match &served {
                    Ok((said, text)) => format!("{said}, {} bytes", text.len()),
                    Err(error) => error.to_string(),
                };
                world.note(Some(task), "GET", format!("{path}?page={page}"), result);
                let text = served?.1;
                Ok::<_, PortalError>((world.now(), Bytes::from(text)))
            })
            .await?;
            tries += 1;
            let has_tries_left = tries < MAX_TRIES;
            match read(&body) {
                Reading::Invalid { .. } if has_tries_left => is_retry = true,
                Reading::Done(result) | Reading::Invalid { result, .. } => {
                    let size_bytes = body.len();
                    return Ok(Response { result, size_bytes, received_at, tries, has_tries_left, room: None });
                }
            }
        }
    }
}

/// Returns a body and a word that describes it.
fn serve(
    world: &mut World,
    task: TaskId,
    path: &str,
    page: u32,
    is_again: bool,
) -> Result<(&'static str, String), PortalError> {
    let partition =
        (0..world.source.n_partitions()).find(|index| world.dataset.portal_path(&source::key_of(*index)) == path);
    if world.audit.fetches.get(&task).is_some_and(|fetching| world.interrupted.contains(&fetching.run)) {
        world.count("portal: interrupted");
        return Err(PortalError::Interrupted);
    }
    if partition.is_some() {
        world.audit.page_requested(task, page);
    }
    if page > 1 && world.chance(world.rates.deadline) {
        world.count("portal: deadline");
        return Err(PortalError::Deadline { tries: 1 });
    }
    let is_faulty = world.chance(world.rates.portal);
    let fault = match is_again {
        // A retried page is usually still bad.
        true if world.rng.u32(0..4) > 0 => BAD_BODY,
        _ if is_faulty => world.rng.u32(0..10),
        _ => NO_FAULT,
    };
    match fault {
        0 => {
            world.count("portal: unavailable");
            return Err(PortalError::Status { status: 503, tries: MAX_TRIES, excerpt: "busy".into() });
        }
        1 => {
            world.count("portal: no response");
            return Err(PortalError::NoAnswer {
                tries: MAX_TRIES,
                is_connected: true,
                source: "connection cut".into(),
            });
        }
        2 => {
            world.count("portal: refused");
            return Err(PortalError::Refused { status: 404, excerpt: "Not found.".into() });
        }
        3 => {
            world.count("portal: deadline");
            return Err(PortalError::Deadline { tries: 1 });
        }
        _ => {}
    }
    match partition {
        Some(partition) => serve_page(world, task, partition, path, page, fault),
        None if path == rollcall_core::metadata::ENDPOINTS_PATH => {
            let url = format!("/api/v1/{}", world.dataset.path);
            let text = format!(
                "{{\"count\":1,\"results\":[{{\"endpoint_url\":\"{url}\",\"years_available\":\"2019&ndash;2021\"}}]}}"
            );
            Ok(("endpoints", text))
        }
        None => Ok(("releases", "{\"results\":[{\"version\":\"0.26.1\",\"release_date\":\"7/14/2026\"}]}".to_owned())),
    }
}

fn serve_page(
    world: &mut World,
    task: TaskId,
    partition: usize,
    path: &str,
    page: u32,
    fault: u32,
) -> Result<(&'static str, String), PortalError> {
    let is_begun = world.audit.fetches.get(&task).is_some_and(|fetching| fetching.session.is_some());
    if is_begun && world.chance(world.rates.revise) && world.source.revise(partition, &mut world.rng) {
        world.count("source changed between two pages");
    }
    let current = world.source.current(partition).clone();
    let now = world.now();
    let page_length = if world.rng.u32(0..4) == 0 { world.rng.usize(2..=4) } else { world.page_length };
    let shows_change = world.rng.bool();
    let follows = world.rng.bool();
    let Some(fetching) = world.audit.fetches.get_mut(&task) else {
        return Err(PortalError::Refused { status: 404, excerpt: "not a fetch".into() });
    };
    // Page 1 was served before, so this is the check after the last page.
    let is_again = page == 1 && fetching.session.as_ref().is_some_and(|session| session.received.contains_key(&1));
    if page == 1 && !is_again {
        fetching.session = Some(Session::new(current.clone(), page_length, follows));
    }
    let Some(session) = &mut fetching.session else {
        return Err(PortalError::Refused { status: 404, excerpt: "page 1 comes first".into() });
    };
    let page_length = session.page_length;
    let content = if session.follows { current.clone() } else { session.content.clone() };
    let first = (page as usize - 1) * page_length;
    if first >= content.len() && page > 1 {
        return Err(PortalError::Refused { status: 404, excerpt: "Invalid page.".into() });
    }
    let mut rows: Vec<Row> = content.iter().skip(first).take(page_length).copied().collect();
    let mut count = content.len();
    let is_last = first + page_length >= content.len();
    let mut next = (!is_last).then(|| format!("https://portal.test/api/v1/{path}?page={}", page + 1));
    let (year, mut grade) = source::codes_of(partition);
    let mut message = "page";
    match fault {
        BAD_BODY => message = "bad body",
        5 if first > 0 => {
            // A row of page 1, as served.
            rows[0] = session.pages.get(&1).and_then(|rows| rows.first()).copied().unwrap_or(content[0]);
            message = "repeated row";
        }
        6 if !rows.is_empty() => {
            rows.pop();
            message = "lost row";
        }
        7 if !rows.is_empty() => {
            grade += 1;
            message = "wrong axis";
        }
        8 => {
            next = Some(format!("https://elsewhere.test/api/v1/{path}?page={}", page + 1));
            message = "next elsewhere";
        }
        9 if !rows.is_empty() => {
            count += 1;
            message = "count off";
        }
        _ if current.len() != content.len() && shows_change => {
            count = current.len();
            message = "count changed";
        }
        _ if session.content.len() != content.len() => message = "count changed",
        _ if session.content != content => message = if is_again { "first page of another version" } else { MIXED },
        _ => {}
    }
    if message != "bad body" {
        let is_of_rows = message != "wrong axis";
        if is_again {
            let is_same = is_of_rows && count == session.content.len() && session.pages.get(&1) == Some(&rows);
            session.again = Some((is_same, session.pages.len()));
        } else {
            session.received.insert(page, now);
            session.pages.insert(page, rows.clone());
            let is_sound = message == "page" || message == MIXED;
            session.is_sound &= is_sound;
            if is_sound {
                session.unsound_pages.remove(&page);
            } else {
                session.unsound_pages.insert(page);
            }
        }
    } else if !is_again {
        session.received.remove(&page);
        session.pages.remove(&page);
    }
    if message != "page" {
        world.count(format!("portal: {message}"));
    }
    let rows: Vec<String> = rows
        .iter()
        .map(|(school, enrollment)| {
            format!("{{\"year\":{year},\"grade\":{grade},\"school\":{school},\"enrollment\":{enrollment}}}")
        })
        .collect();
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    let text = format!("{{\"count\":{count},\"next\":{next},\"previous\":null,\"results\":[{}]}}", rows.join(","));
    Ok((message, if message == "bad body" { text[..text.len() / 2].to_owned() } else { text }))
}
