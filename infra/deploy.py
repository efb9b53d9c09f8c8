"""Deploys an environment of samconfig.toml with sam. `make deploy` runs it with the Python that has sam:

    python infra/deploy.py dev --arch x86_64 [FLAGS OF SAM DEPLOY]

samconfig.toml holds what is the same in every account. This adds the rest:

- Architecture, which is that of the built programs. `--parameter-overrides` adds to samconfig.toml, too.
- The role, the bucket and the permissions boundary of the stack github-rollcall-ENV, if the account has it.
- Termination protection for prod, which sam cannot switch on.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import boto3
import tomlkit
from botocore.exceptions import BotoCoreError, ClientError
from samcli.cli.types import CfnParameterOverridesType

FOLDER = Path(__file__).resolve().parent
PROTECTED = ["prod"]

# A stack that was deployed. Another may not exist yet: sam ends with 0 if someone declines its change set.
DEPLOYED = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"]


class Refused(Exception):
    """Why nothing was deployed."""


def overrides(settings, added, arch, stack):
    """Returns the parameters to set: those of samconfig.toml, those added on the command line, and Architecture."""
    merged = CfnParameterOverridesType().convert(settings.get("parameter_overrides", []), None, None)
    for pair in added:
        name, is_pair, value = pair.partition("=")
        if not is_pair:
            raise Refused(f"deploy {stack}: expected NAME=VALUE as a parameter, found `{pair}`")
        merged[name] = value
    found = merged.setdefault("Architecture", arch)
    if found != arch:
        raise Refused(f"deploy {stack}: expected Architecture={arch}, as the functions were built, found {found}\n"
                      f"hint: make build ARCH={found}, then make deploy ARCH={found}")
    return merged


def quoted(name, value):
    """Returns a parameter as sam reads it, even if its value has spaces or quotes."""
    escaped = value.replace('"', '\\"')
    return f'{name}="{escaped}"'


def describe(client, stack):
    """Returns the description of a stack, or None if it does not exist."""
    try:
        return client.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def set_up(client, stack):
    """Returns the outputs of the stack that sets up the account, or None if it does not exist."""
    found = describe(client, stack)
    if found is None:
        return None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    missing = {"ExecutionRoleArn", "ArtifactsBucketName", "BoundaryArn"} - set(outputs)
    if missing:
        raise Refused(f"read stack {stack}: expected the outputs {', '.join(sorted(missing))}, found none; the stack is "
                      f"in {found['StackStatus']}\nhint: infra/README.md#by-workflow")
    return outputs


def deploy(args, flags):
    config = tomlkit.parse((FOLDER / args.config_file).read_text(encoding="utf-8"))
    settings = config[args.environment]["deploy"]["parameters"].unwrap()
    stack = settings["stack_name"]
    parameters = overrides(settings, args.parameter_overrides, args.arch, stack)
    client = boto3.Session(profile_name=args.profile, region_name=args.region).client("cloudformation")
    account = set_up(client, f"github-{stack}")
    if account:
        print(f"using the role, the bucket and the boundary of the stack github-{stack}", flush=True)
        flags += ["--role-arn", account["ExecutionRoleArn"], "--no-resolve-s3", "--s3-bucket",
                  account["ArtifactsBucketName"]]
        parameters.setdefault("PermissionsBoundaryArn", account["BoundaryArn"])
    flags += ["--config-file", args.config_file, "--config-env", args.environment]
    flags += ["--profile", args.profile] if args.profile else []
    flags += ["--region", args.region] if args.region else []
    flags += ["--parameter-overrides", *(quoted(name, value) for name, value in parameters.items())]
    sam = Path(sys.executable).parent / "sam"
    code = subprocess.run([sam, "deploy", *flags], cwd=FOLDER, check=False).returncode
    is_protected = args.environment in PROTECTED and "--no-execute-changeset" not in flags
    if code == 0 and is_protected and (describe(client, stack) or {}).get("StackStatus") in DEPLOYED:
        client.update_termination_protection(StackName=stack, EnableTerminationProtection=True)
        print(f"{stack} cannot be deleted until its termination protection is disabled")
    return code


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("environment", help="an environment of samconfig.toml")
    parser.add_argument("--arch", required=True, help="processor that the functions were built for")
    parser.add_argument("--config-file", default="samconfig.toml", help="relative to infra/")
    parser.add_argument("--parameter-overrides", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--profile")
    parser.add_argument("--region")
    args, flags = parser.parse_known_args()
    try:
        return deploy(args, flags)
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
