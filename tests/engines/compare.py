"""Compares the table that an engine read with the one that it must be, cell by cell."""

import collections

import pyarrow
import pyarrow.compute

ARROW_TYPES = {
    "string": (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()),
    "int": (pyarrow.int32(),),
    "bigint": (pyarrow.int64(),),
    "double": (pyarrow.float64(),),
}
# Engines guess the types of the axes from the path.
AXIS_TYPES = ARROW_TYPES | {"int": (pyarrow.int32(), pyarrow.int64())}


class Differences:
    """What differs: a count, and the first few as text."""

    MAX_SHOWN = 5

    def __init__(self):
        self.n = 0
        self.shown = []

    def add(self, text, n=1):
        self.n += n
        if len(self.shown) < self.MAX_SHOWN:
            self.shown.append(text)


class Expected:
    """The table of a dataset as it must be."""

    def __init__(self, dataset, table):
        self.dataset = dataset
        self.table = table

    def differences(self, found):
        """Returns how the table that an engine read differs. Neither the order of rows nor that of columns matters."""
        differences = Differences()
        types = self.dataset.types
        for name in sorted(set(types) ^ set(found.column_names)):
            what = "expected this column" if name in types else "did not expect this column"
            differences.add(f"`{name}`: {what}", self.table.num_rows)
        names = [name for name in types if name in found.column_names]
        for name in names:
            allowed = (AXIS_TYPES if name in self.dataset.axes else ARROW_TYPES)[types[name]]
            if found[name].type not in allowed:
                text = f"`{name}`: expected a column of type {types[name]}, found {found[name].type}"
                differences.add(text, self.table.num_rows)
        if differences.n:
            return differences

        pairs, missing, unexpected = self._match(found)
        for row in missing:
            differences.add(f"{self._named(self.table, row)}: expected this row", len(names))
        for row in unexpected:
            differences.add(f"{self._named(found, row)}: did not expect this row", len(names))
        due = self.table.take([row for row, _ in pairs])
        found = found.take([row for _, row in pairs])
        for name in names:
            for row in pyarrow.compute.indices_nonzero(differing(due[name], found[name])).to_pylist():
                due_cell, found_cell = due[name][row].as_py(), found[name][row].as_py()
                text = f"{self._named(due, row)}, `{name}`: expected {due_cell!r}, found {found_cell!r}"
                differences.add(text)
        return differences

    def _match(self, found):
        """Returns pairs of the same row here and in another table, rows that are only here, and rows only there."""
        by_key = [*self.dataset.axes, *self.dataset.key]
        pairs, due_rows, found_rows = [], range(self.table.num_rows), range(found.num_rows)
        # If keys are repeated, the rows that are not the same as another one are matched by key, in order.
        for names in [list(self.dataset.types), by_key] if self.dataset.repeats_keys else [by_key]:
            due = identities(self.table, names, due_rows)
            other = identities(found, names, found_rows)
            pairs += [(row, other[identity]) for identity, row in due.items() if identity in other]
            due_rows = [row for identity, row in due.items() if identity not in other]
            found_rows = [row for identity, row in other.items() if identity not in due]
        return pairs, due_rows, found_rows

    def _named(self, table, row):
        cells = {name: table[name][row].as_py() for name in (*self.dataset.axes, *self.dataset.key)}
        partition = "/".join(f"{axis}={cells.pop(axis)}" for axis in self.dataset.axes)
        return f"{partition}, " + ", ".join(f"{name} {cell!r}" for name, cell in cells.items())


def identities(table, names, rows):
    """Returns rows by their cells in some columns and the number of earlier rows that have the same."""
    columns = [table[name].to_pylist() for name in names]
    seen = collections.Counter()
    found = {}
    for row in rows:
        cells = tuple(column[row] for column in columns)
        found[cells, seen[cells]] = row
        seen[cells] += 1
    return found


def differing(due, found):
    """Returns which cells differ. Doubles differ unless all their bits are the same, so -0.0 differs from 0.0."""
    due, found = comparable(due), comparable(found)
    is_other_value = pyarrow.compute.fill_null(pyarrow.compute.not_equal(due, found), False)
    return pyarrow.compute.or_(
        is_other_value, pyarrow.compute.xor(pyarrow.compute.is_null(due), pyarrow.compute.is_null(found))
    )


def comparable(column):
    if pyarrow.types.is_integer(column.type):
        return column.cast(pyarrow.int64())
    if pyarrow.types.is_floating(column.type):
        return pyarrow.chunked_array([chunk.view(pyarrow.int64()) for chunk in column.chunks], pyarrow.int64())
    return column.cast(pyarrow.large_string())
