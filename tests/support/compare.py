"""Compares a partition of a lake with the page that the portal sent, cell by cell, with PyArrow.

    compare.py BODY DESCRIPTOR TABLE PARTITION [--count COLUMN=VALUE]

- BODY: the page, `{"count": .., "results": [{..}]}`.
- DESCRIPTOR: the dataset's TOML, for the declared types.
- TABLE: the table's folder in the lake; it must hold only this partition.
- PARTITION: its Hive path, `year=2014/grade=grade-8`.

Prints one JSON object: what was compared, what differs, and the file format. The expected cells come from the
JSON and the descriptor alone. The rows are read twice, as a Hive table and as a single file.
"""

import argparse
import json
import pathlib
import tomllib

import duckdb
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

from cells import expected_cell

TYPES = {
    "string": pyarrow.string(),
    "int": pyarrow.int32(),
    "bigint": pyarrow.int64(),
    "double": pyarrow.float64(),
}
RESCUED = "_rescued"
DICTIONARY = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}
MAX_SHOWN = 5


def differences(table, columns, rows):
    """Returns the cells of `table` that differ from what the portal sent, and one item for each extra or missing row."""
    found = []
    for column in columns:
        name, field = column["name"], column.get("field", column["name"])
        # Unlike `==`, `repr` always distinguishes 1, 1.0 and "1".
        for i, (row, cell) in enumerate(zip(rows, table.column(name).to_pylist())):
            due = expected_cell(column, row[field])
            if repr(due) != repr(cell):
                found.append(f"row {i} `{name}`: sent {row[field]!r}, expected {due!r}, found {cell!r}")
    found += ["an extra or missing row"] * abs(table.num_rows - len(rows))
    return found


def partition_of(table, axes):
    """Returns the value of each axis as the Hive reader sees it, or a list if rows differ."""
    values = {}
    for axis in axes:
        distinct = table.column(axis["name"]).unique().to_pylist()
        values[axis["name"]] = distinct[0] if len(distinct) == 1 else distinct
    return values


def in_file_order(rows, descriptor):
    """Returns rows in file order: sorted by key within each 16,384 rows, if all their keys fit into 127 bits."""
    columns = {column["name"]: column for column in descriptor["column"]}
    key = [columns[name] for name in descriptor["key"]]
    bits = {"int": 32, "bigint": 64, "double": 64}
    n_bits = sum(bits.get(column["type"]) or (10 ** min(column.get("width", 0), 18)).bit_length() for column in key)

    def packed(row):
        parts = []
        for column in key:
            value = row[column.get("field", column["name"])]
            if column["type"] == "string":
                width = column.get("width", 0)
                value = str(value).zfill(width) if str(value).isdigit() else value
                if width > 18 or len(value) != width or not value.isdigit():
                    return None
            parts.append(int(value))
        return tuple(parts)

    found = []
    for start in range(0, len(rows), 16_384):
        chunk = rows[start : start + 16_384]
        keys = [packed(row) for row in chunk]
        if n_bits <= 127 and None not in keys:
            chunk = [row for _, row in sorted(zip(keys, chunk), key=lambda pair: pair[0])]
        found.extend(chunk)
    return found


def codes_differ(rows, axes, partition):
    """Counts the rows whose axis values differ from the path. The file does not store these values."""
    n = 0
    for axis in axes:
        codes = {coded["value"]: coded["code"] for coded in axis.get("values", [])}
        value = partition[axis["name"]]
        n += sum(row[axis["name"]] != codes.get(value, value) for row in rows)
    return n


def file_facts(path):
    """Returns the format of the file, from its footer."""
    metadata = pyarrow.parquet.read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(metadata.num_columns)]
    return {
        "codecs": sorted({chunk.compression for chunk in chunks}),
        "created_by": metadata.created_by,
        "keys": sorted(key.decode() for key in metadata.metadata or {}),
        "dictionary": sorted({chunk.path_in_schema for chunk in chunks if DICTIONARY & set(chunk.encodings)}),
        "plain": sorted({chunk.path_in_schema for chunk in chunks if not DICTIONARY & set(chunk.encodings)}),
        "without_statistics": sorted({chunk.path_in_schema for chunk in chunks if not chunk.is_stats_set}),
        "row_groups": len(groups),
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("body", type=pathlib.Path)
    arguments.add_argument("descriptor", type=pathlib.Path)
    arguments.add_argument("table", type=pathlib.Path)
    arguments.add_argument("partition")
    arguments.add_argument("--count", default=None)
    given = arguments.parse_args()

    rows = json.loads(given.body.read_bytes())["results"]
    descriptor = tomllib.loads(given.descriptor.read_text(encoding="utf-8"))
    columns, axes = descriptor["column"], descriptor["axis"]
    rows = in_file_order(rows, descriptor)

    files = sorted((given.table / given.partition).iterdir())
    single = pyarrow.parquet.ParquetFile(files[0])
    alone = single.read()
    hive = pyarrow.dataset.dataset(given.table, format="parquet", partitioning="hive").to_table()

    glob = str(given.table / "**" / "*.parquet").replace("'", "''")
    duck = duckdb.sql(f"select * from read_parquet('{glob}', hive_partitioning = true)").to_arrow_table()

    due = [(column["name"], TYPES[column["type"]]) for column in columns] + [(RESCUED, pyarrow.string())]
    found = [(field.name, field.type) for field in single.schema_arrow]
    partition = partition_of(hive, axes)
    different = {"hive": differences(hive, columns, rows), "file": differences(alone, columns, rows)}
    different["duckdb"] = differences(duck, columns, rows)
    report = {
        "files": len(files),
        "rows": alone.num_rows,
        "cells": alone.num_rows * len(columns),
        "differing_cells": sum(len(found) for found in different.values()),
        "first_differences": (different["hive"] + different["file"] + different["duckdb"])[:MAX_SHOWN],
        "columns_as_declared": due == found,
        "partition": partition,
        "rows_of_another_partition": codes_differ(rows, axes, partition),
        "nulls": sum(alone.column(column["name"]).null_count for column in columns),
        "rescued": alone.num_rows - alone.column(RESCUED).null_count,
        "file": file_facts(files[0]),
    }
    if given.count:
        name, value = given.count.split("=")
        report["counted"] = sum(str(cell) == value for cell in alone.column(name).to_pylist())
    print(json.dumps(report))


if __name__ == "__main__":
    main()
