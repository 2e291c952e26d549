//! The routes, by what they are about. Every handler is documented where it stands; the document is made of that.

pub(crate) mod commands;
pub(crate) mod connections;
pub(crate) mod deliveries;
pub(crate) mod docs;
pub(crate) mod fleet;
pub(crate) mod intents;
pub(crate) mod refresh;
pub(crate) mod registry;
pub(crate) mod servers;
pub(crate) mod sign_ins;
pub(crate) mod tickets;
pub(crate) mod timelines;
pub(crate) mod toolbox_registry;
pub(crate) mod toolboxes;
pub(crate) mod webhooks;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// All operations.
pub(crate) fn operations() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(servers::list_servers, registry::create_server))
        .routes(routes!(
            servers::get_server,
            registry::change_server,
            registry::unregister_server
        ))
        .routes(routes!(servers::get_server_history))
        .routes(routes!(timelines::get_server_timeline))
        .routes(routes!(commands::start_server))
        .routes(routes!(commands::stop_server))
        .routes(routes!(commands::restart_server))
        .routes(routes!(commands::delete_server))
        .routes(routes!(refresh::refresh_server))
        .routes(routes!(intents::monitor_server))
        .routes(routes!(intents::unmonitor_server))
        .routes(routes!(intents::override_server, intents::clear_override))
        .routes(routes!(
            toolboxes::list_toolboxes,
            toolbox_registry::create_toolbox
        ))
        .routes(routes!(
            toolboxes::get_toolbox,
            toolbox_registry::change_toolbox,
            toolbox_registry::unregister_toolbox
        ))
        .routes(routes!(refresh::refresh_toolbox))
        .routes(routes!(refresh::refresh_all))
        .routes(routes!(fleet::get_fleet))
        .routes(routes!(timelines::get_fleet_timeline))
        .routes(routes!(
            connections::list_connections,
            connections::create_connection
        ))
        .routes(routes!(
            connections::get_connection,
            connections::change_connection,
            connections::delete_connection
        ))
        .routes(routes!(connections::get_connection_status))
        .routes(routes!(webhooks::list_webhooks, webhooks::create_webhook))
        .routes(routes!(
            webhooks::get_webhook,
            webhooks::change_webhook,
            webhooks::unregister_webhook
        ))
        .routes(routes!(webhooks::rotate_webhook))
        .routes(routes!(deliveries::test_webhook))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(deliveries::list_dead_letters))
        .routes(routes!(deliveries::replay_dead_letters))
        .routes(routes!(deliveries::replay_dead_letter))
        .routes(routes!(commands::list_commands))
        .routes(routes!(commands::get_command))
        .routes(routes!(tickets::create_ticket))
        .routes(routes!(sign_ins::get_me))
        .routes(routes!(sign_ins::create_sign_in))
        .routes(routes!(sign_ins::redeem_sign_in))
}
