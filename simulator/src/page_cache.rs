//! A cache of page bodies, up to a fixed size.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Maximum size of all bodies together.
const LIMIT_BYTES: usize = 64 << 20;

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
}
