//! From an answer that is none to an exit code and a line. The one place that maps errors of the API.

use wire::api::Problem;

use crate::exit::{Exit, Failure};
use crate::show::{clean, table};

/// Longest text of a server that is printed: a line or three, and not what a proxy thinks an error page is.
const LONGEST: usize = 400;

/// The failure for an answer with a status that is no success. `retry_after` in seconds, as the server gave it.
pub(crate) fn failure(status: u16, body: &[u8], retry_after: Option<u64>) -> Failure {
    let mut text = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => words(&problem),
        Err(_) if (300..400).contains(&status) => {
            format!("the API answered {status}, a redirect, which is not followed: check the API's URL")
        }
        Err(_) => format!("the API answered {status} without saying why: check the API's URL"),
    };
    if let Some(seconds) = retry_after {
        text.push_str(&format!(" (try again in {seconds} s)"));
    }
    if status == 401 {
        text.push_str("; see `statusctl profile --help` for where tokens come from");
    }
    Failure::new(exit(status), text)
}

fn exit(status: u16) -> Exit {
    match status {
        400 | 405 | 406 | 411 | 413..=415 | 422 => Exit::Usage,
        401 | 403 => Exit::NotPermitted,
        404 | 410 => Exit::NotFound,
        409 | 412 | 428 => Exit::Conflict,
        408 | 425 | 429 | 502..=504 => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

/// Title, detail, and what they are about: `Conflict: a stop is under way (command 0190…)`.
fn words(problem: &Problem) -> String {
    let (title, detail) = (clean(problem.title.trim()), clean(problem.detail.trim()));
    let begins_alike = detail.to_lowercase().starts_with(&title.to_lowercase());
    let mut text = match (title.is_empty() || begins_alike, detail.is_empty()) {
        (true, false) => detail,
        (_, true) => title,
        (false, false) => format!("{title}: {detail}"),
    };
    // Often the detail begins with it.
    if let Some(field) = problem
        .field
        .as_ref()
        .filter(|field| !text.contains(field.as_str()))
    {
        text.push_str(&format!(" (field {})", clean(field)));
    }
    if let Some(command) = &problem.command_id {
        text.push_str(&format!(" (command {command})"));
    }
    // An internal error says nothing of itself but where to look for it.
    if let (500, Some(request)) = (problem.status, &problem.request_id) {
        text.push_str(&format!(" (request {})", clean(request)));
    }
    table::cut(&text, LONGEST)
}

/// The failure for no answer at all.
pub(crate) fn no_answer(place: &str, error: &reqwest::Error) -> Failure {
    // The innermost says what happened ("Connection refused"); the outer ones repeat the URL.
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    let why = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        clean(&source.to_string())
    };
    Failure::unreachable(format!("failed to reach the API at {place}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, title: &str, detail: &str, more: &serde_json::Value) -> Failure {
        let mut body = serde_json::json!({
            "type": "about:blank", "title": title, "status": status, "detail": detail,
        });
        let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) else {
            panic!("objects");
        };
        body.extend(more.clone());
        let after = (status == 429 || status == 503).then_some(3);
        failure(status, &serde_json::to_vec(&body).unwrap(), after)
    }

    #[test]
    fn every_problem_is_a_code_and_a_line() {
        use serde_json::json;
        let id = "0190a1b2-0000-7000-8000-000000000000";
        let failures = [
            problem(
                400,
                "bad request",
                "expected an http or https URL",
                &json!({"field": "baseUrl"}),
            ),
            problem(401, "unauthorised", "the token has expired", &json!({})),
            problem(403, "forbidden", "only its owner may do that", &json!({})),
            problem(404, "not found", "not found: no such server", &json!({})),
            problem(409, "conflict", "a stop is under way", &json!({"commandId": id})),
            problem(412, "precondition failed", "", &json!({})),
            problem(422, "", "it is empty", &json!({"field": "name"})),
            problem(422, "bad request", "name: it is empty", &json!({"field": "name"})),
            problem(429, "too many requests", "10 a second", &json!({})),
            problem(500, "internal error", "see the log", &json!({"requestId": "abc"})),
            problem(503, "unavailable", "the database is away", &json!({})),
            failure(302, b"", None),
            failure(502, b"<html>\x1b[2J", Some(30)),
            failure(418, b"{}", None),
        ];
        let lines: String = failures
            .iter()
            .map(|failure| format!("{:>3}  statusctl: {failure}\n", failure.exit.code()))
            .collect();
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn a_long_text_is_cut_and_obeyed_by_no_terminal() {
        let failure = problem(
            400,
            "x",
            &format!("a\x1b[2J\n{}", "y".repeat(10_000)),
            &serde_json::json!({}),
        );
        assert!(!failure.text.contains(['\x1b', '\n']));
        assert!(failure.text.chars().count() <= LONGEST);
    }
}
