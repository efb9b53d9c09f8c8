"""Plants each bug of `planted/` in a copy of core. The simulation must find it.

Each patch is one realistic mistake. Exits with 1 if a patch does not apply or its bug is not found.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parents[2]
VIOLATION = re.compile(r"^seed (\d+): violated `([^`]+)`: (.*)$", re.MULTILINE)


def copy_core(folder: Path) -> None:
    """Creates a workspace with only the current core. Its files are new, so that cargo builds them."""
    shutil.rmtree(folder, ignore_errors=True)
    # The documentation has what to do about each error, which the library contains.
    for part in ["core", "datasets", "docs"]:
        shutil.copytree(WORKSPACE / part, folder / part, copy_function=shutil.copyfile)
    shutil.copyfile(WORKSPACE / "Cargo.lock", folder / "Cargo.lock")
    manifest = (WORKSPACE / "Cargo.toml").read_text()
    manifest = re.sub(r"(?ms)^members = \[.*?\]", 'members = ["core"]', manifest)
    manifest = re.sub(r"(?m)^default-members = .*$", "", manifest)
    (folder / "Cargo.toml").write_text(manifest)


def plant(patch: Path, folder: Path, target: Path, seeds: int) -> tuple[str, str, str] | None:
    """Returns seed, promise and details of the violation, or `None` when the simulation finds nothing."""
    copy_core(folder)
    # Git must not find the repository around the copy.
    environment = dict(os.environ, GIT_CEILING_DIRECTORIES=str(folder.parent))
    apply = subprocess.run(["git", "apply", str(patch)], cwd=folder, env=environment, capture_output=True, text=True)
    if apply.returncode != 0:
        sys.exit(f"{patch.stem}: core has changed where the bug is planted; update the patch\n{apply.stderr}")
    environment |= {"CARGO_TARGET_DIR": str(target), "ROLLCALL_SEEDS": str(seeds)}
    environment.pop("ROLLCALL_SEED", None)
    command = [os.environ.get("CARGO", "cargo"), "test", "--package", "rollcall-core", "--test", "simulation"]
    run = subprocess.run([*command, "every_promise"], cwd=folder, env=environment, capture_output=True, text=True)
    found = VIOLATION.search(run.stdout + run.stderr)
    if found is None and "test result:" not in run.stdout:
        sys.exit(f"{patch.stem}: the simulation did not run\n{run.stderr}")
    return found.groups() if found and run.returncode != 0 else None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=6000, help="seeds in which a bug must be found")
    seeds = arguments.parse_args().seeds
    # Always the same folder, with its own target folder: Cargo mistakes copies of a workspace for one another.
    planted = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target")).resolve() / "planted"
    rows = [("bug", "seed", "promise violated")]
    details = []
    n_unfound = 0
    for patch in sorted(HERE.glob("planted/*.patch")):
        found = plant(patch, planted / "workspace", planted / "target", seeds)
        if found is None:
            n_unfound += 1
            rows.append((patch.stem, "-", f"NOT FOUND in {seeds} seeds"))
        else:
            rows.append((patch.stem, *found[:2]))
            details.append(f"{patch.stem}: {found[2]}")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print("\n" + "\n".join(details))
    return 1 if n_unfound or len(rows) == 1 else 0


if __name__ == "__main__":
    sys.exit(main())
