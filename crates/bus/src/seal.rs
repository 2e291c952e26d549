//! Tokens of agents and secrets of webhooks travel through their buckets sealed: whoever reads a bucket without the key
//! learns nothing, and whoever writes it cannot give one toolbox or webhook the secret of another.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// First byte of what is sealed, so that another cipher can be told from this one.
const FORMAT: u8 = 1;

/// A key for AES-256-GCM, held by status-mapper, dtma-poller and notifier. Cheap to clone.
///
/// A sealed value is `base64(1 ‖ nonce ‖ ciphertext ‖ tag)`, bound to the id of its toolbox or webhook as associated data.
/// Nonces are random: good for 2³² seals under one key, far more than there are toolboxes, webhooks and rotations.
#[derive(Clone)]
pub struct SealingKey(Arc<RandomizedNonceKey>);

/// Why a key or a sealed value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not a key.
    #[error("a sealing key is 32 bytes in base64")]
    Key,
    /// Cannot be opened. Which of the causes it is cannot be known.
    #[error("the sealed value was made with another key or for another owner, or was tampered with")]
    Unopenable,
}

impl SealingKey {
    /// Reads a key from its base64 text.
    ///
    /// # Errors
    /// [`SealError::Key`] when it is not 32 bytes in base64.
    pub fn from_base64(text: &SecretString) -> Result<Self, SealError> {
        let bytes = STANDARD
            .decode(text.expose_secret().trim())
            .map_err(|_| SealError::Key)?;
        Self::from_bytes(&bytes)
    }

    /// A new random key, and its text for [`SealingKey::from_base64`].
    pub fn generate() -> (Self, SecretString) {
        let mut bytes = [0; KEY_LEN];
        aws_lc_rs::rand::fill(&mut bytes)
            .expect("the library aborts the process rather than go without randomness");
        let key = Self::from_bytes(&bytes).expect("32 bytes are a key of AES-256");
        (key, STANDARD.encode(bytes).into())
    }

    /// The key that a long random text stands for (HKDF-SHA256, RFC 5869): there is no key beside the text itself.
    pub(crate) fn derived(text: &str, purpose: &'static [u8]) -> Self {
        let mut bytes = [0; KEY_LEN];
        Salt::new(HKDF_SHA256, &[])
            .extract(text.as_bytes())
            .expand(&[purpose], KeyLength)
            .and_then(|derived| derived.fill(&mut bytes))
            .expect("32 bytes are fewer than the 8,160 that this function gives");
        Self::from_bytes(&bytes).expect("32 bytes are a key of AES-256")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() != KEY_LEN {
            return Err(SealError::Key);
        }
        RandomizedNonceKey::new(&AES_256_GCM, bytes)
            .map(|key| Self(Arc::new(key)))
            .map_err(|_| SealError::Key)
    }

    /// Seals a secret for the toolbox or webhook of this id. The same secret seals differently each time.
    pub fn seal(&self, owner: impl Into<Uuid>, token: &SecretString) -> String {
        self.seal_for(owner.into().as_bytes(), token)
    }

    /// Seals a secret for whatever `owner` names.
    pub(crate) fn seal_for(&self, owner: &[u8], token: &SecretString) -> String {
        let mut sealed = token.expose_secret().as_bytes().to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(owner), &mut sealed)
            .expect("sealing fails only beyond 64 GiB, and a token is text in memory");
        let mut bytes = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(nonce.as_ref());
        bytes.extend_from_slice(&sealed);
        STANDARD.encode(bytes)
    }

    /// Opens what was sealed for the toolbox or webhook of this id.
    ///
    /// # Errors
    /// [`SealError::Unopenable`] for another key, another owner, or anything that is not a sealed value.
    pub fn open(&self, owner: impl Into<Uuid>, sealed: &str) -> Result<SecretString, SealError> {
        self.open_for(owner.into().as_bytes(), sealed)
    }

    /// Opens what was sealed for whatever `owner` names.
    ///
    /// # Errors
    /// As [`SealingKey::open`].
    pub(crate) fn open_for(&self, owner: &[u8], sealed: &str) -> Result<SecretString, SealError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Unopenable)?;
        let Some((&[FORMAT], rest)) = bytes.split_first_chunk::<1>() else {
            return Err(SealError::Unopenable);
        };
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Unopenable)?;
        let mut token = ciphertext.to_vec();
        let length = self
            .0
            .open_in_place(Nonce::from(nonce), Aad::from(owner), &mut token)
            .map_err(|_| SealError::Unopenable)?
            .len();
        token.truncate(length);
        String::from_utf8(token)
            .map(SecretString::from)
            .map_err(|_| SealError::Unopenable)
    }
}

/// How long a derived key is.
struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn opened(key: &SealingKey, owner: Uuid, sealed: &str) -> Result<String, SealError> {
        key.open(owner, sealed)
            .map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn what_is_sealed_opens_with_the_key_of_the_same_text() {
        let (key, text) = SealingKey::generate();
        let sealed = key.seal(ONE, &"tok-én".into());
        assert_eq!(opened(&key, ONE, &sealed), Ok("tok-én".into()));
        let read = SealingKey::from_base64(&format!(" {}\n", text.expose_secret()).into()).unwrap();
        assert_eq!(opened(&read, ONE, &sealed), Ok("tok-én".into()));
        assert_eq!(opened(&key, ONE, &key.seal(ONE, &"".into())), Ok(String::new()));
    }

    #[test]
    fn no_two_seals_are_alike_and_none_shows_the_token() {
        let (key, _) = SealingKey::generate();
        let (first, second) = (key.seal(ONE, &"token".into()), key.seal(ONE, &"token".into()));
        assert_ne!(first, second);
        let bytes = STANDARD.decode(first).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"token"));
    }

    #[test]
    fn another_key_or_toolbox_opens_nothing() {
        let ((key, _), (other, _)) = (SealingKey::generate(), SealingKey::generate());
        let sealed = key.seal(ONE, &"token".into());
        assert_eq!(opened(&other, ONE, &sealed), Err(SealError::Unopenable));
        assert_eq!(opened(&key, TWO, &sealed), Err(SealError::Unopenable));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let (key, _) = SealingKey::generate();
        let bytes = STANDARD.decode(key.seal(ONE, &"token".into())).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(
                    opened(&key, ONE, &STANDARD.encode(changed)),
                    Err(SealError::Unopenable),
                    "{at}.{bit}"
                );
            }
            assert_eq!(
                opened(&key, ONE, &STANDARD.encode(&bytes[..at])),
                Err(SealError::Unopenable),
                "cut at {at}"
            );
        }
        assert_eq!(opened(&key, ONE, "not base64!"), Err(SealError::Unopenable));
    }

    #[test]
    fn a_key_is_32_bytes_and_prints_nothing() {
        for text in [
            "",
            "c2hvcnQ=",
            "%%%",
            &STANDARD.encode([0; 31]),
            &STANDARD.encode([0; 33]),
        ] {
            assert_eq!(
                SealingKey::from_base64(&(*text).into()).unwrap_err(),
                SealError::Key,
                "{text}"
            );
        }
        assert_eq!(format!("{:?}", SealingKey::generate().0), "SealingKey(..)");
    }
}
