//! When a partition is rewritten and when it stays unchanged.

use std::path::Path;
use std::process::Command;

use rollcall_tests::{TestLake, TestPortal, python, workspace, write_page};

const PATH: &str = "schools/ccd/enrollment/2021/grade-pk";
const OBJECT: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";

fn row(school: u32, enrollment: u32) -> String {
    format!(
        "{{\"year\":2021,\"ncessch\":\"{school:012}\",\"ncessch_num\":{school},\"grade\":-1,\"race\":99,\"sex\":99,\
         \"enrollment\":{enrollment},\"fips\":1,\"leaid\":\"100002\"}}"
    )
}

fn serve(folder: &Path, rows: &[String]) {
    let body = format!("{{\"count\":{},\"next\":null,\"previous\":null,\"results\":[{}]}}", rows.len(), rows.join(","));
    write_page(folder, PATH, 1, body.as_bytes());
}

/// A lake with one partition of four rows, its portal, and the folder with the portal's response bodies.
struct Scene {
    lake: TestLake,
    portal: TestPortal,
    bodies: tempfile::TempDir,
    rows: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let bodies = tempfile::tempdir().unwrap();
        let rows: Vec<String> = (1..=4).map(|school| row(school, 10 * school)).collect();
        serve(bodies.path(), &rows);
        let portal = TestPortal::recorded(bodies.path());
        let scene = Self { lake: TestLake::new(), portal, bodies, rows };
        assert_eq!(scene.run(&[]), "written");
        scene
    }

    /// Runs the partition and returns its outcome.
    fn run(&self, more: &[&str]) -> String {
        let mut args = vec!["--partition", "2021/grade-pk", "--format", "json"];
        args.extend(more);
        let report = self.lake.run(&self.portal, &args).expect(0).json();
        report["partitions"][0]["outcome"].as_str().unwrap().to_owned()
    }

    fn sum(&self) -> String {
        let sql = "select sum(enrollment) as students from ccd_school.us_education_ccd_enrollment_data";
        self.lake.rollcall("query", &[sql, "--format", "csv"]).expect(0).stdout
    }
}

#[test]
fn a_run_that_finds_the_same_rows_leaves_bytes_and_time_unchanged() {
    let scene = Scene::new();
    let before = scene.lake.files("data");
    assert_eq!(scene.run(&[]), "unchanged");
    assert_eq!(scene.lake.files("data"), before);
}

#[test]
fn another_row_order_is_the_same_edition() {
    let mut scene = Scene::new();
    let before = scene.lake.files("data");
    scene.rows.reverse();
    serve(scene.bodies.path(), &scene.rows);
    assert_eq!(scene.run(&[]), "unchanged");
    assert_eq!(scene.lake.files("data"), before);
}

#[test]
fn a_changed_value_rewrites_the_partition() {
    let mut scene = Scene::new();
    assert_eq!(scene.sum(), "students\n100\n");
    scene.rows[2] = row(3, 31);
    serve(scene.bodies.path(), &scene.rows);
    assert_eq!(scene.run(&[]), "written");
    assert_eq!(scene.sum(), "students\n101\n");
    assert_eq!(scene.run(&[]), "unchanged");
}

#[test]
fn a_value_that_moves_to_another_row_is_another_edition() {
    let mut scene = Scene::new();
    scene.rows[0] = row(1, 20);
    scene.rows[1] = row(2, 10);
    serve(scene.bodies.path(), &scene.rows);
    assert_eq!(scene.run(&[]), "written");
}

#[test]
fn a_changed_descriptor_rewrites_the_partition() {
    let scene = Scene::new();
    let text = std::fs::read_to_string(workspace().join("datasets/ccd_enrollment.toml")).unwrap();
    let wider = text.replacen("width = 7", "width = 9", 1);
    assert_ne!(wider, text);
    let file = scene.bodies.path().join("wider.toml");
    std::fs::write(&file, wider).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(scene.run(&["--dataset", file]), "written");
    assert_eq!(scene.run(&["--dataset", file]), "unchanged");
    let sql = "select distinct leaid from ccd_school.us_education_ccd_enrollment_data";
    let answer = scene.lake.rollcall("query", &[sql, "--format", "csv"]).expect(0);
    assert_eq!(answer.stdout, "leaid\n000100002\n");
}

/// Rewrites the object with PyArrow and sets the encoding version of its edition.
fn rewrite_by_another_program(scene: &Scene, encoding_version: &str) {
    let script = "
import sys, pyarrow.parquet as pq
path, version = sys.argv[1:]
table = pq.read_table(path, partitioning=None)
said = dict(pq.read_metadata(path).metadata)
said[b'rollcall.edition'] = said[b'rollcall.edition'].rsplit(b'-', 1)[0] + b'-' + version.encode()
pq.write_table(table.replace_schema_metadata(said), path)
";
    let output = Command::new(python())
        .args(["-c", script])
        .arg(scene.lake.path().join(OBJECT))
        .arg(encoding_version)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_changed_encoding_version_rewrites_the_partition() {
    let scene = Scene::new();
    let ours = scene.lake.files("data")[OBJECT].0.clone();
    // The edition in the footer decides: a file with the same edition is not rewritten.
    rewrite_by_another_program(&scene, "2");
    assert_eq!(scene.run(&[]), "unchanged");
    rewrite_by_another_program(&scene, "1");
    assert_eq!(scene.run(&[]), "rewritten");
    assert_eq!(scene.lake.files("data")[OBJECT].0, ours);
}

#[test]
fn two_lakes_of_the_same_rows_hold_the_same_bytes() {
    let scene = Scene::new();
    let other = TestLake::new();
    let _ = other.run(&scene.portal, &["--partition", "2021/grade-pk"]).expect(0);
    let bytes = |lake: &TestLake| -> Vec<(String, Vec<u8>)> {
        lake.files("data").into_iter().map(|(path, (bytes, _))| (path, bytes)).collect()
    };
    assert_eq!(bytes(&scene.lake), bytes(&other));
}

#[test]
fn an_object_that_is_not_parquet_is_replaced() {
    let scene = Scene::new();
    let ours = scene.lake.files("data")[OBJECT].0.clone();
    std::fs::write(scene.lake.path().join(OBJECT), &ours[..ours.len() / 2]).unwrap();
    assert_eq!(scene.run(&[]), "written");
    assert_eq!(scene.lake.files("data")[OBJECT].0, ours);
}
