"""The rows that the portal serves, and the cells that a lake must have for them.

The cells follow from the portal's JSON and the descriptor alone.
"""

import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import tomllib
import urllib.request

import pyarrow

RESCUED = "_rescued"
TYPES = {
    "string": pyarrow.large_string(),
    "int": pyarrow.int32(),
    "bigint": pyarrow.int64(),
    "double": pyarrow.float64(),
}


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What a descriptor says."""

    name: str
    table: str
    path: str
    key: list
    repeats_keys: bool
    axes: dict
    columns: list

    @classmethod
    def read(cls, file):
        told = tomllib.loads(file.read_text(encoding="utf-8"))
        axes = {axis["name"]: axis["type"] for axis in told["axis"]}
        repeats_keys = told.get("repeated_keys") == "keep"
        return cls(told["name"], told["table"], told["path"], told["key"], repeats_keys, axes, told["column"])

    @property
    def types(self):
        """Returns the type of each column of the table, the axes last."""
        types = {column["name"]: column["type"] for column in self.columns}
        return types | {RESCUED: "string"} | self.axes


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


def rows(portal, path):
    """Returns the rows of a path below the API root, from all its pages, following `next`."""
    found, url = [], f"{portal}/api/v1/{path}"
    while url:
        with urllib.request.urlopen(url) as response:
            page = json.load(response)
        found += page["results"]
        url = page["next"]
    if len(found) != page["count"]:
        sys.exit(f"fetch `{path}`: expected {page['count']} rows, found {len(found)}")
    return found


def cell(column, value):
    """Returns the cell of a column for a value that the portal sent, which must fit."""
    if value is None:
        return None
    if column["type"] == "string":
        text = value if isinstance(value, str) else str(value)
        is_digits = text.isascii() and text.isdigit()
        return text.rjust(column.get("width", 0), "0") if is_digits else text
    if column["type"] == "double":
        return float(value)
    # A count may be sent as "-2.000".
    number = float(value) if isinstance(value, str) else value
    if number != int(number):
        raise ValueError(f"`{column['name']}`: expected an integer, found {value!r}")
    return int(number)


def expected(portal, dataset, partitions):
    """Returns the table of a dataset as it must be in the lake.

    - `partitions`: the values of the axes of each partition.
    """
    columns = {name: [] for name in dataset.types}
    for partition in partitions:
        served = rows(portal, dataset.path.format(**partition))
        for column in dataset.columns:
            field = column.get("field", column["name"])
            columns[column["name"]] += [cell(column, row.get(field)) for row in served]
        columns[RESCUED] += [None] * len(served)
        for axis in dataset.axes:
            columns[axis] += [partition[axis]] * len(served)
    return pyarrow.table(
        {name: pyarrow.array(cells, TYPES[dataset.types[name]]) for name, cells in columns.items()}
    )
