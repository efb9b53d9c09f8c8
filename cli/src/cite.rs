//! `rollcall cite`: how to cite the data of a dataset or of a query.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::history::tables::{AS_OF_SUFFIX, HISTORY_SUFFIX};
use rollcall_core::history::{Moment, Refreshes, table_as_of};
use rollcall_core::keys;
use rollcall_core::ports::Store;
use serde_json::{Map, Value, json};

use crate::completions;
use crate::escape;
use crate::exit::BadInput;
use crate::lake::Lake;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::output;
use crate::query::shipped::find_sql;
use crate::query::words::words_of;
use crate::request::dataset::load_dataset;
use crate::warnings;

/// Who publishes the portal.
const PUBLISHER: &str = "Urban Institute";
/// Name of the portal.
const PORTAL: &str = "Education Data Portal";
/// The page that its citations name.
pub(crate) const URL: &str = "https://educationdata.urban.org/documentation/";
/// Licence of its data.
const LICENCE: &str = "ODC Attribution License (ODC-By 1.0)";

#[derive(Debug, Args)]
pub(crate) struct CiteArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Dataset by name, or a descriptor file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = rollcall_core::request::DEFAULT_DATASET, add = completions::datasets())]
    dataset: String,
    /// Cite every dataset that this query reads instead: the name of a shipped query, or SQL
    #[arg(long, value_name = "NAME|SQL", conflicts_with = "dataset", add = completions::queries())]
    query: Option<String>,
    /// Cite the data as it was: at the end of a date (UTC), at a time, or after the last run under a release
    #[arg(long, value_name = "DATE|TIME|RELEASE")]
    as_of: Option<String>,
    /// Format of the citation
    #[arg(long, value_enum, default_value_t = CiteFormat::Text)]
    format: CiteFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CiteFormat {
    /// A sentence
    Text,
    /// An entry for BibTeX
    Bibtex,
    /// An array for citation managers
    CslJson,
}

/// The citation of a dataset.
pub(crate) struct Citation {
    id: String,
    title: String,
    /// Credit line of a dataset that is not the portal's.
    attribution: Option<String>,
    /// The portal's release, if it is known.
    pub(crate) release: Option<String>,
    /// When the data was last fetched.
    accessed: Timestamp,
}

pub(crate) async fn run(args: CiteArgs) -> anyhow::Result<ExitCode> {
    let datasets = match &args.query {
        None => vec![load_dataset(&args.dataset)?],
        Some(query) => datasets_of(&find_sql(query, &args.lake)?)?,
    };
    let moment = args.as_of.as_deref().map(Moment::parse);
    let citations = match args.lake.open_existing().await? {
        Lake::Folder(store) => {
            if LakeMark::is_of_sample(&store).await? {
                output::print_message(
                    "warning: this is sample data, whose schools are invented; there is nothing to cite",
                );
            }
            cite_all(&store, &datasets, moment.as_ref()).await?
        }
        #[cfg(feature = "aws")]
        Lake::Bucket(store) => cite_all(&store, &datasets, moment.as_ref()).await?,
    };
    match args.format {
        CiteFormat::Text => output::print(&citations.iter().map(Citation::text).collect::<Vec<_>>().join("\n"))?,
        CiteFormat::Bibtex => output::print(&citations.iter().map(Citation::bibtex).collect::<Vec<_>>().join("\n"))?,
        CiteFormat::CslJson => output::print_json(&citations.iter().map(Citation::csl).collect::<Vec<_>>())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the built-in datasets whose table or view a query names.
fn datasets_of(sql: &str) -> anyhow::Result<Vec<Dataset>> {
    let words = words_of(sql);
    let mut datasets = Vec::new();
    for name in Dataset::built_in_names() {
        let is_view =
            |word: &str| word.strip_prefix(name).is_some_and(|rest| ["_labeled", AS_OF_SUFFIX].contains(&rest));
        let dataset = Dataset::built_in(name)?;
        let is_table = |word: &str| {
            word.strip_prefix(dataset.table.as_str())
                .is_some_and(|rest| ["", HISTORY_SUFFIX, keys::EDITIONS_SUFFIX].contains(&rest))
        };
        if words.iter().any(|word| is_view(word) || is_table(word)) {
            datasets.push(dataset);
        }
    }
    if datasets.is_empty() {
        return Err(BadInput(
            "cite query: expected the table of a built-in dataset in it, found none\nhint: name the dataset with --dataset"
                .to_owned(),
        )
        .into());
    }
    Ok(datasets)
}

async fn cite_all(store: &impl Store, datasets: &[Dataset], moment: Option<&Moment>) -> anyhow::Result<Vec<Citation>> {
    let mut citations = Vec::new();
    for dataset in datasets {
        citations.push(cite(store, dataset, moment).await?);
    }
    Ok(citations)
}

/// Returns the citation of a dataset as the lake has it, or had it at a moment.
///
/// # Errors
/// [`BadInput`] if the lake has nothing of it.
pub(crate) async fn cite(store: &impl Store, dataset: &Dataset, moment: Option<&Moment>) -> anyhow::Result<Citation> {
    let now = Moment::At(Timestamp::MAX);
    let moment = moment.unwrap_or(&now);
    let as_of = table_as_of(store, &dataset.table, |path| dataset.parse_partition(path), moment).await?;
    warnings::warn_not_refreshed(&as_of.not_refreshed, &dataset.table, moment);
    let fetched = as_of.partitions.iter().map(|partition| partition.validity.since).max();
    let Some(fetched) = fetched else {
        return Err(BadInput(format!("cite `{}`: expected data in the lake, found none", dataset.name)).into());
    };
    let (release, refreshed) = match last_refresh(&as_of.refreshes, moment, as_of.at) {
        Some((release, at)) => (Some(release), at.min(as_of.at)),
        None => (None, fetched),
    };
    let is_of_portal = dataset.attribution.contains(PORTAL);
    Ok(Citation {
        id: dataset.name.clone(),
        title: dataset.title.clone(),
        attribution: (!is_of_portal).then(|| dataset.attribution.clone()),
        release,
        accessed: refreshed.max(fetched),
    })
}

/// Returns the release at a moment, and when the last run under it ended.
fn last_refresh(refreshes: &Refreshes, moment: &Moment, at: Timestamp) -> Option<(String, Timestamp)> {
    let of_release = match moment {
        Moment::EndOf(release) => refreshes.of_release(release),
        Moment::At(_) => refreshes.releases.iter().rfind(|of_release| of_release.first_at <= at),
    };
    of_release.map(|of_release| (of_release.release.clone(), of_release.last_at))
}

impl Citation {
    fn day(&self) -> String {
        self.accessed.strftime("%Y-%m-%d").to_string()
    }

    /// Returns the citation as the portal asks for it.
    pub(crate) fn text(&self) -> String {
        let accessed = self.accessed.strftime("%B %-d, %Y");
        let title = escape::visible(&self.title);
        let version = self
            .release
            .as_ref()
            .map_or_else(String::new, |release| format!(" (Version {})", escape::visible(release)));
        match &self.attribution {
            None => format!(
                "{title}, {PORTAL}{version}, {PUBLISHER}, accessed {accessed}, {URL}, made available under the {LICENCE}.\n"
            ),
            Some(attribution) => format!("{title}, {}, accessed {accessed}.\n", escape::visible(attribution)),
        }
    }

    fn bibtex(&self) -> String {
        let braced = |text: &str| {
            let plain: String = text.chars().filter(|c| !matches!(c, '{' | '}' | '\\') && !c.is_control()).collect();
            format!("{{{{{plain}}}}}")
        };
        let mut fields = vec![("title", braced(&self.title))];
        match &self.attribution {
            None => fields.extend([
                ("author", braced(PUBLISHER)),
                ("publisher", braced(PUBLISHER)),
                ("howpublished", braced(PORTAL)),
                ("url", format!("{{{URL}}}")),
            ]),
            Some(attribution) => fields.push(("author", braced(attribution))),
        }
        fields.push(("year", format!("{{{}}}", self.accessed.strftime("%Y"))));
        fields.push(("urldate", format!("{{{}}}", self.day())));
        let version = self.release.as_ref().map(|release| format!("version {release}"));
        let licence = self.attribution.is_none().then(|| LICENCE.to_owned());
        let note: Vec<String> = version.into_iter().chain(licence).collect();
        if !note.is_empty() {
            fields.push(("note", braced(&note.join(", "))));
        }
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("  {name} = {value}")).collect();
        format!("@misc{{{},\n{}\n}}\n", self.id, lines.join(",\n"))
    }

    fn csl(&self) -> Value {
        let part = |format: &str| self.accessed.strftime(format).to_string().parse::<u32>().unwrap_or_default();
        let accessed = json!({"date-parts": [[part("%Y"), part("%-m"), part("%-d")]]});
        let author = self.attribution.as_deref().unwrap_or(PUBLISHER);
        let mut fields = vec![
            ("id", json!(self.id)),
            ("type", json!("dataset")),
            ("title", json!(self.title)),
            ("author", json!([{"literal": author}])),
            ("accessed", accessed),
        ];
        if self.attribution.is_none() {
            fields.extend([
                ("publisher", json!(PUBLISHER)),
                ("container-title", json!(PORTAL)),
                ("URL", json!(URL)),
                ("note", json!(LICENCE)),
            ]);
        }
        fields.extend(self.release.as_ref().map(|release| ("version", json!(release))));
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
    }
}
