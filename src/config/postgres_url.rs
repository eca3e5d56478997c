//! The URL of a PostgreSQL database, and the TLS that the connection gets.
//!
//! The certificate and the name of a server on another machine are verified. A weaker `sslmode` needs a setting of its
//! own: providers print `sslmode=require`, with which other machines on the network can read the password.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The parameters that connect.
const KNOWN: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
/// Parameters of other clients, which change nothing here: the pool has its own timeouts, and a read-only server is
/// refused for each command.
const IGNORED: [&str; 5] =
    ["channel_binding", "connect_timeout", "target_session_attrs", "pgbouncer", "gssencmode"];

/// A PostgreSQL database. `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct PostgresUrl {
    text: SecretString,
    connect: Box<PgConnectOptions>,
    shown: String,
    weak_mode: Option<&'static str>,
}

impl PostgresUrl {
    /// Whether a text is a URL of this kind.
    pub(super) fn has_scheme(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Parses `postgres://USER:PASSWORD@HOST/DATABASE`. The error shows no part of the text.
    ///
    /// # Errors
    /// The text has another form, or has a parameter that is unknown.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected postgres://USER:PASSWORD@HOST:5432/DATABASE".to_owned();
        let mut url = Url::parse(text).map_err(|_| expected())?;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let is_known = |name: &str| KNOWN.contains(&name) || name.starts_with("options[");
        if let Some((name, _)) =
            pairs.iter().find(|(name, _)| !is_known(name) && !IGNORED.contains(&name.as_str()))
        {
            return Err(format!(
                "the parameter {name:?} is unknown; known are {}",
                KNOWN.join(", ")
            ));
        }
        // `system` means the public roots, which are the default here.
        let connects = pairs.iter().filter(|(name, value)| {
            is_known(name) && !(name == "sslrootcert" && value == "system")
        });
        let connects: Vec<&(String, String)> = connects.collect();
        url.set_query(None);
        if !connects.is_empty() {
            url.query_pairs_mut().extend_pairs(connects);
        }
        let connect = PgConnectOptions::from_str(url.as_str()).map_err(|_| expected())?;
        if connect.get_host().contains(',') {
            return Err("expected one host: the address of the primary".to_owned());
        }
        let value = |name: &str| pairs.iter().rev().find(|(key, _)| key == name);
        let given = value("sslmode").map(|(_, mode)| mode.as_str());
        let is_local = connect.get_socket().is_some() || is_loopback(connect.get_host());
        let mode = match (given, is_local) {
            (None, true) => PgSslMode::Prefer,
            (None, false) => PgSslMode::VerifyFull,
            (Some(_), _) => connect.get_ssl_mode(),
        };
        let weak_mode = match mode {
            PgSslMode::VerifyFull => None,
            _ if is_local => None,
            PgSslMode::VerifyCa => Some("verify-ca"),
            PgSslMode::Require => Some("require"),
            PgSslMode::Prefer => Some("prefer"),
            PgSslMode::Allow => Some("allow"),
            PgSslMode::Disable => Some("disable"),
        };
        let place = match connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let database = connect.get_database().unwrap_or_else(|| connect.get_username());
        let shown = format!("postgres://{}@{place}/{database}", connect.get_username());
        let name = connect.get_application_name().unwrap_or("heardback").to_owned();
        let connect = Box::new(connect.ssl_mode(mode).application_name(&name));
        Ok(Self { text: SecretString::from(text), connect, shown, weak_mode })
    }

    /// How to connect.
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::clone(&self.connect)
    }

    /// The same database, with other options of its connections.
    pub(crate) fn with(&self, connect: PgConnectOptions) -> Self {
        Self { connect: Box::new(connect), ..self.clone() }
    }

    /// The `sslmode`, if it does not verify a server on another machine.
    pub(super) fn weak_mode(&self) -> Option<&'static str> {
        self.weak_mode
    }

    /// Whether the URL has a password, which a flag would show in the list of processes.
    pub(crate) fn has_password(&self) -> bool {
        let Ok(url) = Url::parse(self.text.expose_secret()) else { return true };
        url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password")
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }
}

impl Eq for PostgresUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text).expect("it parses")
    }

    #[test]
    fn a_server_on_another_machine_is_verified_unless_the_url_says_otherwise() {
        let mode = |text: &str| {
            let url = parse(text);
            (format!("{:?}", url.connect.get_ssl_mode()), url.weak_mode())
        };
        let far = "postgres://u:secret@db.example.com/heardback";
        assert_eq!(mode(far), ("VerifyFull".to_owned(), None));
        for weak in ["disable", "allow", "prefer", "require", "verify-ca"] {
            assert_eq!(mode(&format!("{far}?sslmode={weak}")).1, Some(weak));
        }
        for near in
            ["postgres://u@localhost/db", "postgres://u@127.0.0.1/db", "postgres://u@[::1]/db"]
        {
            assert_eq!(mode(near), ("Prefer".to_owned(), None), "{near}");
        }
        assert_eq!(mode("postgres:///db?host=/run/postgresql").1, None);
        assert_eq!(mode("postgres://u@127.0.0.1.example.com/db").0, "VerifyFull");
        assert_eq!(mode("postgres://u@localhost/db?host=db.example.com").0, "VerifyFull");
    }

    #[test]
    fn no_text_of_a_url_has_its_password() {
        for text in [
            "postgres://u:secret@db.example.com:6432/heardback?sslmode=verify-full",
            "postgresql://u@db.example.com:6432/heardback?password=secret&channel_binding=require",
        ] {
            let url = parse(text);
            assert_eq!(url.to_string(), "postgres://u@db.example.com:6432/heardback");
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
            assert!(url.has_password());
        }
        assert!(!parse("postgres://u@db.example.com/db").has_password());
    }

    #[test]
    fn an_invalid_url_is_rejected_without_its_text() {
        for text in [
            "postgres://u:secret@host:port/db",
            "postgres://u:secret@host/db?sslmode=secret",
            "postgres://u:secret@one,two/db",
            "postgres://u:secret@host/db?ssl_mode=verify-full",
        ] {
            let error = PostgresUrl::parse(text).expect_err(text);
            assert!(!error.contains("secret") && error.starts_with(['e', 't']), "{error}");
        }
    }
}
