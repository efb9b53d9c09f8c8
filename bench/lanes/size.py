"""The bytes per row of the files written."""

from tables import Verdict, at_most, short

MAX_BYTES_PER_ROW = 6.5


def measure_lane(bench):
    """Measures the bytes per row of the files written."""
    request = bench.scale.one(bench.scale.rows, in_flight=8)
    with bench.portal(request.rows) as origin:
        for contestant in (bench.rollcall, bench.limit, bench.limit_delta, bench.sequential, bench.pyarrow):
            run = contestant("size", 1, origin, request)
            bench.record(run)
            size = run.size_bytes / run.n_rows
            what = f"1 x {short(request.rows)}: {run.contestant}, B/row"
            bench.verdicts.append(
                at_most("size", what, size, MAX_BYTES_PER_ROW)
                if run.contestant == "rollcall"
                else Verdict("size", what, f"{size:.2f}")
            )
