//! The token of a request.

use bus::TokenHash;
use http::{HeaderMap, header};

use super::refusal::Refusal;

/// Longest token taken, in bytes. Agents' have 64 digits.
const MAX: usize = 1_024;

/// The hash of the token in `Authorization: Bearer TOKEN` (RFC 6750, §2.1). The token itself goes no further.
pub(super) fn hash(headers: &HeaderMap) -> Result<TokenHash, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values
        .next()
        .ok_or(Refusal::Malformed("the Authorization header is missing"))?;
    if values.next().is_some() {
        return Err(Refusal::Malformed("there are several Authorization headers"));
    }
    let malformed = Refusal::Malformed("the Authorization header is not Bearer and a token");
    let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.trim().split_once(' ')) else {
        return Err(malformed);
    };
    let token = token.trim();
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX || !visible {
        return Err(malformed);
    }
    Ok(TokenHash::of(token))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Option<TokenHash> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        hash(&headers).ok()
    }

    #[test]
    fn only_one_bearer_token_is_one() {
        let token = Some(TokenHash::of("abc"));
        for good in [
            &b"Bearer abc"[..],
            b"bearer abc",
            b"BEARER   abc ",
            b" Bearer abc",
        ] {
            assert_eq!(of(&[good]), token, "{good:?}");
        }
        let long = [b"Bearer ", "a".repeat(MAX + 1).as_bytes()].concat();
        for bad in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"abc",
            b"Basic abc",
            b"Bearer a b",
            b"Bearer \xff",
            &long,
        ] {
            assert_eq!(of(&[bad]), None, "{bad:?}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[b"Bearer abc", b"Bearer abc"]), None);
    }
}
