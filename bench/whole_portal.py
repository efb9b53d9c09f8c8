#!/usr/bin/env python3
"""Fetches the whole portal, thin: every dataset, year and axis value with 20 rows, from the simulator.

Prints how long each command took and how much memory it needed, and fails if one exceeds its limit.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "support"))

from simulator import simulator

ROLLCALL = ROOT / "target" / "release" / "rollcall"


def files(folder):
    """Returns the time and the inode of every file below a folder, by path."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            facts = path.stat()
            found[str(path.relative_to(folder))] = (facts.st_mtime_ns, facts.st_ino)
    return found


def run(*arguments):
    """Runs rollcall. Returns its exit code, its last line, the seconds that it took and its peak memory in MiB."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [ROLLCALL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    lines = output.strip().splitlines() or [""]
    return os.waitstatus_to_exitcode(status), lines[-1], seconds, usage.ru_maxrss / 1024


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=20, help="rows of each partition")
    given = arguments.parse_args()

    missed = []
    with simulator(ROLLCALL, "--rows-per-partition", str(given.rows)) as portal, tempfile.TemporaryDirectory() as folder:
        lake = pathlib.Path(folder) / "lake"
        sample = pathlib.Path(folder) / "sample"
        everything = ["--dataset", "all", "--lake", str(lake)]
        fetch = ["run", *everything, "--years", "all", "--portal", portal]
        missing = ["plan", *everything, "--years", "all", "--mode", "missing", "--portal", portal]
        newest = ["run", "--dataset", "all", "--years", "latest", "--sample", "--lake", str(sample)]
        steps = [
            ("every partition, first run", fetch, 300, 200),
            ("every partition, again", fetch, 300, 200),
            ("status of everything", ["status", *everything], 2, 200),
            ("plan of what is missing", missing, 5, 200),
            ("report of everything", ["report", *everything, "--output", str(lake.with_suffix(".html"))], 30, 300),
            # The simulator is in the same process, so there is no limit on its memory.
            ("latest year of the sample, first run", newest, 300, None),
            ("latest year of the sample, again", newest, 300, None),
        ]
        print("| command | result | seconds | limit | MiB | limit |\n|---|---|--:|--:|--:|--:|")
        before = {}
        for name, command, max_seconds, max_mib in steps:
            code, last, seconds, mib = run(*command)
            print(f"| {name} | {last} | {seconds:.1f} | {max_seconds} | {mib:.0f} | {max_mib or ''} |", flush=True)
            if code != 0 or seconds > max_seconds or (max_mib and mib > max_mib):
                missed.append(f"{name}: exit code {code}, {seconds:.1f} s, {mib:.0f} MiB")
            after = files(lake / "data") if lake.exists() else {}
            if name.endswith("again") and before != after:
                missed.append(f"{name}: expected no file under data/ to change, found one that did")
            before = after
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
