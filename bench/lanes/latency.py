"""How well latency is hidden: times relative to floors that no client can beat."""

import math
import statistics

from tables import Verdict, at_most, goal, short

# Time for the pages, from the log.
MAX_FLOOR_RATIO = 1.15
# Goals for the wall time of the whole process, by workload and requests in flight.
GOALS = {("B", 16): 1.05, ("B", 64): 1.30, ("C", 16): 1.08, ("C", 64): 1.40}


def measure_lane(bench):
    """Measures the time for the pages of `rollcall`, then the whole runs of `rollcall` and the limit program."""
    measure_pages(bench)
    measure_whole_runs(bench)


def measure_pages(bench):
    """Measures the time from the first request for a page to the last response."""
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
        bench.verdicts += [
            at_most("latency", f"{what} pages: median, s", median_s, MAX_FLOOR_RATIO * floor_s, digits=3),
            Verdict("latency", f"{what} pages: best, s (floor {floor_s:.3f})", f"{best_s:.3f}"),
        ]


def measure_whole_runs(bench):
    """Measures whole runs of `rollcall` and of the limit program, in turn.

    These floors leave out the second request for page 1: it is part of what `rollcall` does, and the limit program does
    not.
    """
    scale = bench.scale
    latency_s = scale.latency_ms / 1000
    for (workload, in_flight), max_ratio in GOALS.items():
        if workload == "B":
            request = scale.many(scale.rows, in_flight)
            floor_s = request.n_pages / in_flight * latency_s
        else:
            request = scale.one(scale.large_rows, in_flight)
            floor_s = (1 + math.ceil((request.pages - 1) / in_flight)) * latency_s
        with bench.portal(request.rows, scale.latency_ms) as origin:
            pairs = bench.pairs(bench.n_runs, f"latency {workload} {in_flight}", origin, request, floor_s)
        ours, limits = ([run.ratio for run in runs] for runs in zip(*pairs, strict=True))
        what = f"{request.n_partitions} x {short(request.rows)}, {in_flight} in flight: "
        floor = f"/ floor {floor_s:.3f} s"
        bench.verdicts += [
            goal(at_most("latency", f"{what}wall {floor}", statistics.median(ours), max_ratio)),
            Verdict("latency", f"{what}limit's {floor}", f"{statistics.median(limits):.2f}"),
        ]
