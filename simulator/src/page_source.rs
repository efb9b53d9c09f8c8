//! The rows of a partition, by the configuration: those of the sample, or a fixed number of them.

use crate::dataset::Dataset;
use crate::enrollment::Enrollment;
use crate::enrollment::axes::Axes;
use crate::grade::Grade;
use crate::query::{Filters, Query};
use crate::rows::{DEFAULT_ROWS, DistrictStudents, Rows};
use crate::sample::Sample;

/// The data of a page.
pub(crate) struct PageSource<'a> {
    pub(crate) sample: &'a Sample,
    pub(crate) page_size: u64,
    /// Rows in each enrollment partition.
    pub(crate) enrollment_rows: Option<u64>,
    /// Rows in every partition.
    pub(crate) rows_per_partition: Option<u64>,
}

impl<'a> PageSource<'a> {
    /// Selects rows of schools' enrollment.
    pub(crate) fn enrollment(&self, axes: Axes, filters: &Filters) -> Enrollment<'a> {
        Enrollment::select(self.sample, axes, filters, self.enrollment_rows.or(self.rows_per_partition))
    }

    /// Selects rows of a dataset by its descriptor. Districts' enrollment follows from that of their schools, unless every
    /// partition has a fixed number of rows.
    ///
    /// - `codes`: the code of each axis.
    pub(crate) fn described(&self, dataset: &Dataset, codes: &[i64], query: &Query) -> Rows<'a> {
        match (self.rows_per_partition, codes) {
            (None, &[year, grade]) if dataset.is_district_enrollment() => {
                Rows::of_districts(self.sample, dataset, codes, query, self.districts(year, grade))
            }
            (n_rows, _) => Rows::select(self.sample, dataset, codes, query, n_rows.unwrap_or(DEFAULT_ROWS)),
        }
    }

    /// Returns the districts of the schools in an enrollment partition, in ascending order of id. No school offers a grade
    /// that schools' enrollment does not have.
    fn districts(&self, year: i64, grade: i64) -> Vec<DistrictStudents> {
        let (Ok(year), Some(grade)) = (u16::try_from(year), Grade::from_code(grade)) else {
            return Vec::new();
        };
        let schools = self.enrollment(Axes { year, grade, by_race: false, by_sex: false }, &Filters::default());
        let mut districts: Vec<DistrictStudents> = Vec::new();
        for (school, reported) in schools.reports() {
            let students = reported.students().map(u64::from);
            match districts.last_mut().filter(|district| district.id == school.district()) {
                Some(district) => {
                    district.students = district.students.into_iter().chain(students).reduce(|a, b| a + b);
                }
                None => districts.push(DistrictStudents { id: school.district(), students }),
            }
        }
        districts
    }
}
