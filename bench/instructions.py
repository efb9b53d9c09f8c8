"""Counts the instructions per row of each stage from page bytes to file bytes, with valgrind.

Each stage runs twice, on a few rows and on more; the difference is the cost of the additional rows, without start-up
and fetching the pages. The count hardly varies, so it shows a change of one percent even on a busy machine. It does not
measure time: an instruction may wait for memory, and valgrind's processor has no AVX-512.

Exit code: 0, or 2 if something could not be measured.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from processes import CannotMeasure, exit_with

WORKSPACE = pathlib.Path(__file__).resolve().parent.parent

STAGES = ("decode-scanner", "decode-serde", "digest", "key-check", "encode")
# A small and a larger number of rows, in whole partitions of bench/micro.
ROWS = {"enrollment": (100_000, 300_000), "directory": (10_000, 30_000)}


def run(command):
    """Returns what a command prints to stdout."""
    done = subprocess.run(command, cwd=WORKSPACE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"`{command[0]}` exited with {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def build():
    """Builds `bench/micro` and returns the path of its program."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "--no-run", "--message-format", "json"]
    lines = run([*command, "--package", "rollcall-bench", "--features", "micro"]).splitlines()
    built = [message for message in map(json.loads, lines) if message.get("executable")]
    if len(built) != 1:
        raise CannotMeasure(f"expected cargo to build one program, found {len(built)}")
    return built[0]["executable"]


def count_instructions(program, stage, source, rows, out):
    """Returns the instructions that one process executes, and the number of rows it processes."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program]
    n_rows = re.fullmatch(r"(\d+) rows\n", run([*command, "--once", stage, "--rows", str(rows), "--of", source]))
    # Each thread has its own totals line.
    totals = re.findall(r"^totals: (\d+)$", out.read_text(errors="replace"), re.MULTILINE)
    if not n_rows or not totals:
        raise CannotMeasure(f"{stage}: expected a count of instructions, found none")
    return sum(map(int, totals)), int(n_rows[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=STAGES, metavar="STAGE", help=f"one of {', '.join(STAGES)}")
    parser.add_argument("--of", choices=ROWS, default="enrollment", help="dataset of the pages")
    parser.add_argument(
        "--keep", type=pathlib.Path, metavar="DIR", help="keep callgrind's files there, for callgrind_annotate"
    )
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        raise CannotMeasure("expected valgrind, found none; on Debian and Ubuntu, install the package `valgrind`")
    program = build()
    print(f"{'stage':<14}  instructions/row of {args.of}\n{'-' * 14}  {'-' * 16}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep or pathlib.Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in STAGES:
            if args.only not in (None, stage):
                continue
            (few, few_rows), (more, more_rows) = (
                count_instructions(program, stage, args.of, rows, folder / f"callgrind.{args.of}.{stage}.{rows}")
                for rows in ROWS[args.of]
            )
            print(f"{stage:<14}  {(more - few) / (more_rows - few_rows):>16.1f}", flush=True)
    return 0


if __name__ == "__main__":
    exit_with(main)
