//! Values as plain words, so that a `slot` can publish them.

use super::units::{Nanos, Timestamp};

/// A value that a slot can hold, as a fixed number of words.
///
/// Structs get both directions from one list of their fields, by the macro `words!`: a field that
/// is missing from the list does not compile, and no field has a position of its own.
pub(super) trait Words: Sized {
    /// Number of words of every value of this type.
    const COUNT: usize;

    /// Writes the value into [`Self::COUNT`] words. All lengths are constants, so that in a release
    /// build this is one store per word: it is part of every mark.
    fn encode(&self, words: &mut [u64]);

    /// Takes the words that `encode` wrote. Where the words end early, the rest is 0.
    fn decode(words: &mut impl Iterator<Item = u64>) -> Self;
}

/// Words of a value as an array, whose length `N` must be `T::COUNT`.
#[inline]
pub(super) fn to_array<T: Words, const N: usize>(value: &T) -> [u64; N] {
    const { assert!(N == T::COUNT) };
    let mut words = [0; N];
    value.encode(&mut words);
    words
}

/// Implements [`Words`] for a struct, given all of its fields with their types.
macro_rules! words {
    ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        impl $crate::accounting::words::Words for $name {
            const COUNT: usize =
                0 $(+ <$type as $crate::accounting::words::Words>::COUNT)+;

            #[inline]
            fn encode(&self, words: &mut [u64]) {
                let Self { $($field),+ } = self;
                $(
                    let (own, words) =
                        words.split_at_mut(<$type as $crate::accounting::words::Words>::COUNT);
                    $crate::accounting::words::Words::encode($field, own);
                )+
                debug_assert!(words.is_empty(), "the words of another type");
            }

            fn decode(words: &mut impl Iterator<Item = u64>) -> Self {
                $(let $field: $type = $crate::accounting::words::Words::decode(words);)+
                Self { $($field),+ }
            }
        }
    };
}
pub(super) use words;

/// Implements [`Words`] for a type of one word.
macro_rules! one_word {
    ($type:ty, $value:ident => $encoded:expr, $word:ident => $decoded:expr) => {
        impl Words for $type {
            const COUNT: usize = 1;

            #[inline]
            fn encode(&self, words: &mut [u64]) {
                let $value = *self;
                words[0] = $encoded;
            }

            fn decode(words: &mut impl Iterator<Item = u64>) -> Self {
                let $word = words.next().unwrap_or(0);
                $decoded
            }
        }
    };
}

one_word!(u64, value => value, word => word);
one_word!(i64, value => value as u64, word => word as i64);
one_word!(u16, value => u64::from(value), word => word as u16);
one_word!(usize, value => value as u64, word => word as usize);
one_word!(bool, value => u64::from(value), word => word > 0);
one_word!(Timestamp, value => value.as_nanos(), word => Timestamp::from_nanos(word));
one_word!(Nanos, value => value.as_nanos(), word => Nanos::from_nanos(word));

/// A word that says whether there is a value, and the value's own words.
impl<T: Words> Words for Option<T> {
    const COUNT: usize = 1 + T::COUNT;

    #[inline]
    fn encode(&self, words: &mut [u64]) {
        words[0] = u64::from(self.is_some());
        match self {
            Some(value) => value.encode(&mut words[1..]),
            None => words[1..].fill(0),
        }
    }

    fn decode(words: &mut impl Iterator<Item = u64>) -> Self {
        let is_some = bool::decode(words);
        // Taken in either case: the next value begins after them.
        let value = T::decode(words);
        is_some.then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Pair {
        first: Option<i64>,
        second: u16,
    }

    words!(Pair {
        first: Option<i64>,
        second: u16,
    });

    #[test]
    fn structs_are_decoded_as_they_were_encoded() {
        for first in [Some(-1), None] {
            let pair = Pair { first, second: 7 };
            let words: [u64; Pair::COUNT] = to_array(&pair);
            assert_eq!(words.len(), 3);
            assert_eq!(Pair::decode(&mut words.into_iter()), pair);
        }
    }
}
