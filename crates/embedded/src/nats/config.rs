//! The server's configuration file.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::NatsOptions;

/// The configuration inside the data folder. Its absolute path on the command line also marks the process as ours.
pub(super) const FILE: &str = "nats-server.conf";
/// Where the server writes its process id, inside the data folder.
pub(super) const PID_FILE: &str = "nats-server.pid";

/// Largest message, bytes: a raw report lists every container of a toolbox, and the server's default of 1 MiB is
/// not far above what a busy one sends. The server advises against more than this.
const MAX_PAYLOAD: u32 = 8 << 20;

/// The configuration's text.
///
/// # Errors
/// When the path of the folder cannot be written in it.
pub(super) fn render(
    options: &NatsOptions,
    server_name: &str,
    dir: &Path,
    address: SocketAddr,
) -> anyhow::Result<String> {
    let mut text = String::from("# Written anew at every start; changes made here are lost.\n");
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {value}");
    };
    line("server_name", quoted(server_name));
    line("listen", quoted(&address.to_string()));
    if let Some(port) = options.monitor_port {
        line("http", quoted(&SocketAddr::new(address.ip(), port).to_string()));
    }
    line("pid_file", quoted(path_text(&dir.join(PID_FILE))?));
    line("max_payload", MAX_PAYLOAD.to_string());
    line("jetstream", "{".to_owned());
    line("  store_dir", quoted(path_text(&dir.join("jetstream"))?));
    line("  max_memory_store", options.max_memory.to_string());
    line("  max_file_store", options.max_disk.to_string());
    if options.sync_always {
        line("  sync_interval", "always".to_owned());
    }
    text.push_str("}\n");
    text.push_str(&options.more);
    Ok(text)
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("the path {} is not UTF-8", path.display()))
}

fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_file() {
        let mut options = NatsOptions::new("/unused");
        options.monitor_port = Some(8222);
        options.more = "system_account: SYS\n".to_owned();
        let address = "127.0.0.1:4222".parse().unwrap();
        let text = render(&options, "name", Path::new("/data/with \"quotes\""), address).unwrap();
        assert_eq!(
            text,
            r#"# Written anew at every start; changes made here are lost.
server_name: "name"
listen: "127.0.0.1:4222"
http: "127.0.0.1:8222"
pid_file: "/data/with \"quotes\"/nats-server.pid"
max_payload: 8388608
jetstream: {
  store_dir: "/data/with \"quotes\"/jetstream"
  max_memory_store: 268435456
  max_file_store: 4294967296
  sync_interval: always
}
system_account: SYS
"#
        );
    }

    #[test]
    fn sync_is_left_to_the_server_when_it_is_not_asked_for() {
        let options = NatsOptions {
            sync_always: false,
            ..NatsOptions::new("/unused")
        };
        let text = render(
            &options,
            "name",
            Path::new("/data"),
            "[::1]:4222".parse().unwrap(),
        )
        .unwrap();
        assert!(
            !text.contains("sync_interval") && text.contains("listen: \"[::1]:4222\""),
            "{text}"
        );
    }

    #[test]
    fn no_path_breaks_out_of_its_quotes() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }
}
