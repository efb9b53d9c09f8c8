"""Checks of databases and tables in the template, and of what its roles may do with them. check_template.py runs them.

Each check also runs on copies of the two templates that are spoiled on purpose, and must find fault with each.
"""

import copy
import json

from template_json import as_list, walk

# Tables of the template by logical id, as cli/src/template.rs lists them. The catalog function only checks these.
TABLES = {"CcdEnrollmentTable", "LookupGradesTable", "LookupRacesTable", "LookupSexesTable", "LookupStatesTable"}

# Tables that an earlier template had, and that the catalog function makes now. KEEP retains them for one deployment.
MOVED = {"CcdDirectoryTable", "CcdEnrollmentRaceSexTable"}

# The databases by logical id, and their names after the prefix.
DATABASES = {"Database": "ccd_school", "EducationDatabase": "education"}

GLUE = "arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}"

# What each role does with the catalog; other roles of the stack have no action of Glue's catalog.
READS = {"glue:GetTable", "glue:GetTables", "glue:GetPartitions"}
CATALOG_ACTIONS = {
    "CatalogRole": READS | {"glue:CreateTable", "glue:UpdateTable", "glue:BatchCreatePartition",
                            "glue:BatchUpdatePartition", "glue:DeletePartition"},
    "CrawlerRole": READS | {"glue:GetDatabase", "glue:GetPartition", "glue:BatchGetPartition", "glue:CreatePartition",
                            "glue:BatchCreatePartition", "glue:UpdatePartition", "glue:BatchUpdatePartition"},
}
# The databases that a role may use. The crawler's only table is in the first.
CATALOG_DATABASES = {"CatalogRole": ["${Database}", "${DatabasePrefix}education"], "CrawlerRole": ["${Database}"]}

# Which roles may read what has to do with descriptors, and how.
DESCRIPTORS = {
    "PlannerRole": ["${Lake.Value}/data/*", "${Lake.Value}/datasets/*", "${Lake.Value}/history/*/refreshes.json",
                    "${Lake.Value}/ledger/*"],
    "PageFetchRole": ["${Lake.Value}/data/*", "${Lake.Value}/history/*/edit*",
                      "${Lake.Value}/ledger/*/runs/*/dataset.json", "${Lake.Value}/pages/*"],
    "CatalogRole": ["${Lake.Value}/data/*", "${Lake.Value}/history/*", "${Lake.Value}/ledger/*"],
}


def tables(template):
    return {name: found for name, found in template["Resources"].items() if found["Type"] == "AWS::Glue::Table"}


def statements(template, role):
    """Yields the allowing statements of a role, without those behind a condition that is not met by default."""
    for mapping in walk(template["Resources"][role]["Properties"]["Policies"]):
        if mapping.get("Effect") == "Allow":
            yield mapping


def texts(statement):
    """Returns the resources of a statement as text; a function other than Fn::Sub as JSON."""
    return [found.get("Fn::Sub", json.dumps(found)) if isinstance(found, dict) else found
            for found in as_list(statement["Resource"])]


def differ(what, expected, found):
    problems = [f"{what}: expected `{name}`, found none" for name in sorted(set(expected) - set(found))]
    return problems + [f"{what}: expected no `{name}`, found one" for name in sorted(set(found) - set(expected))]


def tables_of_the_template_say_so_and_moved_ones_outlive_it(template, _github):
    """A moved table has no `managed_by`, or the function would not adopt it; CloudFormation must not delete it."""
    found = tables(template)
    problems = differ("catalog.yaml, from `make generate`: tables", TABLES | MOVED, found)
    for name, table in found.items():
        managed_by = table["Properties"]["TableInput"]["Parameters"].get("managed_by")
        kept = [table.get(key) for key in ("Condition", "DeletionPolicy", "UpdateReplacePolicy")]
        expected = ["KeepsMovedTables", "Retain", "Retain"] if name in MOVED else [None, None, None]
        if kept != expected:
            problems.append(f"{name}: expected Condition and policies {expected}, found {kept}")
        if managed_by != (None if name in MOVED else "template"):
            problems.append(f"{name}: expected managed_by to be set only if the table stays, found {managed_by}")
    parameter = template["Parameters"]["MovedTables"]
    if (parameter["Default"], template["Conditions"]["KeepsMovedTables"]) != (
            "GONE", {"Fn::Equals": [{"Ref": "MovedTables"}, "KEEP"]}):
        problems.append("MovedTables: expected GONE by default, and the condition to be KEEP, found something else")
    return problems


def the_crawler_has_only_the_table_of_the_default_dataset(template, _github):
    targets = template["Resources"]["Crawler"]["Properties"]["Targets"]
    expected = {"CatalogTargets": [{"DatabaseName": {"Ref": "Database"}, "Tables": [{"Ref": "CcdEnrollmentTable"}]}]}
    return [] if targets == expected else [f"Crawler: expected {expected}, found {targets}"]


def databases_have_the_prefix(template, _github):
    found = {name: resource["Properties"]["DatabaseInput"]["Name"] for name, resource in template["Resources"].items()
             if resource["Type"] == "AWS::Glue::Database"}
    problems = differ("databases", DATABASES, found)
    for name, suffix in DATABASES.items():
        expected = {"Fn::Sub": "${DatabasePrefix}" + suffix}
        if found.get(name) != expected:
            problems.append(f"{name}: expected the name {expected}, found {found.get(name)}")
    return problems


def roles_use_the_catalog_only_as_they_need(template, _github):
    problems = []
    for role, resource in template["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        of_catalog = [found for found in statements(template, role)
                      if any(action.startswith("glue:") and "Crawler" not in action
                             for action in as_list(found["Action"]))]
        found = {action for statement in of_catalog for action in as_list(statement["Action"])}
        problems += differ(f"{role}: actions", CATALOG_ACTIONS.get(role, set()), found)
        expected = [f"{GLUE}:catalog"] if role in CATALOG_DATABASES else []
        for database in CATALOG_DATABASES.get(role, []):
            expected += [f"{GLUE}:database/{database}", f"{GLUE}:table/{database}/*"]
        problems += differ(f"{role}: resources", expected, [text for found in of_catalog for text in texts(found)])
    return problems


def roles_read_descriptors_only_where_they_need(template, _github):
    """The planner reads those that were added. The other functions read the copy that it wrote for their run."""
    problems = []
    for role, expected in DESCRIPTORS.items():
        read = [text for found in statements(template, role) if "s3:GetObject" in as_list(found["Action"])
                for text in texts(found)]
        problems += differ(f"{role}: objects to read", expected, read)
        written = [text for found in statements(template, role) if "s3:PutObject" in as_list(found["Action"])
                   for text in texts(found) if "/datasets/" in text]
        problems += differ(f"{role}: objects to write", [], written)
    return problems


def people_and_deployments_reach_both_databases(template, github):
    analyst = {text for mapping in walk(template["Resources"]["AnalystPolicy"]) if mapping.get("Sid") == "ReadCatalog"
               for text in texts(mapping)}
    expected = {f"{GLUE}:{kind}" for database in CATALOG_DATABASES["CatalogRole"]
                for kind in (f"database/{database}", f"table/{database}/*")}
    problems = [f"AnalystPolicy: expected `{text}`, found none" for text in sorted(expected - analyst)]
    for resource, kinds in {"ExecutionRole": ("database/*{}", "*/*{}/*"),
                            "Boundary": ("database/*{}", "table/*{}/*")}.items():
        allowed = {text for mapping in walk(github["Resources"][resource]) if mapping.get("Sid") == "Catalog"
                   for text in texts(mapping)}
        expected = {f"{GLUE}:{kind.format(name)}" for kind in kinds for name in DATABASES.values()}
        problems += differ(f"github.yaml, {resource}: resources", expected | {f"{GLUE}:catalog"}, allowed)
    return problems


def statement(template, resource, sid):
    return next(found for found in walk(template["Resources"][resource]) if found.get("Sid") == sid)


def input_of(template, name):
    return template["Resources"][name]["Properties"]["TableInput"]


# Each check with changes that it must notice.
CHECKS = {
    tables_of_the_template_say_so_and_moved_ones_outlive_it: [
        lambda template, _: template["Resources"]["CcdDirectoryTable"].pop("DeletionPolicy"),
        lambda template, _: template["Resources"]["CcdDirectoryTable"].pop("Condition"),
        lambda template, _: template["Resources"].pop("CcdEnrollmentRaceSexTable"),
        lambda template, _: input_of(template, "CcdDirectoryTable")["Parameters"].update(managed_by="template"),
        lambda template, _: input_of(template, "LookupStatesTable")["Parameters"].pop("managed_by"),
        lambda template, _: template["Parameters"]["MovedTables"].update(Default="KEEP"),
    ],
    the_crawler_has_only_the_table_of_the_default_dataset: [
        lambda template, _: template["Resources"]["Crawler"]["Properties"]["Targets"]["CatalogTargets"][0][
            "Tables"].append({"Ref": "CcdDirectoryTable"}),
    ],
    databases_have_the_prefix: [
        lambda template, _: template["Resources"]["EducationDatabase"]["Properties"]["DatabaseInput"].update(
            Name="education"),
        lambda template, _: template["Resources"].pop("EducationDatabase"),
    ],
    roles_use_the_catalog_only_as_they_need: [
        lambda template, _: statement(template, "CatalogRole", "ChangeTablesAndPartitions")["Action"].append(
            "glue:DeleteTable"),
        lambda template, _: statement(template, "CatalogRole", "ChangeTablesAndPartitions")["Action"].remove(
            "glue:UpdateTable"),
        lambda template, _: statement(template, "CatalogRole", "ChangeTablesAndPartitions")["Resource"].pop(),
        lambda template, _: statement(template, "CrawlerRole", "ReadTablesAndAddPartitions")["Action"].append(
            "glue:UpdateTable"),
        lambda template, _: statement(template, "PlannerRole", "ReadLake").update(Action="glue:GetTable"),
    ],
    roles_read_descriptors_only_where_they_need: [
        lambda template, _: statement(template, "PageFetchRole", "ReadDescriptor").update(
            Resource={"Fn::Sub": "${Lake.Value}/ledger/*"}),
        lambda template, _: statement(template, "PlannerRole", "ReadLake")["Resource"].pop(),
        lambda template, _: statement(template, "PlannerRole", "WriteSchema").update(
            Resource={"Fn::Sub": "${Lake.Value}/datasets/*"}),
    ],
    people_and_deployments_reach_both_databases: [
        lambda _, github: statement(github, "ExecutionRole", "Catalog")["Resource"].pop(),
        lambda _, github: statement(github, "Boundary", "Catalog")["Resource"].append({"Fn::Sub": f"{GLUE}:table/*"}),
        lambda template, _: statement(template, "AnalystPolicy", "ReadCatalog").update(Resource=[]),
    ],
}  # fmt: skip


def checks(template, github):
    """Yields each check with its problems."""
    for check, spoils in CHECKS.items():
        problems = check(template, github)
        for number, spoil in enumerate(spoils, 1):
            spoiled = copy.deepcopy(template), copy.deepcopy(github)
            spoil(*spoiled)
            if not check(*spoiled):
                problems.append(f"spoiled copy {number}: expected a fault, found none")
        yield check, problems
