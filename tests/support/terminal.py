"""Runs a program on a terminal of its own: terminal.py COLUMNS PROMPT TYPED PROGRAM ARGUMENT...

TYPED is a JSON list; each item is typed once PROMPT has appeared again. The terminal shows what is typed only if it is a
control character. Prints what the terminal shows, and
exits with the program's exit code. A program that shows nothing new for two minutes, or runs for five, is killed.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE_S = 120
LIMIT_S = 300

columns, prompt, typed, *program = sys.argv[1:]
process, terminal = pty.fork()
if process == 0:
    # The child waits until the size is set.
    os.read(0, 1)
    # What starts the tests may ignore them, as a shell does in the background.
    for name in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    os.execv(program[0], program)
settings = termios.tcgetattr(terminal)
to_type = [item.encode() for item in json.loads(typed)]
if not to_type or any(item != b"\x03" for item in to_type):
    settings[3] &= ~termios.ECHO
termios.tcsetattr(terminal, termios.TCSANOW, settings)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(columns), 0, 0))
os.write(terminal, b"\n")
shown, seen = b"", 0
deadline = time.monotonic() + LIMIT_S
while time.monotonic() < deadline and select.select([terminal], [], [], PATIENCE_S)[0]:
    try:
        read = os.read(terminal, 65536)
    except OSError:
        # The program has closed its terminal.
        break
    if not read:
        break
    shown += read
    if to_type and prompt.encode() in shown[seen:]:
        seen = len(shown)
        os.write(terminal, to_type.pop(0))
else:
    os.kill(process, 9)
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
