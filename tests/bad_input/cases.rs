//! Invalid bodies: what is served, the error, and the number of requests.

use rollcall_tests::{Outcome, TestLake, TestPortal};
use tempfile::TempDir;

use crate::pages::{NEXT, Pages, portal_of};

/// Maximum number of pages that may be prefetched before a page is rejected: one in each of three tries.
pub const MAX_AHEAD: usize = 3;

/// A case: its name, what is served, the full error, and the number of data requests.
///
/// `{origin}` stands for the portal, `{other}` for another portal, `{next}` for [`NEXT`].
pub type BodyCase = (&'static str, fn(&mut Pages), String, usize);

/// A lake with a committed partition, and its portal.
pub struct Committed {
    pub portal: TestPortal,
    pub folder: TempDir,
    pub lake: TestLake,
}

impl Committed {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let portal = portal_of(folder.path());
        let lake = TestLake::new();
        Pages::good().write(folder.path(), &portal.origin(), "");
        let first = Self::fetch(&lake, &portal).expect(0);
        assert!(first.stdout.contains("1 partition: 1 written; 8 rows, 3 pages"), "{}", first.stdout);
        Self { portal, folder, lake }
    }

    /// Fetches with one request at a time, so that the number of requests is always the same.
    pub fn fetch(lake: &TestLake, portal: &TestPortal) -> Outcome {
        lake.run(portal, &["--years", "2021", "--grades", "grade-pk", "--in-flight", "1"])
    }

    /// Runs again and returns how the result differs from what is expected: exit code 3, only this error on stderr,
    /// this number of data requests, and unchanged data and ledger.
    pub fn rejects(&self, error: &str, n_requests: usize) -> Option<String> {
        let data = self.lake.files("data");
        let committed = self.lake.committed();
        assert_eq!(committed.len(), 1);
        let n_before = self.portal.n_data_requests();
        let found = Self::fetch(&self.lake, &self.portal);
        let n_found = self.portal.n_data_requests() - n_before;
        let is_as_it_was = self.lake.files("data") == data && self.lake.committed() == committed;
        let is_as_expected = found.code == Some(3)
            && found.stderr == format!("failed: {error}\n")
            && found.stdout.contains("1 partition: 1 failed; 0 rows, 0 pages")
            && (n_requests..=n_requests + MAX_AHEAD).contains(&n_found)
            && is_as_it_was;
        (!is_as_expected).then(|| {
            format!(
                "expected: failed: {error}\nfound ({n_found} requests for {n_requests}, lake as it was: \
                 {is_as_it_was}):\n{found:#?}"
            )
        })
    }
}

/// Runs every case, then fails if any differ, and lists all that do.
pub fn check_bodies(cases: &[BodyCase]) {
    // The client must never send a request to this portal.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = portal_of(elsewhere.path());
    Pages::good().write(elsewhere.path(), &other.origin(), "");
    let mut wrong = Vec::new();
    for (name, corrupt, error, n_requests) in cases {
        let scene = Committed::new();
        let mut pages = Pages::good();
        corrupt(&mut pages);
        pages.write(scene.folder.path(), &scene.portal.origin(), &other.origin());
        let error = error.replace("{next}", NEXT).replace("{origin}", &scene.portal.origin());
        let error = error.replace("{other}", &other.origin());
        wrong.extend(scene.rejects(&error, *n_requests).map(|found| format!("{name}\n{found}")));
    }
    assert_eq!(other.server.requests().len(), 0, "the other portal received a request");
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}
