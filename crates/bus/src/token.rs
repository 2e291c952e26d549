//! What names a toolbox when it pushes: the hash of its token, so that the token itself is nowhere kept in the clear.

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::{constant_time, digest};

/// Bytes of a SHA-256 hash.
const LEN: usize = 32;

/// SHA-256 of a toolbox's token.
///
/// Tokens are long random strings, so an unsalted hash is enough: there is no dictionary to run through. Equality is
/// in constant time; a lookup in a `HashMap` is not, and tells at most a part of the *hash*, which opens nothing.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; LEN]);

impl TokenHash {
    /// The hash of a token as presented.
    pub fn of(token: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: &[u8; 2 * LEN] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |index: usize| char::from(pair[index]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_standard_vector_and_back() {
        assert_eq!(TokenHash::of("abc").to_hex(), ABC);
        assert_eq!(TokenHash::from_hex(ABC), Some(TokenHash::of("abc")));
        assert_eq!(
            TokenHash::from_hex(&ABC.to_uppercase()),
            Some(TokenHash::of("abc"))
        );
        assert_ne!(TokenHash::of("abd"), TokenHash::of("abc"));
    }

    #[test]
    fn what_is_not_a_hash_is_none() {
        for text in [
            "",
            "ba78",
            &ABC[1..],
            &format!("{ABC}0"),
            &ABC.replace('b', "g"),
            &"é".repeat(LEN),
        ] {
            assert_eq!(TokenHash::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_a_key_and_prints_nothing() {
        let toolboxes = HashMap::from([(TokenHash::of("one"), 1), (TokenHash::of("two"), 2)]);
        assert_eq!(toolboxes.get(&TokenHash::of("two")), Some(&2));
        assert_eq!(toolboxes.get(&TokenHash::of("three")), None);
        assert_eq!(format!("{:?}", TokenHash::of("abc")), "TokenHash(..)");
    }
}
