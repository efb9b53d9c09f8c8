//! `rollcall datasets list`: every endpoint of the portal, and whether its dataset is usable.

use std::io::IsTerminal;

use clap::Args;
use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::unknown_columns;
use rollcall_core::dataset::selection::DatasetSelection;
use serde::Serialize;

use crate::completions;
use crate::escape::visible;
use crate::exit::BadInput;
use crate::output::{self, Format};
use crate::table;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Names such as 'ccd_*', or a section: schools, school-districts, college-university
    #[arg(default_value = "all", hide_default_value = true, add = completions::datasets())]
    selection: String,
    /// Only datasets with this text in their name or title
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A dataset as it is listed.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    /// A built-in dataset.
    Usable {
        usable: bool,
        #[serde(flatten)]
        dataset: Box<Dataset>,
    },
    /// An endpoint whose columns are not known yet.
    Unknown { usable: bool, name: &'static str, title: String, path: &'static str, years: &'static str },
}

impl Listed {
    fn name(&self) -> &str {
        match self {
            Self::Usable { dataset, .. } => &dataset.name,
            Self::Unknown { name, .. } => name,
        }
    }

    fn title(&self) -> &str {
        match self {
            Self::Usable { dataset, .. } => &dataset.title,
            Self::Unknown { title, .. } => title,
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Usable { dataset, .. } => &dataset.path,
            Self::Unknown { path, .. } => path,
        }
    }

    /// Returns the row of the table.
    fn row(&self) -> [String; 5] {
        let (is_usable, axes, n_columns) = match self {
            Self::Usable { dataset, .. } => {
                let axes: Vec<&str> = dataset.axes.iter().map(|axis| axis.name.as_str()).collect();
                (true, axes.join(", "), dataset.columns.len().to_string())
            }
            Self::Unknown { .. } => (false, "year".to_owned(), "?".to_owned()),
        };
        // The title is last, because only the last column wraps on a narrow terminal.
        [
            self.name().to_owned(),
            if is_usable { "yes" } else { "no" }.to_owned(),
            axes,
            n_columns,
            self.title().to_owned(),
        ]
    }
}

pub(crate) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let selection = DatasetSelection::parse(&args.selection);
    let built_in = Dataset::built_in_names().into_iter().map(Dataset::built_in);
    let mut listed = built_in
        .map(|dataset| Ok(Listed::Usable { usable: true, dataset: Box::new(dataset?) }))
        .collect::<Result<Vec<_>, rollcall_core::Error>>()?;
    listed.extend(unknown_columns().iter().map(|unknown| Listed::Unknown {
        usable: false,
        name: unknown.name,
        title: format!("columns not known yet; run `rollcall datasets generate {}`", unknown.name),
        path: unknown.path,
        years: unknown.years,
    }));
    listed.retain(|one| selection.has(one.name(), one.path()));
    if let Some(text) = &args.search {
        let text = text.to_lowercase();
        listed.retain(|one| one.name().contains(&text) || one.title().to_lowercase().contains(&text));
    }
    if listed.is_empty() {
        // A selection names what there is; a search asks whether there is something.
        let Some(text) = &args.search else {
            let found = visible(&args.selection);
            return Err(BadInput(format!(
                "list datasets: expected a name, a pattern or a section, found no dataset that matches `{found}`"
            ))
            .into());
        };
        output::print_note(&format!("no dataset has `{}` in its name or title", visible(text)));
        return if args.format == Format::Json { output::print_json(&listed) } else { Ok(()) };
    }
    listed.sort_by(|one, other| one.name().cmp(other.name()));
    if args.format == Format::Json {
        return output::print_json(&listed);
    }
    if std::io::stdout().is_terminal() {
        // Names are up to 52 characters long, so a terminal of 80 has no room for titles beside them.
        let lines = listed.iter().map(|one| {
            let [name, _, axes, n_columns, title] = one.row();
            visible(&format!("{name} ({axes}; {n_columns} columns)")).into_owned() + "\n    " + &visible(&title) + "\n"
        });
        output::print(&lines.collect::<String>())?;
        return Ok(());
    }
    let mut table = table::whole_table(&["dataset", "usable", "axes", "columns", "title"]);
    for one in &listed {
        table.add_row(one.row());
    }
    table::align_right(&mut table, &[3]);
    output::print(&table::render(&table))?;
    Ok(())
}
