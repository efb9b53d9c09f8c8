//! Reuses the memory of decoded bodies. Mapping new memory for each body costs a quarter of a run's time.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes reserved for each buffer, whatever the length of its body. Memory that is never written to costs nothing. glibc
/// gives each allocation of more than 32 MiB its own mapping, so a body never moves as it grows, and the memory of a large
/// body goes back to the system.
const RESERVED_BYTES: usize = 33 << 20;

/// Maximum size of a body whose memory is kept. A typical page of 10,000 rows takes 1.5 MB.
const MAX_KEPT_BYTES: usize = 2 << 20;

/// Unused buffers. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Maximum number of buffers kept.
    max_kept: usize,
}

impl Buffers {
    pub(crate) fn new(max_kept: usize) -> Self {
        Self { kept: Arc::default(), max_kept }
    }

    /// Returns an empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| {
            let mut bytes = Vec::new();
            // If the system refuses this much, the body moves as it grows.
            let _ = bytes.try_reserve_exact(RESERVED_BYTES);
            bytes
        })
    }

    /// Returns a body whose memory is kept for reuse once its last reader drops it.
    pub(crate) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(LentBytes { bytes, buffers: self.clone() })
    }
}

struct LentBytes {
    bytes: Vec<u8>,
    buffers: Buffers,
}

impl AsRef<[u8]> for LentBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for LentBytes {
    fn drop(&mut self) {
        let mut kept = self.buffers.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bytes.len() > MAX_KEPT_BYTES {
            // With large bodies, memory is scarce.
            kept.clear();
        } else if kept.len() < self.buffers.max_kept {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_typical_body_is_reused_and_that_of_a_large_one_is_freed() {
        let buffers = Buffers::new(1);
        let body = |n_bytes: usize| {
            let mut bytes = buffers.take();
            assert!(bytes.is_empty());
            bytes.resize(n_bytes, b'x');
            (bytes.as_ptr(), buffers.lend(bytes))
        };
        let n_kept = || buffers.kept.lock().unwrap().len();
        let (at, first) = body(MAX_KEPT_BYTES);
        let clone = first.clone();
        drop(first);
        assert_eq!((n_kept(), clone.len()), (0, MAX_KEPT_BYTES));
        drop(clone);
        assert_eq!(n_kept(), 1);
        let (again, second) = body(MAX_KEPT_BYTES + 1);
        assert!(again == at && n_kept() == 0);
        drop(second);
        assert_eq!(n_kept(), 0);
        drop((body(1), body(1)));
        assert_eq!(n_kept(), 1);
        // A large body also frees the buffers that are kept.
        let (used, large) = (body(1), body(MAX_KEPT_BYTES + 1));
        drop(used);
        assert_eq!(n_kept(), 1);
        drop(large);
        assert_eq!(n_kept(), 0);
    }
}
