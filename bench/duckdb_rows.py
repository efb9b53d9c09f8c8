"""Prints all rows of a folder of Parquet files as CSV with DuckDB, as they come: duckdb_rows.py FOLDER."""

import csv
import os
import sys

import duckdb

CHUNK = 8192

rows = duckdb.connect().execute(
    "select * from read_parquet(? || '/*/*/*.parquet', hive_partitioning = true)", [sys.argv[1]]
)
out = csv.writer(sys.stdout)
try:
    out.writerow(name for name, *_ in rows.description)
    while chunk := rows.fetchmany(CHUNK):
        out.writerows(chunk)
        sys.stdout.flush()
except BrokenPipeError:
    # The reader has seen enough. Python would complain about the pipe again at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
