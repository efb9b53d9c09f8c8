//! The page: what it says at the top, and a section for each dataset.

use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use rollcall_core::ledger::{Outcome, PartitionRecord};
use serde::Serialize;

use crate::cite;
use crate::escape::visible;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::lake::offer::Offer;
use crate::report::data::{Data, data};
use crate::report::enrollment::{Enrollment, enrollment};
use crate::report::heat_map::{HeatMap, heat_maps};
use crate::report::quality::{Quality, quality};
use crate::report::read::DatasetFound;
use crate::report::runs::{Runs, runs};
use crate::report::series::Series;
use crate::words::{self, age, counted, thousands};

/// The files of the page: name and text. What is inserted into them is escaped.
const TEMPLATES: &[(&str, &str)] = &[
    ("page.html", include_str!("template/page.html")),
    ("dataset.html", include_str!("template/dataset.html")),
    ("charts.html", include_str!("template/charts.html")),
];
const STYLE: &str = include_str!("template/style.css");
const SCRIPT: &str = include_str!("template/script.js");

/// What a command has in place of a partition.
const PARTITION: &str = "PARTITION";

/// What the report is about.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub(super) lake: &'a LakeArgs,
    /// The datasets as given on the command line.
    pub(super) dataset_arg: &'a str,
    /// The lake's folder as an absolute path, or its bucket.
    pub(super) root: String,
    /// The mark of a folder; `None` for a bucket.
    pub(super) mark: Option<LakeMark>,
    pub(super) now: Timestamp,
}

/// The part of the page about one dataset.
#[derive(Serialize)]
struct Section {
    /// Unique on the page.
    id: String,
    name: String,
    title: String,
    table: String,
    /// What a reader should know first: `660 of 663 partitions hold data, 3 failed; fetched on …`.
    verdict: String,
    needs_attention: bool,
    release: Option<String>,
    citation: Option<String>,
    n_partitions: String,
    n_rows: String,
    size: String,
    newest: String,
    to_look_at: String,
    first_command: String,
    /// With [`PARTITION`] in place of a partition.
    partition_command: String,
    retry_command: String,
    refresh_command: String,
    strays: Vec<String>,
    unreadable: Vec<String>,
    n_stale: usize,
    heat_maps: Vec<HeatMap>,
    has_figures: bool,
    unread: Vec<(String, String)>,
    enrollment: Option<Enrollment>,
    quality: Option<Quality>,
    runs: Runs,
    data: Data,
}

/// Returns the page.
pub(super) fn render(about: &About<'_>, found: &[DatasetFound<'_>]) -> anyhow::Result<String> {
    let sections: Vec<Section> = found.iter().map(|dataset| section(about, dataset, found.len() == 1)).collect();
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    templates.add_filter("counted", |number: u64, word: String| counted(number, &word));
    for (name, text) in TEMPLATES {
        templates.add_template(name, text)?;
    }
    // Not known to anyone who could have put markup into the data.
    let nonce = format!("{:016x}", RandomState::new().hash_one(about.now));
    let page = templates.get_template("page.html")?.render(context! {
        nonce,
        style => STYLE,
        script => SCRIPT,
        sections => Serde(sections),
        lake => visible(&about.lake.name()),
        is_sample => about.mark.as_ref().is_some_and(|mark| mark.is_sample),
        generated_at => about.now.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        portal_docs => cite::URL,
        version => env!("CARGO_PKG_VERSION"),
    })?;
    Ok(page)
}

fn section(about: &About<'_>, found: &DatasetFound<'_>, is_alone: bool) -> Section {
    let dataset = found.dataset;
    let id = format!("d-{}", dataset.name);
    let series = found.figures.as_ref().map(|figures| Series::new(dataset, &found.columns, &found.records, figures));
    let flags = about.mark.as_ref().map(|mark| mark.source_flags(dataset)).unwrap_or_default();
    let offer = Offer { lake: about.lake, dataset, dataset_arg: Some(about.dataset_arg), flags };
    let committed = || found.records.values().filter_map(|record| record.committed.as_ref());
    let newest = committed().map(|committed| committed.fetched_at).max();
    let to_look_at = to_look_at(found);
    Section {
        name: visible(&dataset.name).into_owned(),
        title: visible(&dataset.title).into_owned(),
        table: dataset.qualified_table(),
        verdict: verdict(found, &to_look_at, about.now),
        needs_attention: !to_look_at.is_empty(),
        release: found.citation.as_ref().and_then(|citation| citation.release.as_deref().map(visible)).map(Into::into),
        citation: found.citation.as_ref().map(|citation| citation.text().trim_end().to_owned()),
        n_partitions: thousands(committed().count() as u64),
        n_rows: thousands(committed().map(|committed| committed.n_rows).sum()),
        size: words::size(committed().map(|committed| committed.size_bytes).sum()),
        newest: newest.map_or_else(String::new, |newest| age(newest, about.now)),
        to_look_at,
        first_command: offer.first(),
        partition_command: offer.run(&format!("--partition {PARTITION}")),
        retry_command: offer.retry_all(failed_runs(found)),
        refresh_command: offer.refresh(),
        strays: found.survey.strays.iter().map(|key| visible(key).into_owned()).collect(),
        unreadable: found.survey.unreadable().iter().map(ToString::to_string).collect(),
        n_stale: found.stale.len(),
        heat_maps: heat_maps(found, about.now),
        has_figures: found.figures.is_some(),
        unread: found.unread.iter().map(|(key, error)| (key.to_string(), visible(error).into_owned())).collect(),
        enrollment: series.as_ref().and_then(|series| enrollment(found, series, &id, is_alone)),
        quality: series.as_ref().map(|series| quality(found, series, is_alone)),
        runs: runs(found, about.now),
        data: data(found, about.lake, &about.root),
        id,
    }
}

/// Returns the runs in which partitions failed last.
fn failed_runs<'f>(found: &'f DatasetFound<'_>) -> impl Iterator<Item = &'f str> {
    let attempts = found.records.values().filter_map(|record| record.last_attempt.as_ref());
    attempts.filter(|attempt| attempt.outcome.is_open()).map(|attempt| attempt.run.as_str())
}

/// - `to_look_at`: what [`to_look_at`] returns.
fn verdict(found: &DatasetFound<'_>, to_look_at: &str, now: Timestamp) -> String {
    let n_known = found.records.len() as u64;
    if n_known == 0 {
        return "Nothing has been fetched yet.".to_owned();
    }
    let with_data: Vec<Timestamp> =
        found.records.values().filter_map(|record| Some(record.committed.as_ref()?.fetched_at)).collect();
    let partitions = counted(n_known, "partition");
    let verb = if n_known == 1 { "holds" } else { "hold" };
    let mut text = format!("{} of {partitions} {verb} data", thousands(with_data.len() as u64));
    if !to_look_at.is_empty() {
        text.push_str(&format!(", {to_look_at}"));
    }
    if let (Some(oldest), Some(newest)) = (with_data.iter().min(), with_data.iter().max()) {
        let (from, to) = (oldest.strftime("%Y-%m-%d").to_string(), newest.strftime("%Y-%m-%d").to_string());
        let days = if from == to { format!("fetched on {to}") } else { format!("fetched between {from} and {to}") };
        text.push_str(&format!("; {days}, the oldest {} ago", age(*oldest, now)));
    }
    text.push('.');
    text
}

/// Returns what needs attention: `3 failed, 1 stale`.
fn to_look_at(found: &DatasetFound<'_>) -> String {
    let last = |record: &PartitionRecord| record.last_attempt.as_ref().map(|attempt| attempt.outcome);
    let count = |outcome: Outcome| found.records.values().filter(|record| last(record) == Some(outcome)).count();
    let counts = [
        (count(Outcome::Failed), "failed"),
        (count(Outcome::NotTried), "not tried"),
        (found.stale.len(), "stale"),
        (found.survey.strays.len(), "stray"),
        (found.survey.unreadable().len() + found.unread.len(), "unreadable"),
        (found.unfinished.len(), "unfinished"),
    ];
    let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", thousands(*n as u64)));
    counts.collect::<Vec<_>>().join(", ")
}
