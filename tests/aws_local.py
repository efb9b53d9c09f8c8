"""Runs the AWS half on an emulator until it is stopped, so that it can be tried without an account.

    python tests/aws_local.py start
    python tests/aws_local.py stop

`make aws-local` builds everything and runs `start` with the tests' Python: it starts the emulator and a simulated
portal with sample data on free ports, and deploys the template. If they are running already, it deploys again, with
the functions as they are now. Logs and settings are in target/aws-local.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMULATOR = ROOT / "tests" / "support" / "emulator"
sys.path.insert(0, str(EMULATOR))

BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
FOLDER = ROOT / "target" / "aws-local"
STATE = FOLDER / "state.json"
SETTINGS = FOLDER / "env"

STACK = "rollcall-dev"
FUNCTIONS = ["planner", "page-fetch", "catalog"]
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
READY_SECONDS = 60
STOP_SECONDS = 10

HELP = """
{stack} runs on an emulator of AWS, with a simulated portal.
In a shell, from the project's folder:

  . target/aws-local/env   # endpoint, Region and keys of the emulator

  rollcall run --on aws --years 2020,2021 --grades grade-pk
  rollcall status --lake "s3://$BUCKET"

  aws stepfunctions list-executions --state-machine-arn "$STATE_MACHINE"
  aws s3 ls --recursive "s3://$BUCKET"
  aws glue get-partitions --database-name ccd_school \\
    --table-name us_education_ccd_enrollment_data --query 'Partitions[].Values'
  aws logs filter-log-events --output text --query 'events[].[message]' \\
    --log-group-name /aws/lambda/{stack}-page-fetch

The portal is {portal}. Logs are in target/aws-local.
After a change to the code or the template, run make aws-local again.
To stop everything and delete its data: make aws-local-stop
"""


class Failed(Exception):
    """Why the stack could not be started."""


# --- processes ---


def started_at(pid, zombies=True):
    """Returns when a process started, in clock ticks since boot, or None if there is none."""
    try:
        # The name in parentheses may contain spaces.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" and not zombies else fields[19]


def read_state():
    return json.loads(STATE.read_text(encoding="utf-8")) if STATE.is_file() else {}


def is_running(process):
    """Checks that a process of the state still exists, and is not another one with the same number."""
    return started_at(process["pid"], zombies=False) == process["started_at"]


def signal_group(process, number):
    """Signals a process and those that it started. Its number is its group's, and free again only without them."""
    if started_at(process["pid"]) in (None, process["started_at"]):
        try:
            os.killpg(process["pid"], number)
        except ProcessLookupError:
            pass


def start(state, name, command, environment):
    """Starts a process in the background, in a group of its own, and records it."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, "TMPDIR": str(folder), **environment},
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    state[name] = {"pid": process.pid, "started_at": started_at(process.pid)}
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return process, log


def line_with(text, process, log):
    """Waits until a process has printed a line with this text, and returns the line."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        has_ended = process.poll() is not None
        printed = log.read_text(encoding="utf-8", errors="replace")
        for line in printed.splitlines():
            if text in line:
                return line
        if has_ended:
            raise Failed(f"start {log.parent.name}: expected `{text}`, found an exit:\n{printed[-2000:]}")
        time.sleep(0.05)
    raise Failed(f"start {log.parent.name}: expected `{text}` within {READY_SECONDS} s, found none; see {log}")


def stop():
    """Stops what was started, with the functions that the emulator runs, and deletes its files."""
    processes = list(read_state().values())
    n_running = sum(map(is_running, processes))
    for process in processes:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        # What is left of the group, such as a function that did not stop.
        signal_group(process, signal.SIGKILL)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return n_running


# --- the stack ---


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start_processes():
    """Starts emulator and portal, and returns their addresses."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = {}
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    # Functions call the emulator too, so it needs its own address.
    environment = {"GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": endpoint, "PYTHONUNBUFFERED": "1"}
    command = [ROOT / ".venv" / "bin" / "python", EMULATOR / "start_ministack.py"]
    emulator = start(state, "emulator", command, environment)
    portal = start(state, "portal", [BUILT / "rollcall-simulator"], {})
    line_with("Ready", *emulator)
    origin = line_with("listening on ", *portal).rpartition(" ")[2]
    for name, address in (("emulator", endpoint), ("portal", origin)):
        state[name]["address"] = address
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return endpoint, origin


def connection(endpoint):
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test"}


def deploy(endpoint, origin):
    """Deploys the template as `make deploy` does, and returns the stack's outputs."""
    # Imported here, so that `stop` needs no environment.
    import boto3
    from package import package

    folder = FOLDER / "package"
    package(folder, {function: BUILT / function for function in FUNCTIONS})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment.update(connection(endpoint), SAM_CLI_TELEMETRY="0")
    log = FOLDER / "deploy.log"
    command = [ROOT / ".venv-lint" / "bin" / "python", folder / "infra" / "deploy.py", "dev", "--arch",
               ARCHITECTURES[platform.machine()], "--no-confirm-changeset",
               "--parameter-overrides", f"PortalOrigin={origin}"]
    with log.open("wb") as output:
        code = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False).returncode
    if code != 0:
        raise Failed(f"deploy {STACK}: expected exit code 0, found {code}:\n"
                     + log.read_text(encoding="utf-8", errors="replace")[-2000:])

    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    stacks = session.client("cloudformation", endpoint_url=endpoint).describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    # The emulator enforces bucket policies, and this one requires TLS, which the emulator does not support.
    session.client("s3", endpoint_url=endpoint).delete_bucket_policy(Bucket=outputs["BucketName"])
    return outputs


def write_settings(endpoint, outputs):
    variables = {**connection(endpoint), "AWS_REGION": "us-east-1", "AWS_PAGER": "", "BUCKET": outputs["BucketName"],
                 "STATE_MACHINE": outputs["StateMachineArn"]}
    lines = ["# Source this: it points the AWS tools at the emulator, and puts rollcall and aws into the PATH.",
             "unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f'export PATH={shlex.quote(str(BUILT))}:{shlex.quote(str(ROOT / ".venv-awscli" / "bin"))}:"$PATH"')
    SETTINGS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def start_all():
    state = read_state()
    if len(state) == 2 and all("address" in process and is_running(process) for process in state.values()):
        endpoint, origin = state["emulator"]["address"], state["portal"]["address"]
    else:
        stop()
        endpoint, origin = start_processes()
    outputs = deploy(endpoint, origin)
    write_settings(endpoint, outputs)
    print(HELP.format(stack=STACK, portal=origin))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["start", "stop"])
    if parser.parse_args().command == "stop":
        print(f"stopped {stop()} processes")
        return 0
    try:
        start_all()
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
