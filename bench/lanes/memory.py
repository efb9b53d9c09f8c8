"""The peak memory for a usual and for a very large partition."""

from tables import Verdict, at_most, short

MAX_PEAK_MIB = 96.0
MAX_PEAK_RATIO = 2.0


def measure_lane(bench):
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
        what_ours = f"{what}: rollcall, highest peak, MiB"
        is_large = rows == bench.scale.large_rows
        bench.verdicts.append(
            at_most("memory", what_ours, peak_mib, MAX_PEAK_MIB, digits=1)
            if is_large
            else Verdict("memory", what_ours, f"{peak_mib:.1f}")
        )
        for theirs in others:
            theirs.ratio = theirs.usage.peak_mib / peak_mib
            bench.record(theirs)
            what_theirs = f"{what}: {theirs.contestant}, peak, MiB"
            bench.verdicts.append(Verdict("memory", what_theirs, f"{theirs.usage.peak_mib:.1f}"))
    usual, large = bench.scale.rows, bench.scale.large_rows
    ratio = peaks_mib[large] / peaks_mib[usual]
    what = f"rollcall's peak of {short(large)} / of {short(usual)}"
    bench.verdicts.append(at_most("memory", what, ratio, MAX_PEAK_RATIO))
