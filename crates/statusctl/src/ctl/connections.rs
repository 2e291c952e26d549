//! `connection`: which agent is connected to which server.

use uuid::Uuid;
use wire::api::NewConnection;

use crate::ctl::Context;
use crate::exit::Failure;
use crate::find;
use crate::show::connection;

/// What to do with connections.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Connections {
    /// List the connections of your agents and to your servers
    List,
    /// Connect an agent to a server; whose agent it is may then see the server
    ///
    ///   statusctl connection add mcp-github --agent 6f1c0b9e-3c52-4c11-9d0e-0e6f6c1b2a77
    #[command(verbatim_doc_comment)]
    Add {
        /// To which server: its name, TOOLBOX/NAME, its id, or the beginning of its id
        server: String,
        /// Which agent
        #[arg(long, value_name = "UUID")]
        agent: Uuid,
        /// Whose agent it is; yours, if not given
        #[arg(long, value_name = "UUID")]
        account: Option<Uuid>,
        /// Give it this id; else one is made up
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
        /// Not in force yet
        #[arg(long)]
        inactive: bool,
    },
    /// End a connection
    Remove {
        /// Its id
        #[arg(value_name = "CONNECTION")]
        id: Uuid,
    },
    /// Say whether an agent can use its server, and why not
    Status {
        /// Its id
        #[arg(value_name = "CONNECTION")]
        id: Uuid,
    },
}

/// Does it.
///
/// # Errors
/// When it is refused.
pub async fn run(context: &Context, what: &Connections) -> Result<(), Failure> {
    let client = context.client().await?;
    match what {
        Connections::List => {
            let all = client.connections().await?;
            if all.items.is_empty() && !context.global.json {
                context.note("no connections");
                return Ok(());
            }
            context.answer(&all.items, |look| connection::list(&all.items, look));
        }
        Connections::Add {
            server,
            agent,
            account,
            id,
            inactive,
        } => {
            let new = NewConnection {
                connection_id: *id,
                agent_id: *agent,
                account_id: *account,
                server_id: find::server(&client, server).await?.id,
                active: inactive.then_some(false),
            };
            let made = client.add_connection(&new, Uuid::new_v4()).await?;
            context.told(
                &made,
                &format!("connection to {server} added ({})", made.connection_id),
            );
        }
        Connections::Remove { id } => {
            client.remove_connection(*id, Uuid::new_v4()).await?;
            let gone = serde_json::json!({ "connectionId": id });
            context.told(&gone, &format!("connection {id} removed"));
        }
        Connections::Status { id } => {
            let status = client.connection_status(*id).await?;
            context.note_stale(status.stale);
            context.answer(&status, |look| connection::status(&status, look));
        }
    }
    Ok(())
}
