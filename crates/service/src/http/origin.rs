//! The origins of pages (RFC 6454).

use url::Url;

/// Whether a text is scheme, host and port as browsers send them in `Origin`: http or https, in lower case, without a path
/// and without the scheme's own port.
pub fn is_origin(text: &str) -> bool {
    text.parse::<Url>().is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_browsers_send_it() {
        for good in ["https://app.example", "http://127.0.0.1:8080", "http://[::1]"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "ftp://app.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
