"""How close `rollcall` comes to a program that only downloads, scans and encodes, without any latency."""

import dataclasses
import statistics

from tables import Verdict, at_most, goal, short

# The limit program counts as a limit only if its CPU time, divided by that of the sequential script, is at most this.
MAX_OF_SEQUENTIAL = {"A": 0.065, "B": 0.080, "C": 0.065}

# Goals by workload, requests in flight and figure: the median of `rollcall` / limit over all pairs.
GOALS = {
    ("A", 16, "cpu_s"): 1.15,
    ("A", 16, "wall_s"): 1.25,
    ("B", 16, "cpu_s"): 1.10,
    ("B", 16, "peak_mib"): 1.10,
    ("C", 16, "wall_s"): 1.15,
    ("C", 16, "peak_mib"): 1.30,
    ("C", 64, "peak_mib"): 1.30,
}
NAMES = {"cpu_s": "CPU", "wall_s": "wall", "peak_mib": "peak"}


def measure_lane(bench):
    """Measures pairs of `rollcall` and the limit program with 16 requests in flight, and the memory with 64."""
    scale = bench.scale
    workloads = {
        "A": scale.two(scale.rows, in_flight=16),
        "B": scale.many(scale.rows, in_flight=16),
        "C": scale.one(scale.large_rows, in_flight=16),
    }
    for workload, request in workloads.items():
        with bench.portal(request.rows) as origin:
            sequential = bench.sequential(f"limit {workload}", 1, origin, request)
            bench.record(sequential)
            pairs = bench.pairs(bench.n_pairs, f"limit {workload} 16", origin, request)
            share = statistics.median(limit.usage.cpu_s for _, limit in pairs) / sequential.usage.cpu_s
            is_limit = share <= MAX_OF_SEQUENTIAL[workload]
            what = f"{request.n_partitions} x {short(request.rows)}"
            bench.verdicts.append(
                at_most("limit", f"{what}: CPU, limit / sequential", share, MAX_OF_SEQUENTIAL[workload], digits=3)
            )
            compare(bench, workload, request, pairs, NAMES, is_limit)
            # Two partitions have few more pages than 16.
            if workload != "A":
                more = dataclasses.replace(request, in_flight=64)
                pairs = bench.pairs(bench.n_pairs, f"limit {workload} 64", origin, more)
                compare(bench, workload, more, pairs, ["peak_mib"], is_limit)


def compare(bench, workload, request, pairs, figures, is_limit):
    """Adds a verdict for each figure. Without a valid limit, no goal is met."""
    for figure in figures:
        ratio = statistics.median(getattr(ours.usage, figure) / getattr(limit.usage, figure) for ours, limit in pairs)
        what = f"{request.n_partitions} x {short(request.rows)}, {request.in_flight} in flight: {NAMES[figure]}"
        what += ", rollcall / limit" if is_limit else ", no valid limit"
        bar = GOALS.get((workload, request.in_flight, figure))
        if bar is None:
            bench.verdicts.append(Verdict("limit", what, f"{ratio:.2f}"))
            continue
        verdict = goal(at_most("limit", what, ratio, bar))
        verdict.holds = verdict.holds and is_limit
        bench.verdicts.append(verdict)
