"""The programs that are measured, and the portal that they fetch from."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading

from processes import CannotMeasure, clean_environment, measure
from tables import RUN_TABLE, Run, text_line

BENCH = pathlib.Path(__file__).resolve().parent
WORKSPACE = BENCH.parent

SIMULATOR_START_S = 30


class Bench:
    """The programs, the scale, and all measurements so far."""

    def __init__(self, args, scale):
        self.binary = args.binary
        self.simulator = args.simulator
        self.limit_program = args.limit
        self.python = args.python
        self.scratch = args.scratch
        self.n_rounds = args.rounds
        self.n_runs = args.runs
        self.n_pairs = args.pairs
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

    def limit(self, lane, number, origin, request, contestant="limit", flags=()):
        """Runs the limit program into an empty folder."""
        with self.folder() as name:
            out = pathlib.Path(name) / "out"
            command = [self.limit_program, "--portal", origin, "--years", request.years, "--grades", request.grades]
            command += ["--out", out, "--in-flight", str(request.in_flight), *flags]
            run, paths = self.into_folder(contestant, command, lane, number, request, out)
            n_rows = int(self.ask_python(COUNT_PARQUET_ROWS, out))
        return checked(run, n_rows, len(paths), request)

    def limit_delta(self, lane, number, origin, request):
        """Runs the limit program with ids encoded as differences."""
        return self.limit(lane, number, origin, request, "limit delta", ["--delta"])

    def pairs(self, n_pairs, lane, origin, request, floor_s=None):
        """Runs `rollcall` and the limit program in turn. Returns a list of pairs of runs, `rollcall` first.

        The ratio of a run is its wall time relative to `floor_s`, or that of `rollcall` to the limit's CPU time.
        """
        pairs = []
        for number in range(1, n_pairs + 1):
            ours, limit = self.rollcall(lane, number, origin, request), self.limit(lane, number, origin, request)
            if floor_s is None:
                ours.ratio = ours.usage.cpu_s / limit.usage.cpu_s
            else:
                ours.ratio, limit.ratio = ours.usage.wall_s / floor_s, limit.usage.wall_s / floor_s
            pairs.append((ours, limit))
            self.record(ours)
            self.record(limit)
        return pairs

    def script(self, contestant, file, flags, lane, number, origin, request, out):
        """Runs a script in this folder. Returns the run and the files that it wrote."""
        command = [self.python, BENCH / file, "--portal", origin, "--years", request.years]
        command += ["--grades", request.grades, "--out", out, *flags]
        return self.into_folder(contestant, command, lane, number, request, out)

    def into_folder(self, contestant, command, lane, number, request, out):
        """Runs a command that writes a file for each partition below `out`. Returns the run and the files."""
        usage, _, _ = measure(command, out.parent, self.env)
        paths = sorted(out.glob("year=*/grade=*.*"))
        size_bytes = sum(path.stat().st_size for path in paths)
        return Run(lane, number, contestant, usage, request.n_rows, size_bytes), paths

    def ask_python(self, program, *args):
        """Returns what a short program prints."""
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
import platform, aiohttp, duckdb, pyarrow
libraries = {"aiohttp": aiohttp, "pyarrow": pyarrow, "DuckDB": duckdb}
print(f"Python {platform.python_version()}", *(f"{name} {it.__version__}" for name, it in libraries.items()), sep=", ")
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
