//! `rollcall datasets check` and `list`.

use rollcall_tests::{Outcome, dataset_names, rollcall, workspace};

fn datasets(args: &[&str]) -> Outcome {
    Outcome::from_output(rollcall(&[&["datasets"], args].concat()).output().expect("the binary starts"))
}

#[test]
fn every_built_in_descriptor_is_valid() {
    let folder = workspace().join("datasets");
    let files: Vec<String> =
        dataset_names().iter().map(|name| folder.join(format!("{name}.toml")).display().to_string()).collect();
    let args: Vec<&str> = ["check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let outcome = datasets(&args).expect(0);
    assert_eq!(outcome.stdout.lines().filter(|line| line.contains(": valid, ")).count(), 123);
    assert!(outcome.stderr.lines().all(|line| line.starts_with("note: axis ")), "{}", outcome.stderr);
}

#[test]
fn a_path_that_is_not_one_of_the_portals_is_noted() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let file = folder.path().join("mine.toml").display().to_string();
    let _ = datasets(&["new", &file, "--from", "meps"]).expect(0);
    assert_eq!(datasets(&["check", &file]).expect(0).stderr, "");
    let text = std::fs::read_to_string(&file).expect("the file can be read");
    std::fs::write(&file, text.replace("schools/meps/", "schools/mep/")).expect("the file can be written");
    assert_eq!(
        datasets(&["check", &file]).expect(0).stderr,
        "note: the path `schools/mep/{year}/` is not one of the 129 in `rollcall datasets list --format json`; the \
         closest is `schools/meps/{year}/`\n"
    );
}

#[test]
fn each_of_several_invalid_descriptors_is_reported_and_the_valid_one_too() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    };
    let (one, two) = (file("one.toml", "name = 1"), file("two.toml", "name = \"two\""));
    let valid = workspace().join("datasets/meps.toml").display().to_string();
    let outcome = datasets(&["check", &one, &valid, &two]).expect(2);
    assert_eq!(outcome.stderr.matches("error: InvalidDescriptor").count(), 2, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, format!("{valid}: valid, 10 columns, key ncessch\n"));
}

#[test]
fn all_129_datasets_of_the_portal_are_listed_and_six_are_not_usable() {
    let outcome = datasets(&["list"]).expect(0);
    let rows: Vec<Vec<&str>> = outcome.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 129);
    assert_eq!(rows.iter().filter(|row| row[1] == "yes").count(), 123);
    let unknown: Vec<&str> = rows.iter().filter(|row| row[1] == "no").map(|row| row[0]).collect();
    assert_eq!(
        unknown,
        [
            "campus_crime_hate_crimes",
            "crdc_covid_indicators",
            "crdc_internet_access",
            "nhgis_census_2020",
            "nhgis_colleges_census_2020",
            "pseo_earnings_and_flows"
        ]
    );
    assert_eq!(datasets(&["list", "ccd_dist*"]).expect(0).stdout.lines().count(), 7);
    assert_eq!(datasets(&["list", "--search", "Pell", "college-university"]).expect(0).stdout.lines().count(), 2);
    let refused = datasets(&["list", "nasa_*"]).expect(2).stderr;
    assert_eq!(
        refused,
        "error: list datasets: expected a name, a pattern or a section, found no dataset that matches `nasa_*`\n"
    );
}

#[test]
fn a_dataset_whose_columns_are_not_known_is_refused_by_every_command() {
    let expected = "error: InvalidRequest: check request: `dataset`: `pseo_earnings_and_flows`: columns not known yet; run \
                    `rollcall datasets generate pseo_earnings_and_flows`\n";
    let lake = tempfile::tempdir().expect("a temporary folder can be created");
    let lake = lake.path().to_str().expect("the path is text");
    let name = "pseo_earnings_and_flows";
    let run = ["run", "--lake", lake, "--sample", "--years", "2021", "--grades", "grade-pk"];
    let _ = Outcome::from_output(rollcall(&run).output().expect("the binary starts")).expect(0);
    for args in [
        &["datasets", "show", name][..],
        &["datasets", "template", name],
        &["run", "--lake", lake, "--dataset", name, "--years", "2020", "--sample"],
        &["run", "--lake", lake, "--dataset", "pseo_*", "--years", "2020", "--sample"],
        &["plan", "--lake", lake, "--dataset", name, "--years", "2020", "--sample"],
        &["status", "--lake", lake, "--dataset", name],
        &["repair", "--lake", lake, "--dataset", name],
    ] {
        let outcome = Outcome::from_output(rollcall(args).output().expect("the binary starts"));
        let outcome = outcome.expect(2);
        assert_eq!(outcome.stderr, expected, "{args:?}");
    }
}
