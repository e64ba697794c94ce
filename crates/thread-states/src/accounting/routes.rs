//! Names of a server's routes, and the index that stands for each in the accounting.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Number of routes that a server may have beyond those that it named at its start.
pub const MOST_NEW_ROUTES: usize = 128;

/// Name of the last new route, which stands for all routes that no longer fit.
pub const OTHER: &str = "other";

/// Routes of one server: those that it named at its start and, up to [`MOST_NEW_ROUTES`],
/// those that were requested since. A route keeps its index for ever.
///
/// ```
/// use thread_states::Registry;
///
/// let registry = Registry::new("shop", ["/".to_owned()]);
/// let routes = registry.routes();
/// assert_eq!(routes.index("/basket/{id}"), 1);
/// assert_eq!(routes.index("/basket/{id}"), 1);
/// assert_eq!(routes.name(1), Some("/basket/{id}"));
/// assert!(routes.iter().eq(["/", "/basket/{id}"]));
/// ```
#[derive(Debug)]
pub struct Routes {
    /// Filled from the front. A name once set is never moved, so that a reader needs no lock.
    names: Box<[OnceLock<Arc<str>>]>,
    /// Hash table of the names, at most half full, with linear probing.
    buckets: Box<[OnceLock<Bucket>]>,
    adding: Mutex<()>,
}

/// A route in the hash table.
#[derive(Debug)]
struct Bucket {
    name: Arc<str>,
    index: usize,
}

impl Routes {
    pub(super) fn new(known: impl IntoIterator<Item = String>) -> Self {
        let known: Vec<String> = known.into_iter().collect();
        let capacity = known.len() + MOST_NEW_ROUTES;
        let routes = Self {
            names: (0..capacity).map(|_| OnceLock::new()).collect(),
            buckets: (0..2 * capacity).map(|_| OnceLock::new()).collect(),
            adding: Mutex::new(()),
        };
        for name in &known {
            routes.index(name);
        }
        routes
    }

    /// Returns the index of a route, and adds the route if it is new. Where there is no room for more
    /// routes, it is the index of [`OTHER`].
    ///
    /// Meant for patterns such as `/basket/{id}`, of which a server has few. Finding a known route takes
    /// a hash of its name and one comparison, and no lock.
    pub fn index(&self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| self.add(name))
    }

    fn find(&self, name: &str) -> Option<usize> {
        for bucket in self.probe(name) {
            let Bucket { name: known, index } = bucket.get()?;
            if are_equal(known, name) {
                return Some(*index);
            }
        }
        None
    }

    /// Buckets in which a name may be, up to the first that is free.
    fn probe(&self, name: &str) -> impl Iterator<Item = &OnceLock<Bucket>> {
        // A product of 32 bits each, whose upper half is below the length: no division.
        let first = (u64::from(hash(name)) * self.buckets.len() as u64) >> 32;
        let (before, from) = self.buckets.split_at(first as usize);
        from.iter().chain(before)
    }

    fn add(&self, name: &str) -> usize {
        let last = self.names.len() - 1;
        if self.names[last].get().is_some() {
            return last;
        }
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added it meanwhile.
        self.find(name).unwrap_or_else(|| self.add_locked(name))
    }

    /// Adds a route. The caller holds the lock.
    fn add_locked(&self, name: &str) -> usize {
        let (next, last) = (self.len(), self.names.len() - 1);
        let (index, name) = if next < last {
            (next, name)
        } else if let Some(other) = self.find(OTHER) {
            // The application has a route of that name: two would be the same series twice.
            return other;
        } else {
            (last, OTHER)
        };
        let known: Arc<str> = name.into();
        let _ = self.names[index].set(Arc::clone(&known));
        let mut buckets = self.probe(name);
        if let Some(free) = buckets.find(|bucket| bucket.get().is_none()) {
            // Only the holder of the lock sets one.
            let _ = free.set(Bucket { name: known, index });
        }
        index
    }

    /// Name of the route with this index.
    #[must_use]
    pub fn name(&self, index: usize) -> Option<&str> {
        self.names.get(index)?.get().map(AsRef::as_ref)
    }

    /// Names of all routes, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .map_while(|name| name.get().map(AsRef::as_ref))
    }

    /// Number of routes at present.
    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Number of routes that there can ever be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.names.len()
    }
}

/// Hash of a name, eight bytes at a time (as FxHash). It need not resist clients: a server has few names, and equal hashes
/// cost no more than a comparison with each.
fn hash(name: &str) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let chunks = name.as_bytes().chunks_exact(8);
    let last = last_word(chunks.remainder());
    (mix(chunks.map(word).fold(name.len() as u64, mix), last) >> 32) as u32
}

/// Compares two names. They are short: the C library's `memcmp` would take most of its time for the call.
fn are_equal(name: &str, other: &str) -> bool {
    if name.len() != other.len() {
        return false;
    }
    let chunks = name.as_bytes().chunks_exact(8);
    let others = other.as_bytes().chunks_exact(8);
    last_word(chunks.remainder()) == last_word(others.remainder())
        && chunks
            .zip(others)
            .all(|(chunk, other)| word(chunk) == word(other))
}

/// Word of eight bytes.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Word of fewer than eight bytes, with each of them in it at least once: no loop over them.
fn last_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    let byte = |index: usize| bytes.get(index).copied().map_or(0, u64::from);
    byte(0) << 16 | byte(1) << 8 | byte(2)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn concurrent_threads_get_the_same_index() {
        let routes = Routes::new(["/known".to_owned()]);
        let indices = |start: usize| -> Vec<usize> {
            let numbers = (0..100).map(|i| (i + start) % 100);
            let mut found: Vec<_> = numbers
                .map(|number| (number, routes.index(&format!("/{number}"))))
                .collect();
            found.sort_unstable();
            found.into_iter().map(|(_, index)| index).collect()
        };
        let found: Vec<_> = thread::scope(|scope| {
            let threads = [0, 30, 60].map(|start| scope.spawn(move || indices(start)));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
        assert_eq!(routes.iter().count(), 101);
        for (number, index) in found[0].iter().enumerate() {
            assert_eq!(routes.name(*index), Some(&*format!("/{number}")));
        }
    }

    #[test]
    fn names_that_differ_in_one_byte_are_different_routes() {
        // Up to two words and a rest of each length.
        for length in 0..=23 {
            let routes = Routes::new(["x".repeat(length)]);
            for position in 0..length {
                let mut name = vec![b'x'; length];
                name[position] = b'y';
                let name = String::from_utf8(name).unwrap();
                assert_eq!(routes.index(&name), position + 1, "{name}");
            }
            assert_eq!(routes.index(&"x".repeat(length)), 0);
            assert_eq!(routes.index(&"x".repeat(length + 1)), length + 1);
        }
    }

    #[test]
    fn routes_beyond_the_limit_are_other() {
        let routes = Routes::new(["/known".to_owned()]);
        for number in 1..MOST_NEW_ROUTES {
            assert_eq!(routes.index(&format!("/{number}")), number);
        }
        for late in ["/late", "/later", OTHER] {
            assert_eq!(routes.index(late), MOST_NEW_ROUTES, "{late}");
        }
        assert_eq!(routes.name(MOST_NEW_ROUTES), Some(OTHER));
        assert_eq!(routes.index("/known"), 0);
        assert_eq!(routes.index("/1"), 1);
        assert_eq!(routes.iter().count(), routes.capacity());
    }

    #[test]
    fn an_own_route_named_other_is_also_that_of_routes_beyond_the_limit() {
        let routes = Routes::new([OTHER.to_owned()]);
        for number in 1..MOST_NEW_ROUTES {
            assert_eq!(routes.index(&format!("/{number}")), number);
        }
        for late in ["/late", "/later", OTHER] {
            assert_eq!(routes.index(late), 0, "{late}");
        }
        assert_eq!(routes.iter().filter(|name| *name == OTHER).count(), 1);
        assert_eq!(routes.index("/1"), 1);
    }
}
