//! The schools of an enrollment partition.

use crate::enrollment::axes::Axes;
use crate::query::Filters;
use crate::sample::Sample;
use crate::sample::school::School;

/// The schools of a partition, ordered by id.
pub(super) enum Schools {
    /// Positions in the sample.
    Listed(Vec<usize>),
    /// All of `n` numbered schools.
    Numbered { n: u64 },
    /// Positions among `n` numbered schools.
    SomeNumbered { positions: Vec<u64>, n: u64 },
}

impl Schools {
    /// Selects the schools of the sample that are in the partition and match the filters.
    pub(super) fn from_sample(sample: &Sample, axes: Axes, filters: &Filters) -> Schools {
        let schools = sample.schools().iter().enumerate();
        let in_partition = schools.filter(|(_, school)| school.is_open(axes.year) && school.offers(axes.grade));
        Schools::Listed(
            in_partition.filter(|(_, school)| filters.allow_school(school)).map(|(index, _)| index).collect(),
        )
    }

    /// Selects those of `n` numbered schools that match the filters.
    pub(super) fn numbered(sample: &Sample, n: u64, filters: &Filters) -> Schools {
        if !filters.restrict_schools() {
            return Schools::Numbered { n };
        }
        let positions = (0..n).filter(|index| filters.allow_school(&sample.numbered_school(*index, n))).collect();
        Schools::SomeNumbered { positions, n }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Schools::Listed(positions) => positions.len() as u64,
            Schools::Numbered { n } => *n,
            Schools::SomeNumbered { positions, .. } => positions.len() as u64,
        }
    }

    /// Returns the school at `position` among the selected ones.
    pub(super) fn get(&self, sample: &Sample, position: u64) -> Option<School> {
        match self {
            Schools::Listed(positions) => {
                positions.get(position as usize).and_then(|index| sample.schools().get(*index)).copied()
            }
            Schools::Numbered { n } => Some(sample.numbered_school(position, *n)),
            Schools::SomeNumbered { positions, n } => {
                positions.get(position as usize).map(|index| sample.numbered_school(*index, *n))
            }
        }
    }
}
