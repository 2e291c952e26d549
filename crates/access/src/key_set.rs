//! A JSON Web Key Set, and which of its keys verifies a token.
//!
//! How a token may be signed is read from the key, never from the token: each key has the list of algorithms that its
//! type, curve and `alg` allow, and verifies nothing else. Symmetric keys are not read at all, so a public key can
//! never be taken for a shared secret.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::denied::Denied;
use crate::fetch::FetchError;

/// Most keys kept: a token without a key id is tried with each that fits. Issuers have two or three.
const KEYS_MAX: usize = 16;
/// Bytes of the smallest RSA modulus that is verified with, and of the largest.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// The header of a token, as far as it is looked at.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
}

impl Head {
    /// Reads the first part of a token.
    pub(crate) fn read(token: &str) -> Result<Self, Denied> {
        #[derive(Deserialize)]
        struct Raw {
            alg: String,
            kid: Option<String>,
            crit: Option<IgnoredAny>,
        }
        let (first, _) = token.split_once('.').ok_or(Denied::Malformed)?;
        let bytes = URL_SAFE_NO_PAD.decode(first).map_err(|_| Denied::Malformed)?;
        let raw: Raw = serde_json::from_slice(&bytes).map_err(|_| Denied::Malformed)?;
        if raw.crit.is_some() {
            // Names extensions without which the token must not be understood (RFC 7515, 4.1.11). None is known here.
            return Err(Denied::Malformed);
        }
        Ok(Self {
            algorithm: raw.alg.parse().map_err(|_| Denied::Algorithm)?,
            kid: raw.kid,
        })
    }
}

/// One key, and what it may verify.
#[derive(Debug)]
pub(crate) struct Key {
    kid: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

impl Key {
    /// A secret that both sides share: HS256 and nothing else.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self {
            kid: None,
            key: DecodingKey::from_secret(secret),
            validation: signature_only(vec![Algorithm::HS256]),
        }
    }

    /// `None`: not a public key for signatures of a kind that is verified here.
    fn read(value: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        if let Some(operations) = &jwk.common.key_operations
            && !operations.contains(&KeyOperations::Verify)
        {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        if let Some(own) = jwk.common.key_algorithm {
            let own = Algorithm::try_from(own).ok()?;
            algorithms.retain(|algorithm| *algorithm == own);
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty() && is_whole(&key, &jwk.algorithm)).then(|| Self {
            kid: jwk.common.key_id,
            key,
            validation: signature_only(algorithms),
        })
    }

    fn verifies(&self, algorithm: Algorithm) -> bool {
        self.validation.algorithms.contains(&algorithm)
    }

    /// The claims of a token that this key signed.
    pub(crate) fn open(&self, token: &str) -> Result<Map<String, Value>, Denied> {
        decode(token, &self.key, &self.validation)
            .map(|data| data.claims)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => Denied::Signature,
                ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => Denied::Algorithm,
                _ => Denied::Malformed,
            })
    }
}

/// Whether a key's numbers have the length of its kind: one of another length would only ever fail later.
fn is_whole(key: &DecodingKey, parameters: &AlgorithmParameters) -> bool {
    match (parameters, key.kind()) {
        (AlgorithmParameters::RSA(_), DecodingKeyKind::RsaModulusExponent { n, .. }) => {
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            RSA_MODULUS.contains(&(n.len() - zeros))
        }
        (AlgorithmParameters::EllipticCurve(curve), DecodingKeyKind::SecretOrDer(point)) => {
            let coordinate = if curve.curve == EllipticCurve::P256 {
                32
            } else {
                48
            };
            point.len() == 1 + 2 * coordinate
        }
        (AlgorithmParameters::OctetKeyPair(_), DecodingKeyKind::SecretOrDer(point)) => point.len() == 32,
        _ => false,
    }
}

/// The signature alone is the library's to check: it would read a clock for the dates, and lets a token without an
/// audience or issuer pass.
fn signature_only(algorithms: Vec<Algorithm>) -> Validation {
    Validation {
        algorithms,
        required_spec_claims: HashSet::new(),
        validate_exp: false,
        validate_nbf: false,
        validate_aud: false,
        ..Validation::default()
    }
}

/// The keys of a key server. Never changes: the next fetch makes a new one.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWKS. Keys that cannot be used here are left out.
    pub(crate) fn read(body: &[u8]) -> Result<Self, FetchError> {
        #[derive(Deserialize)]
        struct Raw {
            keys: Vec<Value>,
        }
        let raw: Raw = serde_json::from_slice(body).map_err(|_| FetchError::Unreadable)?;
        let keys: Vec<Key> = raw.keys.iter().filter_map(Key::read).take(KEYS_MAX).collect();
        if keys.is_empty() {
            return Err(FetchError::NoUsableKey);
        }
        Ok(Self { keys })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is a key of that id.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The claims of a token that one of the keys signed: the one it names, or any that fits where it names none.
    pub(crate) fn open(&self, token: &str, head: &Head) -> Result<Map<String, Value>, Denied> {
        let named = |key: &&Key| head.kid.is_none() || key.kid == head.kid;
        let mut outcome = match &head.kid {
            Some(kid) if self.has(kid) => Denied::Algorithm,
            _ => Denied::UnknownKey,
        };
        let fitting = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.verifies(head.algorithm));
        for key in fitting {
            match key.open(token) {
                Err(Denied::Signature) => outcome = Denied::Signature,
                other => return other,
            }
        }
        Err(outcome)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(count: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xa5; count])
    }

    fn ec(kid: usize) -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": bytes(32), "y": bytes(32), "kid": kid.to_string()})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn algorithms(key: &Value) -> Option<Vec<Algorithm>> {
        Key::read(key).map(|key| key.validation.algorithms)
    }

    #[test]
    fn which_keys_are_used_and_for_what() {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let rsa = |length| json!({"kty": "RSA", "n": bytes(length), "e": "AQAB"});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": bytes(32)});
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": bytes(48), "y": bytes(48)});
        let every_rsa = vec![RS256, RS384, RS512, PS256, PS384, PS512];
        for (key, expected) in [
            (rsa(256), Some(every_rsa.clone())),
            (with(rsa(256), "use", json!("sig")), Some(every_rsa)),
            (with(rsa(512), "alg", json!("PS256")), Some(vec![PS256])),
            (ec(1), Some(vec![ES256])),
            (with(ec(1), "alg", json!("ES256")), Some(vec![ES256])),
            (with(ec(1), "key_ops", json!(["verify"])), Some(vec![ES256])),
            (p384, Some(vec![ES384])),
            (ed.clone(), Some(vec![EdDSA])),
            (rsa(128), None),
            (with(rsa(256), "n", json!("")), None),
            (with(rsa(256), "use", json!("enc")), None),
            (with(rsa(256), "alg", json!("HS256")), None),
            (with(rsa(256), "alg", json!("RSA-OAEP")), None),
            (with(rsa(256), "alg", json!("none")), None),
            (with(ec(1), "alg", json!("ES384")), None),
            (with(ec(1), "alg", json!("HS256")), None),
            (with(ec(1), "x", json!(bytes(31))), None),
            (with(ec(1), "crv", json!("P-384")), None),
            (with(ec(1), "crv", json!("secp256k1")), None),
            (with(ec(1), "key_ops", json!(["sign"])), None),
            (with(ed.clone(), "x", json!(bytes(33))), None),
            (with(ed, "crv", json!("X25519")), None),
            (json!({"kty": "oct", "k": bytes(32)}), None),
            (
                json!({"kty": "oct", "k": bytes(32), "alg": "HS256", "use": "sig"}),
                None,
            ),
            (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}), None),
            (json!("key"), None),
            (json!({}), None),
        ] {
            assert_eq!(algorithms(&key), expected, "{key}");
        }
    }

    #[test]
    fn one_odd_key_spoils_nothing_and_many_are_cut() {
        let read = |keys: Vec<Value>| KeySet::read(json!({"keys": keys}).to_string().as_bytes());
        let set = read(vec![json!(7), json!({"kty": "oct", "k": "AAAA"}), ec(1)]).unwrap();
        assert!(set.len() == 1 && set.has("1") && !set.has(""));
        assert_eq!(read((0..100).map(ec).collect()).unwrap().len(), KEYS_MAX);
        assert!(matches!(read(vec![]), Err(FetchError::NoUsableKey)));
        assert!(matches!(
            read(vec![json!({"kty": "oct", "k": "AAAA"})]),
            Err(FetchError::NoUsableKey)
        ));
        for body in ["", "<html>", "[]", "{}", r#"{"keys": {}}"#] {
            assert!(
                matches!(KeySet::read(body.as_bytes()), Err(FetchError::Unreadable)),
                "{body}"
            );
        }
    }
}
