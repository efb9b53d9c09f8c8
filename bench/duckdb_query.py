"""Runs a query on the data of a lake with DuckDB and prints CSV: duckdb_query.py LAKE SQL.

The tables have the same names as in `rollcall query`, as far as the benchmark needs them.
"""

import csv
import sys

import duckdb

data = f"{sys.argv[1]}/data"
connection = duckdb.connect()
connection.execute("create schema ccd_school")
for table, files, is_partitioned in (
    ("us_education_ccd_enrollment_data", "*/*/*.parquet", "true"),
    ("lookup_states", "*.parquet", "false"),
):
    connection.execute(
        f"create view ccd_school.{table} as "
        f"select * from read_parquet('{data}/{table}/{files}', hive_partitioning = {is_partitioned})"
    )
rows = connection.execute(sys.argv[2])
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(name for name, *_ in rows.description)
out.writerows(rows.fetchall())
