//! Signs bodies as the Standard Webhooks specification says: HMAC-SHA256 over `id.timestamp.body`, in base64 after `v1,`.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What secrets begin with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, as the specification wants them.
const BYTES: RangeInclusive<usize> = 24..=64;

/// Why a text is no secret. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has another form.
    #[error("the secret is not whsec_ and base64")]
    Form,
    /// It is too short to be safe, or too long.
    #[error("the secret has {0} bytes, and must have 24 to 64")]
    Length(usize),
}

/// A secret that both sides know. Never shown.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Reads a secret: `whsec_` and base64 of 24 to 64 bytes.
    pub fn read(secret: &str) -> Result<Self, KeyError> {
        let text = secret.trim().strip_prefix(PREFIX).ok_or(KeyError::Form)?;
        let bytes = STANDARD.decode(text).map_err(|_| KeyError::Form)?;
        if !BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| KeyError::Form)
    }

    /// The header `webhook-signature` of a body that is sent at `timestamp`, in seconds since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = self.0.clone();
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_example_of_the_specification_is_signed_alike() {
        let key = Key::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("is a secret");
        let body = r#"{"test": 2432232314}"#;
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_told() {
        for text in ["", "hunter2", "whsec_", "whsec_???", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Key::read(text).is_err(), "{text}");
        }
        assert_eq!(Key::read("whsec_c2hvcnQ=").err(), Some(KeyError::Length(5)));
        let key = Key::read(&format!("whsec_{}", STANDARD.encode([7; 64]))).expect("is a secret");
        assert_eq!(format!("{key:?}"), "[redacted]");
    }
}
