"""Queries of a lake, next to DuckDB's Python package on the same files."""

import pathlib
import statistics

from contestants import BENCH
from processes import CannotMeasure, measure
from tables import Run, Verdict, at_most, short

MAX_FIRST_ROW_RATIO = 2.0
MAX_QUERY_PEAK_MIB = 150.0

TABLE = "ccd_school.us_education_ccd_enrollment_data"


def measure_lane(bench):
    """Measures large results of a few large partitions."""
    measure_rows(bench)


def fill(bench, folder, lake, origin, years, grades):
    """Fetches partitions into a lake."""
    command = [bench.binary, "run", "--portal", origin, "--years", years, "--grades", grades, "--lake", lake]
    measure(command, folder, bench.env)


def measure_rows(bench):
    """Measures when the first row of a large result is there, and the memory for printing all rows."""
    request = bench.scale.many(bench.scale.rows, in_flight=8)
    with bench.folder() as name, bench.portal(request.rows) as origin:
        folder = pathlib.Path(name)
        lake = folder / "lake"
        fill(bench, folder, lake, origin, request.years, request.grades)
        ours = f"'{bench.binary}' query --quiet --lake '{lake}' --format csv 'select * from {TABLE}'"
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
        bench.verdicts.append(at_most("query", what, ratio, MAX_FIRST_ROW_RATIO))
        for kind in ("csv", "json"):
            command = [bench.binary, "query", "--quiet", "--lake", lake, "--format", kind]
            command.append(f"select * from {TABLE}")
            usage, _, _ = measure(command, folder, bench.env, keeps_output=False)
            run = Run(f"all {kind}", 1, "rollcall", usage, request.n_rows, 0)
            bench.record(run)
            what = f"all {short(request.n_rows)} rows as {kind}, peak, MiB"
            bench.verdicts.append(at_most("query", what, usage.peak_mib, MAX_QUERY_PEAK_MIB, digits=1))
