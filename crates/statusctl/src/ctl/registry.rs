//! `server`: a server's registration, for installations that have no owner application.

use uuid::Uuid;
use wire::api::{NewServer, ServerChange};

use crate::ctl::{Context, Failures};
use crate::exit::{Exit, Failure};
use crate::find;
use crate::show::clean;

/// A server's registration.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Registration {
    /// Register a server: a container that is there, or will be
    ///
    ///   statusctl server add toolbox-00001 mcp-github
    #[command(verbatim_doc_comment)]
    Add {
        /// On which toolbox: its name, its id, or the beginning of its id
        toolbox: String,
        /// The container's name
        name: String,
        /// Give it this id; else one is made up
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
        /// Do not watch it yet
        #[arg(long)]
        unmonitored: bool,
    },
    /// Take servers out of the registry; their containers stay as they are
    ///
    ///   statusctl server remove toolbox-00001/mcp-github
    ///
    /// To remove the container too, use `statusctl delete`.
    #[command(verbatim_doc_comment)]
    Remove {
        /// Which servers
        #[arg(required = true, value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Register a server under another container's name
    ///
    ///   statusctl server rename mcp-github mcp-github-2
    #[command(verbatim_doc_comment)]
    Rename {
        /// Which server
        server: String,
        /// The container's name
        name: String,
    },
}

/// Changes the registry.
///
/// # Errors
/// When it is refused.
pub async fn registration(context: &Context, what: &Registration) -> Result<Exit, Failure> {
    let client = context.client().await?;
    match what {
        Registration::Add {
            toolbox,
            name,
            id,
            unmonitored,
        } => {
            let new = NewServer {
                server_id: *id,
                toolbox_id: find::toolbox(&client, toolbox).await?,
                name: name.clone(),
                monitored: unmonitored.then_some(false),
            };
            let server = client.add_server(&new, Uuid::new_v4()).await?;
            context.told(&server, &format!("{name} added ({})", server.server_id));
        }
        Registration::Remove { servers } => {
            let mut removed = Vec::new();
            let mut failures = Failures::default();
            for found in find::servers(&client, servers).await {
                let removing = async {
                    let found = found?;
                    client.remove_server(found.id, Uuid::new_v4()).await?;
                    Ok(found)
                };
                match removing.await {
                    Ok(found) => removed.push(found),
                    Err(failure) => failures.add(context, failure),
                }
            }
            let ids: Vec<_> = removed
                .iter()
                .map(|found| serde_json::json!({ "serverId": found.id }))
                .collect();
            let lines: Vec<String> = removed
                .iter()
                .map(|found| format!("{} removed\n", clean(&found.name)))
                .collect();
            context.answer(&ids, |_| lines.concat());
            return failures.end();
        }
        Registration::Rename { server, name } => {
            let found = find::server(&client, server).await?;
            let change = ServerChange {
                name: Some(name.clone()),
            };
            let server = client.change_server(found.id, &change, Uuid::new_v4()).await?;
            context.told(&server, &format!("{} is now {name}", found.name));
        }
    }
    Ok(Exit::Done)
}
