"""The tables of runs and of bars, as text and as Markdown."""

import dataclasses

from processes import Usage


@dataclasses.dataclass
class Run:
    """One row of the runs table."""

    lane: str
    number: int
    contestant: str
    usage: Usage
    n_rows: int
    size_bytes: int
    pages_s: float | None = None
    ratio: float | None = None

    def cells(self):
        return [
            self.lane,
            str(self.number),
            self.contestant,
            f"{self.usage.cpu_s:.3f}",
            f"{self.usage.cpu_s / self.n_rows * 1e6:.2f}",
            f"{self.usage.wall_s:.3f}",
            "-" if self.pages_s is None else f"{self.pages_s:.3f}",
            f"{self.usage.peak_mib:.1f}",
            "-" if self.ratio is None else f"{self.ratio:.2f}",
        ]


RUN_TABLE = (
    ("lane", -17),
    ("run", 3),
    ("contestant", -11),
    ("CPU s", 6),
    ("us/row", 6),
    ("wall s", 6),
    ("pages s", 7),
    ("peak MiB", 8),
    ("ratio", 5),
)


@dataclasses.dataclass
class Verdict:
    """One row of the bars table; a row without a bar is informational, and a goal may be missed."""

    lane: str
    what: str
    measured: str
    bar: str = "-"
    holds: bool | None = None
    is_goal: bool = False

    @property
    def fails(self):
        """Whether the benchmark fails because of this row."""
        return self.holds is False and not self.is_goal

    def cells(self):
        holds = {None: "-", True: "yes", False: "not yet" if self.is_goal else "NO"}[self.holds]
        return [self.lane, self.what, self.measured, self.bar, holds]


VERDICT_TABLE = (("lane", -9), ("what", -58), ("measured", 9), ("bar", 12), ("holds", 7))


def text_line(table, cells):
    """Returns the cells in columns of fixed width, left-aligned if the width is negative."""
    padded = (
        cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, (_, width) in zip(cells, table, strict=True)
    )
    return "  ".join(padded).rstrip()


def text_header(table):
    rule = ["-" * abs(width) for _, width in table]
    return text_line(table, [name for name, _ in table]) + "\n" + text_line(table, rule)


def markdown_table(table, rows):
    lines = [[name for name, _ in table], ["---" if width < 0 else "---:" for _, width in table], *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def at_most(lane, what, measured, limit, digits=2):
    """Returns a verdict that holds if the figure is at most the limit."""
    return Verdict(lane, what, f"{measured:.{digits}f}", f"<= {limit:.{digits}f}", measured <= limit)


def at_least(lane, what, measured, limit, digits=2):
    """Returns a verdict that holds if the figure is at least the limit."""
    return Verdict(lane, what, f"{measured:.{digits}f}", f">= {limit:.{digits}f}", measured >= limit)


def goal(verdict):
    """Makes the bar of a verdict a goal."""
    return dataclasses.replace(verdict, bar=f"goal {verdict.bar}", is_goal=True)


def short(n):
    """Returns 100000 as `100k` and 2400000 as `2.4M`."""
    return f"{n / 1e6:g}M" if n >= 1_000_000 else f"{n / 1e3:g}k"
