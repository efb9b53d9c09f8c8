"""Checks that `run.py` can fail: it must notice a changed cell, swapped columns and wrong statistics with every engine.

The statistics of a row group decide for every engine whether it is read, those of a page only for some.
"""

import shutil

import pyarrow
import pyarrow.parquet

from compare import Expected
from readers import READERS


def check(dataset, folder, table, scratch):
    """Returns what was not noticed.

    - `folder`: the folder of the table of `ccd_enrollment`, with a file that has a page index.
    - `table`: what it must hold.
    - `scratch`: a folder for changed copies.
    """
    right, changed = Expected(dataset, table), Expected(dataset, with_a_changed_cell(table))
    swapped, n_swapped = with_swapped_columns(folder, scratch / "swapped")
    wrong_group, id_in_group = with_wrong_statistics(folder, scratch / "wrong-group", of_pages=False)
    wrong_page, id_in_page = with_wrong_statistics(folder, scratch / "wrong-page", of_pages=True)
    missed = []
    for reader in READERS:
        found = {
            "a changed cell": (1, changed.differences(reader.read(dataset, str(folder))).n),
            "swapped columns": (n_swapped, right.differences(reader.read(dataset, str(swapped))).n),
            "wrong statistics": (0, reader.count(dataset, str(wrong_group), ("ncessch", "=", id_in_group))),
        }
        if reader.uses_page_index:
            found["a wrong page index"] = (0, reader.count(dataset, str(wrong_page), ("ncessch", "=", id_in_page)))
        missed += [
            f"{what}, {reader.name}: expected {n_expected}, found {n_found}"
            for what, (n_expected, n_found) in found.items()
            if n_found != n_expected
        ]
    return missed


def with_a_changed_cell(table):
    """Returns the table with one more student in one row."""
    position = table.column_names.index("enrollment")
    cells = table["enrollment"].to_pylist()
    row = next(row for row, students in enumerate(cells) if students is not None)
    cells[row] += 1
    return table.set_column(position, "enrollment", pyarrow.array(cells, table["enrollment"].type))


def with_swapped_columns(folder, copy):
    """Copies a table, with `enrollment` and `fips` swapped. Returns the copy and the number of cells that differ."""
    file = copied(folder, copy)
    rows = pyarrow.parquet.ParquetFile(file).read()
    swapped = {"enrollment": "fips", "fips": "enrollment"}
    pyarrow.parquet.write_table(rows.rename_columns([swapped.get(name, name) for name in rows.column_names]), file)
    pairs = zip(rows["enrollment"].to_pylist(), rows["fips"].to_pylist())
    return copy, 2 * sum(students != fips for students, fips in pairs)


def with_wrong_statistics(folder, copy, of_pages):
    """Copies a table, with an id outside what the statistics say. Returns the copy and the id.

    - `of_pages`: whether the page index is changed, rather than the statistics of a row group.
    """
    file = copied(folder, copy)
    ids = pyarrow.parquet.ParquetFile(file).read(["ncessch"])["ncessch"].to_pylist()
    contents = file.read_bytes()
    # A file ends with the page index, the footer, its length and four letters.
    footer = len(contents) - 8 - int.from_bytes(contents[-8:-4], "little")
    metadata = pyarrow.parquet.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    index = max(chunk.data_page_offset + chunk.total_compressed_size for chunk in chunks)
    start, end = (index, footer) if of_pages else (footer, len(contents))
    told = contents[start:end]
    if of_pages:
        # The largest id of the first page becomes its smallest.
        id = next(id for id in ids[1:] if id.encode() in told)
        told = told.replace(id.encode(), ids[0].encode())
    else:
        # The smallest id of the first row group becomes its largest.
        group = ids[: groups[0].num_rows]
        id = min(group)
        told = told.replace(id.encode(), max(group).encode())
    file.write_bytes(contents[:start] + told + contents[end:])
    return copy, id


def copied(folder, copy):
    """Copies the folder of a table that has one file. Returns the path of that file."""
    shutil.copytree(folder, copy)
    (file,) = copy.rglob("*.parquet")
    return file
