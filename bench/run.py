"""Measures `rollcall` against its simulator and prints whether the bars hold. README.md explains the figures.

Exit code: 0 if every bar that is not a goal holds (or with `--quick`), 1 if one does not, 2 if something could not be
measured.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import re
import signal
import subprocess

from contestants import VERSIONS, WORKSPACE, Bench
from lanes import cpu, latency, limit, memory, micro, query, size, unchanged
from processes import CannotMeasure, exit_with
from tables import RUN_TABLE, VERDICT_TABLE, markdown_table, text_header, text_line
from workloads import FULL, QUICK

# With `--write`, this program replaces the part of that file between the two lines.
RESULTS = WORKSPACE / "docs" / "performance.md"
RESULTS_BEGIN = "<!-- begin: written by bench/run.py --write -->\n"
RESULTS_END = "<!-- end -->\n"

LANES = {
    "micro": micro,
    "cpu": cpu,
    "memory": memory,
    "limit": limit,
    "unchanged": unchanged,
    "latency": latency,
    "size": size,
    "query": query,
}


def machine_lines(args, bench, load):
    """Returns short lines that describe the machine and the programs measured."""
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1].strip() if found else model
    version = subprocess.run([args.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return [
        f"machine: {len(os.sched_getaffinity(0))} cores, {model}, {memory_gib:.0f} GiB",
        f"Linux {platform.release().split('-')[0]} {platform.machine()}, {version}, {bench.ask_python(VERSIONS)}",
        f"start: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, "
        f"load average {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}",
    ]


def write_results(machine, bench):
    """Replaces the figures on the results page."""
    text = "".join(f"- {line}\n" for line in machine)
    text += "\n### Bars\n\n" + markdown_table(VERDICT_TABLE, [verdict.cells() for verdict in bench.verdicts])
    text += "\n### Runs\n\n" + markdown_table(RUN_TABLE, [run.cells() for run in bench.runs])
    before, _, rest = RESULTS.read_text(encoding="utf-8").partition(RESULTS_BEGIN)
    _, found, after = rest.partition(RESULTS_END)
    if not found:
        raise CannotMeasure(f"write {RESULTS.name}: expected the lines {RESULTS_BEGIN + RESULTS_END}, found none")
    RESULTS.write_text(f"{before}{RESULTS_BEGIN}\n{text}\n{RESULTS_END}{after}", encoding="utf-8")


def count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def parse_args():
    target = WORKSPACE / "target"
    parser = argparse.ArgumentParser(description="Measure rollcall against its simulator.")
    parser.add_argument("--binary", type=pathlib.Path, default=target / "release" / "rollcall")
    parser.add_argument("--simulator", type=pathlib.Path, default=target / "release" / "rollcall-simulator")
    parser.add_argument("--limit", type=pathlib.Path, default=target / "release" / "rollcall-limit")
    parser.add_argument(
        "--python",
        type=pathlib.Path,
        default=WORKSPACE / ".venv-bench" / "bin" / "python",
        help="Python for the scripts, with bench/requirements.txt installed (default: .venv-bench)",
    )
    parser.add_argument("--only", choices=LANES, metavar="LANE", help=f"one of {', '.join(LANES)}")
    parser.add_argument("--rounds", type=count, help="rounds of the cpu lane (default: 5)")
    parser.add_argument(
        "--runs",
        type=count,
        help="runs of the memory and latency lanes (default: 3), and pairs of the limit and query lanes (default: 5)",
    )
    parser.add_argument("--quick", action="store_true", help="small amounts of data; bars are shown but ignored")
    parser.add_argument("--write", action="store_true", help=f"write the figures into docs/{RESULTS.name}")
    parser.add_argument("--scratch", type=pathlib.Path, default=target, help="folder on a local disk (default: target)")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.pairs = args.runs or (1 if args.quick else 5)
    args.runs = args.runs or (1 if args.quick else 3)
    for path in (args.binary, args.simulator, args.limit, args.python):
        if not path.is_file():
            parser.error(f"expected a program at {path}, found none; `make bench` builds it")
    if not args.scratch.is_dir():
        parser.error(f"expected a folder at {args.scratch}, found none")
    # A name without a slash would be looked up on PATH.
    args.binary, args.simulator, args.limit = (path.resolve() for path in (args.binary, args.simulator, args.limit))
    # Symbolic links are not resolved: Python needs them to find the packages of the virtual environment.
    args.python = args.python.absolute()
    if args.write and (args.quick or args.only):
        parser.error("--write: expected a complete run, without --quick and --only")
    return args


def main():
    # If this script is terminated, it still stops the simulator and the contestant.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    args = parse_args()
    load = os.getloadavg()
    bench = Bench(args, QUICK if args.quick else FULL)
    machine = machine_lines(args, bench, load)
    print("\n".join(machine))
    if load[0] > 0.5:
        print("note: the machine is not idle; wall times and the latency lane are affected most")
    print("\n" + text_header(RUN_TABLE), flush=True)
    for name, lane in LANES.items():
        if args.only in (None, name):
            lane.measure_lane(bench)
    print("\n" + text_header(VERDICT_TABLE))
    for verdict in bench.verdicts:
        print(text_line(VERDICT_TABLE, verdict.cells()))
    if args.write:
        write_results(machine, bench)
    if args.quick:
        print("\nquick: a smoke run, bars are ignored")
        return 0
    return 1 if any(verdict.fails for verdict in bench.verdicts) else 0


if __name__ == "__main__":
    exit_with(main)
