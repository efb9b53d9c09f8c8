"""The rows that the portal serves, and the tables that a lake must have for them."""

import dataclasses
import json
import sys
import tomllib
import urllib.request

import pyarrow

from cells import expected_cell

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
    found = expected_cell(column, value)
    if column["type"] in ("int", "bigint") and isinstance(found, float):
        raise ValueError(f"`{column['name']}`: expected an integer, found {value!r}")
    return found


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
