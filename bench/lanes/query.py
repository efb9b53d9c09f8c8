"""Queries of a lake, next to DuckDB's Python package on the same files."""

import pathlib
import statistics

from contestants import BENCH, WORKSPACE
from processes import CannotMeasure, measure
from tables import Run, Verdict, at_most, goal, short

MAX_FIRST_ROW_RATIO = 2.0
MAX_QUERY_PEAK_MIB = 150.0

TABLE = "ccd_school.us_education_ccd_enrollment_data"
TOP_TEN = "top_ten_pk_states"
ALL_YEARS = f"select year, sum(enrollment) as students from {TABLE} where enrollment >= 0 group by year order by year"
ONE_CELL = f"select sum(enrollment) as students from {TABLE} where year = 2021 and grade = 'grade-pk'"
# Name of each query, what `rollcall` and DuckDB are given, and the goal for the wall time of `rollcall` / DuckDB.
QUERIES = (
    (TOP_TEN, TOP_TEN, (WORKSPACE / "queries" / f"{TOP_TEN}.sql").read_text(encoding="utf-8"), 0.6),
    ("all years", ALL_YEARS, ALL_YEARS, 1.0),
    ("one cell", ONE_CELL, ONE_CELL, None),
)


def measure_lane(bench):
    """Measures large results of a few large partitions, then small results of many small partitions."""
    measure_rows(bench)
    measure_aggregates(bench)


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


def measure_aggregates(bench):
    """Measures whole processes that print the result of one query, `rollcall` and DuckDB in turn."""
    scale = bench.scale
    (first, last), grades = scale.lake_years, scale.lake_grades
    n_partitions = (last - first + 1) * len(grades)
    with bench.folder() as name, bench.portal(scale.lake_rows) as origin:
        folder = pathlib.Path(name)
        lake = folder / "lake"
        fill(bench, folder, lake, origin, f"{first}-{last}", ",".join(grades))
        for query, ours, theirs, max_ratio in QUERIES:
            commands = {
                "rollcall": [bench.binary, "query", "--quiet", "--lake", lake, "--format", "csv", ours],
                "duckdb": [bench.python, BENCH / "duckdb_query.py", lake, theirs],
            }
            ratios = []
            for number in range(1, bench.n_pairs + 1):
                runs, outputs = [], []
                for contestant, command in commands.items():
                    usage, out, _ = measure(command, folder, bench.env)
                    runs.append(Run(query, number, contestant, usage, n_partitions * scale.lake_rows, 0))
                    outputs.append(out)
                if outputs[0] != outputs[1] or outputs[0].count("\n") < 2:
                    raise CannotMeasure(f"{query}: expected the same rows, found {outputs[0]!r} and {outputs[1]!r}")
                ratios.append(runs[0].usage.wall_s / runs[1].usage.wall_s)
                runs[1].ratio = ratios[-1]
                for run in runs:
                    bench.record(run)
            ratio = statistics.median(ratios)
            what = f"{query}, {n_partitions} partitions: rollcall / duckdb"
            bench.verdicts.append(
                Verdict("query", what, f"{ratio:.2f}")
                if max_ratio is None
                else goal(at_most("query", what, ratio, max_ratio))
            )
