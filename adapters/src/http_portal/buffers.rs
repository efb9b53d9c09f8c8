//! Memory of bodies that were decoded, kept for those that follow: what the system maps anew for each body costs a quarter of
//! a run's time.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Room that is asked of the system for each buffer, whatever its body's length: what is not written to takes no memory. glibc
/// maps more than 32 MiB for itself, so that a body never moves as it grows and a large one's memory goes back to the system.
const MAPPED_BYTES: usize = 33 << 20;

/// Most bytes of a body whose memory is kept. A usual page of 10,000 rows has 1.5 MB.
const KEPT_BYTES: usize = 2 << 20;

/// Buffers that nobody uses. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How many are kept.
    most: usize,
}

impl Buffers {
    pub(crate) fn new(most: usize) -> Self {
        Self { kept: Arc::default(), most }
    }

    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| {
            let mut bytes = Vec::new();
            // Where the system refuses so much, the body is moved as it grows.
            let _ = bytes.try_reserve_exact(MAPPED_BYTES);
            bytes
        })
    }

    /// A body whose memory comes back once nobody reads it any more.
    pub(crate) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, buffers: self.clone() })
    }
}

struct Lent {
    bytes: Vec<u8>,
    buffers: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.buffers.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bytes.len() > KEPT_BYTES {
            // Where bodies are large, memory is what is short.
            kept.clear();
        } else if kept.len() < self.buffers.most {
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
    fn the_memory_of_a_usual_body_is_kept_empty_for_the_next_and_that_of_a_large_one_is_not() {
        let buffers = Buffers::new(1);
        let body = |n_bytes: usize| {
            let mut bytes = buffers.take();
            assert!(bytes.is_empty());
            bytes.resize(n_bytes, b'x');
            (bytes.as_ptr(), buffers.lend(bytes))
        };
        let n_kept = || buffers.kept.lock().unwrap().len();
        let (at, first) = body(KEPT_BYTES);
        let clone = first.clone();
        drop(first);
        assert_eq!((n_kept(), clone.len()), (0, KEPT_BYTES));
        drop(clone);
        assert_eq!(n_kept(), 1);
        let (again, second) = body(KEPT_BYTES + 1);
        assert!(again == at && n_kept() == 0);
        drop(second);
        assert_eq!(n_kept(), 0);
        drop((body(1), body(1)));
        assert_eq!(n_kept(), 1);
        // A large one takes those that are kept along.
        let (used, large) = (body(1), body(KEPT_BYTES + 1));
        drop(used);
        assert_eq!(n_kept(), 1);
        drop(large);
        assert_eq!(n_kept(), 0);
    }
}
