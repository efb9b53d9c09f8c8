"""Reads a table's folder with each engine, as docs/readers.md says.

A reader has a name and three functions: `read` returns all columns as an Arrow table, `read_mixed` does so for a table
whose files have different columns, and `count` returns the number of rows that match a filter. `uses_page_index` says
whether the engine skips pages by their statistics.

- `folder`: the table's folder, as text.
- `filter`: a column, `=`, `<`, `>` or `>=`, and a value.
"""

import operator
import pathlib

import chdb
import duckdb
import pandas
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

OPERATORS = {"=": operator.eq, "<": operator.lt, ">": operator.gt, ">=": operator.ge}


class DuckDB:
    name = "duckdb"
    uses_page_index = True

    def _query(self, select, folder, where="", values=()):
        sql = f"select {select} from read_parquet(?, hive_partitioning = true, union_by_name = true) {where}"
        return duckdb.sql(sql, params=[f"{folder}/**/*.parquet", *values])

    def read(self, dataset, folder):
        return self._query("*", folder).to_arrow_table()

    read_mixed = read

    def count(self, dataset, folder, filter):
        column, sign, value = filter
        return self._query("count(*)", folder, f'where "{column}" {sign} ?', [value]).fetchall()[0][0]


class Polars:
    name = "polars"
    uses_page_index = False

    def _scan(self, folder):
        return polars.scan_parquet(f"{folder}/", hive_partitioning=True)

    def read(self, dataset, folder):
        return self._scan(folder).collect().to_arrow()

    def read_mixed(self, dataset, folder):
        files = [polars.scan_parquet(file, hive_partitioning=True) for file in files_of(folder)]
        return polars.concat(files, how="diagonal_relaxed").collect().to_arrow()

    def count(self, dataset, folder, filter):
        column, sign, value = filter
        matching = self._scan(folder).filter(OPERATORS[sign](polars.col(column), value))
        return matching.select(polars.len()).collect().item()


class PyArrow:
    name = "pyarrow"
    uses_page_index = False

    def _dataset(self, folder, schema=None):
        return pyarrow.dataset.dataset(folder, schema=schema, partitioning="hive")

    def read(self, dataset, folder):
        return self._dataset(folder).to_table()

    def read_mixed(self, dataset, folder):
        return self._dataset(folder, mixed_schema(folder)).to_table()

    def count(self, dataset, folder, filter):
        column, sign, value = filter
        return self._dataset(folder).count_rows(filter=OPERATORS[sign](pyarrow.dataset.field(column), value))


class ChDB:
    name = "chdb"
    uses_page_index = True

    # Arrow output has strings as bytes by default.
    SETTINGS = "use_hive_partitioning = 1, schema_inference_mode = 'union', output_format_arrow_string_as_string = 1"

    def _query(self, select, folder, where=""):
        sql = f"select {select} from file('{folder}/**/*.parquet', Parquet) {where} settings {self.SETTINGS}"
        return pyarrow.ipc.open_file(pyarrow.py_buffer(chdb.query(sql, "Arrow").bytes())).read_all()

    def read(self, dataset, folder):
        return self._query("*", folder)

    read_mixed = read

    def count(self, dataset, folder, filter):
        column, sign, value = filter
        text = "".join(f"\\x{byte:02x}" for byte in value.encode()) if isinstance(value, str) else None
        literal = repr(value) if text is None else f"'{text}'"
        return self._query("count()", folder, f"where `{column}` {sign} {literal}").column(0)[0].as_py()


class Pandas:
    name = "pandas"
    uses_page_index = False

    def _read(self, folder, **arguments):
        return pandas.read_parquet(f"{folder}/", dtype_backend="pyarrow", **arguments)

    def _to_arrow(self, dataset, frame):
        # The axes are categories.
        for axis, kind in dataset.axes.items():
            frame[axis] = frame[axis].astype("int64" if kind == "int" else "str")
        return pyarrow.Table.from_pandas(frame, preserve_index=False)

    def read(self, dataset, folder):
        return self._to_arrow(dataset, self._read(folder))

    def read_mixed(self, dataset, folder):
        return self._to_arrow(dataset, self._read(folder, schema=mixed_schema(folder)))

    def count(self, dataset, folder, filter):
        column, sign, value = filter
        return len(self._read(folder, columns=[column], filters=[(column, "==" if sign == "=" else sign, value)]))


def files_of(folder):
    return sorted(pathlib.Path(folder).rglob("*.parquet"))


def mixed_schema(folder):
    """Returns the columns of all files, with types that hold the values of each, and the year."""
    schemas = [pyarrow.parquet.read_schema(file) for file in files_of(folder)]
    year = pyarrow.schema([("year", pyarrow.int32())])
    return pyarrow.unify_schemas([*schemas, year], promote_options="permissive")


READERS = [DuckDB(), Polars(), PyArrow(), ChDB(), Pandas()]
