"""The CPU time for many partitions, next to two scripts."""

import statistics

from tables import Verdict, at_least, short

MIN_CPU_RATIO = {"sequential": 12.0, "pyarrow": 3.0}


def measure_lane(bench):
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
    for name, minimum in MIN_CPU_RATIO.items():
        ratio = statistics.median(run.ratio for run in runs[name])
        bench.verdicts.append(at_least("cpu", f"{what}: {name} / rollcall, median", ratio, minimum))
    for name, same in runs.items():
        us_per_row = statistics.median(run.usage.cpu_s / run.n_rows * 1e6 for run in same)
        bench.verdicts.append(Verdict("cpu", f"{what}: {name}, median us/row", f"{us_per_row:.2f}"))
