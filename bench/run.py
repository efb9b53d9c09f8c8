"""Measures `rollcall` against its simulator and prints whether the bars hold. README.md explains the figures.

Exit code: 0 if every bar holds (or with `--quick`), 1 if one does not, 2 if something could not be measured.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BENCH = pathlib.Path(__file__).resolve().parent
WORKSPACE = BENCH.parent
# With `--write`, this program replaces the part of that file between the two lines.
RESULTS = WORKSPACE / "docs" / "performance.md"
RESULTS_BEGIN = "<!-- begin: written by bench/run.py --write -->\n"
RESULTS_END = "<!-- end -->\n"

MIN_CPU_RATIO = {"sequential": 12.0, "pyarrow": 3.0}
MIN_DECODE_RATIO = {"enrollment": 2.5, "directory": 1.0}
MAX_PEAK_MIB = 96.0
MAX_PEAK_RATIO = 2.0
MAX_FLOOR_RATIO = 1.15
MAX_BYTES_PER_ROW = 6.5
MAX_FIRST_ROW_RATIO = 2.0
MAX_QUERY_PEAK_MIB = 150.0

# Stages that criterion measures besides decoding, named as in `bench/micro`.
STAGES = ("digest", "key_check", "encode")

# A contestant that takes longer is considered stuck.
MAX_RUN_S = 1800
SIMULATOR_START_S = 30


@dataclasses.dataclass(frozen=True)
class Request:
    """What a contestant has to fetch: every combination of year and grade."""

    first_year: int
    n_years: int
    n_grades: int
    rows: int
    page_size: int
    in_flight: int

    @property
    def years(self):
        return f"{self.first_year}-{self.first_year + self.n_years - 1}"

    @property
    def grades(self):
        return ",".join(f"grade-{grade}" for grade in range(1, self.n_grades + 1))

    @property
    def n_partitions(self):
        return self.n_years * self.n_grades

    @property
    def n_rows(self):
        return self.n_partitions * self.rows

    @property
    def pages(self):
        """Number of pages of one partition."""
        return math.ceil(self.rows / self.page_size)

    @property
    def n_pages(self):
        return self.n_partitions * self.pages

    @property
    def n_requests(self):
        """Number of requests for data: if there are several pages, page 1 is fetched again after the last."""
        return self.n_pages + (self.n_partitions if self.pages > 1 else 0)


@dataclasses.dataclass(frozen=True)
class Scale:
    """The amount of data to fetch."""

    page_size: int
    many_years: int
    many_grades: int
    rows: int
    large_rows: int
    wave_pages: int
    latency_ms: int

    def one(self, rows, in_flight):
        return Request(2015, 1, 1, rows, self.page_size, in_flight)

    def many(self, rows, in_flight):
        return Request(2010, self.many_years, self.many_grades, rows, self.page_size, in_flight)


FULL = Scale(
    page_size=10_000, many_years=10, many_grades=5, rows=100_000, large_rows=2_400_000, wave_pages=78, latency_ms=200
)
QUICK = Scale(
    page_size=1_000, many_years=2, many_grades=2, rows=10_000, large_rows=40_000, wave_pages=20, latency_ms=50
)


class CannotMeasure(Exception):
    """A contestant or the simulator failed, or its output is not what was requested."""


@dataclasses.dataclass
class Usage:
    """Resources that one process used, from its start to its end."""

    cpu_s: float
    wall_s: float
    peak_mib: float


@dataclasses.dataclass
class Run:
    """One row of the runs table."""

    lane: str
    number: int
    contestant: str
    usage: Usage
    n_rows: int
    size_bytes: int
    pages_s: float | None = None
    ratio: float | None = None

    def cells(self):
        return [
            self.lane,
            str(self.number),
            self.contestant,
            f"{self.usage.cpu_s:.2f}",
            f"{self.usage.cpu_s / self.n_rows * 1e6:.2f}",
            f"{self.usage.wall_s:.2f}",
            "-" if self.pages_s is None else f"{self.pages_s:.3f}",
            f"{self.usage.peak_mib:.1f}",
            "-" if self.ratio is None else f"{self.ratio:.2f}",
        ]


RUN_TABLE = (
    ("lane", -13),
    ("run", 3),
    ("contestant", -10),
    ("CPU s", 6),
    ("us/row", 6),
    ("wall s", 6),
    ("pages s", 7),
    ("peak MiB", 8),
    ("ratio", 5),
)


@dataclasses.dataclass
class Verdict:
    """One row of the bars table; a row without a bar is informational."""

    lane: str
    what: str
    measured: str
    bar: str = "-"
    holds: bool | None = None

    def cells(self):
        return [self.lane, self.what, self.measured, self.bar, {None: "-", True: "yes", False: "NO"}[self.holds]]


VERDICT_TABLE = (("lane", -7), ("what", -43), ("measured", 9), ("bar", 10), ("holds", 5))


def text_line(table, cells):
    """Returns the cells in columns of fixed width, left-aligned if the width is negative."""
    padded = (
        cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, (_, width) in zip(cells, table, strict=True)
    )
    return "  ".join(padded).rstrip()


def text_header(table):
    rule = ["-" * abs(width) for _, width in table]
    return text_line(table, [name for name, _ in table]) + "\n" + text_line(table, rule)


def markdown_table(table, rows):
    lines = [[name for name, _ in table], ["---" if width < 0 else "---:" for _, width in table], *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def clean_environment():
    """Returns the environment without `rollcall` settings and without proxies, which must not apply to loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ROLLCALL_") and not name.lower().endswith("_proxy")
    }


def measure(command, folder, env):
    """Runs a command to its end and returns its `Usage`, stdout and stderr.

    The kernel keeps the figures for exactly this process. Output goes to files, so that the contestant never waits for
    a reader.
    """
    # Flushes pending writes from earlier runs, so that they do not happen during this one.
    os.sync()
    with open(folder / "stdout", "w+b") as stdout, open(folder / "stderr", "w+b") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env)
        timer = threading.Timer(MAX_RUN_S, process.kill)
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            if process.returncode is None:
                process.kill()
                process.wait()
        stdout.seek(0)
        stderr.seek(0)
        out, err = stdout.read().decode(), stderr.read().decode(errors="replace")
    if process.returncode != 0:
        raise CannotMeasure(f"`{pathlib.Path(command[0]).name}` exited with {process.returncode}\n{err[-2000:]}")
    # The kernel starts counting before the program is loaded, while the process still shares this one's memory.
    if used.ru_maxrss <= own_peak_kib():
        raise CannotMeasure(f"expected a peak above this script's {own_peak_kib()} KiB, found {used.ru_maxrss} KiB")
    return Usage(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024), out, err


def measure_quietly(command, stdout, env):
    """Runs a command whose output is too long to keep, and returns its `Usage`."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL, env=env)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CannotMeasure(f"`{pathlib.Path(command[0]).name}` exited with {process.returncode}")
    return Usage(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / 1024)


def own_peak_kib():
    """Returns the peak memory of this script. `getrusage` would include that of the program that started it."""
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", pathlib.Path("/proc/self/status").read_text(), re.MULTILINE)[1])


class Bench:
    """The programs, the scale, and all measurements so far."""

    def __init__(self, args, scale):
        self.binary = args.binary
        self.simulator = args.simulator
        self.python = args.python
        self.scratch = args.scratch
        self.n_rounds = args.rounds
        self.n_runs = args.runs
        self.is_quick = args.quick
        self.scale = scale
        self.env = clean_environment()
        self.runs = []
        self.verdicts = []

    def record(self, run):
        self.runs.append(run)
        print(text_line(RUN_TABLE, run.cells()), flush=True)

    @contextlib.contextmanager
    def portal(self, rows, latency_ms=0):
        """Runs the simulator in a separate process and yields its origin."""
        command = [self.simulator, "--port", "0", "--no-gzip", "--rows", str(rows)]
        command += ["--page-size", str(self.scale.page_size), "--latency-ms", str(latency_ms)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **streams, env=self.env, text=True)
        timer = threading.Timer(SIMULATOR_START_S, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
            timer.cancel()
            found = re.match(r"listening on (http://\S+)", line)
            if not found:
                raise CannotMeasure(f"simulator: expected its address, found {line.strip()!r}")
            yield found[1]
            if process.poll() is not None:
                raise CannotMeasure(f"the simulator exited with {process.returncode} during the runs")
        finally:
            timer.cancel()
            process.terminate()
            process.wait()
            process.stdout.close()

    def folder(self):
        return tempfile.TemporaryDirectory(prefix="bench-", dir=self.scratch)

    def rollcall(self, lane, number, origin, request, latency_ms=None):
        """Runs `rollcall run` into an empty lake. With `latency_ms`, enables its log and times the pages."""
        env = self.env
        if latency_ms is not None:
            env = env | {"ROLLCALL_LOG": "rollcall_adapters=debug", "NO_COLOR": "1"}
        with self.folder() as name:
            folder = pathlib.Path(name)
            command = [self.binary, "run", "--portal", origin, "--years", request.years, "--grades", request.grades]
            command += ["--lake", folder / "lake", "--in-flight", str(request.in_flight), "--format", "json"]
            usage, out, err = measure(command, folder, env)
            sizes = [path.stat().st_size for path in (folder / "lake" / "data").glob("*/year=*/grade=*/*.parquet")]
        report = json.loads(out)
        found = (report["n_rows"], report["n_pages"], report["outcomes"]["written"], len(sizes))
        expected = (request.n_rows, request.n_pages, request.n_partitions, request.n_partitions)
        if found != expected:
            raise CannotMeasure(f"rollcall: rows, pages, partitions, files: expected {expected}, found {found}")
        if sum(sizes) != sum(receipt["size_bytes"] for receipt in report["partitions"]):
            raise CannotMeasure("rollcall: expected the sizes in its report to be those of its files, found others")
        pages_s = None if latency_ms is None else pages_time(err, request)
        return Run(lane, number, "rollcall", usage, request.n_rows, sum(sizes), pages_s)

    def sequential(self, lane, number, origin, request):
        """Runs the sequential script into an empty folder."""
        with self.folder() as name:
            out = pathlib.Path(name) / "out"
            run, paths = self.script("sequential", "sequential.py", [], lane, number, origin, request, out)
            n_rows = sum(map(count_lines, paths))
        return checked(run, n_rows, len(paths), request)

    def pyarrow(self, lane, number, origin, request):
        """Runs the pyarrow script into an empty folder."""
        with self.folder() as name:
            out = pathlib.Path(name) / "out"
            in_flight = ["--in-flight", str(request.in_flight)]
            run, paths = self.script("pyarrow", "pyarrow_peer.py", in_flight, lane, number, origin, request, out)
            n_rows = int(self.ask_python(COUNT_PARQUET_ROWS, out))
        return checked(run, n_rows, len(paths), request)

    def script(self, contestant, file, flags, lane, number, origin, request, out):
        """Runs a script in this folder. Returns the run and the files that it wrote."""
        command = [self.python, BENCH / file, "--portal", origin, "--years", request.years]
        command += ["--grades", request.grades, "--out", out, *flags]
        usage, _, _ = measure(command, out.parent, self.env)
        paths = sorted(out.glob("year=*/grade=*.*"))
        size_bytes = sum(path.stat().st_size for path in paths)
        return Run(lane, number, contestant, usage, request.n_rows, size_bytes), paths

    def ask_python(self, program, *args):
        """Returns what a short program prints. A separate process keeps this one smaller than the contestants."""
        command = [self.python, "-c", program, *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotMeasure(f"{self.python} exited with {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout.strip()


COUNT_PARQUET_ROWS = """
import pathlib, sys
from pyarrow.parquet import read_metadata
print(sum(read_metadata(path).num_rows for path in pathlib.Path(sys.argv[1]).rglob("*.parquet")))
"""
VERSIONS = """
import platform, aiohttp, pyarrow
print(f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, pyarrow {pyarrow.__version__}")
"""


def checked(run, n_rows, n_files, request):
    """Returns the run of a script after checking that it wrote what was requested."""
    if (n_rows, n_files) != (request.n_rows, request.n_partitions):
        raise CannotMeasure(f"{run.contestant}: expected {request.n_rows} rows, found {n_rows} in {n_files} files")
    return run


def count_lines(path):
    """Returns the number of newlines in a file, which it reads in chunks."""
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


ANSI = re.compile(r"\x1b\[[0-9;]*m")
PAGE_EVENT = re.compile(
    r'(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z)\s.*\bpage (?P<what>requested|received) .*\bpath="(?P<path>[^"]*)"'
)


def pages_time(log, request):
    """Returns the seconds from the first request for a data page to the last response, from the log of `rollcall`.

    Checks that every page was requested and received once, page 1 of several pages twice, that none was retried, and
    that there were never more than `in_flight` requests in flight.
    """
    moments = {"requested": [], "received": []}
    n_open = max_open = 0
    for line in ANSI.sub("", log).splitlines():
        if "retrying" in line:
            raise CannotMeasure(f"rollcall: expected no retries, found one: {line}")
        event = PAGE_EVENT.search(line)
        # Metadata is requested before the first page.
        if event is None or "/api-" in event["path"]:
            continue
        moments[event["what"]].append(datetime.datetime.fromisoformat(event["at"]))
        n_open += 1 if event["what"] == "requested" else -1
        max_open = max(max_open, n_open)
    found = (len(moments["requested"]), len(moments["received"]))
    if found != (request.n_requests, request.n_requests):
        raise CannotMeasure(f"log of rollcall: expected {request.n_requests} requests and responses, found {found}")
    if max_open > request.in_flight:
        raise CannotMeasure(f"rollcall: expected at most {request.in_flight} requests in flight, found {max_open}")
    return (max(moments["received"]) - min(moments["requested"])).total_seconds()


def short(n):
    """Returns 100000 as `100k` and 2400000 as `2.4M`."""
    return f"{n / 1e6:g}M" if n >= 1_000_000 else f"{n / 1e3:g}k"


def micro_lane(bench):
    """Measures the time of each stage alone, with criterion."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "--package", "rollcall-bench"]
    command += ["--features", "micro", "--bench", "micro", "--", *(["--quick"] if bench.is_quick else [])]
    with bench.folder() as name:
        # An empty folder, so that estimates from earlier runs cannot be mistaken for current ones.
        env = bench.env | {"CRITERION_HOME": name}
        pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=WORKSPACE, env=env, check=False, timeout=MAX_RUN_S, **pipes)
        if done.returncode != 0:
            raise CannotMeasure(f"`cargo bench` exited with {done.returncode}\n{done.stderr[-2000:]}")
        decoded = {
            source: (ns_per_row(name, f"decode/scanner/{source}"), ns_per_row(name, f"decode/serde/{source}"))
            for source in MIN_DECODE_RATIO
        }
        stages = {stage: ns_per_row(name, f"{stage}/enrollment") for stage in STAGES}
    for line in done.stderr.splitlines():
        if line.startswith("note: the scanner"):
            print(line, flush=True)
    for source, (scanner_ns, serde_ns) in decoded.items():
        ratio = serde_ns / scanner_ns
        at_least = MIN_DECODE_RATIO[source]
        what = f"{source} page: time by serde / by scanner"
        bench.verdicts += [
            Verdict("micro", what, f"{ratio:.2f}", f">= {at_least:.2f}", ratio >= at_least),
            Verdict("micro", f"{source} page: by scanner, ns/row", f"{scanner_ns:.1f}"),
            Verdict("micro", f"{source} page: by serde, ns/row", f"{serde_ns:.1f}"),
        ]
    for stage, ns in stages.items():
        bench.verdicts.append(Verdict("micro", f"enrollment: {stage.replace('_', ' ')}, ns/row", f"{ns:.1f}"))


def ns_per_row(home, name):
    """Returns criterion's median for one benchmark, divided by the rows of one iteration."""
    folder = pathlib.Path(home) / name / "new"
    median_ns = json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"]
    return median_ns / json.loads((folder / "benchmark.json").read_text())["throughput"]["Elements"]


def cpu_lane(bench):
    """Measures the CPU time for many partitions, running the contestants in turn."""
    request = bench.scale.many(bench.scale.rows, in_flight=8)
    runs = {"rollcall": [], "sequential": [], "pyarrow": []}
    with bench.portal(request.rows) as origin:
        for number in range(1, bench.n_rounds + 1):
            ours = bench.rollcall("cpu", number, origin, request)
            runs["rollcall"].append(ours)
            bench.record(ours)
            for contestant in (bench.sequential, bench.pyarrow):
                theirs = contestant("cpu", number, origin, request)
                theirs.ratio = theirs.usage.cpu_s / ours.usage.cpu_s
                runs[theirs.contestant].append(theirs)
                bench.record(theirs)
    what = f"{request.n_partitions} x {short(request.rows)}"
    for name, at_least in MIN_CPU_RATIO.items():
        ratio = statistics.median(run.ratio for run in runs[name])
        bar, holds = f">= {at_least:.2f}", ratio >= at_least
        bench.verdicts.append(Verdict("cpu", f"{what}: {name} / rollcall, median", f"{ratio:.2f}", bar, holds))
    for name, same in runs.items():
        us_per_row = statistics.median(run.usage.cpu_s / run.n_rows * 1e6 for run in same)
        bench.verdicts.append(Verdict("cpu", f"{what}: {name}, median us/row", f"{us_per_row:.2f}"))


def memory_lane(bench):
    """Measures the peak memory for a typical and for a very large partition."""
    peaks_mib = {}
    for rows in (bench.scale.rows, bench.scale.large_rows):
        request = bench.scale.one(rows, in_flight=8)
        lane = f"memory {short(rows)}"
        with bench.portal(rows) as origin:
            ours = []
            for number in range(1, bench.n_runs + 1):
                ours.append(bench.rollcall(lane, number, origin, request))
                bench.record(ours[-1])
            others = [bench.sequential(lane, 1, origin, request), bench.pyarrow(lane, 1, origin, request)]
        peak_mib = peaks_mib[rows] = max(run.usage.peak_mib for run in ours)
        what = f"1 x {short(rows)}"
        verdict = Verdict("memory", f"{what}: rollcall, highest peak, MiB", f"{peak_mib:.1f}")
        if rows == bench.scale.large_rows:
            verdict.bar = f"<= {MAX_PEAK_MIB:.1f}"
            verdict.holds = peak_mib <= MAX_PEAK_MIB
        bench.verdicts.append(verdict)
        for theirs in others:
            theirs.ratio = theirs.usage.peak_mib / peak_mib
            bench.record(theirs)
            what_theirs = f"{what}: {theirs.contestant}, peak, MiB"
            bench.verdicts.append(Verdict("memory", what_theirs, f"{theirs.usage.peak_mib:.1f}"))
    usual, large = bench.scale.rows, bench.scale.large_rows
    ratio = peaks_mib[large] / peaks_mib[usual]
    what = f"rollcall's peak of {short(large)} / of {short(usual)}"
    bar, holds = f"<= {MAX_PEAK_RATIO:.2f}", ratio <= MAX_PEAK_RATIO
    bench.verdicts.append(Verdict("memory", what, f"{ratio:.2f}", bar, holds))


def latency_lane(bench):
    """Measures how well latency is hidden: the time for the pages, relative to the floor that no client can beat."""
    scale = bench.scale
    latency_s = scale.latency_ms / 1000
    wave = scale.one(scale.wave_pages * scale.page_size, in_flight=16)
    many = scale.many(10 * scale.page_size, in_flight=16)
    # Page 1 gives the number of pages, the others follow in waves, and page 1 is fetched again after the last. With
    # many partitions, every slot is always in use.
    wave_floor_s = (2 + math.ceil((wave.pages - 1) / wave.in_flight)) * latency_s
    many_floor_s = many.n_requests / many.in_flight * latency_s
    for request, floor_s in ((wave, wave_floor_s), (many, many_floor_s)):
        what = f"{request.n_partitions} x {request.pages}"
        lane = f"latency {request.n_partitions}x{request.pages}"
        with bench.portal(request.rows, scale.latency_ms) as origin:
            runs = []
            for number in range(1, bench.n_runs + 1):
                run = bench.rollcall(lane, number, origin, request, scale.latency_ms)
                # In this lane, the ratio is relative to the floor.
                run.ratio = run.pages_s / floor_s
                runs.append(run)
                bench.record(run)
        median_s = statistics.median(run.pages_s for run in runs)
        best_s = min(run.pages_s for run in runs)
        max_s = MAX_FLOOR_RATIO * floor_s
        bench.verdicts += [
            Verdict("latency", f"{what} pages: median, s", f"{median_s:.3f}", f"<= {max_s:.3f}", median_s <= max_s),
            Verdict("latency", f"{what} pages: best, s (floor {floor_s:.3f})", f"{best_s:.3f}"),
        ]


def size_lane(bench):
    """Measures the bytes per row of the files written."""
    request = bench.scale.one(bench.scale.rows, in_flight=8)
    with bench.portal(request.rows) as origin:
        for contestant in (bench.rollcall, bench.sequential, bench.pyarrow):
            run = contestant("size", 1, origin, request)
            bench.record(run)
            size = run.size_bytes / run.n_rows
            verdict = Verdict("size", f"1 x {short(request.rows)}: {run.contestant}, B/row", f"{size:.2f}")
            if run.contestant == "rollcall":
                verdict.bar = f"<= {MAX_BYTES_PER_ROW:.2f}"
                verdict.holds = size <= MAX_BYTES_PER_ROW
            bench.verdicts.append(verdict)


def query_lane(bench):
    """Measures when the first row of a large result is there, next to DuckDB, and the memory for printing all rows."""
    request = bench.scale.many(bench.scale.rows, in_flight=8)
    with bench.folder() as name, bench.portal(request.rows) as origin:
        folder = pathlib.Path(name)
        lake = folder / "lake"
        command = [bench.binary, "run", "--portal", origin, "--years", request.years, "--grades", request.grades]
        measure([*command, "--lake", lake], folder, bench.env)
        ours = f"'{bench.binary}' query --quiet --lake '{lake}' --format csv 'select * from us_education_ccd_enrollment_data'"
        theirs = f"'{bench.python}' '{BENCH / 'duckdb_rows.py'}' '{lake}/data/us_education_ccd_enrollment_data'"
        firsts = {"rollcall": [], "duckdb": []}
        for number in range(1, 2 * bench.n_runs + 1):
            for contestant, rows in (("rollcall", ours), ("duckdb", theirs)):
                usage, out, _ = measure(["sh", "-c", f"{rows} | head -n 2"], folder, bench.env)
                if out.count("\n") != 2:
                    raise CannotMeasure(f"{contestant}: expected a header and a row, found {out[:200]!r}")
                run = Run("first row", number, contestant, usage, request.n_rows, 0)
                firsts[contestant].append(run)
                bench.record(run)
        for run, other in zip(firsts["duckdb"], firsts["rollcall"], strict=True):
            run.ratio = other.usage.wall_s / run.usage.wall_s
        ratio = statistics.median(run.ratio for run in firsts["duckdb"])
        what = f"first of {short(request.n_rows)} rows: rollcall / duckdb, median"
        bar = f"<= {MAX_FIRST_ROW_RATIO:.2f}"
        bench.verdicts.append(Verdict("query", what, f"{ratio:.2f}", bar, ratio <= MAX_FIRST_ROW_RATIO))
        for kind in ("csv", "json"):
            command = [bench.binary, "query", "--quiet", "--lake", lake, "--format", kind]
            with open(os.devnull, "wb") as nowhere:
                usage = measure_quietly([*command, "select * from us_education_ccd_enrollment_data"], nowhere, bench.env)
            run = Run(f"all {kind}", 1, "rollcall", usage, request.n_rows, 0)
            bench.record(run)
            what, peak_mib = f"all {short(request.n_rows)} rows as {kind}, peak, MiB", usage.peak_mib
            bar = f"<= {MAX_QUERY_PEAK_MIB:.1f}"
            bench.verdicts.append(Verdict("query", what, f"{peak_mib:.1f}", bar, peak_mib <= MAX_QUERY_PEAK_MIB))


LANES = {
    "micro": micro_lane,
    "cpu": cpu_lane,
    "memory": memory_lane,
    "latency": latency_lane,
    "size": size_lane,
    "query": query_lane,
}


def machine_lines(args, bench, load):
    """Returns short lines that describe the machine and the programs measured."""
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1].strip() if found else model
    version = subprocess.run([args.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return [
        f"machine: {len(os.sched_getaffinity(0))} cores, {model}, {memory_gib:.0f} GiB",
        f"Linux {platform.release().split('-')[0]} {platform.machine()}, {version}, {bench.ask_python(VERSIONS)}",
        f"start: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, "
        f"load average {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}",
    ]


def write_results(machine, bench):
    """Replaces the figures on the results page."""
    text = "".join(f"- {line}\n" for line in machine)
    text += "\n### Bars\n\n" + markdown_table(VERDICT_TABLE, [verdict.cells() for verdict in bench.verdicts])
    text += "\n### Runs\n\n" + markdown_table(RUN_TABLE, [run.cells() for run in bench.runs])
    before, _, rest = RESULTS.read_text(encoding="utf-8").partition(RESULTS_BEGIN)
    _, found, after = rest.partition(RESULTS_END)
    if not found:
        raise CannotMeasure(f"write {RESULTS.name}: expected the lines {RESULTS_BEGIN + RESULTS_END}, found none")
    RESULTS.write_text(f"{before}{RESULTS_BEGIN}\n{text}\n{RESULTS_END}{after}", encoding="utf-8")


def count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def parse_args():
    target = WORKSPACE / "target"
    parser = argparse.ArgumentParser(description="Measure rollcall against its simulator.")
    parser.add_argument("--binary", type=pathlib.Path, default=target / "release" / "rollcall")
    parser.add_argument("--simulator", type=pathlib.Path, default=target / "release" / "rollcall-simulator")
    parser.add_argument(
        "--python",
        type=pathlib.Path,
        default=WORKSPACE / ".venv-bench" / "bin" / "python",
        help="Python for the scripts, with bench/requirements.txt installed (default: .venv-bench)",
    )
    parser.add_argument("--only", choices=LANES, metavar="LANE", help=f"one of {', '.join(LANES)}")
    parser.add_argument("--rounds", type=count, help="rounds of the cpu lane (default: 2)")
    parser.add_argument("--runs", type=count, help="runs of the memory and latency lanes (default: 3)")
    parser.add_argument("--quick", action="store_true", help="small amounts of data; bars are shown but ignored")
    parser.add_argument("--write", action="store_true", help=f"write the figures into docs/{RESULTS.name}")
    parser.add_argument("--scratch", type=pathlib.Path, default=target, help="folder on a local disk (default: target)")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 2)
    args.runs = args.runs or (1 if args.quick else 3)
    for path in (args.binary, args.simulator, args.python):
        if not path.is_file():
            parser.error(f"expected a program at {path}, found none; `make bench` builds it")
    if not args.scratch.is_dir():
        parser.error(f"expected a folder at {args.scratch}, found none")
    # A name without a slash would be looked up on PATH.
    args.binary, args.simulator = args.binary.resolve(), args.simulator.resolve()
    # Symbolic links are not resolved: Python needs them to find the packages of the virtual environment.
    args.python = args.python.absolute()
    if args.write and (args.quick or args.only):
        parser.error("--write: expected a complete run, without --quick and --only")
    return args


def main():
    # If this script is terminated, it still stops the simulator and the contestant.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    args = parse_args()
    load = os.getloadavg()
    bench = Bench(args, QUICK if args.quick else FULL)
    machine = machine_lines(args, bench, load)
    print("\n".join(machine))
    if load[0] > 0.5:
        print("note: the machine is not idle; wall times and the latency lane are affected most")
    print("\n" + text_header(RUN_TABLE), flush=True)
    for name, lane in LANES.items():
        if args.only in (None, name):
            lane(bench)
    print("\n" + text_header(VERDICT_TABLE))
    for verdict in bench.verdicts:
        print(text_line(VERDICT_TABLE, verdict.cells()))
    if args.write:
        write_results(machine, bench)
    if args.quick:
        print("\nquick: a smoke run, bars are ignored")
        return 0
    return 1 if any(verdict.holds is False for verdict in bench.verdicts) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CannotMeasure, subprocess.TimeoutExpired) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
