//! Divides the memory of the function, so that a partition that is too large is refused before the function is killed.
//!
//! This assumes that no page is more than an eighth larger than the largest before it. If a partition of more than 100 MB
//! is followed by a much larger page, a function of 256 MB may be killed; then the state machine retries it and reports
//! it as failed. Nothing is written before the partition is complete.

use crate::settings::{self, BadSetting};

/// Memory in bytes for the program, its clients and their connections.
const PROGRAM_BYTES: usize = 24 << 20;
/// The share of the memory that is for pages is one of this many.
const PAGE_SHARE: usize = 8;

/// How the memory of a function is divided, in bytes. The rest is for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FunctionMemory {
    /// Maximum for bodies and decoded pages, which a single page may exceed.
    pub(super) max_page_bytes: usize,
    /// Maximum for the partition with one of its pages, since the page that is due may exceed the maximum above. The
    /// partition is its file, its keys, and the comparison with the object that it replaces.
    pub(super) max_partition_bytes: usize,
}

impl FunctionMemory {
    /// Divides the memory that Lambda says the function has.
    ///
    /// # Errors
    /// [`BadSetting`] if Lambda does not say it, or if no memory would be left for a partition.
    pub(super) fn from_env() -> Result<Self, BadSetting> {
        let text = settings::required(settings::MEMORY, "the function's memory in MB")?;
        let divided = text.parse().ok().and_then(Self::divide);
        divided.ok_or_else(|| BadSetting::new(settings::MEMORY, "at least 28 MB, as a number", Some(&text)))
    }

    /// Divides `function_mb`, or returns `None` if that is too little, or more than any machine has.
    fn divide(function_mb: usize) -> Option<Self> {
        let function_bytes = function_mb.checked_mul(1 << 20)?;
        let max_page_bytes = function_bytes / PAGE_SHARE;
        let max_partition_bytes = function_bytes.checked_sub(max_page_bytes + PROGRAM_BYTES)?;
        Some(Self { max_page_bytes, max_partition_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a42_the_parts_of_a_function_add_up_to_its_memory() {
        for (function_mb, page_mib, partition_mib) in
            [(256, 32, 200), (512, 64, 424), (1024, 128, 872), (2048, 256, 1768)]
        {
            let memory = FunctionMemory::divide(function_mb).unwrap();
            assert_eq!((memory.max_page_bytes, memory.max_partition_bytes), (page_mib << 20, partition_mib << 20));
            assert_eq!(memory.max_page_bytes + memory.max_partition_bytes + PROGRAM_BYTES, function_mb << 20);
        }
    }

    #[test]
    fn a_function_without_memory_for_a_partition_is_refused() {
        for function_mb in [0, 1, 27, usize::MAX] {
            assert_eq!(FunctionMemory::divide(function_mb), None, "{function_mb}");
        }
        assert_eq!(FunctionMemory::divide(28).unwrap().max_partition_bytes, 1 << 19);
    }
}
