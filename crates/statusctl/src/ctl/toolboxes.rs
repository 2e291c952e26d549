//! `toolbox`: the machines whose agents are asked.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ctl::Context;
use crate::ctl::servers::Form;
use crate::exit::Failure;
use crate::find;
use crate::show::{clean, toolbox};

/// What to do with toolboxes.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Toolboxes {
    /// List your toolboxes, and whether their agents answer
    List {
        /// How to print it
        #[arg(long, short, value_enum, value_name = "FORM", conflicts_with = "json")]
        output: Option<Form>,
    },
    /// Show one toolbox in full, with its servers
    Show {
        /// Which one: its name, its id, or the beginning of its id
        toolbox: String,
    },
    /// Register a toolbox
    ///
    ///   statusctl toolbox add vm-7 --ip 10.0.0.7 --agent-token-file vm-7.token
    ///   pass show vm-8 | statusctl toolbox add vm-8 --base-url https://vm-8.example --agent-token-file -
    #[command(verbatim_doc_comment)]
    Add {
        /// A name for people
        name: String,
        /// Where its agent is reached.
        #[command(flatten)]
        address: Address,
        /// Whose it is; yours, if not given
        #[arg(long, value_name = "UUID")]
        account: Option<Uuid>,
        /// Give it this id; else one is made up
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// Change a toolbox's name, address or token; what is not given stays
    ///
    ///   statusctl toolbox change vm-7 --name vm-9 --ip 10.0.0.9
    ///   statusctl toolbox change vm-7 --base-url ''      it is reached by its IP address again
    #[command(verbatim_doc_comment)]
    Change {
        /// Which one: its name, its id, or the beginning of its id
        toolbox: String,
        /// Another name for people
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Where its agent is reached.
        #[command(flatten)]
        address: Address,
    },
    /// Take a toolbox and its servers out of the registry; what runs on it stays as it is
    Remove {
        /// Which one: its name, its id, or the beginning of its id
        toolbox: String,
    },
}

/// Where an agent is reached, and with which token.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Address {
    /// Where its agent is reached, http or https
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The machine's address, where there is no base URL
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// Read its agent's own token from the first line of this file, or of standard input with `-`
    #[arg(long, value_name = "FILE")]
    pub agent_token_file: Option<PathBuf>,
}

impl Address {
    /// The fields of a new toolbox or a change. Made by hand, because a token is never written out by its type.
    async fn fields(&self) -> Result<Map<String, Value>, Failure> {
        let mut fields = Map::new();
        let mut add = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), Value::from(value.as_str()));
            }
        };
        add("baseUrl", &self.base_url);
        add("publicIpAddress", &self.ip);
        if let Some(path) = &self.agent_token_file {
            let token = token(path).await?;
            fields.insert("token".to_owned(), Value::from(token));
        }
        Ok(fields)
    }
}

async fn token(path: &Path) -> Result<String, Failure> {
    let token = crate::place::read_file_or_stdin(path).await?;
    Ok(token.expose_secret().to_owned())
}

/// Does it.
///
/// # Errors
/// When it is refused.
pub async fn run(context: &Context, what: &Toolboxes) -> Result<(), Failure> {
    let client = context.client().await?;
    match what {
        Toolboxes::List { output } => {
            let mut all = client.toolboxes().await?;
            context.note_stale(all.stale);
            all.items
                .sort_by(|a, b| (&a.name, a.toolbox_id).cmp(&(&b.name, b.toolbox_id)));
            if all.items.is_empty() && !context.global.json {
                context.note("no toolboxes");
                return Ok(());
            }
            context.answer(&all.items, |look| match output {
                Some(Form::Name) => all
                    .items
                    .iter()
                    .map(|one| format!("{}\n", clean(&one.name)))
                    .collect(),
                form => toolbox::list(&all.items, *form == Some(Form::Wide), look),
            });
        }
        Toolboxes::Show { toolbox } => {
            let id = find::toolbox(&client, toolbox).await?;
            let found = client.toolbox(id).await?;
            context.note_stale(found.stale);
            context.answer(&found, |look| toolbox::details(&found, look));
        }
        Toolboxes::Add {
            name,
            address,
            account,
            id,
        } => {
            let mut fields = address.fields().await?;
            fields.insert("name".to_owned(), Value::from(name.as_str()));
            fields.extend(account.map(|id| ("accountId".to_owned(), Value::from(id.to_string()))));
            fields.extend(id.map(|id| ("toolboxId".to_owned(), Value::from(id.to_string()))));
            let made = client.add_toolbox(Value::Object(fields), Uuid::new_v4()).await?;
            context.told(&made, &format!("{name} added ({})", made.toolbox_id));
        }
        Toolboxes::Change {
            toolbox,
            name,
            address,
        } => {
            let mut fields = address.fields().await?;
            fields.extend(
                name.as_ref()
                    .map(|name| ("name".to_owned(), Value::from(name.as_str()))),
            );
            if fields.is_empty() {
                return Err(Failure::usage(
                    "say what is to change: see `statusctl toolbox change --help`",
                ));
            }
            let id = find::toolbox(&client, toolbox).await?;
            let changed = client
                .change_toolbox(id, Value::Object(fields), Uuid::new_v4())
                .await?;
            context.told(&changed, &format!("{} changed ({id})", changed.name));
        }
        Toolboxes::Remove { toolbox } => {
            let id = find::toolbox(&client, toolbox).await?;
            client.remove_toolbox(id, Uuid::new_v4()).await?;
            let gone = serde_json::json!({ "toolboxId": id });
            context.told(&gone, &format!("{toolbox} removed ({id})"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_what_the_api_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "an-agents-own-token\n").unwrap();
        let address = Address {
            base_url: Some("http://a:30000".to_owned()),
            ip: Some("10.0.0.7".to_owned()),
            agent_token_file: Some(path),
        };
        let mut fields = address.fields().await.unwrap();
        let change: wire::api::ToolboxChange = serde_json::from_value(Value::Object(fields.clone())).unwrap();
        assert_eq!(change.token.unwrap().expose_secret(), "an-agents-own-token");
        fields.insert("name".to_owned(), "vm-7".into());
        fields.insert("accountId".to_owned(), Uuid::nil().to_string().into());
        fields.insert("toolboxId".to_owned(), Uuid::nil().to_string().into());
        let new: wire::api::NewToolbox = serde_json::from_value(Value::Object(fields)).unwrap();
        assert_eq!(new.base_url.as_deref(), Some("http://a:30000"));
        assert_eq!(new.public_ip_address.as_deref(), Some("10.0.0.7"));
        assert!(Address::default().fields().await.unwrap().is_empty());
    }
}
