"""Makes the pages of two datasets that the portal does not have, for the simulator to serve.

`awkward` has the values that are most often read or counted wrongly. Statistics of long texts are truncated, and those
of doubles must treat the two zeros as equal. `grown` has other columns in its newest year.
"""

import json

LONG = "long text " * 20
TEXTS = [
    *("", " ", "  two spaces each side  ", "null", "NULL", "NaN", "None", "0", "007", "-1", "1e3", "true"),
    *("comma, \"quote\", 'apostrophe', \\backslash\\, `tick`", "line\nbreak\ttab\r\n", "nul\0inside"),
    *("é", "e\u0301", "ß", "日本語", "🏫🏫", "\ufeff", "\uffff", "ÿ" * 200, "\U0010ffff" * 30),
    *("\x7f\x01", "2021-01-01", LONG, LONG + "a", LONG + "b"),
]
INTS = [-(2**31), -(2**31) + 1, -129, -128, -3, -2, -1, 0, 1, 127, 128, 255, 256, 65_536, 2**31 - 2, 2**31 - 1]
BIGINTS = [-(2**63), -(2**63) + 1, -(2**53) - 1, -1, 0, 1, 2**32, 2**53 + 1, 10**18 + 1, 2**63 - 2, 2**63 - 1]
DOUBLES = [
    *(-1.7976931348623157e308, -1e22, -2.5, -0.1, -5e-324, -0.0, 0.0, 5e-324, 2.2250738585072014e-308),
    *(0.1, 0.2, 0.3, 0.30000000000000004, 1 / 3, 1.0, 100.0, 123456789.12345679, 9007199254740991.0),
    *(1e22, 1.7976931348623157e308),
]
# Rows of each year: a column of the first takes several pages of the file.
AWKWARD_ROWS = {2019: 45_000, 2020: 3, 2021: 700}
GROWN_ROWS = {2019: 50, 2020: 50}
ROWS_PER_PAGE = 10_000


def awkward(year, number):
    """Returns a row. In most columns, a value fills a stretch of rows with nulls; elsewhere, values alternate."""

    def pick(values, length):
        return None if number % 11 == 5 else values[number // length % len(values)]

    return {
        "year": year,
        "id": number + 1,
        "text": pick(TEXTS, 700),
        "plain_text": pick(TEXTS, 1),
        "other_plain_text": pick(TEXTS, 1_500),
        "small": pick(INTS, 1),
        "plain_small": pick(INTS, 20_000),
        "large": pick(BIGINTS, 1_000),
        "plain_large": pick(BIGINTS, 1),
        "decimal": pick(DOUBLES, 1),
        "plain_decimal": pick(DOUBLES, 900),
        "always_null": None,
        "null_at_first": None if number < 25_000 else number % 3,
    }


def grown(year, number):
    row = {"year": year, "id": number + 1, "n": number, "x": number}
    return row if year == 2019 else row | {"n": number << 40, "x": number + 0.25, "note": f"note {number}"}


def write_pages(folder, portal):
    """Writes all pages where `rollcall simulator --recorded` finds them, and the list of both datasets."""
    endpoints = []
    for name, n_rows_by_year, row in (("awkward", AWKWARD_ROWS, awkward), ("grown", GROWN_ROWS, grown)):
        years = ", ".join(map(str, n_rows_by_year))
        endpoints.append({"endpoint_url": f"/api/v1/schools/{name}/{{year}}/", "years_available": years})
        for year, n_rows in n_rows_by_year.items():
            rows = [row(year, number) for number in range(n_rows)]
            pages = [rows[start : start + ROWS_PER_PAGE] for start in range(0, n_rows, ROWS_PER_PAGE)]
            write(folder, portal, f"schools/{name}/{year}/", n_rows, pages)
    write(folder, portal, "api-endpoints/", len(endpoints), [endpoints])


def write(folder, portal, path, n_rows, pages):
    (folder / path).mkdir(parents=True)
    for number, rows in enumerate(pages, 1):
        following = f"{portal}/api/v1/{path}?page={number + 1}" if number < len(pages) else None
        body = {"count": n_rows, "next": following, "previous": None, "results": rows}
        (folder / path / f"{number}.json").write_text(json.dumps(body), encoding="utf-8")
