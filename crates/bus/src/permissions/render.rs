//! The table as files of a nats-server's configuration.

use std::borrow::Cow;
use std::fmt::Write;

use wire::subjects;

use super::{ALL, Permissions, User};

/// What every generated file begins with.
const GENERATED: &str =
    "# Written by scripts/generate from the table in crates/bus/src/permissions; do not edit.\n";

const INCLUDE_PERMISSIONS: &str = r#"include "permissions.conf""#;
const INCLUDE_PASSWORDS: &str = r#"include "passwords.conf""#;
const INCLUDE_TENANTS: &str = r#"include "tenants.conf""#;

/// `permissions.conf`: a variable per user, to be included and named in his entry.
pub fn permissions_file() -> String {
    let mut text = format!(
        "{GENERATED}# Include it before the accounts, and give each user his: `permissions: $DTMA_POLLER_MAY`.\n"
    );
    for user in ALL {
        let name = variable(user);
        let Permissions { publish, subscribe } = user.permissions();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{name}_MAY: {{\n  publish: {{ allow: [{}\n  ] }}\n  subscribe: {{ allow: [{}\n  ] }}\n}}\n",
            list("  ", &publish),
            list("  ", &subscribe)
        );
    }
    text
}

/// `accounts.conf`: the accounts and their users, to be included in a server's configuration.
pub fn accounts_file() -> String {
    let mut users = String::new();
    for user in ALL {
        let (name, variable) = (user.name, variable(user));
        let _ = write!(
            users,
            "\n      {{ user: {name:?}, password: ${variable}_PASSWORD, permissions: ${variable}_MAY }}"
        );
    }
    format!(
        r#"{GENERATED}# passwords.conf has a line `DTMA_POLLER_PASSWORD: "…"` for each user, or is empty, and the environment has these variables.

{INCLUDE_PASSWORDS}
{INCLUDE_PERMISSIONS}
system_account: SYS
accounts: {{
  SYS: {{
    users: [ {{ user: "sys", password: $SYS_PASSWORD }} ]
  }}
  STATUS: {{
    jetstream: enabled
    users: [{users}
      # Of no service: for repairs, with all rights.
      {{ user: "admin", password: $ADMIN_PASSWORD }}
    ]
    exports: [
      # Each to the account whose name is the fourth part of the subject, and to no other.
      {{ stream: {:?}, account_token_position: 4 }}
      {{ stream: {:?}, account_token_position: 4 }}
      {{ service: "{}.>" }}
    ]
  }}
  {INCLUDE_TENANTS}
}}
"#,
        subjects::SERVER_STATUS,
        subjects::TOOLBOX_STATUS,
        subjects::API
    )
}

/// `tenant.conf.template`: the account of one tenant. `ACCOUNT` stands for his account's id, `PASSWORD` for his password's
/// bcrypt hash.
pub fn tenant_file() -> String {
    let statuses = ["mcp.status.v1.ACCOUNT.*", "toolbox.status.v1.ACCOUNT.*"];
    let api = format!("{}.>", subjects::API);
    let hears = ["_INBOX.>", statuses[0], statuses[1]].map(Cow::from);
    format!(
        r#"{GENERATED}# One such entry for each tenant in tenants.conf. ACCOUNT is the id of his account: the server itself refuses to import
# another's statuses under it. PASSWORD is the bcrypt hash of his password, as `htpasswd -nbBC 11 "" …` makes it.
"ACCOUNT": {{
  users: [ {{
    user: "ACCOUNT", password: "PASSWORD"
    permissions: {{
      publish: {{ allow: [{}
      ] }}
      subscribe: {{ allow: [{}
      ] }}
    }}
  }} ]
  imports: [
    {{ stream: {{ account: STATUS, subject: {:?} }} }}
    {{ stream: {{ account: STATUS, subject: {:?} }} }}
    {{ service: {{ account: STATUS, subject: {api:?} }} }}
  ]
}}
"#,
        list("      ", &[api.as_str().into()]),
        list("      ", &hears),
        statuses[0],
        statuses[1]
    )
}

/// Everything in one text, for a server that is given no other files: passwords by user, and tenants' entries.
pub fn whole(password: impl Fn(&str) -> String, tenants: &str) -> String {
    let users = ALL.map(|user| (user.name, variable(user)));
    let others = [("sys", "SYS".to_owned()), ("admin", "ADMIN".to_owned())];
    let mut passwords = String::new();
    for (user, variable) in users.into_iter().chain(others) {
        let _ = writeln!(passwords, "{variable}_PASSWORD: {:?}", password(user));
    }
    accounts_file()
        .replace(INCLUDE_PASSWORDS, &passwords)
        .replace(INCLUDE_PERMISSIONS, &permissions_file())
        .replace(INCLUDE_TENANTS, tenants)
}

/// What a user's variables begin with.
fn variable(user: &User) -> String {
    user.name.replace('-', "_").to_uppercase()
}

fn list(indent: &str, subjects: &[Cow<'_, str>]) -> String {
    let mut text = String::new();
    for subject in subjects {
        let _ = write!(text, "\n{indent}  {subject:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_open_in_the_whole() {
        let text = whole(|user| format!("of {user}"), "");
        assert!(
            text.contains("DTMA_POLLER_PASSWORD: \"of dtma-poller\""),
            "{text}"
        );
        assert!(text.contains("ADMIN_PASSWORD: \"of admin\""), "{text}");
        assert!(!text.contains("include"), "{text}");
    }
}
