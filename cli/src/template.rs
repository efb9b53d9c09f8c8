//! `rollcall datasets template`: the part of the AWS SAM template that is derived from datasets and queries.
//!
//! `infra/template.yaml` includes the result with `AWS::Include`. CloudFormation accepts no short form such as `!Ref`
//! in an included file.

use std::fmt::Write;

use heck::ToUpperCamelCase;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::lookup::{self, Lookup};
use rollcall_core::ports::TableSpec;
use rollcall_core::request::DEFAULT_DATASET;

use crate::escape;
use crate::query::shipped::{SHIPPED, Shipped};

const HEADER: &str = "\
# Written by `make generate` from datasets/ and queries/; do not edit. template.yaml includes it in its resources.
# CloudFormation accepts no short form such as !Ref in an included file.

";

/// Name of the lake's bucket: the one that the template makes, or an existing one.
const BUCKET: &str = "{ Fn::If: [MakesBucket, { Ref: Bucket }, { Ref: ExistingBucket }] }";

/// Datasets whose tables were in the template before the catalog step made tables. `MovedTables=KEEP` retains them.
const MOVED: [&str; 2] = ["ccd_directory", "ccd_enrollment_race_sex"];

/// The lookup tables in the template. The catalog step makes the others.
const LOOKUPS: [&str; 4] = ["lookup_grades", "lookup_races", "lookup_sexes", "lookup_states"];

/// Returns the text of `infra/catalog.yaml`: the table of the default dataset, which the crawler needs, the lookup tables,
/// the database of the tables that the catalog step makes, the crawler and the named queries.
///
/// # Errors
/// Fails if a built-in descriptor or lookup table is invalid.
pub(crate) fn catalog() -> Result<String, Error> {
    let mut resources = vec![table(&Dataset::built_in(DEFAULT_DATASET)?)];
    for name in MOVED {
        resources.push(table_resource(name, &Dataset::built_in(name)?.table_spec(), true));
    }
    let lookups = Lookup::built_in()?;
    for lookup in lookups.iter().filter(|lookup| LOOKUPS.contains(&lookup.table())) {
        resources.push(table_resource(lookup.table(), &lookup.table_spec(), false));
    }
    resources.push(DATABASE.to_owned());
    resources.push(crawler());
    resources.extend(SHIPPED.iter().map(named_query));
    Ok(HEADER.to_owned() + &resources.join("\n"))
}

/// Returns the Glue table of one dataset as a resource in YAML.
pub(crate) fn table(dataset: &Dataset) -> String {
    table_resource(&dataset.name, &dataset.table_spec(), false)
}

/// - `name`: name of the dataset or lookup table; the logical id is derived from it.
/// - `is_moved`: whether the catalog step makes the table now.
fn table_resource(name: &str, spec: &TableSpec, is_moved: bool) -> String {
    let (moved, managed_by) = match is_moved {
        true => ("  Condition: KeepsMovedTables\n  DeletionPolicy: Retain\n  UpdateReplacePolicy: Retain\n", ""),
        false => ("", ", managed_by: template"),
    };
    let mut text = format!(
        "{}:
  Type: AWS::Glue::Table
{moved}  Properties:
    CatalogId: {{ Ref: AWS::AccountId }}
    DatabaseName: {{ Ref: {} }}
    TableInput:
      Name: {}
      Description: {}
      TableType: EXTERNAL_TABLE
      Parameters: {{ EXTERNAL: \"TRUE\", classification: parquet{managed_by} }}
",
        table_id(name),
        if spec.database == lookup::DATABASE { "Database" } else { "EducationDatabase" },
        spec.table,
        quoted(&spec.comment)
    );
    if !spec.partition_keys.is_empty() {
        text.push_str("      PartitionKeys:\n");
        columns(&mut text, "        ", &spec.partition_keys);
    }
    let _ = write!(
        text,
        "      StorageDescriptor:
        Location: {{ Fn::Sub: [\"s3://${{Lake}}/{}\", {{ Lake: {BUCKET} }}] }}
        InputFormat: org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat
        OutputFormat: org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat
        SerdeInfo:
          SerializationLibrary: org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe
        Columns:
",
        spec.location
    );
    columns(&mut text, "          ", &spec.columns);
    text
}

/// Appends a list of columns at `indent`: name, type, and comment if there is one.
fn columns(text: &mut String, indent: &str, columns: &[(String, String, String)]) {
    for (name, kind, comment) in columns {
        let _ = writeln!(text, "{indent}- Name: {name}\n{indent}  Type: {kind}");
        if !comment.is_empty() {
            let _ = writeln!(text, "{indent}  Comment: {}", quoted(comment));
        }
    }
}

/// The database of the generated datasets.
const DATABASE: &str = "\
# The catalog function makes the tables in this database, so that a dataset needs no deployment.
EducationDatabase:
  Type: AWS::Glue::Database
  Properties:
    CatalogId: { Ref: AWS::AccountId }
    DatabaseInput:
      Name: { Fn::Sub: \"${DatabasePrefix}education\" }
      Description: Datasets of the Education Data Portal, Urban Institute, under ODC-By 1.0
";

/// Returns the crawler. It is created after all tables.
fn crawler() -> String {
    let mut text = "\
# Runs only for requests with \"catalog\": \"crawler\". Its target is a table, so that it adds partitions and nothing else:
# given the folder instead, it would create tables and choose types itself.
Crawler:
  Type: AWS::Glue::Crawler
"
    .to_owned();
    let lookups: Vec<String> = LOOKUPS.into_iter().map(table_id).collect();
    let _ = writeln!(
        text,
        "  # For the schedules, which depend on the crawler and need the databases and tables.\n  DependsOn: \
         [EducationDatabase, {}]",
        lookups.join(", ")
    );
    text.push_str(
        "  Properties:
    Name: { Fn::Sub: \"${AWS::StackName}-partitions\" }
    Description: Adds the partitions that are in the bucket to the tables of this template.
    Role: { Fn::GetAtt: [CrawlerRole, Arn] }
    CrawlerSecurityConfiguration: { Ref: CrawlerSecurity }
    Targets:
      CatalogTargets:
        - DatabaseName: { Ref: Database }
          Tables:
",
    );
    let _ = writeln!(text, "            - {{ Ref: {} }}", table_id(DEFAULT_DATASET));
    text.push_str(
        "    SchemaChangePolicy: { UpdateBehavior: LOG, DeleteBehavior: LOG }
    # The only behavior that catalog targets allow.
    RecrawlPolicy: { RecrawlBehavior: CRAWL_EVERYTHING }
    Configuration: >-
      {\"Version\": 1.0,
      \"CrawlerOutput\": {\"Partitions\": {\"AddOrUpdateBehavior\": \"InheritFromTable\"}},
      \"Grouping\": {\"TableGroupingPolicy\": \"CombineCompatibleSchemas\"}}
    Tags: { project: rollcall }
",
    );
    text
}

/// Returns a query from `queries/` as a named query of the workgroup.
fn named_query(shipped: &Shipped) -> String {
    let Shipped { name, sql, .. } = shipped;
    let mut text = format!(
        "{}Query:
  Type: AWS::Athena::NamedQuery
  Properties:
    Name: {name}
    Description: {}
    Database: {{ Ref: Database }}
    WorkGroup: {{ Ref: WorkGroup }}
    QueryString:
      Fn::Sub: |
",
        name.to_upper_camel_case(),
        quoted(shipped.question())
    );
    // The queries name their tables in full, and a stack may have a prefix for its database.
    for line in sql.replace(&format!("{}.", lookup::DATABASE), "${Database}.").lines() {
        let _ = writeln!(text, "{}{line}", if line.is_empty() { "" } else { "        " });
    }
    text
}

/// Returns the logical id of a table: `ccd_enrollment` → `CcdEnrollmentTable`.
fn table_id(name: &str) -> String {
    format!("{}Table", name.to_upper_camel_case())
}

/// Returns `text` as a YAML scalar in double quotes.
fn quoted(text: &str) -> String {
    // JSON strings are valid YAML.
    escape::json_text(serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The named queries refer to it.
    #[test]
    fn the_datasets_of_the_template_are_in_the_database_of_the_look_up_tables() {
        for name in MOVED.into_iter().chain([DEFAULT_DATASET]) {
            assert_eq!(Dataset::built_in(name).unwrap().database, lookup::DATABASE, "{name}");
        }
    }
}
