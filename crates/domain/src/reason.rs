//! Why a state is what it is.

use jiff::Timestamp;

use crate::labels::labels;

labels! {
    /// The codes of `last_error`: one for every state about which people ask "why?".
    ReasonCode {
        /// The container ended by itself with a non-zero code.
        ExitCode = "exit_code",
        /// The kernel ended the container for want of memory.
        OomKilled = "oom_killed",
        /// A whole list of the toolbox's containers no longer has it.
        Missing = "missing",
        /// The agent says that it knows no such container.
        NotFound = "not_found",
        /// The container's processes are frozen.
        Paused = "paused",
        /// The agent called the container failed, dead or not inspectable and gave no better cause.
        ReportedError = "reported_error",
        /// The agent used a word that nobody knows; it is kept in the message.
        UnknownStatus = "unknown_status",
        /// Docker's own health check of the container fails.
        HealthCheckFailing = "health_check_failing",
        /// Docker's own health check has not passed yet.
        HealthCheckStarting = "health_check_starting",
        /// Starting for longer than it may take.
        StartTimeout = "start_timeout",
        /// The agent did not carry out a command.
        CommandFailed = "command_failed",
        /// State and health are an operator's word, not observed.
        OperatorOverride = "operator_override",
        /// Nobody has it watched.
        NotMonitored = "not_monitored",
        /// The agent does not answer.
        AgentUnreachable = "agent_unreachable",
        /// The agent answers that our token is wrong.
        AgentRejectedToken = "agent_rejected_token",
        /// The agent answers, but not with what the protocol says.
        AgentBadAnswer = "agent_bad_answer",
        /// The agent answers, but its Docker engine does not.
        DockerUnavailable = "docker_unavailable",
        /// The agent answers, but has stopped speaking of this container.
        NotReported = "not_reported",
        /// Most toolboxes fell silent at once: the fault is the observer's, not theirs.
        ObserverBlind = "observer_blind",
    }
}

/// A code and a sentence for people. The message is never markup and never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What programs branch on.
    pub code: ReasonCode,
    /// What people read; at most 500 characters, no control characters.
    pub message: String,
}

impl Reason {
    /// A reason whose text may come from an agent: it is sanitised here, so nobody can forget to.
    pub fn new(code: ReasonCode, message: impl AsRef<str>) -> Self {
        Self {
            code,
            message: sanitise(message.as_ref()),
        }
    }
}

/// A [`Reason`] and since when it has held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// What and why.
    pub reason: Reason,
    /// When this code was first the reason.
    pub at: Timestamp,
}

impl LastError {
    /// The error to keep when `now_true` is the reason at `at`: the same code keeps its beginning.
    pub(crate) fn carry(
        known: Option<LastError>,
        now_true: Option<Reason>,
        at: Timestamp,
    ) -> Option<LastError> {
        now_true.map(|reason| match known {
            Some(known) if known.reason.code == reason.code => LastError { reason, at: known.at },
            _ => LastError { reason, at },
        })
    }
}

/// Longest message kept, in characters: a sentence or two, enough for an agent's error line.
const MAX_MESSAGE: usize = 500;

/// Words after which a value is a secret, whatever separates them.
const SECRET_KEYS: [&str; 8] = [
    "authorization",
    "bearer",
    "token",
    "password",
    "passwd",
    "secret",
    "apikey",
    "api_key",
];

/// Makes an agent's text safe to store and show: control characters become spaces, runs of blanks one,
/// what looks like a secret `[redacted]`, and the whole at most 500 characters.
///
/// A secret is a value behind a telling key (`token=…`, `Authorization: Bearer …`), the user part of a URL, or
/// any run of 32 or more letters and digits, which is how agents' tokens look. It is a net for accidents, not a
/// proof: nothing here is trusted to be free of secrets that look like words.
pub fn sanitise(text: &str) -> String {
    // Work is bounded whatever the agent sends: nothing past this prefix can survive the cut below.
    let prefix: String = text.chars().take(MAX_MESSAGE * 4).collect();
    let mut out = String::new();
    let mut hide_next = false;
    for word in prefix
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        let (shown, key) = if hide_next {
            ("[redacted]".to_owned(), is_secret_key(word))
        } else {
            redact(word)
        };
        out.push_str(&shown);
        hide_next = key;
    }
    match out.char_indices().nth(MAX_MESSAGE - 1) {
        Some((cut, last)) if out.len() > cut + last.len_utf8() => {
            out.truncate(cut);
            out.push('…');
        }
        _ => {}
    }
    out
}

fn is_secret_key(word: &str) -> bool {
    let bare = word
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_ascii_lowercase();
    SECRET_KEYS.iter().any(|key| bare.ends_with(key))
}

/// The word without its secrets, and whether the *next* word is one.
fn redact(word: &str) -> (String, bool) {
    if is_secret_key(word) {
        return (word.to_owned(), true);
    }
    if let Some((key, value)) = word.split_once(['=', ':'])
        && is_secret_key(key)
    {
        let blank = value.chars().all(|c| !c.is_ascii_alphanumeric());
        return if blank {
            (word.to_owned(), true)
        } else {
            (format!("{key}=[redacted]"), false)
        };
    }
    if let (Some(scheme), Some(at)) = (word.find("://"), word.rfind('@'))
        && scheme + 3 <= at
    {
        return (format!("{}://[redacted]{}", &word[..scheme], &word[at..]), false);
    }
    let mut out = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_alphanumeric() || c == '_' {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() >= 32 { "[redacted]" } else { &run });
        run.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_survive() {
        let token = "a1".repeat(32);
        for text in [
            format!("Authorization: Bearer {token}"),
            format!("request with token={token} failed"),
            format!("dial http://admin:hunter2@10.0.0.1/ {token}"),
            format!("password: hunter2 ({token})"),
            "PASSWORD hunter2".to_owned(),
            "x-api_key=hunter2".to_owned(),
        ] {
            let clean = sanitise(&text);
            assert!(
                !clean.contains("hunter2") && !clean.contains(&token),
                "{text:?} → {clean:?}"
            );
            assert!(clean.contains("[redacted]"), "{clean:?}");
        }
    }

    #[test]
    fn ordinary_text_is_kept_and_bounded() {
        assert_eq!(
            sanitise("exit\ncode\t137\u{7} (out of memory)"),
            "exit code 137 (out of memory)"
        );
        assert_eq!(
            sanitise("connect to 10.0.0.7:30000: refused"),
            "connect to 10.0.0.7:30000: refused"
        );
        let long = sanitise(&"word ".repeat(10_000));
        assert_eq!(long.chars().count(), MAX_MESSAGE);
        assert!(long.ends_with('…'));
        assert_eq!(sanitise(&"é".repeat(MAX_MESSAGE)).chars().count(), MAX_MESSAGE);
    }
}
