"""Stages on their own, measured by criterion."""

import json
import os
import pathlib
import subprocess

from contestants import WORKSPACE
from processes import MAX_RUN_S, CannotMeasure
from tables import Verdict, at_least

MIN_DECODE_RATIO = {"enrollment": 2.5, "directory": 1.0}

# Stages besides decoding, named as in `bench/micro`.
STAGES = ("digest", "key_check", "encode")


def measure_lane(bench):
    """Measures the time of each stage alone, with criterion."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "--package", "rollcall-bench"]
    command += ["--features", "micro", "--bench", "micro", "--", *(["--quick"] if bench.is_quick else [])]
    with bench.folder() as name:
        # An empty folder, so that estimates from earlier runs cannot be mistaken for current ones.
        env = bench.env | {"CRITERION_HOME": name}
        pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=WORKSPACE, env=env, check=False, timeout=MAX_RUN_S, **pipes)
        if done.returncode != 0:
            raise CannotMeasure(f"`cargo bench` exited with {done.returncode}\n{done.stderr[-2000:]}")
        decoded = {
            source: (ns_per_row(name, f"decode/scanner/{source}"), ns_per_row(name, f"decode/serde/{source}"))
            for source in MIN_DECODE_RATIO
        }
        stages = {stage: ns_per_row(name, f"{stage}/enrollment") for stage in STAGES}
    for line in done.stderr.splitlines():
        if line.startswith("note: the scanner"):
            print(line, flush=True)
    for source, (scanner_ns, serde_ns) in decoded.items():
        what = f"{source} page: time by serde / by scanner"
        bench.verdicts += [
            at_least("micro", what, serde_ns / scanner_ns, MIN_DECODE_RATIO[source]),
            Verdict("micro", f"{source} page: by scanner, ns/row", f"{scanner_ns:.1f}"),
            Verdict("micro", f"{source} page: by serde, ns/row", f"{serde_ns:.1f}"),
        ]
    for stage, ns in stages.items():
        bench.verdicts.append(Verdict("micro", f"enrollment: {stage.replace('_', ' ')}, ns/row", f"{ns:.1f}"))


def ns_per_row(home, name):
    """Returns criterion's median for one benchmark, divided by the rows of one iteration."""
    folder = pathlib.Path(home) / name / "new"
    median_ns = json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"]
    return median_ns / json.loads((folder / "benchmark.json").read_text())["throughput"]["Elements"]
