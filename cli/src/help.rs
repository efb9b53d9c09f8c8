//! What the help of each command says beside its flags: examples, and which lakes it reads.

use clap::Command;

use crate::exit;

/// Examples of each command: what they do, and the command line.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "run",
        &[
            (
                "Fetch sample data, and query it",
                "rollcall run --sample --years 2021 --grades grade-pk --query top_ten_pk_states",
            ),
            ("Fetch two grades of seven years", "rollcall run --years 2015-2021 --grades grade-pk,grade-k"),
            ("Fetch what can have changed of all that is there", "rollcall run --mode stale"),
            ("Fetch the newest year of several datasets", "rollcall run --dataset 'ccd_*' --years latest"),
        ],
    ),
    (
        "plan",
        &[
            ("Show what a run would fetch, and what that takes", "rollcall plan --years 2015-2021 --grades all"),
            ("Count the partitions of several datasets", "rollcall plan --dataset 'crdc_*' --years all"),
        ],
    ),
    (
        "status",
        &[
            ("Show the lake", "rollcall status"),
            ("Watch a run", "rollcall status --watch"),
            ("Show each dataset in a lake", "rollcall status --lake schools --dataset all"),
        ],
    ),
    (
        "query",
        &[
            ("Run a shipped query", "rollcall query top_ten_pk_states"),
            ("Run SQL", "rollcall query 'select year, count(*) from ccd_enrollment_labeled group by year'"),
            ("Write all rows to a file", "rollcall query --file report.sql --output report.parquet"),
            ("Query the lake as it was under a release", "rollcall query --as-of 0.26.1 top_ten_pk_states"),
        ],
    ),
    ("tables", &[("List what can be queried", "rollcall tables"), ("As JSON", "rollcall tables --format json")]),
    (
        "describe",
        &[
            ("Describe a table", "rollcall describe us_education_ccd_enrollment_data"),
            ("Describe its view with labels", "rollcall describe ccd_enrollment_labeled"),
        ],
    ),
    (
        "diff",
        &[
            ("Compare a release with now", "rollcall diff 0.25.0"),
            ("Write what changed between two dates", "rollcall diff 2026-01-31 2026-06-30 --rows changes.csv"),
            ("Compare two lakes", "rollcall diff --other copy"),
        ],
    ),
    (
        "verify",
        &[
            ("Compare the lake with the portal", "rollcall verify"),
            ("Only compare its tables with each other", "rollcall verify --offline"),
        ],
    ),
    (
        "report",
        &[
            ("Show every dataset of the lake in the browser", "rollcall report --open"),
            ("Write a page about one", "rollcall report --dataset ccd_enrollment --output enrollment.html"),
        ],
    ),
    (
        "cite",
        &[
            ("Cite a dataset", "rollcall cite --dataset ccd_directory"),
            ("Cite what a query reads, for BibTeX", "rollcall cite --query top_ten_pk_states --format bibtex"),
        ],
    ),
    (
        "datasets",
        &[
            ("Find datasets", "rollcall datasets list --search discipline"),
            ("Show the path, key and columns of one", "rollcall datasets show ccd_directory"),
        ],
    ),
    (
        "datasets list",
        &[
            ("Find datasets", "rollcall datasets list --search discipline"),
            ("List those of a section", "rollcall datasets list school-districts"),
        ],
    ),
    ("datasets show", &[("Show one", "rollcall datasets show ccd_directory")]),
    ("datasets generate", &[("Write a descriptor", "rollcall datasets generate ccd_directory --out descriptors")]),
    ("datasets drift", &[("Check some datasets", "rollcall datasets drift 'ccd_*'")]),
    ("datasets template", &[("Print the Glue table of a dataset", "rollcall datasets template ccd_directory")]),
    ("datasets view", &[("Print the view of a dataset", "rollcall datasets view ccd_directory")]),
    ("datasets keys", &[("Print every key", "rollcall datasets keys")]),
    (
        "datasets new",
        &[
            ("Write a descriptor to start from", "rollcall datasets new mine.toml"),
            ("Copy a built-in one", "rollcall datasets new mine.toml --from ccd_enrollment"),
        ],
    ),
    (
        "datasets add",
        &[("Add a descriptor to a lake in a bucket", "rollcall datasets add mine.toml --lake s3://BUCKET")],
    ),
    ("datasets check", &[("Check a descriptor", "rollcall datasets check mine.toml")]),
    (
        "repair",
        &[
            ("Rebuild the ledger and the catalog", "rollcall repair"),
            ("Write partitions again from kept pages", "rollcall repair --dataset ccd_directory --from-pages"),
        ],
    ),
    (
        "prune",
        &[
            ("Show what would be deleted", "rollcall prune --dry-run"),
            ("Also delete what was replaced more than a year ago", "rollcall prune --keep-history-days 365"),
        ],
    ),
    (
        "simulator",
        &[
            ("Serve a portal on a free port", "rollcall simulator --port 0"),
            ("Serve a slow one with faults", "rollcall simulator --latency-ms 200 --faults faults.toml"),
        ],
    ),
    (
        "completions",
        &[
            ("Complete in this bash", "source <(rollcall completions bash)"),
            ("Complete in every fish", "rollcall completions fish > ~/.config/fish/completions/rollcall.fish"),
        ],
    ),
    ("man", &[("Write the pages", "rollcall man ~/.local/share/man/man1"), ("Into this folder", "rollcall man .")]),
];

/// Returns what `--lake` accepts, if that is not any folder.
fn lakes(path: &str) -> Option<&'static str> {
    match path {
        "status" | "plan" | "repair" | "diff" | "verify" | "report" | "cite" => {
            Some("Folder of the lake, or s3://BUCKET in a build with `--features aws`")
        }
        "query" | "tables" | "describe" => Some("Folder of the lake; query a lake in a bucket with Athena"),
        "datasets add" => Some("The lake, as s3://BUCKET"),
        _ => None,
    }
}

/// Returns the program with examples in the long help of each command.
pub(crate) fn with_help(program: Command) -> Command {
    with_help_below(program, "")
}

/// - `path`: names of the commands above, such as `datasets`.
fn with_help_below(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |below| {
            let examples = examples(&path);
            let below = match lakes(&path) {
                Some(lakes) => below.mut_arg("lake", |lake| lake.help(lakes)),
                None => below,
            };
            let below =
                if examples.is_empty() { below } else { below.after_long_help(format!("Examples:\n{examples}")) };
            with_help_below(below, &path)
        });
    }
    command
}

/// Returns the examples of a command, two lines each.
pub(crate) fn examples(path: &str) -> String {
    let of_command = EXAMPLES.iter().filter(|(command, _)| *command == path).flat_map(|(_, examples)| *examples);
    let lines = of_command.map(|(what, line)| format!("  {what}:\n    {line}\n"));
    lines.collect::<String>().trim_end().to_owned()
}

/// Returns the exit codes, a line each.
pub(crate) fn exit_codes() -> &'static str {
    exit::HELP.split_once('\n').map_or(exit::HELP, |(_, codes)| codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;

    #[test]
    fn every_command_has_examples_that_it_accepts() {
        fn commands(command: &Command, path: &str, found: &mut Vec<String>) {
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                let path = format!("{path} {}", below.get_name()).trim().to_owned();
                commands(below, &path, found);
                found.push(path);
            }
        }
        let mut paths = Vec::new();
        commands(&program(), "", &mut paths);
        for path in paths {
            let examples = examples(&path);
            assert!(!examples.is_empty(), "{path}");
            for line in examples.lines().map(str::trim).filter(|line| line.starts_with("rollcall ")) {
                let line = line.split(" > ").next().unwrap_or_default();
                let parsed = program().try_get_matches_from(shlex::split(line).unwrap());
                assert!(line.starts_with(&format!("rollcall {path}")), "{line}");
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }
}
