//! Builds and parses object keys. No other file does this, so that the layout of a lake is defined in one place.

use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::file::edition::Edition;
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
    table_object(&dataset.table, partition)
}

/// Returns the key of a partition's object in a table.
#[must_use]
pub fn table_object(table: &str, partition: &PartitionKey) -> String {
    format!("{}{partition}/{OBJECT}", table_prefix(table))
}

/// Parses the key of a partition's object. Returns `None` for any key that [`partition_object`] would not return, such as
/// that of a copy next to it, or one with a value that the axis does not have.
#[must_use]
pub fn parse_partition_object(dataset: &Dataset, key: &str) -> Option<PartitionKey> {
    let path = key.strip_prefix(&table_prefix(&dataset.table))?.strip_suffix(OBJECT)?.strip_suffix('/')?;
    dataset.parse_partition(path).filter(|partition| dataset.has(partition))
}

/// Returns the name of the table that says when each edition of a table was valid.
#[must_use]
pub fn editions_table(table: &str) -> String {
    format!("{table}{EDITIONS_SUFFIX}")
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

/// Returns the key of the copies of all lists of editions, by which publishing knows those that have not changed.
#[must_use]
pub fn known_editions(dataset: &Dataset) -> String {
    format!("ledger/{}/editions.json", dataset.name)
}

/// Returns the prefix of the records in an earlier layout, with one object per partition.
#[must_use]
pub fn older_records_prefix(dataset: &Dataset) -> String {
    format!("ledger/{}/partitions/", dataset.name)
}

/// Returns the prefix of what a lake remembers about the past of a table.
#[must_use]
pub fn history_prefix(table: &str) -> String {
    format!("{HISTORY_PREFIX}{table}/")
}

/// Returns the key of an edition of a partition's object that was replaced or removed.
#[must_use]
pub fn kept_edition(table: &str, partition: &PartitionKey, edition: &Edition) -> String {
    format!("{}{OBJECT}", kept_edition_prefix(table, partition, edition))
}

/// Returns the prefix of such an edition.
#[must_use]
pub fn kept_edition_prefix(table: &str, partition: &PartitionKey, edition: &Edition) -> String {
    format!("{}{partition}/edition={edition}/", history_prefix(table))
}

/// Parses a key that [`kept_edition`] returns. Returns the partition.
#[must_use]
pub fn parse_kept_edition(dataset: &Dataset, key: &str) -> Option<PartitionKey> {
    let path = key.strip_prefix(&history_prefix(&dataset.table))?.strip_suffix(OBJECT)?.strip_suffix('/')?;
    let (partition, edition) = path.rsplit_once("/edition=")?;
    edition.parse::<Edition>().ok()?;
    dataset.parse_partition(partition)
}

/// Returns the key of the list of a partition's editions that were replaced or removed.
#[must_use]
pub fn editions(table: &str, partition: &PartitionKey) -> String {
    format!("{}{partition}/{EDITIONS}", history_prefix(table))
}

/// Returns the Hive path of the partition to whose list of editions a key belongs; `None` for any other key.
#[must_use]
pub fn parse_editions<'k>(table: &str, key: &'k str) -> Option<&'k str> {
    key.strip_prefix(&history_prefix(table))?.strip_suffix(EDITIONS)?.strip_suffix('/')
}

/// Returns the key of the object that says which partitions were refreshed under which release.
#[must_use]
pub fn refreshes(table: &str) -> String {
    format!("{}refreshes.json", history_prefix(table))
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

/// Returns the prefix of the descriptors that were added to a lake.
pub const DESCRIPTORS_PREFIX: &str = "datasets/";

/// Returns the key of a descriptor that was added to a lake, a TOML file.
#[must_use]
pub fn added_descriptor(name: &str) -> String {
    format!("{DESCRIPTORS_PREFIX}{name}.toml")
}

/// Returns the key of the descriptor that a run uses, in JSON.
///
/// - `dataset`: name of the dataset.
#[must_use]
pub fn run_descriptor(dataset: &str, run: &str) -> String {
    format!("ledger/{dataset}/runs/{run}/dataset.json")
}

/// Returns the key of a run's plan, a JSON array of plan items.
#[must_use]
pub fn plan(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/plan.json", runs_prefix(dataset))
}

/// Returns the prefix of the receipts of a run.
#[must_use]
pub fn receipts_prefix(dataset: &Dataset, run: &str) -> String {
    format!("{}{run}/receipts/", runs_prefix(dataset))
}

/// Returns the key of a partition's receipt in a run.
#[must_use]
pub fn receipt(dataset: &Dataset, run: &str, partition: &PartitionKey) -> String {
    format!("{}{partition}.json", receipts_prefix(dataset, run))
}

/// Parses the key of a receipt. Returns its run and its partition.
#[must_use]
pub fn parse_receipt(dataset: &Dataset, key: &str) -> Option<(String, PartitionKey)> {
    let (run, rest) = key.strip_prefix(&runs_prefix(dataset))?.split_once('/')?;
    let path = rest.strip_prefix("receipts/")?.strip_suffix(".json")?;
    Some((run.to_owned(), dataset.parse_partition(path)?))
}

/// Returns whether a key belongs to a run, whose objects may be deleted once it is old. Kept pages belong to a run too.
#[must_use]
pub fn is_run_object(key: &str) -> bool {
    let is_of_ledger = |rest: &str| rest.split_once('/').is_some_and(|(_, rest)| rest.starts_with("runs/"));
    key.strip_prefix("ledger/").is_some_and(is_of_ledger) || key.starts_with(PAGES_PREFIX)
}

/// Returns the prefix of a dataset's kept pages.
#[must_use]
pub fn kept_pages_prefix(dataset: &Dataset) -> String {
    format!("{PAGES_PREFIX}{}/", dataset.name)
}

/// Returns the prefix of a partition's kept pages, of all runs.
#[must_use]
pub fn kept_prefix(dataset: &Dataset, partition: &PartitionKey) -> String {
    format!("{}{partition}/", kept_pages_prefix(dataset))
}

/// Returns the prefix of the pages of one version of a partition that a run keeps.
#[must_use]
pub fn page_set_prefix(dataset: &Dataset, partition: &PartitionKey, version: u128, run: &str) -> String {
    format!("{}{version:032x}/{run}/", kept_prefix(dataset, partition))
}

/// Returns the key of the object that counts how often a run has fetched a partition.
#[must_use]
pub fn fetch_count(dataset: &Dataset, partition: &PartitionKey, run: &str) -> String {
    format!("{}{FETCH_COUNTS}/{run}.json", kept_prefix(dataset, partition))
}

/// Parses a key that [`fetch_count`] returns. Returns the partition and the run.
#[must_use]
pub fn parse_fetch_count<'k>(dataset: &Dataset, key: &'k str) -> Option<(PartitionKey, &'k str)> {
    let mut parts = key.strip_prefix(&kept_pages_prefix(dataset))?.strip_suffix(".json")?.rsplitn(3, '/');
    let (run, folder, path) = (parts.next()?, parts.next()?, parts.next()?);
    Some((dataset.parse_partition(path).filter(|_| folder == FETCH_COUNTS)?, run))
}

/// File name of the object that describes a set of kept pages.
pub const PAGE_SET: &str = "set.json";

/// Returns the file name of a kept page, which contains the time when it was received, in nanoseconds since 1970.
#[must_use]
pub fn kept_page(page: u32, received_at: Timestamp) -> String {
    format!("{page:05}-{}{KEPT_SUFFIX}", received_at.as_nanosecond())
}

/// Parses the file name of a kept page. Returns the page and the time when it was received.
#[must_use]
pub fn parse_kept_page(name: &str) -> Option<(u32, Timestamp)> {
    let (page, received_at) = name.strip_suffix(KEPT_SUFFIX)?.split_once('-')?;
    Some((page.parse().ok()?, Timestamp::from_nanosecond(received_at.parse().ok()?).ok()?))
}

/// The parts of the key of a kept page, or of the description of its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey<'k> {
    /// Its partition.
    pub partition: PartitionKey,
    /// The version of the partition, as a hash.
    pub version: u128,
    /// The run that keeps it.
    pub run: &'k str,
    /// File name.
    pub name: &'k str,
}

/// Parses a key below [`kept_prefix`]. Returns `None` for any other key.
#[must_use]
pub fn parse_kept<'k>(dataset: &Dataset, key: &'k str) -> Option<KeptKey<'k>> {
    let mut parts = key.strip_prefix(&kept_pages_prefix(dataset))?.rsplitn(4, '/');
    let (name, run, version, path) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = u128::from_str_radix(version, 16).ok()?;
    Some(KeptKey { partition: dataset.parse_partition(path)?, version, run, name })
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

/// Prefix of what a lake remembers about the past.
pub const HISTORY_PREFIX: &str = "history/";

/// Suffix of the table that says when each edition of a table was valid.
pub const EDITIONS_SUFFIX: &str = "_editions";

/// File name of the list of a partition's editions.
const EDITIONS: &str = "editions.json";

/// Prefix of all kept pages.
pub const PAGES_PREFIX: &str = "pages/";

/// Folder of the counts of a partition's fetches.
const FETCH_COUNTS: &str = "fetches";

/// End of the name of a kept page: its body, compressed.
const KEPT_SUFFIX: &str = ".json.zst";

/// Prefix of the file catalog.
pub const CATALOG_PREFIX: &str = "catalog/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::dataset::years::YEARS;
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
        let name = kept_page(7, "2026-11-27T04:10:11.123456789Z".parse().unwrap());
        let kept = format!("{}{name}", page_set_prefix(&dataset, &partition, 0xab, "r1"));
        assert_eq!(
            kept,
            "pages/ccd_enrollment/year=2021/grade=grade-pk/000000000000000000000000000000ab/r1/00007-1795752611123456789.json.zst"
        );
        assert!(is_run_object(&kept));
        let found = KeptKey { partition: partition.clone(), version: 0xab, run: "r1", name: &name };
        assert_eq!(parse_kept(&dataset, &kept), Some(found));
        assert_eq!(parse_kept_page(&name).map(|(page, at)| kept_page(page, at)), Some(name.clone()));
        assert!(parse_kept_page(PAGE_SET).is_none() && parse_kept(&dataset, &receipt).is_none());
        let count = fetch_count(&dataset, &partition, "r1");
        assert_eq!(count, "pages/ccd_enrollment/year=2021/grade=grade-pk/fetches/r1.json");
        assert!(is_run_object(&count) && parse_kept(&dataset, &count).is_none());
        assert_eq!(parse_fetch_count(&dataset, &count), Some((partition, "r1")));
        assert_eq!(parse_fetch_count(&dataset, &kept), None);
        assert_eq!(parse_partition_object(&dataset, "data/us_education_ccd_enrollment_data/year=2021/x.parquet"), None);
    }
}
