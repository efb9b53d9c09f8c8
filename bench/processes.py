"""Runs programs and measures what they use."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import signal
import subprocess
import sys

# A contestant that takes longer is considered stuck.
MAX_RUN_S = 1800

# Starts a command and writes down what the kernel counted for exactly this process. The kernel starts counting before
# the command is loaded, while the process still shares the memory of the one that started it. So this is a small
# program, and it writes down its own peak. Python ignores SIGPIPE (13), which the command must not inherit.
LAUNCHER = """
import os, sys, time
started = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsigdef=[13])
_, status, used = os.wait4(pid, 0)
wall_s = time.perf_counter() - started
with open("/proc/self/status") as file:
    own_kib = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
code, cpu_s = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
with open(sys.argv[1], "w") as file:
    file.write(f"[{code}, {cpu_s}, {wall_s}, {used.ru_maxrss}, {own_kib}]")
"""


class CannotMeasure(Exception):
    """A program is missing or failed, or its output is not what was requested."""


def exit_with(main):
    """Exits with what `main` returns, with 2 if something could not be measured, or with 130 after Ctrl-C."""
    try:
        sys.exit(main())
    except (CannotMeasure, subprocess.TimeoutExpired) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@dataclasses.dataclass
class Usage:
    """Resources that one process used, from its start to its end. The peak is `nan` if it is too small to measure."""

    cpu_s: float
    wall_s: float
    peak_mib: float


def clean_environment():
    """Returns the environment without `rollcall` settings and without proxies, which must not apply to loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ROLLCALL_") and not name.lower().endswith("_proxy")
    }


def measure(command, folder, env, *, keeps_output=True):
    """Runs a command to its end and returns its `Usage`, stdout and stderr.

    Output goes to files, so that the contestant never waits for a reader, or nowhere if it is too long to keep.
    """
    # Flushes pending writes from earlier runs, so that they do not happen during this one.
    os.sync()
    report = folder / "usage"
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, report, *command]
    with (
        open(folder / "stdout" if keeps_output else os.devnull, "w+b") as stdout,
        open(folder / "stderr", "w+b") as stderr,
    ):
        # Its own group, so that the command can be ended together with its launcher.
        process = subprocess.Popen(
            launch, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, start_new_session=True
        )
        try:
            process.wait(timeout=MAX_RUN_S)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        stderr.seek(0)
        err = stderr.read().decode(errors="replace")
        if keeps_output:
            stdout.seek(0)
        out = stdout.read().decode() if keeps_output else ""
    name = pathlib.Path(command[0]).name
    if process.returncode != 0:
        raise CannotMeasure(f"start `{name}`: {err[-2000:]}")
    code, cpu_s, wall_s, peak_kib, own_kib = json.loads(report.read_text())
    if code != 0:
        raise CannotMeasure(f"`{name}` exited with {code}\n{err[-2000:]}")
    # Otherwise the peak is the launcher's. No bar holds for an unknown peak.
    peak_mib = peak_kib / 1024 if peak_kib > own_kib else math.nan
    return Usage(cpu_s, wall_s, peak_mib), out, err
