"""Measures what page-fetch is billed for, with functions of several sizes and several requests in flight.

Runs the program that `make build` built with the share of a processor and the memory that Lambda gives a function of
that size, against the simulator and the tests' emulator of S3. README.md explains how to read the figures. Needs root
and control groups of version 1, and a Python with the requirements of the tests.

Exit code: 0 if every partition was fetched, 1 if a function failed or was killed, 2 if something could not be measured.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import os
import pathlib
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import botocore
from cold_start import environment
from processes import CannotMeasure, exit_with

ROOT = pathlib.Path(__file__).resolve().parent.parent
EMULATOR = ROOT / "tests" / "support" / "emulator" / "start_ministack.py"
sys.path.append(str(ROOT / "tests" / "support"))

from simulator import simulator

GROUPS = pathlib.Path("/sys/fs/cgroup")
# A function with this many MB has one processor; others have their share of it, in periods of this many microseconds.
PROCESSOR_MB = 1769
PERIOD_US = 20_000
TIMEOUT_S = 840
BUCKET = "lake"


@dataclasses.dataclass
class Workload:
    """What is fetched, and from what simulator."""

    arguments: list
    dataset: str
    years: list
    n_rows: int
    grades: list | None = None


WORKLOADS = {
    "10 x 100k": Workload(["--rows", "100000"], "ccd_enrollment", [2020, 2021], 1_000_000,
                          ["grade-pk", "grade-k", "grade-1", "grade-2", "grade-3"]),
    "1 x 2.4M": Workload(["--rows", "2400000"], "ccd_enrollment", [2021], 2_400_000, ["grade-1"]),
    # Its pages are kept until the commit.
    "1 x 2.4M by race and sex": Workload(["--rows-per-partition", "2400000"], "ccd_enrollment_race_sex", [2021],
                                         2_400_000, ["grade-1"]),
    # By the sizes of the portal's files, the largest partition that it has.
    "1 x 8.6M completions": Workload(["--rows-per-partition", "8600000"], "ipeds_completions_cip_6", [2019], 8_600_000),
    # The widest rows: a page of 10,000 is 12 MB, or 40 MB.
    "2 x 100k directory": Workload(["--rows-per-partition", "100000"], "ccd_directory", [2020, 2021], 200_000),
    "2 x 18k finance": Workload(["--rows-per-partition", "18000"], "ccd_districts_finance", [2017, 2018], 36_000),
}


class Api(BaseHTTPRequestHandler):
    """Lambda's Runtime API for one function."""

    protocol_version = "HTTP/1.1"

    def handle(self):
        """Serves requests until the function closes the connection, or is killed."""
        with contextlib.suppress(ConnectionResetError):
            super().handle()

    def do_GET(self):
        """Gives the function its next event."""
        event = self.server.events.get()
        self.server.sent = time.monotonic()
        self.send(200, json.dumps(event).encode(), {
            "Lambda-Runtime-Aws-Request-Id": "00000000-0000-0000-0000-000000000000",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + TIMEOUT_S) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:bench",
        })

    def do_POST(self):
        """Takes a response or an error."""
        took_s = time.monotonic() - self.server.sent
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send(202, b"", {})
        self.server.results.put((body, took_s))

    def send(self, status, body, headers):
        """Sends a response."""
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing."""


class Group:
    """A control group with a share of a processor and a limit of memory, both as for a function with `size_mb`."""

    def __init__(self, size_mb):
        self.folders = [GROUPS / controller / f"rollcall-bench-{os.getpid()}" for controller in ("cpu", "memory")]
        cpu, self.memory = self.folders
        try:
            for folder in self.folders:
                folder.mkdir()
            (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (cpu / "cpu.cfs_quota_us").write_text(str(PERIOD_US * size_mb // PROCESSOR_MB))
            (self.memory / "memory.limit_in_bytes").write_text(str(size_mb << 20))
        except OSError as error:
            self.remove()
            raise CannotMeasure(f"expected control groups of version 1 that can be written: {error}") from error

    def enter(self):
        """Moves this process into the group."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        """Removes the group once its processes have ended."""
        for folder in self.folders:
            if folder.exists():
                folder.rmdir()


class Function:
    """A function's program in a process of its own."""

    def __init__(self, name, variables, group=None, size_mb=256):
        path = ROOT / "target" / "lambda" / name / "bootstrap"
        if not path.is_file():
            raise CannotMeasure(f"expected a program at {path}, found none; `make build` builds it")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.server.daemon_threads = True
        self.server.events, self.server.results = queue.Queue(), queue.Queue()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        env = environment(f"127.0.0.1:{self.server.server_port}") | variables
        env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = str(size_mb)
        self.process = subprocess.Popen([path], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=group and group.enter)

    def call(self, event):
        """Returns the response to an event, or the error, and the seconds it took. None if the function was killed."""
        self.server.events.put(event)
        while True:
            with contextlib.suppress(queue.Empty):
                return self.server.results.get(timeout=0.2)
            if self.process.poll() is not None:
                return None, 0.0

    def peak_mib(self):
        """Returns the peak memory of the running function in MiB.

        What the kernel reports at its end would include the memory of this Python, from which the process was forked.
        """
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def end(self):
        """Ends the function."""
        self.process.kill()
        self.process.wait()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def emulator():
    """Starts the emulator of S3. Returns its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    env = os.environ | {"GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": address}
    process = subprocess.Popen([sys.executable, EMULATOR], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def running(function):
    """Ends a function at last."""
    try:
        yield function
    finally:
        function.end()


def measure(workload, size_mb, in_flight, latency_s):
    """Fetches a workload. Returns the seconds that page-fetch is billed for and its peak in MiB; None if it failed."""
    rollcall = ROOT / "target" / "release" / "rollcall"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    latency = ["--latency-ms", str(int(latency_s * 1000))]
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(simulator(rollcall, *latency, *workload.arguments))
        s3 = stack.enter_context(emulator())
        client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="test",
                              aws_secret_access_key="test",
                              config=botocore.config.Config(retries={"total_max_attempts": 10, "mode": "standard"}))
        client.create_bucket(Bucket=BUCKET)
        variables = keys | {"AWS_ENDPOINT_URL": s3, "ROLLCALL_BUCKET": BUCKET, "ROLLCALL_PORTAL": portal,
                            "ROLLCALL_IN_FLIGHT": str(in_flight)}
        request = {"dataset": workload.dataset, "years": workload.years}
        if workload.grades:
            request["grades"] = workload.grades
        with running(Function("planner", variables)) as planner:
            planned, _ = planner.call({"run": "bench", "started_at": "2026-11-23T12:00:00Z", "request": request})
        if planned is None or "plan" not in planned:
            raise CannotMeasure(f"planner: expected a plan, found {planned}")
        plan = json.loads(client.get_object(Bucket=BUCKET, Key=planned["plan"]["key"])["Body"].read())
        group = Group(size_mb)
        stack.callback(group.remove)
        function = stack.enter_context(running(Function("page-fetch", variables, group, size_mb)))
        billed_s = 0.0
        for item in plan:
            event = {"run": "bench", "dataset": workload.dataset, "partition": item["partition"]}
            event |= {"force": False, "calls_left": 0}
            response, took_s = function.call(event)
            # Lambda bills whole milliseconds.
            billed_s += math.ceil(took_s * 1000) / 1000
            if not (response or {}).get("is_finished"):
                print(f"page-fetch with {size_mb} MB: {response or 'killed'}", file=sys.stderr)
                return None
        return billed_s, function.peak_mib()


def main():
    """Measures every workload with every size, at every latency."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="256:8,512:4,1024:2", metavar="MB:REQUESTS,...",
                        help="sizes of the function and its requests in flight (default: 256:8,512:4,1024:2)")
    parser.add_argument("--latencies", default="0.2,1", metavar="S,...",
                        help="seconds that the portal takes for a page (default: 0.2,1)")
    parser.add_argument("--only", choices=WORKLOADS, help="one of the workloads")
    args = parser.parse_args()
    all_fetched = True
    print(f"{'workload':<25}{'s a page':>8}{'MB':>6}{'in flight':>10}{'billed s':>9}{'GB-s':>7}{'a million rows':>15}"
          f"{'peak MiB':>9}")
    latencies = [float(latency) for latency in args.latencies.split(",")]
    sizes = [tuple(int(number) for number in size.split(":")) for size in args.sizes.split(",")]
    names = [args.only] if args.only else WORKLOADS
    for name, latency_s, (size_mb, in_flight) in itertools.product(names, latencies, sizes):
        measured = measure(WORKLOADS[name], size_mb, in_flight, latency_s)
        all_fetched &= measured is not None
        if measured:
            billed_s, peak_mib = measured
            gb_s = billed_s * size_mb / 1024
            print(f"{name:<25}{latency_s:>8}{size_mb:>6}{in_flight:>10}{billed_s:>9.2f}{gb_s:>7.2f}"
                  f"{gb_s / WORKLOADS[name].n_rows * 1e6:>15.2f}{peak_mib:>9.0f}", flush=True)
    return 0 if all_fetched else 1


if __name__ == "__main__":
    exit_with(main)
