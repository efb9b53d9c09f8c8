//! What the rows of a dataset are about: schools, districts or colleges, and their ids.

use crate::dataset::Section;
use crate::sample::Sample;
use crate::sample::hash::{SEED, mix};
use crate::states::STATES;

/// `n` schools, districts or colleges, in ascending order of id.
pub(super) struct Entities<'a> {
    sample: &'a Sample,
    section: Section,
    n: u64,
    /// The districts, if they are given.
    districts: Vec<DistrictStudents>,
}

/// A district, and the students that its schools report in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DistrictStudents {
    /// `leaid` as a number.
    pub(crate) id: u64,
    /// `None` if no school reports a number.
    pub(crate) students: Option<u64>,
}

/// One school, district or college. An id that it does not have is 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entity {
    pub(super) index: u64,
    school: u64,
    district: u64,
    college: u64,
    pub(super) fips: u64,
    /// The students of a given district.
    pub(super) students: Option<u64>,
}

impl<'a> Entities<'a> {
    pub(super) fn new(sample: &'a Sample, section: Section, n: u64) -> Entities<'a> {
        Entities { sample, section, n, districts: Vec::new() }
    }

    pub(super) fn of_districts(sample: &'a Sample, districts: Vec<DistrictStudents>) -> Entities<'a> {
        Entities { sample, section: Section::Districts, n: districts.len() as u64, districts }
    }

    /// Schools and districts are those of the sample, as long as there are enough. A college has the same id in every
    /// dataset.
    pub(super) fn get(&self, index: u64) -> Entity {
        let given = self.districts.get(index as usize);
        let (school, district, college) = match self.section {
            Section::Schools => {
                let school = self.sample.steady_school(index, self.n);
                (school, school / 100_000, 0)
            }
            Section::Districts => {
                let id = given.map_or_else(|| self.sample.steady_district(index, self.n), |district| district.id);
                (0, id, 0)
            }
            Section::Colleges => (0, 0, 100_000 + index * 37),
        };
        let fips = match self.section {
            Section::Colleges => {
                let place = mix(SEED, college) % STATES.len() as u64;
                STATES.get(place as usize).map_or(0, |state| u64::from(state.fips))
            }
            _ => district / 100_000,
        };
        Entity { index, school, district, college, fips, students: given.and_then(|district| district.students) }
    }
}

impl Entity {
    /// Returns the id of the district of a school, and of the entity itself otherwise.
    pub(super) fn parent(self) -> u64 {
        self.district + self.college
    }

    pub(super) fn id(self) -> u64 {
        if self.school > 0 { self.school } else { self.parent() }
    }
}

/// A column with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    School,
    District,
    SchoolInDistrict,
    College,
    /// Office of Postsecondary Education.
    Ope,
    State,
    /// A number of its own, for a key without any of these.
    Number,
}

impl Id {
    /// Returns what a column has by its name.
    pub(super) fn of(section: Section, column: &str) -> Option<Id> {
        match (section, column) {
            (_, "fips") => Some(Id::State),
            (Section::Schools, "ncessch" | "ncessch_num" | "crdc_id") => Some(Id::School),
            (Section::Schools, "school_id") => Some(Id::SchoolInDistrict),
            (Section::Schools | Section::Districts, "leaid" | "leaid_num" | "gleaid") => Some(Id::District),
            (Section::Colleges, "unitid") => Some(Id::College),
            (Section::Colleges, "opeid") => Some(Id::Ope),
            _ => None,
        }
    }

    /// Checks whether the id is different for each of the section's entities.
    pub(super) fn is_unique(self, section: Section) -> bool {
        match self {
            Id::School | Id::College | Id::Ope | Id::Number => true,
            Id::District => section == Section::Districts,
            Id::SchoolInDistrict | Id::State => false,
        }
    }

    pub(super) fn number(self, entity: Entity) -> u64 {
        match self {
            Id::School => entity.school,
            Id::District => entity.district,
            Id::SchoolInDistrict => entity.school % 100_000,
            Id::College => entity.college,
            Id::Ope => entity.college * 10,
            Id::State => entity.fips,
            Id::Number => entity.index + 1,
        }
    }

    /// Returns the number of digits as the portal writes them.
    pub(super) fn n_digits(self) -> usize {
        match self {
            Id::School => 12,
            Id::District => 7,
            Id::SchoolInDistrict => 5,
            Id::Ope => 8,
            Id::State => 2,
            Id::College | Id::Number => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_different_and_belong_to_a_state_of_the_sample_at_every_size() {
        let sample = Sample::new(600);
        for (section, id) in
            [(Section::Schools, Id::School), (Section::Districts, Id::District), (Section::Colleges, Id::College)]
        {
            for n in [1, 20, 300, 10_000] {
                let entities = Entities::new(&sample, section, n);
                let entities: Vec<Entity> = (0..n).map(|index| entities.get(index)).collect();
                let ids: Vec<u64> = entities.iter().map(|entity| id.number(*entity)).collect();
                assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{section:?} {n}");
                assert!(entities.iter().all(|entity| STATES.iter().any(|s| u64::from(s.fips) == entity.fips)));
            }
        }
    }
}
