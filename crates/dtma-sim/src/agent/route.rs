//! The agent's routes.

use axum::http::Method;

/// What a request to an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Status,
    ToolsStatus,
    Health,
    Install,
    Start(String),
    Stop(String),
    Delete(String),
    /// No route. Below `/tools` the agent asks for the token before it says so.
    Other {
        below_tools: bool,
    },
}

/// A route without what is particular to one request: what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteKey {
    Status,
    ToolsStatus,
    Health,
    Install,
    Start,
    Stop,
    Delete,
    Other,
}

impl Route {
    pub(crate) fn parse(method: &Method, path: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (&Method::GET, ["status"]) => Self::Status,
            (&Method::GET, ["tools", "status"]) => Self::ToolsStatus,
            (&Method::GET, ["health"]) => Self::Health,
            (&Method::POST, ["tools"]) => Self::Install,
            (&Method::POST, ["tools", name, "start"]) => Self::Start((*name).to_owned()),
            (&Method::POST, ["tools", name, "stop"]) => Self::Stop((*name).to_owned()),
            (&Method::DELETE, ["tools", name]) => Self::Delete((*name).to_owned()),
            (_, parts) => Self::Other {
                below_tools: parts.first() == Some(&"tools"),
            },
        }
    }

    pub(crate) fn key(&self) -> RouteKey {
        match self {
            Self::Status => RouteKey::Status,
            Self::ToolsStatus => RouteKey::ToolsStatus,
            Self::Health => RouteKey::Health,
            Self::Install => RouteKey::Install,
            Self::Start(_) => RouteKey::Start,
            Self::Stop(_) => RouteKey::Stop,
            Self::Delete(_) => RouteKey::Delete,
            Self::Other { .. } => RouteKey::Other,
        }
    }
}

impl RouteKey {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Status => "GET /status",
            Self::ToolsStatus => "GET /tools/status",
            Self::Health => "GET /health",
            Self::Install => "POST /tools",
            Self::Start => "POST /tools/{name}/start",
            Self::Stop => "POST /tools/{name}/stop",
            Self::Delete => "DELETE /tools/{name}",
            Self::Other => "other",
        }
    }

    pub(crate) fn is_command(self) -> bool {
        matches!(self, Self::Install | Self::Start | Self::Stop | Self::Delete)
    }

    pub(crate) fn is_poll(self) -> bool {
        matches!(self, Self::Status | Self::ToolsStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_find_their_route() {
        let table = [
            (Method::GET, "/status", "GET /status"),
            (Method::GET, "/tools/status", "GET /tools/status"),
            (Method::GET, "/health", "GET /health"),
            (Method::POST, "/tools", "POST /tools"),
            (Method::POST, "/tools/mcp-a/start", "POST /tools/{name}/start"),
            (Method::POST, "/tools/mcp-a/stop", "POST /tools/{name}/stop"),
            (Method::DELETE, "/tools/status", "DELETE /tools/{name}"),
            (Method::POST, "/status", "other"),
            (Method::GET, "/", "other"),
        ];
        for (method, path, label) in table {
            assert_eq!(
                Route::parse(&method, path).key().label(),
                label,
                "{method} {path}"
            );
        }
        assert_eq!(
            Route::parse(&Method::GET, "/tools/a/b/c"),
            Route::Other { below_tools: true }
        );
        assert_eq!(
            Route::parse(&Method::GET, "/tool"),
            Route::Other { below_tools: false }
        );
    }
}
