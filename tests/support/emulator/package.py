"""Packages the stack for `sam deploy` on the emulator: package.py < {"folder": .., "programs": {FUNCTION: FILE, ..}}

The folder gets the same layout as the project: the template, the state machine and the functions. The named queries,
the alarms on metric math and the crawler's encryption are left out, because the emulator does not support them. The
programs are those of an ordinary build, stripped.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FILES = ["infra/deploy.py", "infra/samconfig.toml", "statemachine/ingest.asl.json"]
TEMPLATE = "infra/template.yaml"
CATALOG = "infra/catalog.yaml"


def package(folder, programs):
    """Fills the folder. An existing file is replaced."""
    for function, program in programs.items():
        built = folder / "target" / "lambda" / function / "bootstrap"
        built.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", program, "-o", built], check=True)
    for name in FILES:
        write(folder / name, (ROOT / name).read_text(encoding="utf-8"))
    write(folder / TEMPLATE, "\n\n".join(known_kind(resource) for resource in resources(TEMPLATE)))
    known = [resource for resource in resources(CATALOG) if "Type: AWS::Athena::NamedQuery" not in resource]
    write(folder / CATALOG, "\n\n".join(known))


def resources(name):
    return (ROOT / name).read_text(encoding="utf-8").split("\n\n")


def known_kind(resource):
    """Replaces what the emulator does not support by something without effect, because other resources refer to it."""
    known = "AWS::CloudFormation::WaitConditionHandle"
    if " Metrics:" in resource:
        resource = resource.replace("AWS::CloudWatch::Alarm", known)
    return resource.replace("AWS::Glue::SecurityConfiguration", known)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    package(Path(wanted["folder"]), wanted["programs"])
    json.dump({}, sys.stdout)
