//! Pages that the simulator serves and a test corrupts.

use std::path::Path;

use rollcall_simulator::Config;
use rollcall_tests::{TestPortal, write_page};

/// Path, below the API root, of the partition that the cases for bodies fetch.
pub const PATH: &str = "schools/ccd/enrollment/2021/grade-pk";
/// A page's `next` link, without the page number.
pub const NEXT: &str = "{origin}/api/v1/schools/ccd/enrollment/2021/grade-pk/?page=";

/// Returns a portal that serves the bodies in a folder.
pub fn portal_of(folder: &Path) -> TestPortal {
    // The sample is not used, so it may be small.
    TestPortal::start(Config { recorded: Some(folder.to_owned()), n_schools: 60, ..Config::default() })
}

/// Three pages of 3, 3 and 2 rows, for a test to corrupt.
pub struct Pages(pub Vec<Vec<u8>>);

impl Pages {
    pub fn good() -> Self {
        let page = |next: &str, rows: &[u32]| {
            let rows: Vec<String> = rows.iter().map(|row| row_of(*row)).collect();
            let rows = rows.join(", ");
            format!(r#"{{"count": 8, "next": {next}, "previous": null, "results": [{rows}]}}"#).into_bytes()
        };
        Self(vec![
            page(&format!("\"{NEXT}2\""), &[1, 2, 3]),
            page(&format!("\"{NEXT}3\""), &[4, 5, 6]),
            page("null", &[7, 8]),
        ])
    }

    pub fn text(&self, page: usize) -> String {
        String::from_utf8(self.0[page - 1].clone()).unwrap()
    }

    pub fn set(&mut self, page: usize, body: impl AsRef<[u8]>) {
        self.0[page - 1] = body.as_ref().to_vec();
    }

    /// Replaces text. Fails if the text is missing, so that no case serves a valid page by accident.
    pub fn replace(&mut self, page: usize, from: &str, to: &str) {
        let text = self.text(page);
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        self.set(page, text.replace(from, to));
    }

    /// Replaces every occurrence on every page.
    pub fn replace_all(&mut self, from: &str, to: &str) {
        for page in 1..=self.0.len() {
            let text = self.text(page);
            assert!(text.contains(from), "{from} in {text}");
            self.set(page, text.replace(from, to));
        }
    }

    pub fn write(&self, folder: &Path, origin: &str, other: &str) {
        for (page, body) in (1..).zip(&self.0) {
            // Only text contains links.
            let body = match std::str::from_utf8(body) {
                Ok(text) => text.replace("{origin}", origin).replace("{other}", other).into_bytes(),
                Err(_) => body.clone(),
            };
            write_page(folder, PATH, page, &body);
        }
    }
}

pub fn row_of(row: u32) -> String {
    format!(
        "{{\"year\": 2021, \"ncessch\": \"01000050087{row}\", \"ncessch_num\": 1000050087{row}, \"grade\": -1, \
         \"race\": 99, \"sex\": 99, \"enrollment\": 2{row}, \"fips\": 1, \"leaid\": \"100005\"}}"
    )
}
