//! What users do to a lake folder: pass a folder that is not a lake, move it away, spread it over disks, put
//! blocking special files into it. Also covers how a command ends on a signal.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rollcall_tests::{
    Killed, Outcome, TestLake, TestPortal, binary, data, in_namespaces, rollcall, stalled, wait_until, workspace,
};
use serde_json::Value;

const TABLE: &str = "ccd_school.us_education_ccd_enrollment_data";
const OBJECT: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-k/part-00000.parquet";
const ONE_GRADE: [&str; 4] = ["--years", "2021", "--grades", "grade-k"];
const TWO_GRADES: [&str; 4] = ["--years", "2021", "--grades", "grade-pk,grade-k"];

/// Starts a run with its output piped.
fn start(lake: &Path, portal: &TestPortal, args: &[&str]) -> Killed {
    start_by(rollcall(&[]), lake, portal, args)
}

fn start_by(mut command: Command, lake: &Path, portal: &TestPortal, args: &[&str]) -> Killed {
    command.args(["run", "--retry-wait", "0", "--portal", &portal.origin(), "--lake"]).arg(lake).args(args);
    Killed(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Returns the folder and everything in it by path: kind, bytes or link target, and time.
fn snapshot(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut paths = vec![folder.to_owned()];
    while let Some(path) = paths.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let bytes = if metadata.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            b"folder".to_vec()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            b"other".to_vec()
        };
        found.insert(path.display().to_string(), (bytes, metadata.modified().unwrap()));
    }
    found
}

/// Returns every command that takes a folder, with its arguments.
fn commands(portal: &TestPortal) -> [Vec<String>; 7] {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let origin = portal.origin();
    let select = vec!["query".to_owned(), "select 1 as one".to_owned()];
    [
        words(&format!("run --years 2021 --grades grade-k --retry-wait 0 --portal {origin}")),
        words("run --years 2021 --grades grade-k --sample"),
        words(&format!("plan --years 2021 --grades grade-k --portal {origin}")),
        words("repair"),
        words("status"),
        select,
        words("prune --keep-days 0"),
    ]
}

/// Guard: a folder is a lake only if it has a mark, which is the lake's first file.
///
/// Found by use: H1.
#[test]
fn f1_every_command_rejects_a_folder_that_is_not_a_lake_and_leaves_it_unchanged() {
    let portal = TestPortal::small();
    type Fill = fn(&Path);
    fn put(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let fills: [Fill; 17] = [
        |folder| put(folder, ".tmp/.tmpAbC123", "mine"),
        |folder| put(folder, ".tmp", "mine"),
        |folder| symlink("/etc", folder.join(".tmp")).unwrap(),
        |folder| put(folder, ".lock", "mine"),
        |folder| put(folder, ".lock", ""),
        |folder| put(folder, OBJECT, "mine"),
        |folder| put(folder, "ledger/ccd_enrollment/runs/r1/plan.json", "[]"),
        |folder| put(folder, "catalog/ccd_school/lookup_sexes.json", "{}"),
        |folder| put(folder, "lake.json", "{\"name\": \"Tahoe\", \"depth_m\": 501}"),
        |folder| put(folder, "lake.json", "{\"is_sample\": false, \"name\": \"Tahoe\"}"),
        |folder| put(folder, "lake.json", "{}"),
        |folder| put(folder, "lake.json", "[]"),
        |folder| put(folder, "lake.json", ""),
        |folder| put(folder, "lake.json/mine", "mine"),
        |folder| symlink("/nowhere", folder.join("lake.json")).unwrap(),
        |folder| put(folder, "notes.txt", "mine"),
        |folder| fs::create_dir(folder.join(".lake.json-AbC123")).unwrap(),
    ];
    for (n, fill) in fills.into_iter().enumerate() {
        let lake = TestLake::new();
        fill(lake.path());
        let before = snapshot(lake.path());
        for command in commands(&portal) {
            let args: Vec<&str> = command[1..].iter().map(String::as_str).collect();
            let found = lake.rollcall(&command[0], &args).expect(2);
            let name = lake.path().display().to_string();
            assert!(found.stderr.starts_with("error: ") && found.stderr.contains(&name), "{n} {command:?}: {found:?}");
            assert!(found.stderr.contains("hint: ") && found.stdout.is_empty(), "{n} {command:?}: {found:?}");
            assert_eq!(snapshot(lake.path()), before, "{n} {command:?}");
        }
    }
    assert_eq!(portal.n_data_requests(), 0);
}

/// Found by use: H1.
#[test]
fn f1_read_commands_create_nothing_and_repair_creates_no_lake() {
    let portal = TestPortal::small();
    for is_there in [false, true] {
        let outside = tempfile::tempdir().unwrap();
        let lake = outside.path().join("lake");
        if is_there {
            fs::create_dir(&lake).unwrap();
        }
        let before = snapshot(outside.path());
        for (command, code) in
            commands(&portal)[2..].iter().zip(if is_there { [0, 2, 0, 0, 2] } else { [0, 2, 2, 2, 2] })
        {
            let mut command_line = rollcall(&command.iter().map(String::as_str).collect::<Vec<_>>());
            let _ = Outcome::from_output(command_line.arg("--lake").arg(&lake).output().unwrap()).expect(code);
            assert_eq!(snapshot(outside.path()), before, "{command:?}");
        }
    }
}

/// Guard: foreign files in a lake stay unchanged, even those next to a run's temporary files.
///
/// Found by use: H1.
#[test]
fn f1_foreign_files_in_a_lake_stay_unchanged() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &ONE_GRADE).expect(0);
    let theirs = [".tmp/notes.txt", ".tmp/old/.tmpAbC123", "notes.txt", "data/notes.txt", "data/t/year=1/a.parquet"];
    for path in theirs {
        let path = lake.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    fs::write(lake.path().join(".tmp/.tmpDead00"), "PAR1").unwrap();
    let of_theirs = || {
        let mut found = lake.files("");
        found.retain(|path, _| theirs.contains(&path.as_str()));
        found
    };
    let before = of_theirs();
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    let _ = lake.rollcall("repair", &[]).expect(0);
    assert_eq!((of_theirs(), before.len()), (before, theirs.len()));
    assert!(!lake.path().join(".tmp/.tmpDead00").exists());
}

/// Guard: whether a new lake holds the sample or a portal's data is decided only by a plan.
///
/// Found by use: H1.
#[test]
fn f1_a_run_without_a_plan_does_not_decide_what_a_new_lake_holds() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.rollcall("run", &["--sample", "--years", "1900", "--grades", "grade-k"]).expect(2);
    let _ = lake.run(&portal, &ONE_GRADE).expect(0);
    let refused = lake.rollcall("run", &["--sample", "--years", "2021", "--grades", "grade-k"]).expect(2);
    assert!(refused.stderr.contains("found one of portal data"), "{}", refused.stderr);
}

/// Found by use: H1.
#[test]
fn f1_of_runs_that_create_the_same_lake_at_once_only_one_continues() {
    let portal = TestPortal::small();
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let outside = tempfile::tempdir().unwrap();
    let lake = outside.path().join("lake");
    let mut runs: Vec<Killed> = (0..6).map(|_| start(&lake, &portal, &ONE_GRADE)).collect();
    let mut ended = Vec::new();
    wait_until("all runs but one end", || {
        let mut i = 0;
        while i < runs.len() {
            if runs[i].0.try_wait().unwrap().is_some() {
                ended.push(runs.remove(i).wait());
            } else {
                i += 1;
            }
        }
        ended.len() == 5
    });
    for found in ended {
        assert!(found.expect(75).stderr.starts_with("error: LakeLocked: "));
    }
    wait_until("the other run requests data", || portal.n_data_requests() == 1);
    runs[0].signal("INT");
    let _ = runs.remove(0).wait().expect(130);
}

/// Starts a run of seventeen sequential partitions that stalls at its first data request.
fn start_stalled(lake: &Path, portal: &TestPortal) -> Killed {
    let run = start(lake, portal, &["--years", "2021", "--grades", "all", "--in-flight", "1"]);
    wait_until("the run requests data", || portal.n_data_requests() > 0);
    run.signal("STOP");
    run
}

/// Guard: before each write the folder must still be the locked one, and a folder that is gone is not created again.
///
/// Found by use: H9.
#[test]
fn f2_a_run_stops_when_its_lake_is_renamed_or_removed_and_creates_nothing_in_the_old_place() {
    let portal = TestPortal::small();
    for is_renamed in [true, false] {
        let outside = tempfile::tempdir().unwrap();
        let lake = outside.path().join("lake");
        let n_before = portal.n_data_requests();
        let run = start(&lake, &portal, &["--years", "2021", "--grades", "all", "--in-flight", "1"]);
        wait_until("the run requests data", || portal.n_data_requests() > n_before);
        run.signal("STOP");
        if is_renamed {
            fs::rename(&lake, outside.path().join("elsewhere")).unwrap();
        } else {
            fs::remove_dir_all(&lake).unwrap();
        }
        run.signal("CONT");
        let found = run.wait().expect(1);
        assert!(found.stderr.contains("error: StoreFailed: "), "{}", found.stderr);
        assert!(found.stderr.contains(&format!("expected the lake `{}`", lake.display())), "{}", found.stderr);
        assert!(!lake.exists());
        assert!(portal.n_data_requests() < n_before + 20, "the run stops at once");
    }
}

/// Guard: before each write the lock file must still be the one that was locked.
///
/// Found by use: H10.
#[test]
fn f3_a_run_stops_when_its_lock_is_removed_and_another_continues() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let first = start_stalled(lake.path(), &portal);
    fs::remove_file(lake.path().join(".lock")).unwrap();
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    let before = lake.files("");
    first.signal("CONT");
    let found = first.wait().expect(1);
    assert!(found.stderr.contains("error: StoreFailed: write `.lock`"), "{}", found.stderr);
    assert_eq!(lake.files(""), before);
    let _ = lake.run(&portal, &TWO_GRADES).expect(0);
}

/// Found by use: H11.
#[test]
fn f4_a_lock_that_is_a_link_leaves_the_target_unchanged() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &ONE_GRADE).expect(0);
    let outside = tempfile::tempdir().unwrap();
    let theirs = outside.path().join("precious");
    for text in ["precious", "123\n", ""] {
        fs::write(&theirs, text).unwrap();
        let before = snapshot(outside.path());
        let lock = lake.path().join(".lock");
        for link in [|a: &Path, b: &Path| fs::hard_link(a, b), |a: &Path, b: &Path| symlink(a, b)] {
            fs::remove_file(&lock).unwrap();
            link(&theirs, &lock).unwrap();
            for command in [lake.run(&portal, &ONE_GRADE), lake.rollcall("repair", &[])] {
                let found = command.expect(1);
                let reported = format!("expected no links in a lake, found `{}`", lock.display());
                assert!(found.stderr.contains(&reported), "{}", found.stderr);
                assert_eq!(snapshot(outside.path()), before);
            }
        }
    }
}

/// Guard: a file that cannot be renamed across disks is written next to its destination.
///
/// Found by use: B12.
#[test]
fn f5_folders_of_a_lake_may_be_separate_disks() {
    let portal = TestPortal::small();
    let (lake, reference) = (TestLake::new(), TestLake::new());
    let _ = reference.run(&portal, &TWO_GRADES).expect(0);
    let _ = lake.run(&portal, &ONE_GRADE).expect(0);
    let moved = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs none "$LAKE/data" && mount --bind "$LAKE/ledger" "$LAKE/ledger" || exit 99
        mkdir -p "$LAKE/data/us_education_ccd_enrollment_data/year=2021/grade=grade-k" || exit 99
        echo half > "$LAKE/data/us_education_ccd_enrollment_data/year=2021/grade=grade-k/.tmpDead00"
        "$ROLLCALL" run --lake "$LAKE" --portal "$PORTAL" --retry-wait 0 --years 2021 --grades grade-pk,grade-k
        code=$?
        cp -a "$LAKE/data" "$MOVED"
        exit $code
    "#;
    let (folder, moved_to) = (lake.path().to_str().unwrap(), moved.path().to_str().unwrap());
    let settings = [("LAKE", folder), ("MOVED", moved_to), ("PORTAL", &portal.origin())];
    let found = in_namespaces(&["--mount"], script, &settings).expect(0);
    assert!(found.stdout.contains("2 partitions: 2 written"), "{}", found.stdout);
    assert!(data(moved.path()) == data(reference.path()));
}

/// Guard: the content of a folder that cannot be listed is unknown. It does not count as gone, and does not affect
/// other partitions.
///
/// Found by use: B2.
#[test]
fn f6_a_folder_that_cannot_be_listed_removes_no_records_of_its_content() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let _ = lake.run(&portal, &["--years", "2020-2021", "--grades", "grade-k"]).expect(0);
    let before = lake.records("ccd_enrollment");
    let folder = lake.path().join("data/us_education_ccd_enrollment_data/year=2020");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
    // `setpriv` drops the capabilities of a user who may read everything.
    let script = r#"
setpriv --bounding-set=-all --inh-caps=-all "$ROLLCALL" repair --lake "$LAKE" >"$OUT/repair" 2>&1; echo repair $?
setpriv --bounding-set=-all --inh-caps=-all "$ROLLCALL" status --lake "$LAKE" >"$OUT/status" 2>&1; echo status $?
"#;
    let out = tempfile::tempdir().unwrap();
    let settings = [("LAKE", lake.path().to_str().unwrap()), ("OUT", out.path().to_str().unwrap())];
    let found = in_namespaces(&[], script, &settings).expect(0);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let outputs = ["repair", "status"].map(|name| fs::read_to_string(out.path().join(name)).unwrap());
    assert_eq!(found.stdout, "repair 0\nstatus 0\n", "{outputs:?}");
    assert!(outputs.iter().all(|output| output.contains("year=2020/grade=grade-k")), "{outputs:?}");
    assert_eq!(lake.records("ccd_enrollment"), before);
}

/// Guard: a special file is never opened, and affects at most its own partition.
///
/// Found by use: B1, B2.
#[test]
fn f6_a_special_file_in_the_place_of_an_object_blocks_no_command_and_no_other_partition() {
    type Make = fn(&Path);
    let make: [(Make, bool); 3] = [
        (|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()), true),
        (|path| symlink(path, path).unwrap(), true),
        (|path| fs::create_dir(path).unwrap(), false),
    ];
    let portal = TestPortal::small();
    for (make, can_be_replaced) in make {
        let lake = TestLake::new();
        let _ = lake.run(&portal, &ONE_GRADE).expect(0);
        let object = lake.path().join(OBJECT);
        fs::remove_file(&object).unwrap();
        make(&object);
        let begun = Instant::now();
        let _ = lake.rollcall("status", &[]).expect(0);
        let _ = lake.rollcall("repair", &[]).expect(0);
        let found = lake.run(&portal, &["--years", "2021", "--grades", "grade-pk"]).expect(0);
        assert!(found.stdout.contains("1 partition: 1 written"), "{}", found.stdout);
        let sql = format!("select count(*) as n from {TABLE} where grade = 'grade-pk'");
        let answer = lake.rollcall("query", &[&sql, "--format", "csv"]);
        assert_eq!(answer.expect(0).stdout, "n\n165\n");
        let again = lake.run(&portal, &ONE_GRADE).expect(if can_be_replaced { 0 } else { 3 });
        assert_eq!(again.stdout.contains("1 partition: 1 written"), can_be_replaced, "{}", again.stdout);
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }
}

/// Guard: a blocked call is abandoned, and the process exits without waiting for it.
///
/// Found by use: B1.
#[test]
fn d11_d13_a_hanging_mount_blocks_no_command_for_90_seconds_or_for_5_after_a_signal() {
    let portal = TestPortal::small();
    let lakes: [TestLake; 4] = std::array::from_fn(|_| TestLake::new());
    for lake in &lakes {
        let _ = lake.run(&portal, &TWO_GRADES).expect(0);
    }
    // A file system whose server never reads requests.
    let script = r#"
        servers=
        for lake in $LAKES; do
            exec 3<>/dev/fuse || exit 99
            mount -i -t fuse -o fd=3,rootmode=100000,user_id=0,group_id=0 none "$lake/$OBJECT" || exit 99
            sleep 600 > /dev/null 2>&1 &
            servers="$servers $!"
            exec 3>&-
        done
        ended() { # NAME SECONDS COMMAND...: whether it ended by itself in this time
            name=$1 most=$2; shift 2
            begun=$(date +%s)
            timeout -s KILL "$most" "$@" > "$OUT/$name" 2>&1
            echo "$name $? $(( $(date +%s) - begun ))"
        }
        signalled() { # NAME SIGNAL... -- COMMAND...: how long it took to end
            name=$1; shift; signals=; while [ "$1" != -- ]; do signals="$signals $1"; shift; done; shift
            "$@" > "$OUT/$name" 2>&1 & pid=$!
            sleep 3
            begun=$(date +%s%N)
            for signal in $signals; do kill -$signal $pid; sleep 1; done
            wait $pid; code=$?
            echo "$name $code $(( ($(date +%s%N) - begun) / 1000000000 ))"
        }
        set -- $LAKES
        jobs=
        run="run --portal $PORTAL --retry-wait 0 --years 2021"
        ended run 90 "$ROLLCALL" $run --grades grade-k,grade-1 --lake $1 & jobs="$jobs $!"
        ended repair 90 "$ROLLCALL" repair --lake $2 & jobs="$jobs $!"
        ended query 90 "$ROLLCALL" query 'select count(*) from ccd_school.us_education_ccd_enrollment_data' --lake $2 & jobs="$jobs $!"
        ended status 90 "$ROLLCALL" status --lake $2 & jobs="$jobs $!"
        ended plan 90 "$ROLLCALL" plan --portal $PORTAL --years 2021 --grades grade-k --mode missing --lake $2 & jobs="$jobs $!"
        signalled once TERM -- "$ROLLCALL" $run --grades grade-k --lake $3 & jobs="$jobs $!"
        signalled twice TERM TERM -- "$ROLLCALL" $run --grades grade-k --lake $4 & jobs="$jobs $!"
        wait $jobs
        kill $servers
    "#;
    let out = tempfile::tempdir().unwrap();
    let names: Vec<&str> = lakes.iter().map(|lake| lake.path().to_str().unwrap()).collect();
    let settings = [
        ("LAKES", names.join(" ")),
        ("OBJECT", OBJECT.into()),
        ("PORTAL", portal.origin()),
        ("OUT", out.path().display().to_string()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let found = in_namespaces(&["--mount"], script, &settings).expect(0);
    let output = |name: &str| fs::read_to_string(out.path().join(name)).unwrap();
    let ended: BTreeMap<&str, (i32, u64)> = found
        .stdout
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0], (words[1].parse().unwrap(), words[2].parse().unwrap()))
        })
        .collect();
    assert_eq!(ended.len(), 7, "{found:?}");
    for (name, code, most) in [
        ("run", 3, 89),
        ("repair", 0, 89),
        ("query", 1, 89),
        ("status", 0, 89),
        ("plan", 0, 89),
        ("once", 130, 5),
        ("twice", 130, 3),
    ] {
        let (found_code, seconds) = ended[name];
        assert_eq!(found_code, code, "{name}: {}", output(name));
        assert!(seconds <= most, "{name}: {seconds} s: {}", output(name));
    }
    assert!(output("run").contains("1 written, 1 failed"), "{}", output("run"));
}

/// Guard: SIGHUP stops a run gracefully, except for a process started to outlive its terminal.
///
/// Found by use: B9.
#[test]
fn d12_a_run_with_a_closed_terminal_publishes_what_it_committed_and_one_under_nohup_continues() {
    let (lake, portal) = (TestLake::new(), TestPortal::small());
    portal.server.set_faults(vec![stalled("grade-k/")]);
    let run = start(lake.path(), &portal, &[&TWO_GRADES[..], &["--format", "json"]].concat());
    wait_until("one partition is recorded and another in progress", || {
        portal.n_data_requests() >= 3
            && lake.files("ledger").keys().any(|key| key.ends_with("year=2021/grade=grade-pk.json"))
    });
    run.signal("HUP");
    let report: Value = run.wait().expect(130).json();
    assert_eq!(report["outcomes"]["written"], 1);
    let answer = lake.rollcall("query", &[&format!("select distinct grade from {TABLE}"), "--format", "csv"]);
    assert_eq!(answer.expect(0).stdout, "grade\ngrade-pk\n");

    let (lake, portal) = (TestLake::new(), TestPortal::small());
    let mut nohup = Command::new("sh");
    nohup.env_remove("ROLLCALL_LOG").args(["-c", r#"trap '' HUP; exec "$0" "$@""#]).arg(binary());
    let run = start_by(nohup, lake.path(), &portal, &["--years", "2021", "--grades", "all", "--in-flight", "1"]);
    wait_until("the run requests data", || portal.n_data_requests() > 0);
    run.signal("HUP");
    let found = run.wait().expect(0);
    assert!(found.stdout.contains("17 written"), "{}", found.stdout);
}

/// A preloaded replacement for `fsync`, and a log of its calls.
struct Flushes {
    folder: tempfile::TempDir,
}

impl Flushes {
    /// Starts a run whose write of an object hangs until the returned file is removed.
    fn hold(&self, mut command: Command, lake: &TestLake, portal: &TestPortal) -> (Killed, PathBuf) {
        let holds = self.folder.path().join("holds");
        fs::write(&holds, "").unwrap();
        self.set(&mut command);
        command.env("FSYNC_HOLDS", &holds);
        let run = start_by(command, lake.path(), portal, &ONE_GRADE);
        let is_object = |call: &(String, u64, String)| call.0 == "file" && call.1 > 4_000;
        wait_until("the object is being written", || self.calls().iter().any(is_object));
        (run, holds)
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = workspace().join("tests/fixtures/fsync.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).arg(folder.path().join("fsync.so")).arg(source).arg("-ldl");
        assert!(compile.status().expect("the system has a C compiler").success());
        Self { folder }
    }

    fn set(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.folder.path().join("fsync.so")).env("FSYNC_LOG", self.folder.path().join("log"));
    }

    /// Returns the calls so far, each as `file` or `folder`, size and path.
    fn calls(&self) -> Vec<(String, u64, String)> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let words = |line: &str| {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            (words[0].to_owned(), words[1].parse().unwrap(), words[2].to_owned())
        };
        log.lines().map(words).collect()
    }
}

/// Guard: a file is flushed before it is moved into place, and its folder afterwards, so that both survive a power
/// failure.
#[test]
fn every_file_and_folder_of_a_lake_is_flushed_and_a_file_that_cannot_be_is_not_moved_into_place() {
    let portal = TestPortal::small();
    let (lake, flushes) = (TestLake::new(), Flushes::new());
    let run = |args: &[&str], fails: Option<&str>| {
        let origin = portal.origin();
        lake.rollcall_with("run", &[&["--portal", &origin, "--retry-wait", "0"], args].concat(), |command| {
            flushes.set(command);
            command.envs(fails.map(|kind| ("FSYNC_FAILS", kind)));
        })
    };
    let found = run(&ONE_GRADE, Some("file")).expect(1);
    assert!(found.stderr.contains("lake.json`: Input/output error"), "{}", found.stderr);
    assert_eq!(snapshot(lake.path()).len(), 1, "expected no files, not even a mark");
    let found = run(&ONE_GRADE, Some("folder")).expect(1);
    assert!(found.stderr.contains("lake.json`: Input/output error"), "{}", found.stderr);

    let _ = run(&ONE_GRADE, None).expect(0);
    let calls = flushes.calls();
    let is_flushed = |path: &Path| calls.iter().any(|(kind, _, found)| kind == "folder" && Path::new(found) == path);
    let lake_path = fs::canonicalize(lake.path()).unwrap();
    for (path, (bytes, _)) in lake.files("") {
        if path == ".lock" {
            continue;
        }
        let file = lake_path.join(&path);
        let is_written = calls.iter().any(|(kind, size, _)| kind == "file" && *size == bytes.len() as u64);
        assert!(
            is_written && file.ancestors().skip(1).take_while(|folder| folder.starts_with(&lake_path)).all(is_flushed),
            "{path}"
        );
    }

    let before = data(lake.path());
    for kind in ["file", "folder"] {
        let found = run(&["--years", "2021", "--grades", "grade-pk"], Some(kind)).expect(1);
        assert!(found.stderr.contains("Input/output error"), "{}", found.stderr);
        assert!(data(lake.path()) == before, "{kind}");
    }
}

/// Guard: writes that are in progress when a run is asked to stop are finished before the catalog is updated.
#[test]
fn d6_an_object_in_progress_when_a_run_is_asked_to_stop_is_registered_too() {
    let portal = TestPortal::small();
    let (lake, flushes) = (TestLake::new(), Flushes::new());
    let mut command = rollcall(&[]);
    command.env("ROLLCALL_LOG", "rollcall_adapters=debug");
    let (mut run, holds) = flushes.hold(command, &lake, &portal);
    run.signal("INT");
    // The message appears while the object is not yet visible.
    let mut log = BufReader::new(run.0.stderr.take().unwrap()).lines();
    assert!(
        log.any(|line| line.unwrap().contains("waiting for running calls")),
        "expected a message that the run waits for its write"
    );
    fs::remove_file(&holds).unwrap();
    let _ = run.wait().expect(130);
    let answer = lake.rollcall("query", &[&format!("select count(*) as n from {TABLE}"), "--format", "csv"]);
    assert_eq!(answer.expect(0).stdout, "n\n192\n");
}

/// Guard: a run waits for a hanging write only briefly, and not at all after a second signal.
///
/// Found by use: B1.
#[test]
fn d11_d13_a_run_with_a_hanging_write_ends_within_five_seconds_of_a_signal_and_at_once_at_a_second() {
    let portal = TestPortal::small();
    for is_twice in [true, false] {
        let (lake, flushes) = (TestLake::new(), Flushes::new());
        let (run, _holds) = flushes.hold(rollcall(&[]), &lake, &portal);
        let asked = Instant::now();
        run.signal("TERM");
        if is_twice {
            // Two pending signals of the same kind are merged into one.
            run.signal("INT");
        }
        let found = run.wait().expect(130);
        assert!(asked.elapsed() < Duration::from_secs(if is_twice { 3 } else { 5 }), "{:?}", asked.elapsed());
        let reported = "warning: the lake does not respond; stopped waiting for pending writes\n\
                    interrupted: committed partitions are kept; 0 partitions not tried\n\
                    stopped: committed partitions are kept; the next run registers them for queries\n";
        assert_eq!(found.stderr, if is_twice { "" } else { reported });
    }
}
