"""A plain sequential script, for comparison with `rollcall`.

For every year and grade it follows `next` one page at a time, keeps the rows of the combination in a list, and writes
them as JSON Lines to `OUT/year=YEAR/grade=GRADE.jsonl`. It is what one would write by hand in half an hour: nothing is
tuned, and nothing is slow on purpose.
"""

import argparse
import json
import pathlib
import urllib.request


def fetch_rows(url):
    """Returns the rows of all pages starting at `url`, as dicts in the portal's order."""
    rows = []
    while url:
        with urllib.request.urlopen(url, timeout=180) as response:
            page = json.loads(response.read())
        rows.extend(page["results"])
        url = page["next"]
    return rows


def write_rows(rows, path):
    """Writes one JSON object per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def parse_years(text):
    """Returns the range of years of `2000-2009` (inclusive) or `2004`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description="Fetch enrollment partitions one page at a time.")
    parser.add_argument("--portal", required=True, metavar="ORIGIN", help="scheme, host and port")
    parser.add_argument("--years", required=True, type=parse_years, help="2000-2009 or 2004")
    parser.add_argument("--grades", required=True, help="grade-1,grade-2")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="folder to write to")
    args = parser.parse_args()
    for year in args.years:
        for grade in args.grades.split(","):
            rows = fetch_rows(f"{args.portal}/api/v1/schools/ccd/enrollment/{year}/{grade}/")
            write_rows(rows, args.out / f"year={year}" / f"grade={grade}.jsonl")


if __name__ == "__main__":
    main()
