"""How well latency is hidden: times relative to floors that no client can beat."""

import math
import statistics

from tables import Verdict, at_most

# Time for the pages, from the log.
MAX_FLOOR_RATIO = 1.15


def measure_lane(bench):
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
