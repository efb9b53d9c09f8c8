"""Runs SQL like Athena: only over the objects below the locations that Glue registers.

    athena.py DATABASE < QUERY.sql > ROWS.json

Each table of the database is a view over the locations of its partitions, with their values from Glue, or over its own
location if it has no partition keys. A view in Glue has the query that Athena reads. The engine is DuckDB. It sees no
paths that contain partition values.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path

import boto3
import duckdb

TYPES = {"int": "integer", "string": "varchar", "bigint": "bigint", "double": "double"}

database = sys.argv[1]
glue, s3 = boto3.client("glue"), boto3.client("s3")
engine = duckdb.connect()
engine.execute(f"create schema {database}")
n_files = 0


def files(location, folder):
    """Downloads the objects below a location and yields their files."""
    global n_files
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            n_files += 1
            file = folder / f"{n_files}.parquet"
            s3.download_file(bucket, found["Key"], str(file))
            yield file


def sql_of(view):
    """Returns the query of a view."""
    text = view["ViewOriginalText"].removeprefix("/* Presto View: ").removesuffix(" */")
    return json.loads(base64.b64decode(text))["originalSql"]


with tempfile.TemporaryDirectory() as folder:
    listed = list(glue.get_paginator("get_tables").paginate(DatabaseName=database).search("TableList[]"))
    tables = [table for table in listed if table.get("TableType") != "VIRTUAL_VIEW"]
    known = set()
    for table in tables:
        keys = table.get("PartitionKeys", [])
        places = [(table["StorageDescriptor"]["Location"], [])]
        if keys:
            pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table["Name"])
            found = pages.search("Partitions[]")
            places = [(partition["StorageDescriptor"]["Location"], partition["Values"]) for partition in found]
        selects = []
        for location, values in places:
            columns = ["*"]
            for key, value in zip(keys, values, strict=True):
                columns.append(f"cast('{value}' as {TYPES[key['Type']]}) as {key['Name']}")
            for file in files(location, Path(folder)):
                selects.append(f"select {', '.join(columns)} from read_parquet('{file}')")
        if selects:
            # A file that lacks a column of the table has null in it.
            columns = table["StorageDescriptor"]["Columns"]
            nulls = [f"cast(null as {TYPES[column['Type']]}) as {column['Name']}" for column in columns]
            selects.append(f"select {', '.join(nulls)} where false")
            engine.execute(f"create view {database}.{table['Name']} as {' union all by name '.join(selects)}")
            known.add(table["Name"])
    for view in listed:
        sql = sql_of(view) if view.get("TableType") == "VIRTUAL_VIEW" else None
        read = {table["Name"] for table in tables if sql and f'"{table["Name"]}"' in sql}
        # A table of some has no partitions yet.
        if read and read <= known:
            engine.execute(f"create view {database}.{view['Name']} as {sql}")
    result = engine.execute(sys.stdin.read())
    names = [column[0] for column in result.description]
    json.dump([dict(zip(names, row, strict=True)) for row in result.fetchall()], sys.stdout, default=int)
