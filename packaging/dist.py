"""Builds what a release has for this machine's platform, into target/dist, and tries the wheel in an empty environment.

- a wheel with the program, for `uvx rollcall`, `pipx install rollcall` and pip;
- an archive with the program, completions and man pages;
- SHA256SUMS of both.
"""

import argparse
import hashlib
import io
import lzma
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIST = ROOT / "target" / "dist"
PROGRAM = "rollcall.exe" if os.name == "nt" else "rollcall"
COMPLETIONS = {"bash": "rollcall.bash", "zsh": "_rollcall", "fish": "rollcall.fish", "powershell": "rollcall.ps1"}
SAMPLE = ["run", "--sample", "--years", "2020,2021", "--grades", "grade-pk", "--query", "top_ten_pk_states"]


def run(*command, **options):
    """Runs a command, and ends the program if it fails."""
    done = subprocess.run([str(part) for part in command], check=False, **options)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(map(str, command))}` exited with {done.returncode}")
    return done.stdout


def build_wheel():
    """Builds the wheel and returns its path. The program is left in target/release too."""
    run(sys.executable, "-m", "maturin", "build", "--release", "--locked", "--out", DIST, cwd=ROOT)
    [wheel] = DIST.glob("*.whl")
    return wheel


def archive(wheel):
    """Packs the program with its completions and man pages. Equal contents make equal bytes."""
    name = "-".join(["rollcall", *wheel.stem.split("-")[1:2], wheel.stem.split("-")[-1]])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        program = folder / PROGRAM
        shutil.copy(ROOT / "target" / "release" / PROGRAM, program)
        for document in ["LICENSE", "README.md", "CHANGELOG.md"]:
            shutil.copy(ROOT / document, folder)
        (folder / "completions").mkdir()
        for shell, file in COMPLETIONS.items():
            script = run(program, "completions", shell, stdout=subprocess.PIPE)
            (folder / "completions" / file).write_bytes(script)
        run(program, "man", folder / "man")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                info = tar.gettarinfo(path, f"{name}/{path.relative_to(folder).as_posix()}")
                info.mtime = info.uid = info.gid = 0
                info.uname = info.gname = ""
                info.mode = 0o755 if path == program else 0o644
                with path.open("rb") as file:
                    tar.addfile(info, file)
    target = DIST / f"{name}.tar.xz"
    target.write_bytes(lzma.compress(packed.getvalue(), preset=9))
    return target


def try_wheel(wheel):
    """Installs the wheel into an empty environment, runs the sample with it, and returns the seconds that both took."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        start = time.monotonic()
        venv.create(folder / "venv", with_pip=True)
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        run(python, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", wheel)
        # Neither a compiler nor anything else of this machine.
        environment = {"PATH": str(scripts), "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}
        shown = run(scripts / PROGRAM, *SAMPLE, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        if "1  Texas                  245135" not in shown:
            sys.exit(f"expected the ranking from the installed program, found:\n{shown}")
        return time.monotonic() - start


def main():
    """Builds, tries and lists everything."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(parents=True)
    wheel = build_wheel()
    files = [wheel, archive(wheel)]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    seconds = try_wheel(wheel)
    for file in files:
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1e6:.1f} MB")
    print(f"from an empty environment to the ranking: {seconds:.1f} s")


main()
