//! Runs on a folder that are killed, and portals that fail, many times over: what remains is intact, and later runs
//! complete it.
//!
//! The normal tests do a few of each, `make kill` many. `ROLLCALL_SEED` determines when each happens, as far as the
//! machine's timing allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::chance::{number_from_env, portal_faults};
use rollcall_tests::{ENROLLMENT, HUNDRED, Killed, TestLake, TestPortal, data, files_below, rollcall};
use serde_json::Value;

/// File contents by path in the lake.
type Files = BTreeMap<String, Vec<u8>>;

/// A run whose log is read; killed when the test ends.
struct Started(Killed);

impl Started {
    fn run(lake: &Path, portal: &TestPortal, args: &[&str]) -> Self {
        let mut command = rollcall(&["run", "--retry-wait", "0", "--portal", &portal.origin()]);
        command.args(args).env("ROLLCALL_LAKE", lake);
        command.env("ROLLCALL_LOG", "rollcall=debug,rollcall_core=debug,rollcall_adapters=debug");
        Self(Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn lines(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.0.0.stderr.take().unwrap())
    }

    /// Kills the run. Returns whether the kill ended it.
    fn kill(&mut self) -> bool {
        let _ = self.0.0.kill();
        self.0.0.wait().unwrap().signal() == Some(9)
    }
}

/// Copies a lake without its lookup tables, so that every run has to write those.
fn copy(from: &Path, to: &Path) {
    // Keep the modification times, since an object's is part of its metadata.
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
    for table in fs::read_dir(to.join("data")).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if table.file_name().unwrap().to_str().unwrap().starts_with("lookup_") {
            fs::remove_dir_all(table).unwrap();
        }
    }
}

/// Returns what a run is doing after it logs a line, or `None` if the line does not show it.
fn phase_after(line: &str) -> Option<&'static str> {
    let is_of_table = line.contains(ENROLLMENT);
    let is_of_lookup = line.contains("data/lookup_");
    Some(match line {
        _ if line.contains("lake locked") => "planning",
        _ if line.contains(": page re") && line.contains("/api/v1/api-") => "planning",
        _ if line.contains("plan written") => "fetching",
        _ if line.contains(": page re") || line.contains(": page admitted") => "fetching",
        _ if line.contains(": rows complete") => "encoding",
        _ if line.contains(": partition encoded") => "committing",
        _ if line.contains(": object ") && is_of_table => "committing",
        _ if line.contains(": receipt written") || line.contains(": partition fetched") => "committing",
        _ if line.contains(": object ") && is_of_lookup => "publishing",
        _ if line.contains(": publishing started") || line.contains(": partitions published") => "publishing",
        _ if line.contains(": receipts read") || line.contains(": records written") => "publishing",
        _ if line.contains(": look-up table written") || line.contains(": summary written") => "publishing",
        _ => return None,
    })
}

/// Log lines at which a run is killed, grouped by phase, each with how often a run logs it: once; once for each of six
/// partitions; once for each of their three pages, the first of which is requested twice; once or twice for each of
/// four lookup tables.
const PHASES: [(&str, &[(&str, usize)]); 5] = [
    (
        "planning",
        &[("lake locked", 1), ("page requested path=\"/api/v1/api-", 1), ("page received path=\"/api/v1/api-", 1)],
    ),
    (
        "fetching",
        &[
            ("plan written", 1),
            ("page requested path=\"/api/v1/schools/", 24),
            ("page received path=\"/api/v1/schools/", 24),
            ("page admitted", 18),
        ],
    ),
    ("encoding", &[("rows complete", 6)]),
    (
        "committing",
        &[
            ("partition encoded", 6),
            ("object written to temporary file key=\"data/us_", 6),
            ("object committed key=\"data/us_", 6),
            ("receipt written", 6),
        ],
    ),
    (
        "publishing",
        &[
            ("publishing started", 1),
            ("receipts read", 1),
            ("records written", 1),
            ("partitions published", 1),
            ("data/lookup_", 8),
            ("look-up table written", 4),
            ("summary written", 1),
        ],
    ),
];

const GRADES: [&str; 4] = ["--years", "2020-2021", "--grades", "grade-pk,grade-k,grade-1"];
const N_PARTITIONS: usize = 6;

/// Two versions of the portal's data, and lakes that hold the older one.
struct Versions {
    portal: TestPortal,
    old: Files,
    new: Files,
    catalog: Files,
    /// An empty lake, one with half of the partitions, and a complete one, all in the older version.
    starts: [TestLake; 3],
}

impl Versions {
    fn new() -> Self {
        let portal = TestPortal::start(Config { rows: Some(1_500), page_size: 600, ..Config::default() });
        let starts = [TestLake::new(), TestLake::new(), TestLake::new()];
        let _ = starts[1].run(&portal, &[&GRADES[2..], &["--years", "2021"]].concat()).expect(0);
        let _ = starts[2].run(&portal, &GRADES).expect(0);
        let old = data(starts[2].path());
        let field = "enrollment".to_owned();
        portal.server.set_faults(vec![Fault::new(Action::SetField { row: None, field, json: "7".to_owned() })]);
        let lake = TestLake::new();
        let _ = lake.run(&portal, &GRADES).expect(0);
        let new = data(lake.path());
        assert!(
            old.len() == N_PARTITIONS
                && old.keys().eq(new.keys())
                && old.iter().all(|(path, bytes)| new[path] != *bytes)
        );
        // A query reads them as Parquet, with the rows of a single version.
        for (lake, expected) in [(&starts[2], "n,sevens\n9000,false\n"), (&lake, "n,sevens\n9000,true\n")] {
            let sql = "select count(*) as n, min(enrollment) = 7 and max(enrollment) = 7 as sevens \
                       from ccd_school.us_education_ccd_enrollment_data";
            assert_eq!(lake.rollcall("query", &[sql, "--format", "csv"]).expect(0).stdout, expected);
        }
        let catalog = files_below(lake.path(), "catalog");
        Self { portal, old, new, catalog, starts }
    }

    /// Returns what is wrong with a data file: unknown path, incomplete, or of neither version.
    fn wrong(&self, path: &str, bytes: &[u8]) -> Option<String> {
        let of = |version: &Files| version.get(path).is_some_and(|expected| expected == bytes);
        (!of(&self.old) && !of(&self.new)).then(|| format!("{path}: {} bytes of no version", bytes.len()))
    }
}

/// Repeatedly reads what any reader may: every partition completely, and every catalog table as JSON.
fn read_on(lake: &Path, versions: &Versions, is_over: &AtomicBool, n_reads: &AtomicUsize) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    while !is_over.load(Ordering::Relaxed) {
        let found = data(lake);
        n_reads.fetch_add(found.len(), Ordering::Relaxed);
        wrong.extend(found.iter().filter_map(|(path, bytes)| versions.wrong(path, bytes)));
        wrong.extend(seen.iter().filter(|path| !found.contains_key(*path)).map(|path| format!("{path}: gone")));
        seen.extend(found.into_keys());
        for (path, bytes) in [files_below(lake, "catalog"), files_below(lake, "ledger")].into_iter().flatten() {
            if serde_json::from_slice::<Value>(&bytes).is_err() {
                wrong.push(format!("{path}: {} bytes that are no JSON", bytes.len()));
            }
        }
        // Leave the run some CPU time.
        std::thread::sleep(Duration::from_millis(5));
    }
    wrong
}

/// Kills a run shortly after it logs a line. Returns what it was doing, or `None` if it had ended.
fn kill_at(lake: &Path, versions: &Versions, trigger: &str, nth: usize, wait: Duration) -> Option<&'static str> {
    let mut run = Started::run(lake, &versions.portal, &GRADES);
    let mut lines = run.lines();
    let (mut n_seen, mut phase, mut line) = (0, None, String::new());
    while n_seen < nth && lines.read_line(&mut line).unwrap() > 0 {
        phase = phase_after(&line).or(phase);
        n_seen += usize::from(line.contains(trigger));
        line.clear();
    }
    let until = Instant::now() + wait;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    let is_killed = run.kill();
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
    // The last line may be incomplete.
    for line in String::from_utf8_lossy(&rest).split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        phase = phase_after(line).or(phase);
    }
    is_killed.then(|| phase.unwrap_or("planning"))
}

/// Kills one run and completes its lake. Returns what the killed run was doing.
fn kill_and_complete(
    versions: &Versions,
    random: &mut Rng,
    target: usize,
    n_reads: &AtomicUsize,
) -> Option<&'static str> {
    let lake = TestLake::new();
    let start = random.choice(&versions.starts).unwrap();
    copy(start.path(), lake.path());
    let before = data(lake.path());
    let (trigger, n_times) = *random.choice(PHASES[target].1).unwrap();
    let (nth, wait) = (random.usize(1..=n_times), Duration::from_micros(random.u64(..300)));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(lake.path(), versions, &is_over, n_reads));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let phase = kill_at(lake.path(), versions, trigger, nth, wait);
            let left = data(lake.path());
            let wrong: Vec<String> = left.iter().filter_map(|(path, bytes)| versions.wrong(path, bytes)).collect();
            assert_eq!(wrong, Vec::<String>::new(), "truncated or duplicated after a kill while {phase:?}");
            assert!(before.keys().all(|path| left.contains_key(path)), "lost after a kill while {phase:?}");

            let rest = lake.run(&versions.portal, &[&GRADES[..], &["--format", "json"]].concat()).expect(0).json();
            assert_eq!(
                rest["outcomes"]["written"].as_u64().unwrap() + rest["outcomes"]["unchanged"].as_u64().unwrap(),
                6
            );
            assert!(data(lake.path()) == versions.new, "after {phase:?}");
            // The tables of the history depend on what there was to replace, which is kept.
            let mut catalog = files_below(lake.path(), "catalog");
            catalog.retain(|path, _| !path.contains("_history") && !path.contains("_editions"));
            assert!(catalog == versions.catalog, "after {phase:?}");
            let kept: Vec<Vec<u8>> = files_below(lake.path(), "history").into_values().collect();
            assert!(before.values().all(|replaced| kept.contains(replaced)), "after {phase:?}");
            assert_eq!(files_below(lake.path(), ".tmp").len(), 0);
            let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
            assert_eq!(status["partitions"].as_array().unwrap().len(), N_PARTITIONS);
            assert!(status["last_run"]["finished_at"].is_string(), "{status}");
            assert_eq!(status["last_run"]["name"], rest["run"]);
            phase
        }));
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(reader.join().unwrap(), Vec::<String>::new(), "seen by a reader");
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Guard: an object, a record or a catalog table is complete as soon as it is visible, and the next run does what a
/// killed run left undone. `ROLLCALL_KILLS` kills, at least 12 of 100 in each phase.
#[test]
fn d2_runs_killed_in_every_phase_lose_duplicate_and_truncate_nothing_and_the_next_run_completes_them() {
    let n_kills = number_from_env("ROLLCALL_KILLS", 25);
    let n_least = n_kills * 12 / 100;
    let mut random = Rng::with_seed(number_from_env("ROLLCALL_SEED", 1));
    let (versions, n_reads) = (Versions::new(), AtomicUsize::new(0));
    let mut by_phase: BTreeMap<&str, u64> = PHASES.iter().map(|(phase, _)| (*phase, 0)).collect();
    let mut n_tries = 0;
    while by_phase.values().sum::<u64>() < n_kills || by_phase.values().any(|n| *n < n_least) {
        n_tries += 1;
        assert!(n_tries <= 4 * n_kills, "expected {n_least} kills in each phase, found {by_phase:?}");
        // Aim at the phase with the fewest kills so far.
        let target = (0..PHASES.len()).min_by_key(|index| by_phase[PHASES[*index].0]).unwrap();
        if let Some(phase) = kill_and_complete(&versions, &mut random, target, &n_reads) {
            *by_phase.get_mut(phase).unwrap() += 1;
        }
    }
    let n_reads = n_reads.load(Ordering::Relaxed);
    assert!(n_reads > 0);
    println!(
        "{} kills in {n_tries} runs: {by_phase:?}; a reader read {n_reads} objects",
        by_phase.values().sum::<u64>()
    );
}

/// Kills a run after a number of page requests.
fn kill_after(lake: &Path, portal: &TestPortal, args: &[&str], n_pages: usize) {
    let mut run = Started::run(lake, portal, args);
    let lines = run.lines();
    let is_page = |line: &String| line.contains("page requested path=\"/api/v1/schools/");
    let mut n_left = n_pages;
    for line in lines.lines().map(Result::unwrap) {
        n_left -= usize::from(is_page(&line));
        if n_left == 0 {
            break;
        }
    }
    assert!(run.kill(), "the run ended before it requested {n_pages} pages");
}

/// Runs with faults and kills, then at most three more times. Returns the number of additional runs.
fn converge(expected: &Files, catalog: &Files, portal: &TestPortal, seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let lake = TestLake::new();
    let path = lake.path();
    // Returns how many partitions are correct. Only those damaged on disk may be wrong.
    let n_right = |lost: &Files, when: &str| {
        let found = data(path);
        let is_wrong = |it: &(&String, &Vec<u8>)| expected.get(it.0) != Some(it.1) && lost.get(it.0) != Some(it.1);
        assert_eq!(found.iter().find(is_wrong).map(|it| it.0), None, "seed {seed}, {when}");
        found.iter().filter(|it| expected.get(it.0) == Some(it.1)).count()
    };
    portal.server.set_faults(portal_faults(&mut random));
    kill_after(path, portal, &HUNDRED, random.usize(5..85));
    let _ = n_right(&Files::new(), "after the first kill");
    portal.server.set_faults(portal_faults(&mut random));
    kill_after(path, portal, &[&HUNDRED[..], &["--mode", "missing"]].concat(), random.usize(5..85));
    let _ = n_right(&Files::new(), "after the second kill");
    // The disk damages one object in twenty: truncated, emptied or removed.
    let mut lost = Files::new();
    for (n, (name, bytes)) in data(path).into_iter().step_by(20).enumerate() {
        let left = if n % 3 == 0 { &bytes[..bytes.len() / 2] } else { &[] };
        match n % 3 {
            2 => fs::remove_file(path.join(&name)).unwrap(),
            _ => fs::write(path.join(&name), left).unwrap(),
        }
        lost.insert(name, left.to_vec());
    }
    for (n_more, mode) in ["missing", "failed", "missing"].into_iter().enumerate() {
        portal.server.set_faults(portal_faults(&mut random));
        let found = lake.run(portal, &[&HUNDRED[..], &["--mode", mode]].concat());
        assert!(matches!(found.code, Some(0 | 3)), "seed {seed}: {found:?}");
        if n_right(&lost, "after a complete run") == 100 {
            assert!(files_below(path, "catalog") == *catalog, "seed {seed}");
            assert_eq!(files_below(path, ".tmp").len(), 0);
            let status = lake.rollcall("status", &["--format", "json"]).expect(0).json();
            assert_eq!(status["partitions"].as_array().unwrap().len(), 100);
            assert!(status["last_run"]["finished_at"].is_string(), "{status}");
            return n_more + 1;
        }
    }
    panic!(
        "seed {seed}: expected 100 correct partitions after three more runs, found {}",
        n_right(&lost, "at the end")
    );
}

/// Guard: retries, modes and publishing complete the lake together, with one faulty request in ten, one lost object in
/// twenty, and two kills. Repeated `ROLLCALL_CONVERGENCES` times.
#[test]
fn d2_a_hundred_partitions_converge_in_three_runs_after_faults_and_two_kills() {
    let portal = TestPortal::start(Config { n_schools: 60, page_size: 25, ..Config::default() });
    let reference = TestLake::new();
    let _ = reference.run(&portal, &HUNDRED).expect(0);
    let (expected, catalog) = (data(reference.path()), files_below(reference.path(), "catalog"));
    assert_eq!(expected.len(), 100);
    let first = number_from_env("ROLLCALL_SEED", 1);
    let mut by_runs = BTreeMap::new();
    for seed in first..first + number_from_env("ROLLCALL_CONVERGENCES", 1) {
        *by_runs.entry(converge(&expected, &catalog, &portal, seed)).or_insert(0) += 1;
    }
    println!("lakes by the runs that it took after two kills: {by_runs:?}");
}
