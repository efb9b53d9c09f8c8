#!/usr/bin/env python3
"""Reads a lake of every built-in dataset with five engines, and compares every cell with the portal's JSON.

The simulator is the portal. Besides the two newest years of every dataset, there is a partition with several row
groups, a table with awkward values, and one whose files have different columns. The number of rows that a filter
selects is compared too: engines skip what cannot match by the statistics in the files, so wrong ones show only there.

Exit code: 0 if nothing differs, 1 otherwise.
"""

import argparse
import bisect
import fnmatch
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import chdb

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# After this folder, which has a `compare` too.
sys.path.append(str(ROOT / "tests" / "support"))

import planted
import portal
import values
from compare import Differences, Expected
from readers import READERS
from simulator import simulator

# A row group has at most 131,072 rows.
LARGE_ROWS = 150_000
DOCUMENT = (ROOT / "docs" / "readers.md").read_text(encoding="utf-8")


class Tally:
    """What one engine read."""

    def __init__(self):
        self.tables = self.rows = self.cells = self.filters = self.differences = 0
        self.seconds = 0.0

    def time(self, function, *arguments):
        begun = time.monotonic()
        result = function(*arguments)
        self.seconds += time.monotonic() - begun
        return result


def fetch(rollcall, lake, address, *arguments):
    """Fetches into the lake. Returns the axis values of each partition, by dataset."""
    command = [rollcall, "run", "--lake", lake, "--portal", address, "--format", "json", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(f"fetch {' '.join(arguments)}: {done.stderr}")
    report = json.loads(done.stdout)
    partitions = {}
    for run in report.get("runs", [report]):
        for found in run["partitions"]:
            # Values that do not fit are elsewhere in the lake, where `portal.expected` does not expect them.
            if found["outcome"] != "written" or found["n_misfits"] or found["n_unknown"]:
                sys.exit(f"fetch {run['dataset']}: expected a written partition whose values all fit, found {found}")
            partitions.setdefault(run["dataset"], []).append(found["partition"])
    return partitions


def every_dataset(rollcall, folder, pattern, n_rows):
    """Fetches every dataset. Returns, one by one, each dataset with its table's folder and what that must hold."""
    datasets = [portal.Dataset.read(file) for file in sorted((ROOT / "datasets").glob("*.toml"))]
    with simulator(rollcall, "--rows-per-partition", str(n_rows)) as address:
        partitions = fetch(rollcall, folder, address, "--dataset", pattern, "--years", "latest-2")
        for dataset in datasets:
            if pattern == "all" or fnmatch.fnmatch(dataset.name, pattern):
                if dataset.name not in partitions:
                    sys.exit(f"fetch {dataset.name}: expected partitions, found none")
                table = portal.expected(address, dataset, partitions[dataset.name])
                yield dataset, folder / "data" / dataset.table, table


def large_partition(rollcall, folder):
    """Does the same for one partition with several row groups, and many pages in each."""
    dataset = portal.Dataset.read(ROOT / "datasets" / "ccd_enrollment.toml")
    with simulator(rollcall, "--rows", str(LARGE_ROWS)) as address:
        partitions = fetch(rollcall, folder, address, "--years", "2021", "--grades", "grade-8")
        table = portal.expected(address, dataset, partitions[dataset.name])
        return dataset, folder / "data" / dataset.table, table


def made_up(rollcall, folder, name, steps):
    """Does the same for a dataset of `values.py`.

    - `steps`: descriptors, each with the years that it fetches; the last one describes the table.
    """
    served = folder.with_suffix(".served")
    served.mkdir()
    with simulator(rollcall, "--recorded", str(served)) as address:
        values.write_pages(served, address)
        partitions = []
        for descriptor, years in steps:
            arguments = ["--dataset", str(HERE / descriptor), "--years", ",".join(map(str, years))]
            partitions += fetch(rollcall, folder, address, *arguments)[name]
        dataset = portal.Dataset.read(HERE / steps[-1][0])
        return dataset, folder / "data" / dataset.table, portal.expected(address, dataset, partitions)


def filters(dataset, table, is_thorough):
    """Returns filters, each with the number of rows that match: column, operator, value; number.

    There is one on each axis, and one on a column of each type; if thorough, several on every column, with values from
    its whole range and others just outside.
    """
    chosen = []
    kinds = set()
    # Columns of the key come first: those are the ids.
    names = sorted(dataset.types, key=lambda name: name not in dataset.key)
    for name in names:
        kind = dataset.types[name]
        cells = sorted(cell for cell in table[name].to_pylist() if cell is not None)
        is_new = name in dataset.axes or kind not in kinds
        if not cells or not (is_new or is_thorough):
            continue
        kinds.add(kind)
        distinct = sorted(set(cells))
        if is_thorough:
            wanted = [(sign, value) for value in spread(distinct) for sign in ("=", "<", ">", ">=")]
            if kind == "string":
                wanted += [(sign, value + "x") for value in spread(distinct) for sign in ("=", ">=")]
        elif kind == "string" or name in dataset.axes:
            wanted = [("=", distinct[len(distinct) // 2])]
        else:
            wanted = [(">=", cells[len(cells) // 2])]
        for sign, value in wanted:
            before, until = bisect.bisect_left(cells, value), bisect.bisect_right(cells, value)
            n_rows = {"=": until - before, "<": before, ">": len(cells) - until, ">=": len(cells) - before}[sign]
            chosen.append(((name, sign, value), n_rows))
    return chosen


def spread(items, n=14):
    """Returns about `n` items from everywhere in a list, with the first and the last."""
    return [*items[: -1 : max(1, len(items) // n)], items[-1]]


def compare(name, dataset, folder, table, checked, tallies, read="read"):
    """Compares what each engine reads from a table's folder with what it must hold, and prints what differs."""
    expected = Expected(dataset, table)
    n_cells = table.num_rows * table.num_columns
    for reader in READERS:
        tally = tallies[reader.name]
        # Each engine has errors of its own.
        try:
            differences = expected.differences(tally.time(getattr(reader, read), dataset, str(folder)))
        except Exception as error:
            differences = Differences()
            differences.add(f"expected {table.num_rows} rows, found an error: {error}", n_cells)
        for filter, n_expected in checked:
            try:
                n_found = tally.time(reader.count, dataset, str(folder), filter)
            except Exception as error:
                n_found = f"an error: {error}"
            if n_found != n_expected:
                column, sign, value = filter
                differences.add(f"`{column}` {sign} {value!r}: expected {n_expected} rows, found {n_found}")
        for text in differences.shown:
            print(f"{name}, {reader.name}: {text}", file=sys.stderr)
        if n_more := differences.n - len(differences.shown):
            print(f"{name}, {reader.name}: and {n_more:,} more differences", file=sys.stderr)
        tally.tables += 1
        tally.rows += table.num_rows
        tally.cells += n_cells
        tally.filters += len(checked)
        tally.differences += differences.n


def example_is_right(folder, table):
    """Runs the example for ClickHouse, the only tested one that the ordinary tests leave out."""
    students = {}
    for year, grade, n in zip(*(table[name].to_pylist() for name in ("year", "grade", "enrollment"))):
        if n is not None and n >= 0 and grade != "grade-99":
            students[year] = students.get(year, 0) + n
    sql = DOCUMENT.split("```sql\n")[1].split("```")[0].replace(f"lake/data/{folder.name}", str(folder))
    found = chdb.query(sql, "CSV").data()
    return found == "".join(f"{year},{students[year]}\n" for year in sorted(students))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rollcall", default=ROOT / "target" / "release" / "rollcall", help="the program")
    arguments.add_argument("--rows", type=int, default=200, help="rows of each partition")
    arguments.add_argument("--dataset", default="all", help="all, or a pattern such as 'ccd_*'")
    given = arguments.parse_args()
    tallies = {reader.name: Tally() for reader in READERS}

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for dataset, where, table in every_dataset(given.rollcall, folder / "lake", given.dataset, given.rows):
            compare(dataset.name, dataset, where, table, filters(dataset, table, False), tallies)

        dataset, where, table = large_partition(given.rollcall, folder / "large")
        missed = [f"did not notice {what}" for what in planted.check(dataset, where, table, folder)]
        if not example_is_right(where, table):
            missed.append("docs/readers.md: expected the example for ClickHouse to return the portal's sums")
        compare(f"large {dataset.name}", dataset, where, table, filters(dataset, table, True), tallies)

        dataset, where, table = made_up(
            given.rollcall, folder / "awkward", "awkward", [("awkward.toml", values.AWKWARD_ROWS)]
        )
        compare("awkward", dataset, where, table, filters(dataset, table, True), tallies)

        steps = [("grown_before.toml", [2019]), ("grown.toml", [2020])]
        dataset, where, table = made_up(given.rollcall, folder / "grown", "grown", steps)
        compare("grown", dataset, where, table, [], tallies, "read_mixed")

    print("| engine | version | tables | rows | cells | filters | differences | seconds |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for name, tally in tallies.items():
        version = importlib.metadata.version(name)
        print(
            f"| {name} | {version} | {tally.tables} | {tally.rows:,} | {tally.cells:,} | {tally.filters:,} "
            f"| {tally.differences:,} | {tally.seconds:.1f} |"
        )
        if tally.differences:
            missed.append(f"{name}: {tally.differences:,} differences")
        if f"{name} {version}" not in DOCUMENT.lower():
            missed.append(f"docs/readers.md: expected `{name} {version}`")
    if missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
