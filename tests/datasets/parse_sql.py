"""Parses the SQL on stdin in the dialects of Athena and Trino, and checks that each statement makes a view."""

import sys

import sqlglot
from sqlglot import exp

text = sys.stdin.read()
for dialect in ("athena", "trino"):
    statements = [one for one in sqlglot.parse(text, read=dialect, error_level=sqlglot.ErrorLevel.RAISE) if one]
    for statement in statements:
        if not (isinstance(statement, exp.Create) and statement.kind == "VIEW"):
            sys.exit(f"{dialect}: expected a view, found {statement.sql()[:200]}")
        names = [column.alias_or_name for column in statement.expression.expressions]
        if len(names) != len(set(names)):
            sys.exit(f"{dialect}: expected each column once, found {names}")
    print(dialect, len(statements))
