"""Estimates how many rows each dataset has, from the descriptors in datasets/ and the sizes in docs/scale.csv.

docs/scale.md says where each constant is from, and how far an estimate may be off.
"""

import csv
import gzip
import json
import math
import pathlib
import re
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = ROOT / "docs/scale.csv"

PAGE_ROWS = 10_000
# Entities in one year, by the first segment of the path.
ENTITIES = {"schools": 100_000, "school-districts": 18_500, "college-university": 7_000}
# Codes that a dimension in the path has in the rows of one school, its total included. With them and the 97,632
# schools and 3 grades of the recorded body, the file of Algebra I in 2017 has 60 bytes a row, and the body 59.
CODES = {"race": 8, "sex": 3, "disability": 2, "lep": 1, "special-populations": 7}
# Key columns that have one value in all rows of a dataset whose path does not name them.
CONSTANT = {"race", "sex", "disability", "lep"}
CONSTANT |= {"homeless", "migrant", "econ_disadvantaged", "foster_care", "military_connected"}
# Largest value of a second axis, as a multiple of the mean over its values.
LARGEST_VALUE = 2.5
# Factor by which an estimate from a bulk file may be wrong, in either direction.
ROWS_FACTOR = 1.3
# Parquet bytes, as a share of the CSV's: lowest, middle, highest.
PARQUET_SHARES = [0.04, 0.10, 0.20]
# Memory of a partition whose rows have keys of several columns and do not arrive in the order of these.
MEMORY_ROW_BYTES = 16
# Share of the decompressed body that a gzipped one would take.
GZIP_SHARE = 1 / 12


def count_years(text):
    """Returns the number of years in a text such as `1980, 1984-2022`."""
    n_years = 0
    for part in re.split(r",\s*(?:and\s+)?", text):
        first, _, last = part.partition("-")
        n_years += int(last or first) - int(first) + 1
    return n_years


def value_bytes(column):
    """Returns the characters that a value of a column takes in a CSV file, without the comma."""
    if column["type"] == "string":
        return column.get("width", 18 if "name" in column["name"] else 12)
    if column["type"] == "bigint":
        return 11
    # A number without a dictionary is an id, such as that of a college.
    is_id = not column.get("dictionary", True)
    return 4 if column["type"] == "double" else 6 if is_id else 2


@dataclass
class Dataset:
    """One descriptor, with what is estimated about its rows."""

    name: str
    path: str
    key: list
    columns: list
    n_years: int
    n_values: int
    has_total: bool
    in_flight: int
    memory_mib: int

    @property
    def level(self):
        return self.path.split("/", 1)[0]

    @property
    def source(self):
        return self.path.split("/")[1]

    @property
    def n_partitions(self):
        return self.n_years * self.n_values

    @property
    def n_totals(self):
        """Number of partitions that `all` leaves out, because they hold totals of others."""
        return self.n_years if self.has_total else 0

    @property
    def dimensions(self):
        return {segment for segment in self.path.split("/") if segment in CODES}

    @property
    def weight(self):
        return math.prod(CODES[dimension] for dimension in self.dimensions)

    @property
    def most_rows(self):
        """Rows that a partition has at most: each entity with each combination of codes, if the path names them all."""
        others = set(self.key) - CONSTANT
        return ENTITIES[self.level] * self.weight if len(others) == 1 else math.inf

    @property
    def csv_row_bytes(self):
        axes = 5 if self.n_values == 1 else 8
        return axes + sum(value_bytes(column) + 1 for column in self.columns)

    @property
    def json_row_bytes(self):
        """Bytes of a row in compact JSON: the CSV's, each field's name and punctuation, and quotes around text."""
        axes = len('"year":') if self.n_values == 1 else len('"year":"grade":')
        names = sum(len(column.get("field", column["name"])) + 3 for column in self.columns)
        quotes = 2 * sum(column["type"] == "string" for column in self.columns)
        return self.csv_row_bytes + axes + names + quotes + 2


def read_dataset(path):
    """Returns the dataset of a descriptor."""
    with path.open("rb") as file:
        table = tomllib.load(file)
    years = next(axis["years"] for axis in table["axis"] if axis["name"] == "year")
    n_values = math.prod(len(axis["values"]) for axis in table["axis"] if axis["name"] != "year")
    return Dataset(
        name=table["name"],
        path=table["path"],
        key=table["key"],
        columns=table["column"],
        n_years=count_years(years),
        n_values=n_values,
        has_total=any("total" in axis for axis in table["axis"]),
        in_flight=table.get("in_flight", 0),
        memory_mib=table.get("memory_mib", 0),
    )


def read_sizes():
    """Returns the row of docs/scale.csv for each dataset."""
    with SIZES.open(encoding="utf-8", newline="") as file:
        return {row["dataset"]: row for row in csv.DictReader(file)}


@dataclass
class Estimate:
    """Rows and what follows from them, over all years of a dataset."""

    dataset: Dataset
    rows: float
    low: float
    high: float
    largest: float

    @property
    def pages_each(self):
        """Pages of a mean partition. Its last page is half full on average."""
        mean = self.rows / self.dataset.n_partitions / PAGE_ROWS
        return 1 if mean < 0.5 else mean + 0.5

    @property
    def pages(self):
        return self.dataset.n_partitions * self.pages_each

    @property
    def largest_pages(self):
        return math.ceil(self.largest / PAGE_ROWS)

    @property
    def requests(self):
        """Page 1 is requested again if there are several pages; planning takes three requests."""
        return self.pages + self.dataset.n_partitions * (self.pages_each > 1) + 3

    @property
    def json_bytes(self):
        return self.rows * self.dataset.json_row_bytes

    @property
    def csv_bytes(self):
        return self.rows * self.dataset.csv_row_bytes


def estimate(dataset, sizes, groups):
    """Returns the estimate of a dataset: entities times years, or bytes of its bulk files divided by bytes of a row."""
    size = sizes[dataset.name]
    is_entity = len(dataset.key) == 1 and not dataset.dimensions and dataset.n_values == 1
    megabytes = float(size["megabytes"] or 0)
    if is_entity or not megabytes:
        rows = ENTITIES[dataset.level] * dataset.n_years * dataset.weight
        per_year, factor = rows / dataset.n_years, 1.15 if is_entity else 2
    else:
        # A file holds the rows of all datasets that share it. If one of these names every dimension of the others, they
        # are its totals, or else the file holds the rows of each.
        group = groups[size["file"]]
        every = set().union(*(other.dimensions for other in group))
        widest = [other for other in group if other.dimensions == every]
        share = dataset.weight / (widest[0].weight if widest else sum(other.weight for other in group))
        rows = megabytes * 1e6 * share / dataset.csv_row_bytes
        # If there is one file for all years, its largest year is not known.
        largest = max(float(size["largest_megabytes"]), megabytes / dataset.n_years) if int(size["files"]) > 1 else 0
        per_year = max(largest * 1e6 * share / dataset.csv_row_bytes, rows / dataset.n_years)
        factor = ROWS_FACTOR
    rows = min(rows, dataset.n_partitions * dataset.most_rows)
    largest = per_year if dataset.n_values == 1 else per_year * min(1, LARGEST_VALUE / dataset.n_values)
    largest = min(largest, dataset.most_rows)
    return Estimate(dataset, rows, rows / factor, rows * factor, largest)


def estimate_all():
    """Returns the estimates of all datasets."""
    datasets = [read_dataset(path) for path in sorted((ROOT / "datasets").glob("*.toml"))]
    sizes = read_sizes()
    missing = [dataset.name for dataset in datasets if dataset.name not in sizes]
    if missing:
        sys.exit(f"read `docs/scale.csv`: expected a row for each dataset, found none for {', '.join(missing)}")
    groups = defaultdict(list)
    for dataset in datasets:
        groups[sizes[dataset.name]["file"]].append(dataset)
    return [estimate(dataset, sizes, groups) for dataset in datasets]


def megabytes(text):
    """Returns a size such as `894.7 MB` in megabytes."""
    value, unit = text.split()[:2]
    return float(value) * {"KB": 0.001, "MB": 1, "GB": 1000}[unit]


def write_sizes(path):
    """Writes docs/scale.csv from a saved answer of the portal's `api-downloads`."""
    body = path.read_bytes()
    body = gzip.decompress(body) if path.suffix == ".gz" else body
    files = defaultdict(dict)
    for row in json.loads(body)["results"]:
        if row["file_name"].endswith(".csv"):
            files[row["endpoint_id"]][row["file_name"]] = megabytes(row["file_size"])
    with SIZES.open("w", encoding="utf-8", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        sizes = ["files", "megabytes", "largest_megabytes", "file"]
        writer.writerow(["dataset", "first_year", "last_year", *sizes, "source"])
        for descriptor in sorted((ROOT / "datasets").glob("*.toml")):
            text = descriptor.read_text(encoding="utf-8")
            endpoint = int(re.search(r"endpoint (\d+)", text)[1])
            years = re.findall(r"\d{4}", re.search(r'^years = "(.*)"', text, re.MULTILINE)[1])
            found = files[endpoint]
            stem = re.sub(r"(_\d{4})?\.csv$", "", min(found)) if found else ""
            total = f"{sum(found.values()):.1f}" if found else ""
            largest = f"{max(found.values()):.1f}" if found else ""
            source = f"api-downloads of endpoint {endpoint}, June 2024"
            writer.writerow([descriptor.stem, years[0], years[-1], len(found), total, largest, stem, source])
