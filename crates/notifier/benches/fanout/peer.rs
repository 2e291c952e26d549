//! The peer: nchan under nginx, as Debian packages it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;

use crate::process::Process;
use crate::subject::{Subject, status};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Longest wait for it to start.
const START: Duration = Duration::from_secs(20);

/// nginx with nchan, one worker: what is shared between workers would be measured along.
pub(crate) struct Nchan {
    process: Process,
    address: SocketAddr,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Nchan {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        ensure!(
            Path::new(MODULE).exists(),
            "nchan is not installed (Debian's packages nginx-light and libnginx-mod-nchan)"
        );
        let (dir, address) = (tempfile::tempdir()?, crate::process::free_port()?);
        let at = dir.path().display();
        let open = crate::CONNECTIONS + 2 * crate::READERS;
        let config = format!(
            "load_module {MODULE};
daemon off; pid {at}/pid; error_log {at}/error.log warn; worker_processes 1; worker_rlimit_nofile {};
events {{ worker_connections {open}; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
  nchan_shared_memory_size 256M;
  server {{
    listen {address} backlog=4096;
    location = /ready {{ return 204; }}
    location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1; nchan_message_timeout 1h; }}
    location = /sub {{ nchan_subscriber websocket; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
  }}
}}
",
            open + 100
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::spawn(command)?;
        let client = reqwest::Client::new();
        let ready = async {
            while client
                .get(format!("http://{address}/ready"))
                .send()
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(START, ready)
            .await
            .context("nginx does not answer")?;
        Ok(Self {
            process,
            address,
            client,
            _dir: dir,
        })
    }
}

impl Subject for Nchan {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self, server: Option<usize>) -> anyhow::Result<Request<()>> {
        let channel = server.map_or_else(|| "idle".to_owned(), |server| server.to_string());
        Ok(format!("ws://{}/sub?id={channel}", self.address).into_client_request()?)
    }

    fn first(&self, _: Option<usize>) -> Vec<String> {
        Vec::new()
    }

    fn ready(&self, _: Option<usize>) -> Option<&'static str> {
        None
    }

    async fn publish(&self, version: u64) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&status(0, version))?;
        let url = format!("http://{}/pub?id=0", self.address);
        self.client
            .post(url)
            .body(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    fn memory(&self) -> anyhow::Result<u64> {
        self.process.memory()
    }
}
