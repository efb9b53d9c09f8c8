"""Says what one load of all datasets takes: round trips, hours, requests to S3, dollars, memory.

Settings and limits are read from the files of the project that define them, so they cannot differ.
"""

import math
import re
import sys
import tomllib
from dataclasses import dataclass

from scale_model import MEMORY_ROW_BYTES, PAGE_ROWS, ROOT

# USD, with the words of infra/README.md, which has the same list.
LISTED = tomllib.loads((ROOT / "infra/prices.toml").read_text(encoding="utf-8"))
PRICES = {
    "gb_second": (LISTED["gb_second"], f"{LISTED['gb_second']:.10f} per GB-second"),
    "call": (LISTED["million_calls"] / 1e6, f"{LISTED['million_calls']:.2f} per million calls"),
    "transition": (LISTED["thousand_transitions"] / 1000, f"{LISTED['thousand_transitions']} per 1,000 transitions"),
    "put": (LISTED["thousand_puts"] / 1000, f"{LISTED['thousand_puts']} per 1,000 PUT"),
    "get": (LISTED["thousand_gets"] / 1000, f"{LISTED['thousand_gets']} per 1,000 GET"),
    "gb_month": (LISTED["gb_month"], f"{LISTED['gb_month']} per GB-month"),
    "log_gb": (LISTED["log_gb"], f"logs {LISTED['log_gb']:.2f} per GB"),
}


def find_number(path, pattern):
    """Returns the number that the first group of `pattern` matches in a file of the project."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(pattern, text)
    if not found:
        sys.exit(f"read `{path}`: expected `{pattern}`, found nothing")
    return int(found[1].replace("_", ""))


@dataclass
class Settings:
    """Settings and limits of the project, read from its files."""

    map_concurrency = find_number("infra/template.yaml", r"MapConcurrency: \{[^}]*?Default: (\d+)")
    in_flight = find_number("infra/template.yaml", r"RequestsInFlight: \{[^}]*?Default: (\d+)")
    memory_mb = find_number("infra/template.yaml", r"FetchMB: .*Default: (\d+)")
    page_share = find_number("aws/src/step/page_fetch/function_memory.rs", r"PAGE_SHARE: usize = (\d+);")
    program_mib = find_number("aws/src/step/page_fetch/function_memory.rs", r"PROGRAM_BYTES: usize = (\d+) << 20;")
    call_s = find_number("infra/template.yaml", r"MemorySize: !Ref FetchMB\s+Timeout: (\d+)")
    run_s = find_number("statemachine/ingest.asl.json", r'"TimeoutSeconds": (\d+)')
    calls = 1 + find_number("statemachine/ingest.asl.json", r'"calls_left": (\d+)')
    max_partitions = find_number("core/src/request/size.rs", r"MAX_PARTITIONS: usize = ([\d_]+)")
    max_mib = find_number("core/src/dataset.rs", r"MEMORY_MIB: u16 = (\d+);")
    max_body_mib = find_number("docs/limits.md", r"response body may be up to (\d+) MiB")


def round_trips(pages, in_flight):
    """Returns how many times one partition waits for the portal: page 1, the others, then page 1 again."""
    return 1 if pages <= 1 else 2 + math.ceil((pages - 1) / in_flight)


def local_hours(estimates, in_flight, latency):
    """Returns the hours of one run after another on one machine."""
    seconds = 0
    for one in estimates:
        seconds += max(one.requests / in_flight, round_trips(one.largest_pages, in_flight)) * latency
    return seconds / 3600


def aws_in_flight(one, settings):
    return one.dataset.in_flight or settings.in_flight


def fetch_seconds(one, settings, latency):
    """Returns the seconds of page-fetch for a dataset: its round trips, and a second for each call."""
    trips = round_trips(one.pages_each, aws_in_flight(one, settings))
    return one.dataset.n_partitions * (trips * latency + 1)


def further_calls(one, settings, latency):
    trips = round_trips(one.pages_each, aws_in_flight(one, settings))
    return one.dataset.n_partitions * (math.ceil(trips * latency / settings.call_s) - 1)


def run_seconds(one, settings, latency):
    """Returns the seconds of a dataset's run on AWS: its partitions side by side, or as long as its largest one."""
    longest = round_trips(one.largest_pages, aws_in_flight(one, settings)) * latency
    return max(fetch_seconds(one, settings, latency) / settings.map_concurrency, longest)


def aws_hours(estimates, settings, latency):
    """Returns the hours of all runs on AWS, one after another, and of the longest one."""
    seconds = [run_seconds(one, settings, latency) for one in estimates]
    return sum(seconds) / 3600, max(seconds) / 3600


def count_objects(estimates):
    """Returns S3 requests of one load, by price, and the objects that stay."""
    n_runs = len(estimates)
    n_partitions = sum(one.dataset.n_partitions for one in estimates)
    kept = sum(one.pages for one in estimates if one.pages_each >= 16)
    listed = math.ceil(n_partitions / 1000) + 2 * n_runs
    return {
        # The object and the receipt; pages kept until the commit; plan, descriptor, schema, records and summary.
        "put": 2 * n_partitions + kept + 5 * n_runs + listed,
        # Before and after the commit, and the receipt.
        "get": 3 * n_partitions + 10 * n_runs,
        "objects": n_partitions + 5 * n_runs,
        "kept": kept,
    }


def dollars(estimates, settings, latency):
    """Returns what one load of everything costs, by item."""
    price = {name: value for name, (value, _) in PRICES.items()}
    n_runs = len(estimates)
    n_partitions = sum(one.dataset.n_partitions for one in estimates)
    further = sum(further_calls(one, settings, latency) for one in estimates)
    seconds = sum(fetch_seconds(one, settings, latency) for one in estimates)
    requests = count_objects(estimates)
    return {
        "page-fetch": seconds * settings.memory_mb / 1024 * price["gb_second"],
        "planner, catalog": n_runs * (10 * 0.25 + 60 * 0.5) * price["gb_second"],
        "calls": (n_partitions + further + 2 * n_runs) * price["call"],
        "transitions": (9 * n_runs + 4 * n_partitions + 3 * further) * price["transition"],
        "S3 requests": requests["put"] * price["put"] + requests["get"] * price["get"],
        "logs": n_partitions * 1e-5 * price["log_gb"],
    }


def template_bytes(datasets):
    """Returns about how many bytes the tables of all datasets would take in the template.

    A column takes three lines with its name, type and comment; the rest of a table is as in infra/catalog.yaml.
    """
    columns = [column for dataset in datasets for column in dataset.columns]
    text = sum(len(column["name"]) + len(column["type"]) + len(column.get("comment", "")) for column in columns)
    return text + 60 * len(columns) + 1800 * len(datasets)


def find_refused(estimates, settings):
    """Returns the estimates of which the largest partition exceeds the memory of a partition.

    The keys of one id arrive in order, and take a few bytes.
    """

    return [one for one in estimates if memory_share(one, settings) > 1 and len(one.dataset.key) > 1]


def allowed_mib(estimate, settings):
    """Returns the memory of a partition that its descriptor and page-fetch allow.

    Page-fetch keeps a share of its memory for pages, and some for the program. An eighth is added to a page, and its rows
    take as much as its body.
    """
    page_bytes = estimate.dataset.json_row_bytes * min(PAGE_ROWS, estimate.largest)
    page_mib = 9 / 8 * 2 * page_bytes / 2**20
    function_mib = settings.memory_mb * (1 - 1 / settings.page_share) - settings.program_mib - page_mib
    return min(estimate.dataset.memory_mib or settings.max_mib, function_mib)


def memory_share(estimate, settings):
    """Returns the memory of the largest partition, as a share of what is allowed."""
    return estimate.largest * MEMORY_ROW_BYTES / (allowed_mib(estimate, settings) * 2**20)


def check_prices():
    """Checks that infra/README.md has the same prices."""
    text = " ".join((ROOT / "infra/README.md").read_text(encoding="utf-8").split())
    missing = [words for _, words in PRICES.values() if words not in text]
    if missing:
        sys.exit(f"compare prices with `infra/README.md`: expected `{missing[0]}`, found nothing")
