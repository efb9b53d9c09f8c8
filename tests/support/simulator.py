"""Starts the simulator for a script."""

import contextlib
import re
import subprocess
import sys


@contextlib.contextmanager
def simulator(rollcall, *arguments):
    """Starts a simulator on a free port. Returns its address."""
    command = [rollcall, "simulator", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            if found := re.search(r"http://[^\s/]+", line):
                yield found.group(0)
                break
        else:
            sys.exit("expected the simulator to print its address, found the end of its output")
    finally:
        process.terminate()
        process.wait()
