//! Parses request paths.

use std::sync::Arc;

use crate::dataset::Dataset;
use crate::dataset::path::PathMatch;
use crate::datasets::Datasets;
use crate::grade::Grade;
use crate::sample::school::YEARS;

/// Path prefix of the API.
pub(crate) const BASE: &str = "/api/v1/";

/// The resource at a path that ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Data(Partition),
    Metadata(Metadata),
    /// A data path for a year without data.
    NoSuchYear,
    Unknown,
}

/// The rows of one path, before filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Partition {
    Enrollment {
        year: u16,
        grade: Grade,
        by_race: bool,
        by_sex: bool,
    },
    Directory {
        year: u16,
    },
    /// Sums over the partitions of an enrollment dataset.
    Summary {
        /// Districts' enrollment; `None` for schools'.
        districts: Option<Arc<Dataset>>,
    },
    /// Of any other dataset.
    Described {
        dataset: Arc<Dataset>,
        /// The code of each axis.
        codes: Vec<i64>,
    },
}

/// The metadata lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    Endpoints,
    Changes,
    Values,
    Variables,
}

impl Route {
    /// Parses a path of the sample's own data or of metadata, and then of each other dataset.
    pub(crate) fn from_path(path: &str, datasets: &Datasets) -> Route {
        match Route::from_fixed_path(path) {
            Route::Unknown => Route::of_dataset(path, datasets),
            route => route,
        }
    }

    fn of_dataset(path: &str, datasets: &Datasets) -> Route {
        let Some(below) = path.strip_prefix(BASE).and_then(|below| below.strip_suffix('/')) else {
            return Route::Unknown;
        };
        if below == "school-districts/ccd/enrollment/summaries" {
            let districts = datasets.iter().find(|dataset| dataset.is_district_enrollment()).cloned();
            return districts
                .map_or(Route::Unknown, |dataset| Route::Data(Partition::Summary { districts: Some(dataset) }));
        }
        for dataset in datasets.iter() {
            match dataset.match_path(below) {
                PathMatch::Partition(codes) => {
                    return Route::Data(Partition::Described { dataset: Arc::clone(dataset), codes });
                }
                PathMatch::NoSuchYear => return Route::NoSuchYear,
                PathMatch::Other => {}
            }
        }
        Route::Unknown
    }

    fn from_fixed_path(path: &str) -> Route {
        let Some(below) = path.strip_prefix(BASE).and_then(|below| below.strip_suffix('/')) else {
            return Route::Unknown;
        };
        let segments: Vec<&str> = below.split('/').collect();
        match segments.as_slice() {
            ["api-endpoints"] => Route::Metadata(Metadata::Endpoints),
            ["api-changes"] => Route::Metadata(Metadata::Changes),
            ["api-values"] => Route::Metadata(Metadata::Values),
            ["api-endpoint-varlist"] => Route::Metadata(Metadata::Variables),
            ["schools", "ccd", "directory", year] => data(year, |year| Partition::Directory { year }),
            ["schools", "ccd", "enrollment", "summaries"] => Route::Data(Partition::Summary { districts: None }),
            ["schools", "ccd", "enrollment", year, grade, axes @ ..] => {
                let (by_race, by_sex) = match axes {
                    [] => (false, false),
                    ["race"] => (true, false),
                    ["sex"] => (false, true),
                    ["race", "sex"] => (true, true),
                    _ => return Route::Unknown,
                };
                let Some(grade) = Grade::from_segment(grade) else {
                    return Route::Unknown;
                };
                data(year, |year| Partition::Enrollment { year, grade, by_race, by_sex })
            }
            _ => Route::Unknown,
        }
    }
}

/// Checks whether the rows of a template such as `schools/ccd/directory/{year}/` are the sample's own.
pub(crate) fn is_of_sample(template: &str) -> bool {
    let template = template.replace("{grade}", "grade-99");
    let path = template.replace("{year}", &YEARS.end().to_string());
    matches!(Route::from_fixed_path(&format!("{BASE}{path}")), Route::Data(_))
}

fn data(year: &str, partition: impl FnOnce(u16) -> Partition) -> Route {
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    match year.parse() {
        Ok(year) if is_year && YEARS.contains(&year) => Route::Data(partition(year)),
        Ok(_) if is_year => Route::NoSuchYear,
        _ => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_parsed_as_its_route() {
        let directory = Route::Data(Partition::Directory { year: 2013 });
        let enrollment =
            |by_race, by_sex| Route::Data(Partition::Enrollment { year: 2021, grade: Grade::PREK, by_race, by_sex });
        let cases = [
            ("schools/ccd/directory/2013/", directory),
            ("schools/ccd/enrollment/2021/grade-pk/", enrollment(false, false)),
            ("schools/ccd/enrollment/2021/grade-pk/race/", enrollment(true, false)),
            ("schools/ccd/enrollment/2021/grade-pk/sex/", enrollment(false, true)),
            ("schools/ccd/enrollment/2021/grade-pk/race/sex/", enrollment(true, true)),
            ("schools/ccd/enrollment/2021/grade-pk/sex/race/", Route::Unknown),
            ("schools/ccd/enrollment/2021/grade-16/", Route::Unknown),
            ("schools/ccd/enrollment/1985/grade-pk/", Route::NoSuchYear),
            ("schools/ccd/directory/2025/", Route::NoSuchYear),
            ("schools/ccd/directory/+201/", Route::Unknown),
            ("schools/ccd/directory/2013", Route::Unknown),
            ("schools/ccd/enrollment/summaries/", Route::Data(Partition::Summary { districts: None })),
            ("schools/ccd/directory/summaries/", Route::Unknown),
            ("api-changes/", Route::Metadata(Metadata::Changes)),
        ];
        for (path, route) in cases {
            assert_eq!(Route::from_path(&format!("{BASE}{path}"), &Datasets::default()), route, "{path}");
        }
    }
}
