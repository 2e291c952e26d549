//! Registering the simulated fleet, as the application that owns the tables would.

use anyhow::Context as _;
use domain::{AccountId, InstanceName, ServerId, ToolboxId};
use dtma_sim::ToolboxInfo;
use secrecy::SecretString;
use store::Database;
use store::registration::{NewInstance, NewToolbox};

/// Registers toolboxes and instances; what is there already gets the simulation's present addresses and tokens.
///
/// # Errors
/// When the database refuses; then nothing of it is registered.
pub async fn register(database: &Database, fleet: &[ToolboxInfo]) -> anyhow::Result<()> {
    let mut transaction = database.begin().await?;
    for toolbox in fleet {
        let new = NewToolbox {
            id: ToolboxId(toolbox.id),
            account: AccountId(toolbox.account_id),
            name: toolbox.name.clone(),
            base_url: toolbox.base_url.clone(),
            token: SecretString::from(toolbox.token.clone()),
        };
        store::registration::put_toolbox(&mut *transaction, &new).await?;
        for instance in &toolbox.instances {
            let name =
                InstanceName::new(&instance.name).context("a simulated container has an unusable name")?;
            let new = NewInstance {
                id: ServerId(instance.id),
                toolbox: ToolboxId(toolbox.id),
                name,
            };
            store::registration::put_instance(&mut *transaction, &new).await?;
        }
    }
    transaction
        .commit()
        .await
        .context("failed to register the simulated fleet")
}
