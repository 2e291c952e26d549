//! What a SERVER or TOOLBOX argument means: an id, the beginning of one, a name, or TOOLBOX/NAME.
//!
//! An id is taken as it is. A name is looked up exactly; only where nobody has it, the beginning of an id (4 digits or
//! more) is. What could be several things is none: the error lists them.

use uuid::Uuid;
use wire::api::{Server, Toolbox};

use crate::api::{Client, ServerFilter};
use crate::exit::{Exit, Failure};
use crate::show::clean;
use crate::show::server::{Toolboxes, toolbox_name};

/// The shortest beginning of an id that is taken for one.
const SHORTEST: usize = 4;
/// Candidates listed in an error; more would be no help.
const LISTED: usize = 8;

/// A server that was found, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: Uuid,
    /// As it was asked for, or its name.
    pub(crate) name: String,
}

/// Something that an argument may mean.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// `None` for toolboxes themselves.
    pub(crate) toolbox: Option<String>,
}

impl Candidate {
    fn of_server(server: &Server, toolboxes: &Toolboxes) -> Self {
        Self {
            id: server.server_id,
            name: server.name.clone(),
            toolbox: Some(toolbox_name(toolboxes, server.toolbox_id)),
        }
    }

    fn of_toolbox(toolbox: &Toolbox) -> Self {
        Self {
            id: toolbox.toolbox_id,
            name: toolbox.name.clone(),
            toolbox: None,
        }
    }

    fn shown(&self) -> String {
        match &self.toolbox {
            Some(toolbox) => format!("{}/{} ({})", clean(toolbox), clean(&self.name), self.id),
            None => format!("{} ({})", clean(&self.name), self.id),
        }
    }

    fn answers_to(&self, text: &str) -> bool {
        self.name == text
            || self.toolbox.as_ref().is_some_and(|toolbox| {
                let rest = text.strip_prefix(toolbox.as_str());
                rest.and_then(|rest| rest.strip_prefix('/')) == Some(self.name.as_str())
            })
    }
}

/// Whether a text can be the beginning of an id.
fn is_beginning(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_hexdigit).count();
    (SHORTEST..36).contains(&digits)
        && text
            .chars()
            .all(|letter| letter.is_ascii_hexdigit() || letter == '-')
}

/// The one that a text means.
pub(crate) fn choose<'a>(
    kind: &str,
    text: &str,
    candidates: &'a [Candidate],
) -> Result<&'a Candidate, Failure> {
    let by_name: Vec<&Candidate> = candidates.iter().filter(|one| one.answers_to(text)).collect();
    let matching = if by_name.is_empty() && is_beginning(text) {
        let beginning = text.to_lowercase();
        let begins = |one: &&Candidate| one.id.to_string().starts_with(&beginning);
        candidates.iter().filter(begins).collect()
    } else {
        by_name
    };
    match matching.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::not_found(format!(
            "no {kind} is named {}, or has an id that begins so",
            clean(text)
        ))),
        several => {
            let listed: Vec<String> = several.iter().take(LISTED).map(|one| one.shown()).collect();
            let more = match several.len().saturating_sub(LISTED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} is ambiguous: it may be {}{more}",
                    clean(text),
                    listed.join(", ")
                ),
            ))
        }
    }
}

/// Finds the servers that texts mean, each on its own.
pub(crate) async fn servers(client: &Client, texts: &[String]) -> Vec<Result<Found, Failure>> {
    let mut lookup = Lookup {
        client,
        toolboxes: None,
        all: None,
    };
    let mut found = Vec::with_capacity(texts.len());
    for text in texts {
        found.push(match text.parse::<Uuid>() {
            Ok(id) => Ok(id),
            Err(_) => lookup.find(text).await,
        });
    }
    let named = |(id, text): (Result<Uuid, Failure>, &String)| {
        id.map(|id| Found {
            id,
            name: text.clone(),
        })
    };
    found.into_iter().zip(texts).map(named).collect()
}

/// Finds the server that a text means.
pub(crate) async fn server(client: &Client, text: &str) -> Result<Found, Failure> {
    let mut found = servers(client, &[text.to_owned()]).await;
    found
        .pop()
        .unwrap_or_else(|| Err(Failure::not_found(clean(text))))
}

/// What was read so far to find out what texts mean.
struct Lookup<'a> {
    client: &'a Client,
    toolboxes: Option<Toolboxes>,
    /// All servers: read at most once, and only for the beginning of an id.
    all: Option<Vec<Candidate>>,
}

impl Lookup<'_> {
    async fn find(&mut self, text: &str) -> Result<Uuid, Failure> {
        // The API finds names that have a text in them, so the end of TOOLBOX/NAME finds whatever the name is.
        let part = text.rsplit('/').next().unwrap_or(text);
        let named = self.read(Some(part)).await?;
        match choose("server", text, &named) {
            Err(failure) if failure.exit == Exit::NotFound && is_beginning(text) => {}
            chosen => return chosen.map(|one| one.id),
        }
        let all = match self.all.take() {
            Some(all) => all,
            None => self.read(None).await?,
        };
        choose("server", text, self.all.insert(all)).map(|one| one.id)
    }

    async fn read(&mut self, name: Option<&str>) -> Result<Vec<Candidate>, Failure> {
        let filter = ServerFilter {
            name: name.filter(|name| !name.is_empty()).map(str::to_owned),
            ..ServerFilter::default()
        };
        let servers = self.client.servers(&filter).await?.items;
        let toolboxes = match self.toolboxes.take() {
            Some(toolboxes) => toolboxes,
            None => names(self.client).await?,
        };
        let toolboxes = self.toolboxes.insert(toolboxes);
        Ok(servers
            .iter()
            .map(|server| Candidate::of_server(server, toolboxes))
            .collect())
    }
}

/// Finds the toolbox that a text means.
pub(crate) async fn toolbox(client: &Client, text: &str) -> Result<Uuid, Failure> {
    if let Ok(id) = text.parse::<Uuid>() {
        return Ok(id);
    }
    let all = client.toolboxes().await?;
    let candidates: Vec<Candidate> = all.items.iter().map(Candidate::of_toolbox).collect();
    choose("toolbox", text, &candidates).map(|one| one.id)
}

/// The names of the caller's toolboxes.
pub(crate) async fn names(client: &Client) -> Result<Toolboxes, Failure> {
    let all = client.toolboxes().await?;
    Ok(all
        .items
        .into_iter()
        .map(|toolbox| (toolbox.toolbox_id, toolbox.name))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: &str, toolbox: &str, name: &str) -> Candidate {
        Candidate {
            id: id.parse().unwrap(),
            name: name.to_owned(),
            toolbox: Some(toolbox.to_owned()),
        }
    }

    #[test]
    fn names_ids_and_their_beginnings() {
        let all = [
            candidate("abcd0000-0000-4000-8000-000000000001", "one", "github"),
            candidate("abcd0000-0000-4000-8000-000000000002", "two", "github"),
            candidate("abce0000-0000-4000-8000-000000000003", "two", "files"),
            candidate("12340000-0000-4000-8000-000000000004", "two/three", "abce"),
            candidate("56780000-0000-4000-8000-000000000005", "two", "three/a\x1bb"),
        ];
        let texts = [
            "files",
            "one/github",
            "github",
            "abcd",
            "ABCD0000-0000-4000-8000-000000000002",
            "abcd0000-0000-4000-8000-00000000000",
            "abc",
            "abce",
            "1234",
            "two/three/abce",
            "three/files",
            "nothing\x1b[2J",
            "",
        ];
        let lines: String = texts
            .iter()
            .map(|text| match choose("server", text, &all) {
                Ok(one) => format!("{text:?} is {}\n", one.shown()),
                Err(failure) => format!("{text:?}: {} {failure}\n", failure.exit.code()),
            })
            .collect();
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn many_candidates_are_not_all_listed() {
        let all: Vec<Candidate> = (0..20)
            .map(|n| candidate(&Uuid::from_u128(n).to_string(), &format!("box-{n}"), "github"))
            .collect();
        let failure = choose("server", "github", &all).unwrap_err();
        assert!(failure.text.ends_with(", and 12 more"), "{failure}");
    }
}
