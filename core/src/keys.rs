//! Builds and parses object keys. No other file does this, so that the layout of a lake is defined in one place.

use crate::dataset::Dataset;
use crate::partition::PartitionKey;

/// File name of the only object of a partition or lookup table.
pub const OBJECT: &str = "part-00000.parquet";

/// Returns the prefix of a table's data objects: `data/<table>/`.
#[must_use]
pub fn table_prefix(table: &str) -> String {
    format!("data/{table}/")
}

/// Returns the prefix of a partition's object: `data/<table>/year=2021/grade=grade-pk/`.
#[must_use]
pub fn partition_prefix(dataset: &Dataset, partition: &PartitionKey) -> String {
    format!("data/{}/{partition}/", dataset.table)
}

/// Returns the key of a partition's object.
#[must_use]
pub fn partition_object(dataset: &Dataset, partition: &PartitionKey) -> String {
    format!("{}{OBJECT}", partition_prefix(dataset, partition))
}

/// Parses the key of a partition's object. Returns `None` for any key that [`partition_object`] would not return, such as
/// that of a copy next to it, or one with a value that the axis does not have.
#[must_use]
pub fn parse_partition_object(dataset: &Dataset, key: &str) -> Option<PartitionKey> {
    let path = key.strip_prefix(&table_prefix(&dataset.table))?.strip_suffix(OBJECT)?.strip_suffix('/')?;
    dataset.parse_partition(path).filter(|partition| dataset.has(partition))
}

/// Returns the key of a lookup table's object.
#[must_use]
pub fn lookup_object(table: &str) -> String {
    format!("data/{table}/{OBJECT}")
}

/// Returns the key of a dataset's records, a JSON array.
#[must_use]
pub fn records(dataset: &Dataset) -> String {
    format!("ledger/{}/records.json", dataset.name)
}

/// Returns the prefix of the records in an earlier layout, with one object per partition.
#[must_use]
pub fn older_records_prefix(dataset: &Dataset) -> String {
    format!("ledger/{}/partitions/", dataset.name)
}

/// Returns the key of the object that stores the columns of one of a dataset's schemas.
#[must_use]
pub fn schema(dataset: &Dataset, schema_id: u64) -> String {
    format!("ledger/{}/schemas/{schema_id:016x}.json", dataset.name)
}

/// Returns the prefix of a dataset's runs.
#[must_use]
pub fn runs_prefix(dataset: &Dataset) -> String {
    format!("ledger/{}/runs/", dataset.name)
}

/// Returns the prefix of a run's objects.
#[must_use]
pub fn run_prefix(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/", runs_prefix(dataset))
}

/// Returns the key of a run's plan, a JSON array of plan items.
#[must_use]
pub fn plan(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/plan.json", runs_prefix(dataset))
}

/// Returns the key of a partition's receipt in a run.
#[must_use]
pub fn receipt(dataset: &Dataset, run: &str, partition: &PartitionKey) -> String {
    format!("{}{run}/receipts/{partition}.json", runs_prefix(dataset))
}

/// Parses the key of a receipt. Returns its run and its partition.
#[must_use]
pub fn parse_receipt(dataset: &Dataset, key: &str) -> Option<(String, PartitionKey)> {
    let (run, rest) = key.strip_prefix(&runs_prefix(dataset))?.split_once('/')?;
    let path = rest.strip_prefix("receipts/")?.strip_suffix(".json")?;
    Some((run.to_owned(), dataset.parse_partition(path)?))
}

/// Returns whether a key belongs to a run, whose objects may be deleted once it is old.
#[must_use]
pub fn is_run_object(key: &str) -> bool {
    key.strip_prefix("ledger/").and_then(|rest| rest.split_once('/')).is_some_and(|(_, rest)| rest.starts_with("runs/"))
}

/// Returns the key of a run's summary.
#[must_use]
pub fn summary(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/summary.json", runs_prefix(dataset))
}

/// Returns the run to which a key below [`runs_prefix`] belongs.
#[must_use]
pub fn parse_run(dataset: &Dataset, key: &str) -> Option<String> {
    let (run, _) = key.strip_prefix(&runs_prefix(dataset))?.split_once('/')?;
    Some(run.to_owned())
}

/// Returns the key of a table in the file catalog: `catalog/<database>/<table>.json`.
#[must_use]
pub fn catalog_table(database: &str, table: &str) -> String {
    format!("{}{database}/{table}.json", CATALOG_PREFIX)
}

/// Key of the mark that describes the data of a lake in a folder. It is not part of the ledger, because the ledger may
/// be deleted and rebuilt.
pub const MARK: &str = "lake.json";

/// Prefix of the file catalog.
pub const CATALOG_PREFIX: &str = "catalog/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, YEARS};
    use crate::partition::AxisValue;
    use proptest::prelude::*;

    /// Any partition of any built-in dataset.
    fn any_partition() -> impl Strategy<Value = (Dataset, PartitionKey)> {
        let dataset = prop::sample::select(Dataset::built_in_names()).prop_map(|name| Dataset::built_in(name).unwrap());
        (dataset, YEARS, any::<prop::sample::Index>()).prop_map(|(dataset, year, chosen)| {
            let axes = dataset.axes.iter().map(|axis| {
                let is_int = axis.values.is_empty();
                let value =
                    if is_int { AxisValue::Int(year) } else { AxisValue::Text(chosen.get(&axis.values).value.clone()) };
                (axis.name.clone(), value)
            });
            let partition = PartitionKey::new(axes.collect());
            (dataset, partition)
        })
    }

    proptest! {
        #[test]
        fn each_key_parses_back_to_its_own_partition_only(
            (dataset, partition) in any_partition(),
            at in any::<prop::sample::Index>(),
            found in prop::sample::select(vec!['0', '1', '+', '-', '/', '=', '.', 'a', ' ']),
        ) {
            let (object, receipt) = (partition_object(&dataset, &partition), receipt(&dataset, "r1", &partition));
            prop_assert_eq!(parse_partition_object(&dataset, &object), Some(partition.clone()));
            prop_assert_eq!(parse_receipt(&dataset, &receipt), Some(("r1".to_owned(), partition)));
            // If a changed key parses, it is exactly the key of another partition.
            let mut other: Vec<char> = object.chars().collect();
            other.insert(at.index(other.len()), found);
            let other: String = other.into_iter().collect();
            if let Some(partition) = parse_partition_object(&dataset, &other) {
                prop_assert_eq!(partition_object(&dataset, &partition), other);
            }
        }
    }

    #[test]
    fn keys_follow_the_layout_and_parse_back_to_their_partition() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let partition = PartitionKey::new(vec![
            ("year".into(), AxisValue::Int(2021)),
            ("grade".into(), AxisValue::Text("grade-pk".into())),
        ]);
        let object = partition_object(&dataset, &partition);
        assert_eq!(object, "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet");
        assert_eq!(parse_partition_object(&dataset, &object).unwrap(), partition);
        assert_eq!(records(&dataset), "ledger/ccd_enrollment/records.json");
        let receipt = receipt(&dataset, "r1", &partition);
        assert_eq!(receipt, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json");
        assert_eq!(parse_run(&dataset, &receipt).unwrap(), "r1");
        assert!(
            is_run_object(&receipt) && is_run_object(&summary(&dataset, "r1")) && !is_run_object(&records(&dataset))
        );
        assert_eq!(parse_partition_object(&dataset, "data/us_education_ccd_enrollment_data/year=2021/x.parquet"), None);
    }
}
