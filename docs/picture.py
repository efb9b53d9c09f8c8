"""Draws the terminal of the README's first command as an SVG picture.

Runs the given `rollcall` binary on the sample data, in a temporary folder. The run's name and duration change with every
run, so the picture shows fixed ones: the same binary always draws the same bytes. `make picture` writes docs/run.svg.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
from xml.sax.saxutils import escape

ARGUMENTS = "run --sample --years 2020,2021 --grades grade-pk --query top_ten_pk_states"

# Replacements for what differs between two runs; each pattern occurs exactly once.
FIXED = [
    (re.compile(r"(?<=^run )\d{8}T\d{6}-\d{3}\b", re.MULTILINE), "20261124T020133-381"),
    (re.compile(r"(?<=, )\d+(?:\.\d+)? s$", re.MULTILINE), "0.3 s"),
    # A terminal shows the progress of the run instead, and removes it at the end.
    (re.compile(r"^fetching .*\n", re.MULTILINE), ""),
]

N_COLUMNS = 80
# Pixels. Every line states its width, so the columns stay aligned whatever font the viewer has.
COLUMN_WIDTH = 8.4
LINE_HEIGHT = 19
FONT_SIZE = 14
PADDING = 20
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# A dark terminal with a border reads well on a light page and on a dark one.
STYLE = f"""\
rect {{ fill: #161b22; stroke: #57606a; }}
text {{ fill: #d1d7e0; font: {FONT_SIZE}px {FONTS}; white-space: pre; }}
.command {{ fill: #ffffff; font-weight: 700; }}
.prompt {{ fill: #6cc071; font-weight: 700; }}
.header, .note {{ fill: #9aa4af; }}
"""

DESCRIPTION = (
    "Two partitions of sample data are fetched and written, then a query lists the ten states with the most "
    "pre-kindergarten students."
)


def run_sample(binary):
    """Returns what the command prints to stdout and stderr, with fixed values for what varies."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")}
    with tempfile.TemporaryDirectory() as folder:
        command = [binary.resolve(), *ARGUMENTS.split()]
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if done.returncode != 0:
        sys.exit(f"`{binary}` exited with {done.returncode}:\n{done.stdout}")
    output = done.stdout
    for pattern, fixed in FIXED:
        output, n_found = pattern.subn(fixed, output)
        if n_found != 1:
            sys.exit(f"expected exactly one match of `{pattern.pattern}`, found {n_found} in:\n{output}")
    return output


def split_command():
    """Returns the command as typed on two lines, without the prompt."""
    fetch, query = f"rollcall {ARGUMENTS}".split(" --query ")
    return [fetch, f"    --query {query}"]


def split_output(output):
    """Yields each line of the terminal with its class: tables as they are, long sentences wrapped."""
    for line in output.splitlines():
        kind = "note" if line.startswith("note: ") else "header" if re.match(r"partition |rnk ", line) else ""
        for part in textwrap.wrap(line, N_COLUMNS) if len(line) > N_COLUMNS else [line]:
            yield kind, part


def draw_text(kind, column, row, text):
    """Returns a `<text>` element, or nothing for a blank line."""
    start = column + len(text) - len(text.lstrip())
    text = text.strip()
    if not text:
        return ""
    x = PADDING + start * COLUMN_WIDTH
    y = PADDING + row * LINE_HEIGHT + FONT_SIZE
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' x="{x:.1f}" y="{y}" textLength="{len(text) * COLUMN_WIDTH:.1f}"'
    return f"<text{attributes}>{escape(text)}</text>\n"


def draw(output):
    """Returns the SVG document of the command and its output."""
    command = split_command()
    texts = [draw_text("prompt", 0, 0, "$")]
    for row, line in enumerate(command):
        is_last = row + 1 == len(command)
        texts.append(draw_text("command", 2 if row == 0 else 0, row, line if is_last else f"{line} \\"))
    lines = list(split_output(output))
    texts += (draw_text(kind, 0, row, line) for row, (kind, line) in enumerate(lines, len(command)))
    width = 2 * PADDING + N_COLUMNS * COLUMN_WIDTH
    height = 2 * PADDING + (len(command) + len(lines)) * LINE_HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" xml:space="preserve" role="img" aria-labelledby="title description">\n'
        f'<title id="title">A run of rollcall in a terminal</title>\n'
        f'<desc id="description">{DESCRIPTION}</desc>\n'
        f"<style>\n{STYLE}</style>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>\n'
        f"{''.join(texts)}</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path, help="the rollcall binary to run")
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="file to write (stdout)")
    parser.add_argument("--text", action="store_true", help="print the output of the command instead of a picture")
    args = parser.parse_args()
    output = run_sample(args.binary)
    result = output if args.text else draw(output)
    if args.output:
        args.output.write_text(result, encoding="utf-8")
    else:
        sys.stdout.write(result)


if __name__ == "__main__":
    main()
