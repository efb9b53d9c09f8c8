"""What contestants have to fetch."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Request:
    """What a contestant has to fetch: every combination of year and grade."""

    first_year: int
    n_years: int
    n_grades: int
    rows: int
    page_size: int
    in_flight: int

    @property
    def years(self):
        return f"{self.first_year}-{self.first_year + self.n_years - 1}"

    @property
    def grades(self):
        return ",".join(f"grade-{grade}" for grade in range(1, self.n_grades + 1))

    @property
    def n_partitions(self):
        return self.n_years * self.n_grades

    @property
    def n_rows(self):
        return self.n_partitions * self.rows

    @property
    def pages(self):
        """Number of pages of one partition."""
        return math.ceil(self.rows / self.page_size)

    @property
    def n_pages(self):
        return self.n_partitions * self.pages

    @property
    def n_requests(self):
        """Number of requests for data: if there are several pages, page 1 is fetched again after the last."""
        return self.n_pages + (self.n_partitions if self.pages > 1 else 0)


@dataclasses.dataclass(frozen=True)
class Scale:
    """The amount of data to fetch. Workload A is two usual partitions, B is many, and C is a large one."""

    page_size: int
    many_years: int
    many_grades: int
    rows: int
    large_rows: int
    wave_pages: int
    latency_ms: int
    # A lake with a cell of `top_ten_pk_states` in it.
    lake_years: tuple[int, int]
    lake_grades: tuple[str, ...]
    lake_rows: int

    def one(self, rows, in_flight):
        return Request(2015, 1, 1, rows, self.page_size, in_flight)

    def two(self, rows, in_flight):
        return Request(2015, 2, 1, rows, self.page_size, in_flight)

    def many(self, rows, in_flight):
        return Request(2010, self.many_years, self.many_grades, rows, self.page_size, in_flight)


# All grades of the sample, with the total.
GRADES = ("grade-pk", "grade-k", *(f"grade-{number}" for number in range(1, 16)), "grade-99")

FULL = Scale(
    page_size=10_000,
    many_years=10,
    many_grades=5,
    rows=100_000,
    large_rows=2_400_000,
    wave_pages=78,
    latency_ms=200,
    lake_years=(1986, 2024),
    lake_grades=GRADES,
    lake_rows=7_000,
)
QUICK = Scale(
    page_size=1_000,
    many_years=2,
    many_grades=2,
    rows=10_000,
    large_rows=40_000,
    wave_pages=20,
    latency_ms=50,
    lake_years=(2020, 2021),
    lake_grades=GRADES[:3],
    lake_rows=900,
)
