//! A cache of page bodies, up to a fixed size.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Maximum size of all bodies together.
const LIMIT_BYTES: usize = 64 << 20;
/// Minimum size of a body that is worth keeping. Smaller ones are built faster than they are requested, and thousands of
/// them would fragment the memory.
const MIN_BYTES: usize = 64 << 10;

/// Bodies by key. The oldest ones are dropped.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    bodies: HashMap<String, Bytes>,
    /// Keys of `bodies`, oldest first.
    order: VecDeque<String>,
    size_bytes: usize,
}

impl PageCache {
    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.bodies.get(key).cloned()
    }

    pub(crate) fn insert(&mut self, key: String, body: Bytes) {
        if body.len() < MIN_BYTES {
            return;
        }
        self.size_bytes += body.len();
        match self.bodies.insert(key.clone(), body) {
            Some(replaced) => self.size_bytes -= replaced.len(),
            None => self.order.push_back(key),
        }
        while self.size_bytes > LIMIT_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.size_bytes -= self.bodies.remove(&oldest).map_or(0, |body| body.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_page_is_dropped() {
        let mut cache = PageCache::default();
        let body = Bytes::from(vec![0; LIMIT_BYTES / 2]);
        for key in ["a", "b", "b", "c"] {
            cache.insert(key.to_owned(), body.clone());
        }
        assert_eq!(["a", "b", "c"].map(|key| cache.get(key).is_some()), [false, true, true]);
        assert_eq!(cache.size_bytes, LIMIT_BYTES);
    }

    #[test]
    fn a_small_page_is_not_kept() {
        let mut cache = PageCache::default();
        cache.insert("a".to_owned(), Bytes::from(vec![0; MIN_BYTES - 1]));
        assert!(cache.get("a").is_none() && cache.size_bytes == 0);
    }
}
