"""Packages the stack for `sam deploy` on the emulator: package.py < {"folder": .., "programs": {FUNCTION: FILE, ..}}

The folder gets the same layout as the project: the template, the state machine and the functions. The named queries are
left out, because the emulator does not support them. The programs are those of an ordinary build, stripped.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FILES = ["infra/deploy.py", "infra/samconfig.toml", "infra/template.yaml", "statemachine/ingest.asl.json"]
CATALOG = "infra/catalog.yaml"


def package(folder, programs):
    """Fills the folder. An existing file is replaced."""
    for function, program in programs.items():
        built = folder / "target" / "lambda" / function / "bootstrap"
        built.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", program, "-o", built], check=True)
    for name in [*FILES, CATALOG]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    resources = (ROOT / CATALOG).read_text(encoding="utf-8").split("\n\n")
    known = [resource for resource in resources if "Type: AWS::Athena::NamedQuery" not in resource]
    (folder / CATALOG).write_text("\n\n".join(known), encoding="utf-8")


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    package(Path(wanted["folder"]), wanted["programs"])
    json.dump({}, sys.stdout)
