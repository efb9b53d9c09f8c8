"""Prints how large the whole portal is, and writes those tables into docs/scale.md.

docs/scale_model.py estimates the rows of each dataset from its descriptor and the sizes of the portal's bulk files, and
docs/scale_load.py what a load of them takes.

`python3 docs/scale.py` prints the tables, `--write` writes them into docs/scale.md, and the pages of a mean partition
of each dataset, which rollcall assumes before it knows better, into docs/scale_pages.csv. `--check` exits with 1 if
either differs. `--sizes FILE` writes docs/scale.csv from a saved answer of `api-downloads`.
"""

import argparse
import math
import pathlib
import sys
from collections import defaultdict

from scale_load import (
    PRICES,
    Settings,
    allowed_mib,
    aws_hours,
    aws_in_flight,
    check_prices,
    count_objects,
    dollars,
    find_refused,
    local_hours,
    memory_share,
    round_trips,
    run_seconds,
    template_bytes,
)
from scale_model import (
    GZIP_SHARE,
    MEMORY_ROW_BYTES,
    PAGE_ROWS,
    PARQUET_SHARES,
    ROOT,
    ROWS_FACTOR,
    estimate_all,
    write_sizes,
)

PAGE = ROOT / "docs/scale.md"
MEAN_PAGES = ROOT / "docs/scale_pages.csv"
BEGIN = "<!-- begin: written by docs/scale.py --write -->"
END = "<!-- end -->"

# Seconds a page: fast, usual and slowest.
LATENCIES = [1, 5, 29]

def table(head, rows):
    """Returns a Markdown table whose first column is text."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows])


def number(value):
    """Returns a number with two or three significant digits, or a small whole one as it is."""
    if value >= 1000:
        digits = 2 - math.floor(math.log10(value))
        return f"{round(value, digits):,.0f}"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def show_summary(estimates, settings):
    """Returns the sentences that sum up the tables."""
    n_partitions = sum(one.dataset.n_partitions for one in estimates)
    n_totals = sum(one.dataset.n_totals for one in estimates)
    low, middle, high = (sum(getattr(one, name) for one in estimates) / 1e9 for name in ("low", "rows", "high"))
    hours = {n: [local_hours(estimates, n, latency) for latency in LATENCIES] for n in (8, 32)}
    costs = [sum(dollars(estimates, settings, latency).values()) for latency in LATENCIES]
    pages = sum(one.pages for one in estimates)
    n_refused = len(find_refused(estimates, settings))
    lines = [
        f"- {len(estimates)} datasets with {n_partitions:,} partitions. `all` leaves out the {n_totals:,} of totals.",
        f"- About {number(middle)} billion rows ({number(low)} to {number(high)}) on {number(pages)} pages.",
        *(
            f"- {n} requests in flight on one machine: {number(fast)} hours at {LATENCIES[0]} s a page, "
            f"{number(usual)} hours at {LATENCIES[1]} s, {number(slow / 24)} days at {LATENCIES[2]} s."
            for n, (fast, usual, slow) in hours.items()
        ),
        f"- On AWS, one load costs {costs[0]:.0f} to {costs[-1]:.0f} USD, by the pace of the portal.",
        f"- {n_refused or 'No'} datasets have partitions that exceed the memory that their descriptors allow.",
    ]
    return "\n".join(lines)


def show_sources(estimates):
    """Returns the table of sources."""
    sources = defaultdict(list)
    for one in estimates:
        sources[one.dataset.source].append(one)
    rows = []
    for source, group in [*sorted(sources.items()), ("**all**", estimates)]:
        rows.append([
            source,
            len(group),
            f"{sum(one.dataset.n_partitions for one in group):,}",
            number(sum(one.rows for one in group) / 1e6),
            number(sum(one.pages for one in group)),
            number(sum(one.json_bytes for one in group) / 1e9),
            number(sum(one.csv_bytes for one in group) * PARQUET_SHARES[1] / 1e9),
        ])
    return table(["source", "datasets", "partitions", "million rows", "pages", "GB of JSON", "GB of Parquet"], rows)


def show_totals(estimates):
    """Returns the table of everything, with its range."""
    low, middle, high = (sum(getattr(one, name) for one in estimates) for name in ("low", "rows", "high"))
    json_gb = sum(one.json_bytes for one in estimates) / 1e9
    csv_gb = sum(one.csv_bytes for one in estimates) / 1e9
    n_partitions = sum(one.dataset.n_partitions for one in estimates)
    requests = count_objects(estimates)
    down, up = low / middle, high / middle
    pages = sum(one.pages for one in estimates)
    n_requests = sum(one.requests for one in estimates)
    parquet = [csv_gb * share for share in PARQUET_SHARES]

    def ranged(what, value, low=None, high=None):
        low = value * down if low is None else low
        return [what, number(value), number(low), number(value * up if high is None else high)]

    exact = [f"{n_partitions:,}"] * 3
    return table(["what", "estimate", "lowest", "highest"], [
        ["datasets, runs, tables", *[len(estimates)] * 3],
        ["partitions: catalog partitions, objects under `data/`", *exact],
        ranged("rows, million", middle / 1e6),
        ranged("pages", pages, *(n_partitions + (pages - n_partitions) * factor for factor in (down, up))),
        ranged("requests to the portal", n_requests),
        ranged("received, GB of JSON", json_gb),
        ranged("received, GB, if the portal compresses", json_gb * GZIP_SHARE),
        ranged("stored, GB of Parquet", parquet[1], parquet[0] * down, parquet[2] * up),
        ranged("objects that stay in the lake", *[requests["objects"]] * 3),
        ranged("pages kept until their partition is committed", requests["kept"]),
        ranged("S3 PUT and LIST", requests["put"]),
        ranged("S3 GET and HEAD", *[requests["get"]] * 3),
    ])


def show_largest(estimates, settings):
    """Returns the table of the datasets with the largest partitions."""
    rows = []
    for one in sorted(estimates, key=lambda one: (-one.largest, one.dataset.name))[:12]:
        trips = round_trips(one.largest_pages, aws_in_flight(one, settings))
        seconds = [trips * latency for latency in LATENCIES]
        rows.append([
            f"`{one.dataset.name}`",
            number(one.largest / 1e6),
            one.largest_pages,
            number(one.largest * MEMORY_ROW_BYTES / 2**20),
            *(number(s / 60) for s in seconds),
            math.ceil(seconds[-1] / settings.call_s),
        ])
    head = ["dataset", "million rows", "pages", "MiB in memory", *(f"minutes at {s} s" for s in LATENCIES)]
    return table([*head, f"calls at {LATENCIES[-1]} s"], rows)


def show_hours(estimates, settings):
    """Returns the table of hours and dollars."""
    rows = []
    for in_flight in (8, 32):
        hours = [number(local_hours(estimates, in_flight, latency)) for latency in LATENCIES]
        rows.append([f"one machine, {in_flight} in flight: hours", *hours])
    aws = [aws_hours(estimates, settings, latency) for latency in LATENCIES]
    rows.append(["AWS, one run after another: hours", *(number(total) for total, _ in aws)])
    rows.append(["AWS, the longest run: hours", *(number(longest) for _, longest in aws)])
    late = [sum(run_seconds(one, settings, latency) > settings.run_s for one in estimates) for latency in LATENCIES]
    rows.append([f"AWS, runs over {settings.run_s / 3600:.0f} hours", *late])
    costs = [dollars(estimates, settings, latency) for latency in LATENCIES]
    for item in costs[0]:
        rows.append([f"{item}: USD", *(f"{cost[item]:.2f}" for cost in costs)])
    rows.append(["**one load: USD**", *(f"**{sum(cost.values()):.2f}**" for cost in costs)])
    stored = sum(one.csv_bytes for one in estimates) / 1e9 * PARQUET_SHARES[1] * PRICES["gb_month"][0]
    rows.append(["storage: USD a month", *[f"{stored:.2f}"] * len(LATENCIES)])
    return table(["what", *(f"{latency} s a page" for latency in LATENCIES)], rows)


def show_limits(estimates, settings):
    """Returns the table of limits, those that are reached first at the top."""
    n_partitions = sum(one.dataset.n_partitions for one in estimates)
    most = max(one.dataset.n_partitions for one in estimates)
    largest = max(estimates, key=lambda one: one.largest)
    fullest = max((one for one in estimates if len(one.dataset.key) > 1), key=lambda one: memory_share(one, settings))
    trips = round_trips(largest.largest_pages, aws_in_flight(largest, settings))
    n_calls = math.ceil(trips * LATENCIES[-1] / settings.call_s)
    body_bytes = max(one.dataset.json_row_bytes * min(PAGE_ROWS, one.largest) for one in estimates)
    n_columns = max(len(one.dataset.columns) for one in estimates)
    usual, slowest = (aws_hours(estimates, settings, latency)[1] for latency in LATENCIES[1:])
    # A partition commits in two writes, and keeps each page.
    most_in_flight = settings.map_concurrency * max(aws_in_flight(one, settings) for one in estimates)
    template_mb = template_bytes([one.dataset for one in estimates]) / 1e6
    memory_mib = fullest.largest * MEMORY_ROW_BYTES / 2**20
    rows = [
        ("memory of a partition, MiB", memory_mib, allowed_mib(fullest, settings), 10, "rollcall"),
        (f"hours of a run, {LATENCIES[2]} s a page", slowest, settings.run_s / 3600, 10, "state machine"),
        (f"hours of a run, {LATENCIES[1]} s a page", usual, settings.run_s / 3600, 10, "state machine"),
        (f"calls for a partition, {LATENCIES[2]} s a page", n_calls, settings.calls, 10, "state machine"),
        ("body of a page, MiB", body_bytes / 2**20, settings.max_body_mib, 1, "rollcall"),
        ("values of a page", PAGE_ROWS * (n_columns + 1), 4e6, 1, "rollcall"),
        ("template with all tables, MB", template_mb, 1, 10, "CloudFormation"),
        ("events of a child execution", 11 + 9 * (n_calls - 1), 25_000, 10, "Step Functions"),
        ("partitions of one plan", most, settings.max_partitions, 10, "rollcall"),
        ("S3 writes a second, 1 s a page", most_in_flight / LATENCIES[0], 3_500, 10, "Amazon S3"),
        ("partitions that one query reads", most, 1e6, 10, "Athena"),
        ("partitions of one table", most, 1e7, 10, "AWS Glue"),
        ("partitions of the account", n_partitions, 2e7, 10, "AWS Glue"),
        ("tables of one database", len(estimates), 2e5, 10, "AWS Glue"),
    ]
    return table(
        ["what", "whole portal", "limit", "used", "at ten times", "whose"],
        [
            [what, number(found), number(limit), share(found / limit), share(growth * found / limit), whose]
            for what, found, limit, growth, whose in sorted(rows, key=lambda row: -row[1] / row[2])
        ],
    )


def share(value):
    """Returns a share as a percentage."""
    return f"{value:.0%}" if value >= 0.01 else f"{value:.1%}" if value >= 0.001 else "< 0.1%"


def show_refused(estimates, settings):
    """Returns the list of datasets with partitions that do not fit."""
    limit = settings.max_mib * 2**20 / MEMORY_ROW_BYTES
    lines = []
    for one in find_refused(estimates, settings):
        is_near = memory_share(one, settings) <= ROWS_FACTOR
        lines.append(f"- `{one.dataset.name}`{' (fits if the estimate is too high)' if is_near else ''}")
    head = f"More than about {number(limit / 1e6)} million rows need a `memory_mib` in the descriptor."
    rest = ["That of these datasets is too small:", "", *lines] if lines else ["All datasets have enough."]
    return "\n".join([head, *rest])


def report():
    """Returns all tables."""
    settings = Settings()
    estimates = estimate_all()
    parts = [
        ("In short", show_summary(estimates, settings)),
        ("By source", show_sources(estimates)),
        ("Everything", show_totals(estimates)),
        ("Hours and dollars", show_hours(estimates, settings)),
        ("The largest partitions", show_largest(estimates, settings)),
        ("Partitions that are refused", show_refused(estimates, settings)),
        ("Limits", show_limits(estimates, settings)),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts) + "\n"


def show_mean_pages():
    """Returns the pages of a mean partition of each dataset, as CSV."""
    lines = [f"{one.dataset.name},{one.pages_each:.1f}" for one in estimate_all()]
    return "\n".join(["dataset,pages", *sorted(lines)]) + "\n"


def split_page():
    """Returns the text of docs/scale.md before the tables, the tables, and the text after them."""
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    tables, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"read `docs/scale.md`: expected `{BEGIN}` and `{END}`, found at most one")
    return before, tables.strip("\n") + "\n", after


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="exit with 1 if docs/scale.md or docs/scale_pages.csv differs")
    group.add_argument("--write", action="store_true", help="write docs/scale.md and docs/scale_pages.csv")
    group.add_argument("--sizes", type=pathlib.Path, metavar="FILE", help="saved answer of api-downloads, JSON or .gz")
    args = parser.parse_args()
    if args.sizes:
        write_sizes(args.sizes)
        return
    check_prices()
    tables = report()
    if args.write:
        before, _, after = split_page()
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")
        MEAN_PAGES.write_text(show_mean_pages(), encoding="utf-8")
    elif args.check:
        hint = "python3 docs/scale.py --write"
        if split_page()[1] != tables:
            sys.exit(f"compare `docs/scale.md`: expected the tables that it prints, found others\n    hint: {hint}")
        if MEAN_PAGES.read_text(encoding="utf-8") != show_mean_pages():
            sys.exit(f"compare `docs/scale_pages.csv`: expected what it prints, found something else\n    hint: {hint}")
    else:
        sys.stdout.write(tables)


if __name__ == "__main__":
    main()
