"""Compares what `rollcall plan` says that a run takes with what it takes, at 0.2, 1 and 5 s a page. Exits with 1 if one of
the times is off by more than a quarter, or a number of requests differs.

Usage: python3 bench/plan_accuracy.py [--binary PATH]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "support"))

from simulator import simulator

LATENCIES_S = [0.2, 1, 5]
# 40 partitions of 1 to 3 pages: some 100 requests.
REQUEST = ["--years", "2018-2021", "--grades", "grade-pk,grade-k,grade-1,grade-2,grade-3,grade-9,grade-10,grade-11,grade-12,grade-99"]
MEASURED = ["--years", "2021", "--grades", "grade-pk,grade-99"]
TOLERANCE = 0.25


def run(binary, folder, command, *arguments):
    """Runs a command on the lake in a folder, and returns what it prints as JSON."""
    line = [binary, command, "--lake", folder, "--quiet", "--format", "json", *arguments]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def compare(binary, latency_s):
    """Returns whether a plan was right: one of partitions that are known, after a run that measured the portal."""
    with (
        simulator(binary, "--latency-ms", str(int(latency_s * 1000)), "--schools", "24000") as address,
        tempfile.TemporaryDirectory() as folder,
    ):
        portal = ["--portal", address]
        # Nothing is known of most partitions yet, and of the portal only what two of them have shown.
        run(binary, folder, "run", *portal, *MEASURED)
        first = run(binary, folder, "plan", *portal, *REQUEST)["cost"]
        start = time.monotonic()
        done = run(binary, folder, "run", *portal, *REQUEST)
        taken_s = time.monotonic() - start
        known = run(binary, folder, "plan", *portal, *REQUEST)["cost"]
    n_requests = done["cost"]["n_requests"]
    right = known["n_requests"] == n_requests
    for name, plan in [("before", first), ("after", known)]:
        ratio = plan["seconds"] / taken_s
        # Before, the sizes of the partitions are guessed.
        right &= name == "before" or abs(ratio - 1) <= TOLERANCE
        print(
            f"{latency_s} s a page, planned {name} the run: {plan['n_requests']} requests of {n_requests}, "
            f"{plan['seconds']:.1f} s of {taken_s:.1f} s ({ratio:.2f})"
        )
    return right


def main():
    """Compares at every latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/rollcall"))
    binary = parser.parse_args().binary.resolve()
    results = [compare(binary, latency_s) for latency_s in LATENCIES_S]
    sys.exit(0 if all(results) else 1)


main()
