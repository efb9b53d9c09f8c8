"""Checks the functions that `make build` built: Lambda can run them, and their packages are small.

Run it with the Python of an environment created from requirements-build.txt:

    python tests/infra/check_functions.py --arch x86_64 --glibc 2.34

Each check also runs against limits that no program can meet, and must fail there: a check that passes has stopped
working. Prints one line per function and exits with 1 if any check fails.
"""

import argparse
import io
import os
import re
import sys
import zipfile
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target" / "lambda"
FUNCTIONS = ["planner", "page-fetch", "catalog"]

MACHINES = {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}

# A cold start downloads the package, and sam uploads it.
MAX_ZIP_BYTES = 8 * 1024 * 1024

# Prefixes of the libraries that provided.al2023 has.
LIBRARIES = ("ld-linux", "libc.so.", "libdl.so.", "libgcc_s.so.", "libm.so.", "libpthread.so.", "librt.so.")


class Program:
    """What the checks need to know about a program."""

    def __init__(self, path):
        self.size_bytes = path.stat().st_size
        self.is_executable = os.access(path, os.X_OK)
        self.zip_bytes = zip_bytes(path)
        with path.open("rb") as file:
            elf = ELFFile(file)
            self.machine = elf["e_machine"]
            sections = list(elf.iter_sections())
            self.libraries = [tag.needed for section in sections if isinstance(section, DynamicSection)
                              for tag in section.iter_tags("DT_NEEDED")]
            self.glibc = sorted({version.name for section in sections if isinstance(section, GNUVerNeedSection)
                                 for _, versions in section.iter_versions() for version in versions
                                 if version.name.startswith("GLIBC_")}, key=version_of)


def version_of(name):
    """Returns `GLIBC_2.34` as a comparable tuple. A name without a number, such as a new ABI, is the highest."""
    found = re.fullmatch(r"GLIBC_(\d+(?:\.\d+)+)", name)
    return tuple(int(part) for part in found[1].split(".")) if found else (sys.maxsize,)


def zip_bytes(path):
    """Returns the size of the package that sam creates: the program alone, deflated."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    return len(package.getvalue())


def problems_of(program, machine, glibc, max_zip_bytes, libraries):
    """Returns what Lambda, or our size limit, would reject."""
    problems = {}
    if not program.is_executable:
        problems["mode"] = "expected an executable file, found one that is not"
    if program.machine != machine:
        problems["machine"] = f"expected {machine}, found {program.machine}"
    newer = [name for name in program.glibc if version_of(name) > glibc]
    if newer:
        problems["glibc"] = f"expected at most GLIBC_{'.'.join(map(str, glibc))}, found {', '.join(newer)}"
    if not program.glibc:
        problems["glibc"] = "expected required versions of glibc, found none"
    foreign = [name for name in program.libraries if not name.startswith(libraries)]
    if foreign:
        problems["libraries"] = f"expected libraries of provided.al2023, found {', '.join(foreign)}"
    if program.zip_bytes > max_zip_bytes:
        problems["zip"] = f"expected at most {mib(max_zip_bytes)} zipped, found {mib(program.zip_bytes)}"
    return problems


def mib(size_bytes):
    return f"{size_bytes / 1024 / 1024:.2f} MiB"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", required=True, choices=MACHINES, help="instruction set of the functions")
    parser.add_argument("--glibc", required=True, help="newest glibc that they may require, such as 2.34")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder with a folder per function (target/lambda)")
    args = parser.parse_args()
    glibc = version_of(f"GLIBC_{args.glibc}")
    n_failed = 0
    for name in FUNCTIONS:
        path = args.folder / name / "bootstrap"
        try:
            program = Program(path)
        except FileNotFoundError:
            print(f"FAILED {name}: expected {path}, found no file; `make build` creates it")
            n_failed += 1
            continue
        except ELFError as error:
            print(f"FAILED {name}: expected a program for Linux, found {error}")
            n_failed += 1
            continue
        problems = problems_of(program, MACHINES[args.arch], glibc, MAX_ZIP_BYTES, LIBRARIES)
        # No program can meet these limits, so each check must fail.
        blind = {"machine", "glibc", "libraries", "zip"} - set(problems_of(program, "EM_NONE", (0,), 0, ("none",)))
        problems |= {what: "expected a failure against impossible limits, found none" for what in sorted(blind)}
        newest = program.glibc[-1] if program.glibc else "no glibc"
        print(f"{'FAILED' if problems else 'ok    '} {name:<10}  {program.machine}  {newest}  "
              f"{mib(program.size_bytes)}, zipped {mib(program.zip_bytes)}")
        for what, problem in problems.items():
            print(f"       {what}: {problem}")
        n_failed += bool(problems)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
