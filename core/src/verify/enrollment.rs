//! Compares the enrollment tables of a lake with each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::listing::list;
use crate::ledger::read_records::read_records;
use crate::ledger::receipt::Outcome;
use crate::partition::{AxisValue, PartitionKey};
use crate::ports::store::Store;
use crate::text::in_ranges;
use crate::verify::check::Check;
use crate::verify::rows::{Enrolled, read_rows};

/// The total of all grades.
const TOTAL: &str = "grade-99";
/// Pre-kindergarten, and the state that does not report it to the Common Core of Data.
const PREK: &str = "grade-pk";
const CALIFORNIA: i64 = 6;

/// The tables that have the plain one's totals in the rows of race 99 and sex 99.
const BY_RACE_AND_SEX: [&str; 3] = ["ccd_enrollment_race", "ccd_enrollment_sex", "ccd_enrollment_race_sex"];
/// The table of districts.
const DISTRICTS: &str = "ccd_districts_enrollment";

/// Enrollment by state, year and grade.
pub(super) type ByState = BTreeMap<(i32, String), BTreeMap<i64, i64>>;

/// What the comparisons found, and the sums for a comparison with the portal.
pub(super) struct EnrollmentChecks {
    pub(super) checks: Vec<Check>,
    pub(super) known_gaps: Vec<String>,
    pub(super) by_state: ByState,
}

/// The grades of a school in a year.
#[derive(Default)]
struct Grades {
    sum: i64,
    /// Whether some grade has a code instead of a number.
    has_code: bool,
    total: Option<i64>,
}

/// Compares the plain table with the others that the lake has.
pub(super) async fn check_enrollment(store: &impl Store, plain: &Dataset) -> Result<EnrollmentChecks, Error> {
    let partitions = partitions(store, plain).await?;
    let records = read_records(store, plain).await?;
    let is_empty = |partition: &&PartitionKey| {
        let attempt = records.get(*partition).and_then(|record| record.last_attempt.as_ref());
        attempt.is_some_and(|attempt| attempt.outcome == Outcome::Empty)
    };
    let empty: BTreeSet<PartitionKey> = records.keys().filter(is_empty).cloned().collect();
    let empty = by_year(&empty);
    let mut by_race_and_sex = Check::new("race 99 and sex 99 against the plain table", "none");
    let mut grades_against_total =
        Check::new("grade-99 against the sum of the grades", "none; schools with codes are left out");
    let mut districts_against_schools =
        Check::new("districts against the sum of their schools", "none; districts with codes are left out");
    let (mut gaps, mut lacking) = (BTreeSet::new(), BTreeMap::<&str, BTreeSet<i32>>::new());
    let mut by_state = ByState::new();
    let others = others(store, &BY_RACE_AND_SEX).await?;
    let districts = others_of(store, DISTRICTS).await?;
    for (year, of_year) in by_year(&partitions) {
        let mut schools: BTreeMap<String, Grades> = BTreeMap::new();
        for (grade, partition) in &of_year {
            let Some(rows) = read_rows(store, &plain.table, partition, "ncessch").await? else { continue };
            let states = by_state.entry((year, (*grade).to_owned())).or_default();
            for row in &rows {
                *states.entry(row.fips).or_default() += row.enrollment.unwrap_or(0);
                add_grade(schools.entry(row.id.clone()).or_default(), grade, row.enrollment);
            }
            if *grade == PREK && !rows.is_empty() && !states.contains_key(&CALIFORNIA) {
                gaps.insert(year);
            }
            for (other, known) in &others {
                if known.contains(*partition) {
                    compare_totals(store, other, partition, &rows, &mut by_race_and_sex).await?;
                }
            }
            if let Some((dataset, known)) = &districts
                && known.contains(*partition)
            {
                compare_districts(store, dataset, partition, &rows, &mut districts_against_schools).await?;
            }
        }
        let expected: BTreeSet<&str> = grade_values(plain);
        // A grade for which the portal has no rows is missing on both sides.
        let without_rows = empty.get(&year).into_iter().flat_map(BTreeMap::keys);
        let present: BTreeSet<&str> = of_year.keys().chain(without_rows).copied().collect();
        match (present.contains(TOTAL), expected.difference(&present).next()) {
            (true, None) => {
                for (school, grades) in schools.iter().filter(|(_, grades)| !grades.has_code) {
                    if let Some(total) = grades.total {
                        grades_against_total.compare(|| format!("year={year}, ncessch {school}"), grades.sum, total);
                    }
                }
            }
            (true, Some(missing)) => {
                lacking.entry(missing).or_default().insert(year);
            }
            (false, _) => {
                lacking.entry(TOTAL).or_default().insert(year);
            }
        }
    }
    for (grade, years) in lacking {
        grades_against_total.skip(format!("{}: the lake lacks {grade}", in_ranges(&years)));
    }
    if others.is_empty() {
        by_race_and_sex.skip(format!("the lake has none of {}", BY_RACE_AND_SEX.join(", ")));
    }
    if districts.is_none() {
        districts_against_schools.skip(format!("the lake lacks {DISTRICTS}"));
    }
    let gap = || format!("California reports no pre-kindergarten: {PREK} of {} has no rows of it", in_ranges(&gaps));
    let known_gaps = if gaps.is_empty() { Vec::new() } else { vec![gap()] };
    Ok(EnrollmentChecks {
        checks: vec![by_race_and_sex, grades_against_total, districts_against_schools],
        known_gaps,
        by_state,
    })
}

fn add_grade(school: &mut Grades, grade: &str, enrollment: Option<i64>) {
    if grade == TOTAL {
        school.total = enrollment;
    } else {
        school.sum += enrollment.unwrap_or(0);
        school.has_code |= enrollment.is_none();
    }
}

/// Compares the rows of race 99 and sex 99 of another table, school by school.
async fn compare_totals(
    store: &impl Store,
    other: &Dataset,
    partition: &PartitionKey,
    plain: &[Enrolled],
    check: &mut Check,
) -> Result<(), Error> {
    let Some(rows) = read_rows(store, &other.table, partition, "ncessch").await? else { return Ok(()) };
    let totals = rows.iter().filter(|row| row.race == 99 && row.sex == 99);
    let totals: BTreeMap<&str, Option<i64>> = totals.map(|row| (row.id.as_str(), row.enrollment)).collect();
    let plain: BTreeMap<&str, Option<i64>> = plain.iter().map(|row| (row.id.as_str(), row.enrollment)).collect();
    for school in plain.keys().chain(totals.keys().filter(|school| !plain.contains_key(*school))) {
        // A school that is missing differs from every number and code.
        let (expected, found) = (plain.get(school), totals.get(school));
        let what = || {
            let missing = match (expected, found) {
                (None, _) => " (not in the plain table)",
                (_, None) => " (not in this table)",
                _ => "",
            };
            format!("{}: {partition}, ncessch {school}{missing}", other.name)
        };
        check.judge(what, expected == found, expected.copied().flatten(), found.copied().flatten());
    }
    Ok(())
}

/// Compares districts with the sums of their schools.
async fn compare_districts(
    store: &impl Store,
    districts: &Dataset,
    partition: &PartitionKey,
    schools: &[Enrolled],
    check: &mut Check,
) -> Result<(), Error> {
    let Some(rows) = read_rows(store, &districts.table, partition, "leaid").await? else { return Ok(()) };
    let mut sums: BTreeMap<&str, (i64, bool)> = BTreeMap::new();
    for school in schools {
        let (sum, has_code) = sums.entry(school.leaid.as_str()).or_default();
        *sum += school.enrollment.unwrap_or(0);
        *has_code |= school.enrollment.is_none();
    }
    for district in rows.iter().filter(|row| row.race == 99 && row.sex == 99) {
        let (sum, has_code) = sums.remove(district.id.as_str()).unwrap_or_default();
        if let (Some(enrollment), false) = (district.enrollment, has_code) {
            check.compare(|| format!("{partition}, leaid {}", district.id), enrollment, sum);
        }
    }
    for (leaid, (sum, _)) in sums.into_iter().filter(|(_, (sum, _))| *sum > 0) {
        check.compare(|| format!("{partition}, leaid {leaid}"), 0, sum);
    }
    Ok(())
}

/// Returns the values of the grade axis, without the total.
fn grade_values(dataset: &Dataset) -> BTreeSet<&str> {
    let grades = dataset.axes.iter().filter(|axis| !axis.is_year()).flat_map(|axis| &axis.values);
    grades.map(|coded| coded.value.as_str()).filter(|value| *value != TOTAL).collect()
}

/// Returns the partitions of a dataset that the lake has.
async fn partitions(store: &impl Store, dataset: &Dataset) -> Result<BTreeSet<PartitionKey>, Error> {
    let listed = list(store, &keys::table_prefix(&dataset.table)).await?;
    Ok(listed.iter().filter_map(|listed| keys::parse_partition_object(dataset, &listed.key)).collect())
}

async fn others(store: &impl Store, names: &[&str]) -> Result<Vec<(Dataset, BTreeSet<PartitionKey>)>, Error> {
    let mut others = Vec::new();
    for name in names {
        others.extend(others_of(store, name).await?);
    }
    Ok(others)
}

/// Returns a built-in dataset with its partitions; `None` if the lake has none of it.
async fn others_of(store: &impl Store, name: &str) -> Result<Option<(Dataset, BTreeSet<PartitionKey>)>, Error> {
    let dataset = Dataset::built_in(name)?;
    let known = partitions(store, &dataset).await?;
    Ok((!known.is_empty()).then_some((dataset, known)))
}

/// Groups partitions by year: each year with its grades.
fn by_year(partitions: &BTreeSet<PartitionKey>) -> BTreeMap<i32, BTreeMap<&str, &PartitionKey>> {
    let mut by_year: BTreeMap<i32, BTreeMap<&str, &PartitionKey>> = BTreeMap::new();
    for partition in partitions {
        if let (Some(AxisValue::Int(year)), Some(AxisValue::Text(grade))) =
            (partition.value("year"), partition.value("grade"))
        {
            by_year.entry(*year).or_default().insert(grade, partition);
        }
    }
    by_year
}
