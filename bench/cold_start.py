"""Measures how long a function takes from its start until it asks Lambda for its first event.

The comparison, measured in turn, is the minimum for a function in Python: import boto3 and create an S3 client.
README.md explains how to read the figures. Needs the output of `make build`; run it with a Python that has boto3.

Exit code: 0 if the bar holds for each function, 1 if it does not, 2 if something could not be measured.
"""

import argparse
import os
import pathlib
import platform
import re
import select
import socket
import statistics
import subprocess
import sys
import time

from processes import CannotMeasure, exit_with

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTIONS = ["planner", "page-fetch", "catalog"]

RATIO_AT_LEAST = 40.0
MAX_START_S = 30

# The request that the runtime sends to ask for an event.
NEXT = b"GET /2018-06-01/runtime/invocation/next "

# Writes a byte once the client exists, so that the figure excludes the interpreter's shutdown.
PYTHON = "import os, boto3; boto3.client('s3'); os.write(1, b'.')"


def environment(api):
    """Returns the variables that Lambda and infra/template.yaml set. The keys are fake, and no call to AWS is made."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": "rollcall-bench",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
        "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ROLLCALL_BUCKET": "rollcall-bench",
        "ROLLCALL_PORTAL": "https://portal.invalid",
        "ROLLCALL_IN_FLIGHT": "2",
        "ROLLCALL_SECRET_PREFIX": "rollcall/",
    }


def start(command, env):
    """Starts a program. Returns the process, and the time just before the start."""
    before = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=env)
    return process, before


def end(process):
    """Kills a process. Returns the end of its output."""
    process.kill()
    output, _ = process.communicate()
    return output.decode(errors="replace")[-1000:]


def to_first_poll(path, listener, env):
    """Returns the seconds from a function's start until it asks for an event."""
    process, before = start([path], env)
    connection = None
    try:
        if not select.select([listener], [], [], MAX_START_S)[0]:
            raise CannotMeasure(
                f"{path}: expected a request for an event within {MAX_START_S} s, found none; output: {end(process)}"
            )
        connection, _ = listener.accept()
        connection.settimeout(MAX_START_S)
        request = b""
        while len(request) < len(NEXT):
            received = connection.recv(65536)
            if not received:
                break
            request += received
        took = time.perf_counter() - before
        if not request.startswith(NEXT):
            raise CannotMeasure(f"{path}: expected {NEXT.decode()!r}, received {request[:200]!r}")
        return took
    finally:
        if connection:
            connection.close()
        end(process)


def to_client(env):
    """Returns the seconds from the start of Python until it has an S3 client."""
    process, before = start([sys.executable, "-c", PYTHON], env)
    try:
        if not select.select([process.stdout], [], [], MAX_START_S)[0]:
            raise CannotMeasure(f"python: expected a client within {MAX_START_S} s, found none")
        output = os.read(process.stdout.fileno(), 4096)
        took = time.perf_counter() - before
        if output != b".":
            raise CannotMeasure(f"python: {output.decode(errors='replace')}")
        return took
    finally:
        end(process)


def machine_lines():
    cpu = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    boto3 = subprocess.run([sys.executable, "-c", "import boto3; print(boto3.__version__)"], capture_output=True,
                           text=True, check=False)
    if boto3.returncode != 0:
        raise CannotMeasure(f"{sys.executable} has no boto3; `make bench-cold` uses a Python that does")
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return [
        f"machine: {len(os.sched_getaffinity(0))} cores, {cpu[1].strip() if cpu else 'unknown CPU'}, load {load}",
        f"Linux {platform.release().split('-')[0]} {platform.machine()}, Python {platform.python_version()}, "
        f"boto3 {boto3.stdout.strip()}",
    ]


def measure(args):
    programs = {name: args.functions / name / "bootstrap" for name in FUNCTIONS}
    for path in programs.values():
        if not path.is_file():
            raise CannotMeasure(f"expected a program at {path}, found none; `make build` builds it")
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        env = environment(f"127.0.0.1:{listener.getsockname()[1]}")
        times = {name: [] for name in [*FUNCTIONS, "boto3"]}
        # The first start reads the files from disk and is not counted.
        for number in range(args.starts + 1):
            for name in times:
                took = to_client(env) if name == "boto3" else to_first_poll(programs[name], listener, env)
                if number > 0:
                    times[name].append(took * 1000)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", type=pathlib.Path, default=ROOT / "target" / "lambda",
                        help="folder that contains a folder for each function (default: target/lambda)")
    parser.add_argument("--starts", type=int, default=15, help="starts of each program (default: 15)")
    args = parser.parse_args()
    if args.starts < 1:
        parser.error("--starts: expected 1 or more")
    args.functions = args.functions.resolve()
    print("\n".join(machine_lines()))
    times = measure(args)
    python_ms = statistics.median(times["boto3"])
    print(f"{'program':<11} {'median ms':>9}  {'min':>7}  {'max':>7}  {'boto3 / it':>10}  {'bar':>7}  holds")
    all_hold = True
    for name, found in times.items():
        ratio = python_ms / statistics.median(found)
        holds = ratio >= RATIO_AT_LEAST
        bar = f"{f'>= {RATIO_AT_LEAST:.0f}':>7}  {'yes' if holds else 'NO'}" if name != "boto3" else f"{'-':>7}  -"
        print(f"{name:<11} {statistics.median(found):>9.2f}  {min(found):>7.2f}  {max(found):>7.2f}  {ratio:>10.1f}  "
              f"{bar}")
        all_hold &= holds or name == "boto3"
    return 0 if all_hold else 1


if __name__ == "__main__":
    exit_with(main)
