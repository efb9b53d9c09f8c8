"""Prints infra/template.yaml as JSON, as CloudFormation would see it after its transforms other than SAM's.

Short function forms are in their long form, the included file is in place, and every Fn::ForEach is replaced by its
copies. This understands only what the template uses; the tests also deploy the template itself.
"""

import json
import pathlib
import re

import yaml

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "infra" / "template.yaml"

# Parameters that a loop repeats, with values that show every kind of copy.
LISTS = {"Schedules": ["default", "ccd_directory"]}


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


def as_list(value):
    return value if isinstance(value, list) else [value]


def walk(value):
    """Yields every mapping in a value, at any depth."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def load(path):
    """A template as data, with included files and loops expanded."""
    template = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506, a safe loader
    include(template["Resources"], path.parent)
    template["Resources"] = expand(template["Resources"], template.get("Mappings", {}))
    return template


def include(resources, folder):
    """Replaces the AWS::Include of the resources with the file, in which CloudFormation accepts no short forms."""
    transform = resources.pop("Fn::Transform", None)
    if transform is None:
        return
    if transform["Name"] != "AWS::Include":
        raise ValueError(f"expected AWS::Include, found {transform['Name']}")
    included = yaml.safe_load((folder / transform["Parameters"]["Location"]).read_text(encoding="utf-8"))
    if twice := sorted(set(included) & set(resources)):
        raise ValueError(f"expected each resource once, found {twice} twice")
    resources.update(included)


def expand(resources, mappings):
    """Replaces each Fn::ForEach with its copies."""
    expanded = {}
    for name, body in resources.items():
        copies = {name: body}
        if name.startswith("Fn::ForEach::"):
            identifier, values, fragment = body
            values = LISTS[values["Ref"]] if isinstance(values, dict) else values
            copies = {logical_id(key, identifier, value): fill(inner, identifier, value, mappings)
                      for value in values for key, inner in fragment.items()}
        if twice := sorted(set(copies) & set(expanded)):
            raise ValueError(f"expected each resource once, found {twice} twice")
        expanded |= copies
    return expanded


def logical_id(key, identifier, value):
    """The key of a copy, for which `&{..}` leaves out what a logical id may not contain."""
    key = key.replace(f"${{{identifier}}}", value)
    return key.replace(f"&{{{identifier}}}", re.sub("[^A-Za-z0-9]", "", value))


def fill(node, identifier, value, mappings):
    """One copy of a loop's body: the identifier filled in, and whatever depends on it resolved."""
    if isinstance(node, list):
        return [fill(inner, identifier, value, mappings) for inner in node]
    if not isinstance(node, dict):
        return node
    if node == {"Ref": identifier}:
        return value
    if "Fn::Sub" in node:
        return substitute(node["Fn::Sub"], identifier, value, mappings)
    node = {key: fill(inner, identifier, value, mappings) for key, inner in node.items()}
    if "Fn::FindInMap" in node:
        name, first, second, *default = node["Fn::FindInMap"]
        if default:
            return mappings[name].get(first, {}).get(second, default[0]["DefaultValue"])
        return mappings[name][first][second]
    if "Fn::Select" in node:
        index, values = node["Fn::Select"]
        return values[index]
    return node


def substitute(argument, identifier, value, mappings):
    text, variables = argument if isinstance(argument, list) else (argument, {})
    text = text.replace(f"${{{identifier}}}", value)
    left = {}
    for name, inner in variables.items():
        inner = fill(inner, identifier, value, mappings)
        if isinstance(inner, dict):
            left[name] = inner
        else:
            text = text.replace(f"${{{name}}}", str(inner))
    if left:
        return {"Fn::Sub": [text, left]}
    return {"Fn::Sub": text} if re.search(r"\$\{", text) else text


if __name__ == "__main__":
    print(json.dumps(load(TEMPLATE)))
