//! Signatures as Standard Webhooks has them: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

/// What secrets begin with, when people see them.
const PREFIX: &str = "whsec_";

/// A secret, ready to sign with. Prints nothing of itself.
pub(crate) struct Secret {
    key: hmac::Key,
    until: Option<Timestamp>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// Reads a secret; `None`: it is none.
    pub(crate) fn read(text: &SecretString, until: Option<Timestamp>) -> Option<Self> {
        let bytes = STANDARD.decode(text.expose_secret().strip_prefix(PREFIX)?).ok()?;
        Some(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            until,
        })
    }
}

/// The header `webhook-signature`: one signature by each secret that is in force, so that a receiver that knows either
/// finds its own.
pub(crate) fn signatures(secrets: &[Secret], id: Uuid, now: Timestamp, body: &str) -> String {
    let signed = format!("{id}.{}.{body}", now.as_second());
    let in_force = secrets
        .iter()
        .filter(|secret| secret.until.is_none_or(|until| now < until));
    let signatures: Vec<_> = in_force
        .map(|secret| {
            let tag = hmac::sign(&secret.key, signed.as_bytes());
            format!("v1,{}", STANDARD.encode(tag))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_specification_s_example() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into();
        let secret = Secret::read(&text, None).unwrap();
        let signed = format!(
            "{}.{}.{}",
            "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#
        );
        let tag = hmac::sign(&secret.key, signed.as_bytes());
        assert_eq!(
            STANDARD.encode(tag),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn both_secrets_sign_until_the_former_ends() {
        let now = Timestamp::from_second(1000).unwrap();
        let secret = |text: &str, until| Secret::read(&format!("whsec_{text}").into(), until).unwrap();
        let ends = Timestamp::from_second(1001).unwrap();
        let both = [secret("bmV3", None), secret("b2xk", Some(ends))];
        let text = signatures(&both, Uuid::nil(), now, "{}");
        assert_eq!(text.split(' ').count(), 2);
        let (new, old) = text.split_once(' ').unwrap();
        assert_ne!(new, old);
        assert_eq!(signatures(&both, Uuid::nil(), ends, "{}").split(' ').count(), 1);
        assert_eq!(signatures(&both[..1], Uuid::nil(), now, "{}"), new);
    }

    #[test]
    fn what_is_no_secret_signs_nothing_and_nothing_is_printed() {
        for text in ["", "bmV3", "whsec_%%%"] {
            assert!(Secret::read(&text.into(), None).is_none(), "{text}");
        }
        let secret = Secret::read(&"whsec_bmV3".into(), None).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret { until: None, .. }");
    }
}
