//! The datasets that the simulator serves: those of `datasets/`, and further ones of its configuration.

use std::sync::{Arc, LazyLock};

use crate::dataset::{CodeLists, Dataset};

include!(concat!(env!("OUT_DIR"), "/datasets.rs"));

/// The lists of codes in `datasets/lookups/`.
pub(crate) static CODE_LISTS: LazyLock<CodeLists> = LazyLock::new(|| CodeLists::from_lookups(&LOOKUPS));

/// The datasets of `datasets/`, in order of their names. Parsed when they are first needed, once for all simulators of
/// a process.
static BUILT_IN: LazyLock<Vec<Arc<Dataset>>> = LazyLock::new(|| {
    // `datasets check` and the tests report a descriptor that cannot be parsed.
    let parsed = DESCRIPTORS.iter().filter_map(|(_, text)| Dataset::parse(text, &CODE_LISTS).ok());
    parsed.map(Arc::new).collect()
});

/// The datasets of one simulator.
#[derive(Debug, Default)]
pub(crate) struct Datasets {
    /// Datasets of the configuration. They replace built-in ones with the same path.
    further: Vec<Arc<Dataset>>,
}

impl Datasets {
    /// Reads further descriptors.
    ///
    /// # Errors
    /// Fails if one of them cannot be parsed.
    pub(crate) fn with(descriptors: &[String]) -> Result<Datasets, toml::de::Error> {
        let further = descriptors.iter().map(|text| Dataset::parse(text, &CODE_LISTS).map(Arc::new));
        Ok(Datasets { further: further.collect::<Result<_, _>>()? })
    }

    /// Returns all datasets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Dataset>> {
        let is_replaced = |dataset: &Dataset| self.further.iter().any(|other| other.path == dataset.path);
        BUILT_IN.iter().filter(move |dataset| !is_replaced(dataset)).chain(&self.further)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_descriptor_can_be_read_and_its_lists_exist() {
        assert_eq!(BUILT_IN.len(), DESCRIPTORS.len());
        for ((stem, _), dataset) in DESCRIPTORS.iter().zip(BUILT_IN.iter()) {
            assert_eq!(dataset.name, *stem);
            assert!(!dataset.key.is_empty(), "{stem}");
        }
        assert!(CODE_LISTS.get("race").is_some());
    }
}
