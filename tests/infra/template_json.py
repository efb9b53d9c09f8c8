"""Prints infra/template.yaml as JSON, the short forms of CloudFormation's functions in their long form."""

import json
import pathlib

import yaml

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "infra" / "template.yaml"


class Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", function)

if __name__ == "__main__":
    print(json.dumps(yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader)))  # noqa: S506, a safe loader
