//! `rollcall datasets template`: the Glue tables of the infrastructure template, as their descriptors declare them.

use std::fmt::Write;

use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::lookup::Lookup;
use rollcall_core::ports::TableSpec;

use crate::escape;

/// The resources of one dataset's table, or of every built-in dataset and look-up table when none is named, as YAML below
/// `Resources:`.
///
/// # Errors
/// Those of the built-in descriptors and look-ups.
pub(crate) fn tables(dataset: Option<&Dataset>) -> Result<String, Error> {
    let mut resources = Vec::new();
    match dataset {
        Some(dataset) => resources.push(resource(&dataset.name, &dataset.table_spec())),
        None => {
            for name in Dataset::built_in_names() {
                resources.push(resource(name, &Dataset::built_in(name)?.table_spec()));
            }
            for lookup in Lookup::built_in()? {
                resources.push(resource(lookup.table(), &lookup.table_spec()));
            }
        }
    }
    Ok(resources.join("\n"))
}

/// - `name`: of the dataset or look-up table; the resource is called after it.
fn resource(name: &str, spec: &TableSpec) -> String {
    let mut text = format!(
        "  {}Table:
    Type: AWS::Glue::Table
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: {}
        Description: {}
        TableType: EXTERNAL_TABLE
        Parameters: {{ EXTERNAL: \"TRUE\", classification: parquet }}
",
        pascal(name),
        spec.table,
        quoted(&spec.comment)
    );
    if !spec.partition_keys.is_empty() {
        text.push_str("        PartitionKeys:\n");
        columns(&mut text, "          ", &spec.partition_keys);
    }
    let _ = write!(
        text,
        "        StorageDescriptor:
          Location: !Sub s3://${{Bucket}}/{}
          InputFormat: org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat
          OutputFormat: org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat
          SerdeInfo:
            SerializationLibrary: org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe
          Columns:
",
        spec.location
    );
    columns(&mut text, "            ", &spec.columns);
    text
}

/// Columns as a list at `indent`: name, type, and comment where there is one.
fn columns(text: &mut String, indent: &str, columns: &[(String, String, String)]) {
    for (name, kind, comment) in columns {
        let _ = writeln!(text, "{indent}- Name: {name}\n{indent}  Type: {kind}");
        if !comment.is_empty() {
            let _ = writeln!(text, "{indent}  Comment: {}", quoted(comment));
        }
    }
}

/// `ccd_enrollment` → `CcdEnrollment`.
fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_uppercase() + rest
    });
    words.collect()
}

/// A YAML scalar in double quotes.
fn quoted(text: &str) -> String {
    // Text of JSON is text of YAML.
    escape::json_text(serde_json::Value::from(text).to_string())
}
