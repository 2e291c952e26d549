//! Putting toolboxes and servers into the registry, for installations and demonstrations that have no application that
//! does. Never a status: a row starts unobserved, and one that is there keeps what is known of it.

use domain::{AccountId, InstanceName, ServerId, ToolboxId};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgExecutor;

use crate::error::Result;

/// A toolbox to register.
#[derive(Debug, Clone)]
pub struct NewToolbox {
    /// Which one.
    pub id: ToolboxId,
    /// Whose it is.
    pub account: AccountId,
    /// A name for people.
    pub name: String,
    /// Where its agent is reached.
    pub base_url: String,
    /// The agent's own token.
    pub token: SecretString,
}

/// A server to register.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// Which one.
    pub id: ServerId,
    /// On which toolbox; it must be registered.
    pub toolbox: ToolboxId,
    /// Its container's name there.
    pub name: InstanceName,
}

/// Registers a toolbox, or gives the one that is there this account, name, address and token.
///
/// # Errors
/// Whatever the database refuses, a token that another toolbox has among it.
pub async fn put_toolbox(executor: impl PgExecutor<'_>, toolbox: &NewToolbox) -> Result<()> {
    sqlx::query!(
        "INSERT INTO account_tool_environments (id, user_id, name, dtma_base_url, dtma_bearer_token)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET user_id = EXCLUDED.user_id, name = EXCLUDED.name,
             dtma_base_url = EXCLUDED.dtma_base_url, dtma_bearer_token = EXCLUDED.dtma_bearer_token",
        toolbox.id.0,
        toolbox.account.0,
        toolbox.name,
        toolbox.base_url,
        toolbox.token.expose_secret(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Registers a server, or gives the one that is there this toolbox and name.
///
/// # Errors
/// Whatever the database refuses: a toolbox that is not registered, a name that another server of it has.
pub async fn put_instance(executor: impl PgExecutor<'_>, instance: &NewInstance) -> Result<()> {
    sqlx::query!(
        "INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox)
         VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET account_tool_environment_id = EXCLUDED.account_tool_environment_id,
             instance_name_on_toolbox = EXCLUDED.instance_name_on_toolbox",
        instance.id.0,
        instance.toolbox.0,
        instance.name.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(())
}
