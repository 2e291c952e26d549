use axum::body::to_bytes;
use axum::http::Request;
use tower::ServiceExt as _;

use super::*;

#[derive(RustEmbed)]
#[folder = "src/board/fixture"]
struct Fixture;

#[derive(RustEmbed)]
#[folder = "src/board/nothing"]
#[allow_missing = true]
struct Nothing;

const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
const CSP: &str = "content-security-policy";

async fn ask<F: RustEmbed + 'static>(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, String) {
    let options = BoardOptions {
        board_api_url: Some("https://api.example/status/".to_owned()),
        ..BoardOptions::default()
    };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = router_of::<F>(&options).unwrap();
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (
        parts.status.as_u16(),
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test]
async fn pages_and_files_and_nothing_else() {
    for (path, headers, status, holds) in [
        ("/", &[][..], 200, "<title>board"),
        ("/index.html", &[], 200, "<title>board"),
        ("/servers/5b2d", &[PAGE], 200, "<title>board"),
        ("/toolboxes/5b2d/", &[PAGE], 200, "<title>board"),
        ("/assets/index-abc123.js", &[], 200, "// A script"),
        ("/favicon.svg", &[], 200, "<svg"),
        // What is no page is not made one.
        ("/servers/5b2d", &[], 404, "nothing here"),
        (
            "/servers/5b2d",
            &[("accept", "application/json")],
            404,
            "nothing here",
        ),
        ("/assets/index-gone.js", &[PAGE], 404, "nothing here"),
        ("/assets/gone", &[PAGE], 404, "nothing here"),
        ("/robots.txt", &[PAGE], 404, "nothing here"),
        ("/v1/servers", &[PAGE], 404, "nothing here"),
        ("/v1", &[PAGE], 404, "nothing here"),
        ("/livez/x", &[PAGE], 404, "nothing here"),
        ("/metrics/", &[PAGE], 404, "nothing here"),
        // Nor is anything outside of it.
        ("/../mod.rs", &[], 404, "nothing here"),
        ("/assets/../../mod.rs", &[], 404, "nothing here"),
        ("/%2e%2e/mod.rs", &[], 404, "nothing here"),
    ] {
        let (found, got, body) = ask::<Fixture>("GET", path, headers).await;
        assert_eq!(found, status, "{path} {body}");
        assert!(body.contains(holds), "{path}: {body}");
        let kind = got["content-type"].to_str().unwrap();
        assert_eq!(
            kind == "application/problem+json",
            status == 404,
            "{path}: {kind}"
        );
    }
    let (status, headers, _) = ask::<Fixture>("POST", "/", &[]).await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    assert_eq!(ask::<Fixture>("POST", "/v1/x", &[]).await.0, 404);
    assert_eq!(ask::<Fixture>("HEAD", "/", &[]).await.0, 200);
}

#[tokio::test]
async fn what_is_known_is_not_sent_again_and_what_never_changes_is_kept() {
    for (path, cache) in [
        ("/", "no-cache"),
        ("/servers/x", "no-cache"),
        ("/favicon.svg", "no-cache"),
        ("/assets/index-abc123.js", "public, max-age=31536000, immutable"),
    ] {
        let (_, first, _) = ask::<Fixture>("GET", path, &[PAGE]).await;
        assert_eq!(first["cache-control"], cache, "{path}");
        let etag = first["etag"].to_str().unwrap();
        for tag in [
            etag,
            "*",
            &format!("\"x\", {etag}"),
            etag.trim_start_matches("W/"),
        ] {
            let (status, headers, body) = ask::<Fixture>("GET", path, &[PAGE, ("if-none-match", tag)]).await;
            assert_eq!((status, body.as_str()), (304, ""), "{path} {tag}");
            assert_eq!(
                (&headers["etag"], &headers["cache-control"]),
                (&first["etag"], &first["cache-control"])
            );
        }
        assert_eq!(
            ask::<Fixture>("GET", path, &[PAGE, ("if-none-match", "\"x\"")])
                .await
                .0,
            200
        );
    }
    let (_, headers, body) =
        ask::<Fixture>("GET", "/assets/index-abc123.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["vary"], "accept-encoding");
    assert!(!body.contains("A script"));
}

#[tokio::test]
async fn a_page_may_do_what_it_needs_and_nothing_else() {
    let (_, headers, _) = ask::<Fixture>("GET", "/", &[]).await;
    assert_eq!(
        headers[CSP],
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self' https://api.example; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value);
    }
    let (_, headers, body) = ask::<Fixture>("GET", "/board.json", &[]).await;
    assert_eq!(headers["cache-control"], "no-store");
    let settings: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        settings,
        serde_json::json!({"apiUrl": "https://api.example/status", "version": env!("CARGO_PKG_VERSION")})
    );
}

#[tokio::test]
async fn what_was_not_built_says_how_to() {
    for path in ["/", "/servers/x"] {
        let (status, headers, body) = ask::<Nothing>("GET", path, &[PAGE]).await;
        assert_eq!(status, 200);
        assert_eq!(headers["content-type"], "text/html");
        assert_eq!(headers["cache-control"], "no-cache");
        assert!(body.contains("scripts/web build") && body.contains("npm ci"));
        let policy = headers[CSP].to_str().unwrap();
        assert!(
            policy.contains("style-src 'sha256-") && policy.contains("connect-src 'none'"),
            "{policy}"
        );
    }
    assert!(
        style(UNBUILT).contains("body {"),
        "the hash is of what browsers hash"
    );
    assert_eq!(ask::<Nothing>("GET", "/assets/x.js", &[PAGE]).await.0, 404);
}

#[test]
fn addresses_that_cannot_be_are_named() {
    let with = |url: &str| BoardOptions {
        board_api_url: Some(url.to_owned()),
        ..BoardOptions::default()
    };
    assert!(with("").api_url().unwrap().is_none());
    for bad in [
        "api.example",
        "ftp://api.example",
        "https://u@api.example",
        "https://api.example/?a",
        "https://api.example/#a",
    ] {
        let error = with(bad).api_url().unwrap_err().to_string();
        assert!(error.starts_with("--board-api-url"), "{error}");
    }
}
