"""What a run uses that finds every partition unchanged, next to the limit program that only adds up the rows' hashes."""

import json
import pathlib
import statistics

from lanes.limit import NAMES
from processes import CannotMeasure, measure
from tables import Run, Verdict, at_most, goal, short
from workloads import Request

# The median of the CPU time of `rollcall` / that of the limit program, over all pairs.
GOAL = 1.15


def measure_lane(bench):
    """Measures partitions of several pages, and many partitions of one page."""
    scale = bench.scale
    (first, last), grades = scale.lake_years, scale.lake_grades
    many = scale.many(scale.rows, in_flight=16)
    small = Request(first, last - first + 1, len(grades), scale.lake_rows, scale.page_size, 16)
    for request, grades in ((many, many.grades), (small, ",".join(scale.lake_grades))):
        with bench.folder() as name, bench.portal(request.rows) as origin:
            compare(bench, pathlib.Path(name), origin, request, grades)


def compare(bench, folder, origin, request, grades):
    """Loads a lake, then runs `rollcall` and the limit program in turn."""
    of = ["--portal", origin, "--years", request.years, "--grades", grades, "--in-flight", str(request.in_flight)]
    ours = [bench.binary, "run", "--lake", folder / "lake", "--format", "json", *of]
    measure(ours, folder, bench.env)
    pairs = []
    for number in range(1, bench.n_pairs + 1):
        runs = []
        usage, text, _ = measure(ours, folder, bench.env)
        report = json.loads(text)
        out = folder / f"digests-{number}"
        limit_usage, _, _ = measure([bench.limit_program, "--out", out, "--digest", *of], folder, bench.env)
        check(report, out, request)
        for contestant, used in (("rollcall", usage), ("limit", limit_usage)):
            runs.append(Run("unchanged", number, contestant, used, request.n_rows, 0))
        runs[0].ratio = usage.cpu_s / limit_usage.cpu_s
        for run in runs:
            bench.record(run)
        pairs.append(runs)
    what = f"{request.n_partitions} x {short(request.rows)}, {request.in_flight} in flight"
    for figure, name in NAMES.items():
        ratio = statistics.median(getattr(ours.usage, figure) / getattr(limit.usage, figure) for ours, limit in pairs)
        what_ratio = f"{what}: {name}, rollcall / limit"
        bench.verdicts.append(
            goal(at_most("unchanged", what_ratio, ratio, GOAL))
            if figure == "cpu_s"
            else Verdict("unchanged", what_ratio, f"{ratio:.2f}")
        )


def check(report, out, request):
    """Checks that nothing was written, and that both programs have the same digest of each partition."""
    outcomes = {outcome: n for outcome, n in report["outcomes"].items() if n}
    if outcomes != {"unchanged": request.n_partitions}:
        raise CannotMeasure(f"rollcall: expected {request.n_partitions} unchanged, found {outcomes}")
    for receipt in report["partitions"]:
        partition = receipt["partition"]
        path = out / f"year={partition['year']}" / f"grade={partition['grade']}.digest"
        expected, found = receipt["edition"].split("-")[0], path.read_text(encoding="utf-8").strip()
        if expected != found:
            raise CannotMeasure(f"{path.name}: expected the digest {expected}, found {found}")
