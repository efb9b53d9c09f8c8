//! The only file that writes object keys. Everything in a lake is found from here.

use crate::dataset::Dataset;
use crate::partition::PartitionKey;

/// Name of the one object of a partition or look-up table.
pub const OBJECT: &str = "part-00000.parquet";

/// Prefix of a table's data objects: `data/<table>/`.
#[must_use]
pub fn table_prefix(table: &str) -> String {
    format!("data/{table}/")
}

/// Prefix of a partition's one object: `data/<table>/year=2021/grade=grade-pk/`.
#[must_use]
pub fn partition_prefix(dataset: &Dataset, partition: &PartitionKey) -> String {
    format!("data/{}/{partition}/", dataset.table)
}

/// A partition's one object.
#[must_use]
pub fn partition_object(dataset: &Dataset, partition: &PartitionKey) -> String {
    format!("{}{OBJECT}", partition_prefix(dataset, partition))
}

/// The partition that a data object belongs to; `None` when the key is not one of [`partition_object`]'s, such as that of
/// a copy beside it or of a value that the axis does not have.
#[must_use]
pub fn partition_of_object(dataset: &Dataset, key: &str) -> Option<PartitionKey> {
    let path = key.strip_prefix(&table_prefix(&dataset.table))?.strip_suffix(OBJECT)?.strip_suffix('/')?;
    dataset.parse_partition(path).filter(|partition| dataset.has(partition))
}

/// A look-up table's one object.
#[must_use]
pub fn lookup_object(table: &str) -> String {
    format!("data/{table}/{OBJECT}")
}

/// What the ledger knows of every partition of a dataset: an array of records.
#[must_use]
pub fn records(dataset: &Dataset) -> String {
    format!("ledger/{}/records.json", dataset.name)
}

/// Prefix of the layout before [`records`]: an object for each partition.
#[must_use]
pub fn older_records_prefix(dataset: &Dataset) -> String {
    format!("ledger/{}/partitions/", dataset.name)
}

/// The columns of the files of one schema of a dataset.
#[must_use]
pub fn schema(dataset: &Dataset, schema_id: u64) -> String {
    format!("ledger/{}/schemas/{schema_id:016x}.json", dataset.name)
}

/// Prefix of a dataset's runs.
#[must_use]
pub fn runs_prefix(dataset: &Dataset) -> String {
    format!("ledger/{}/runs/", dataset.name)
}

/// Prefix of a run's objects.
#[must_use]
pub fn run_prefix(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/", runs_prefix(dataset))
}

/// A run's plan: a bare array of plan items.
#[must_use]
pub fn plan(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/plan.json", runs_prefix(dataset))
}

/// What fetching one partition came to in one run.
#[must_use]
pub fn receipt(dataset: &Dataset, run: &str, partition: &PartitionKey) -> String {
    format!("{}{run}/receipts/{partition}.json", runs_prefix(dataset))
}

/// The run and the partition of a receipt's key.
#[must_use]
pub fn run_and_partition_of_receipt(dataset: &Dataset, key: &str) -> Option<(String, PartitionKey)> {
    let (run, rest) = key.strip_prefix(&runs_prefix(dataset))?.split_once('/')?;
    let path = rest.strip_prefix("receipts/")?.strip_suffix(".json")?;
    Some((run.to_owned(), dataset.parse_partition(path)?))
}

/// Whether a key is of an object of some run, which may be deleted once the run is old.
#[must_use]
pub fn is_of_run(key: &str) -> bool {
    key.strip_prefix("ledger/").and_then(|rest| rest.split_once('/')).is_some_and(|(_, rest)| rest.starts_with("runs/"))
}

/// What a run came to.
#[must_use]
pub fn summary(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/summary.json", runs_prefix(dataset))
}

/// The run that a key below [`runs_prefix`] belongs to.
#[must_use]
pub fn run_of(dataset: &Dataset, key: &str) -> Option<String> {
    let (run, _) = key.strip_prefix(&runs_prefix(dataset))?.split_once('/')?;
    Some(run.to_owned())
}

/// The file catalog's record of a table: `catalog/<database>/<table>.json`.
#[must_use]
pub fn catalog_table(database: &str, table: &str) -> String {
    format!("{}{database}/{table}.json", CATALOG_PREFIX)
}

/// What a folder's lake says of its data beside the objects. Not in the ledger, which may be deleted and derived anew.
pub const MARK: &str = "lake.json";

/// Prefix of the file catalog.
pub const CATALOG_PREFIX: &str = "catalog/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, YEARS};
    use crate::partition::AxisValue;
    use proptest::prelude::*;

    /// Any partition of any dataset that is built in.
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
        fn keys_lead_back_to_their_partition_and_to_no_other(
            (dataset, partition) in any_partition(),
            at in any::<prop::sample::Index>(),
            found in prop::sample::select(vec!['0', '1', '+', '-', '/', '=', '.', 'a', ' ']),
        ) {
            let (object, receipt) = (partition_object(&dataset, &partition), receipt(&dataset, "r1", &partition));
            prop_assert_eq!(partition_of_object(&dataset, &object), Some(partition.clone()));
            prop_assert_eq!(run_and_partition_of_receipt(&dataset, &receipt), Some(("r1".to_owned(), partition)));
            // Another key is another partition's, and then exactly its key.
            let mut other: Vec<char> = object.chars().collect();
            other.insert(at.index(other.len()), found);
            let other: String = other.into_iter().collect();
            if let Some(partition) = partition_of_object(&dataset, &other) {
                prop_assert_eq!(partition_object(&dataset, &partition), other);
            }
        }
    }

    #[test]
    fn keys_are_those_of_the_layout_and_lead_back_to_their_partition() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let partition = PartitionKey::new(vec![
            ("year".into(), AxisValue::Int(2021)),
            ("grade".into(), AxisValue::Text("grade-pk".into())),
        ]);
        let object = partition_object(&dataset, &partition);
        assert_eq!(object, "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet");
        assert_eq!(partition_of_object(&dataset, &object).unwrap(), partition);
        assert_eq!(records(&dataset), "ledger/ccd_enrollment/records.json");
        let receipt = receipt(&dataset, "r1", &partition);
        assert_eq!(receipt, "ledger/ccd_enrollment/runs/r1/receipts/year=2021/grade=grade-pk.json");
        assert_eq!(run_of(&dataset, &receipt).unwrap(), "r1");
        assert!(is_of_run(&receipt) && is_of_run(&summary(&dataset, "r1")) && !is_of_run(&records(&dataset)));
        assert_eq!(partition_of_object(&dataset, "data/us_education_ccd_enrollment_data/year=2021/x.parquet"), None);
    }
}
