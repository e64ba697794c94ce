//! The database and the limits of its pools.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::SslMode;

/// Values of the parameter `sslmode` that demand TLS. tokio-postgres knows the first one only.
const TLS_MODES: [&str; 3] = ["require", "verify-ca", "verify-full"];

/// Time to open a connection, in seconds.
const CONNECT_SECONDS: u64 = 5;
/// Time without a sign of life from the database's machine after which a connection counts as lost, in seconds.
const LOST_SECONDS: u64 = 30;

/// Database of a server, and limits of its pools.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The database. Default: SQLite.
    pub source: DatabaseSource,
    /// Maximum number of connections that each driver of a server opens. Default: 20.
    pub connections: NonZeroU32,
    /// Time that a request waits for a connection, and time that a query may take beyond what was requested.
    /// Default: 10 s.
    pub timeout: Duration,
}

const CONNECTIONS: NonZeroU32 = NonZeroU32::new(20).unwrap();

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            source: DatabaseSource::Sqlite,
            connections: CONNECTIONS,
            timeout: Duration::from_secs(10),
        }
    }
}

/// A database.
#[derive(Debug, Clone)]
pub enum DatabaseSource {
    /// SQLite in memory, in the process of the server.
    Sqlite,
    /// A PostgreSQL server.
    Postgres(Box<PostgresUrl>),
}

/// URL of a PostgreSQL database. Neither [`fmt::Debug`] nor [`fmt::Display`] shows its password.
#[derive(Clone)]
pub struct PostgresUrl {
    url: String,
    config: tokio_postgres::Config,
}

/// Error of a database's URL. It does not contain the URL, which may have a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseConfigError {
    /// Neither `sqlite` nor the URL of a PostgreSQL database.
    #[error("expected sqlite, or postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE")]
    UnknownScheme,
    /// The URL has no host.
    #[error(
        "the URL of the database has no host: expected postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE"
    )]
    NoHost,
    /// The URL asks for TLS.
    #[error(
        "the lab connects to its database without TLS: remove sslmode={0} from the URL, or set it to prefer"
    )]
    Tls(&'static str),
    /// The URL is malformed or has an unknown parameter.
    #[error("the URL of the database is not valid")]
    Malformed(#[source] tokio_postgres::Error),
}

impl FromStr for DatabaseSource {
    type Err = DatabaseConfigError;

    fn from_str(text: &str) -> Result<Self, DatabaseConfigError> {
        if text == "sqlite" {
            return Ok(Self::Sqlite);
        }
        if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
            return Err(DatabaseConfigError::UnknownScheme);
        }
        let parameters = text
            .split_once('?')
            .map_or("", |(_, parameters)| parameters);
        let modes = parameters
            .split('&')
            .filter_map(|parameter| parameter.strip_prefix("sslmode="));
        for given in modes {
            if let Some(mode) = TLS_MODES.into_iter().find(|mode| *mode == given) {
                return Err(DatabaseConfigError::Tls(mode));
            }
        }
        let config: tokio_postgres::Config =
            text.parse().map_err(DatabaseConfigError::Malformed)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(DatabaseConfigError::NoHost);
        }
        // Also a mode with percent-encoded letters, which the comparison above does not find.
        if config.get_ssl_mode() == SslMode::Require {
            return Err(DatabaseConfigError::Tls("require"));
        }
        Ok(Self::Postgres(Box::new(PostgresUrl {
            url: text.to_owned(),
            config,
        })))
    }
}

impl PostgresUrl {
    /// Returns the URL for libpq, with deadlines that the URL itself may override.
    pub(super) fn for_libpq(&self) -> String {
        let (base, own) = self.url.split_once('?').unwrap_or((&self.url, ""));
        // The last of two parameters with one name counts. Without `tcp_user_timeout`, Linux would retransmit for
        // 15 minutes to a machine that is gone; without keepalives, a waiting query would never notice.
        format!(
            "{base}?connect_timeout={CONNECT_SECONDS}&keepalives_idle={}&keepalives_interval={}&tcp_user_timeout={}&{own}",
            LOST_SECONDS / 3,
            LOST_SECONDS / 3,
            LOST_SECONDS * 1000,
        )
    }

    /// Returns the settings for tokio-postgres, with the same deadlines.
    pub(super) fn for_tokio_postgres(&self, application: &str) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(CONNECT_SECONDS));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(LOST_SECONDS));
        }
        if config.get_keepalives_interval().is_none() {
            let third = Duration::from_secs(LOST_SECONDS / 3);
            config.keepalives_idle(third).keepalives_interval(third);
        }
        config.application_name(application);
        config
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // tokio-postgres hides the password.
        self.config.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(text: &str) -> DatabaseConfigError {
        text.parse::<DatabaseSource>().unwrap_err()
    }

    #[test]
    fn accepts_sqlite_and_postgresql() {
        assert!(matches!("sqlite".parse(), Ok(DatabaseSource::Sqlite)));
        for url in [
            "postgresql://lab@127.0.0.1:5432/lab",
            "postgres://lab:secret@postgres/lab?connect_timeout=2",
        ] {
            assert!(
                matches!(url.parse(), Ok(DatabaseSource::Postgres(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn errors_say_what_is_allowed_and_never_contain_the_password() {
        for (text, expected) in [
            ("", "expected sqlite, or postgresql://"),
            (
                "mysql://lab:secret@host/lab",
                "expected sqlite, or postgresql://",
            ),
            ("postgresql:///lab", "has no host"),
            (
                "postgresql://lab:secret@host/lab?sslmode=require",
                "remove sslmode=require from the URL",
            ),
            (
                "postgresql://lab:secret@host/lab?connect_timeout=2&sslmode=verify-full",
                "remove sslmode=verify-full from the URL",
            ),
            (
                "postgresql://lab:secret@host/lab?sslmode=%72equire",
                "remove sslmode=require from the URL",
            ),
            ("postgresql://lab:secret@host:port/lab", "not valid"),
            ("postgresql://lab:secret@host/lab?colour=red", "not valid"),
        ] {
            let error = anyhow::Error::from(rejected(text));
            let message = format!("{error:#} {error:?}");
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("secret"), "{text}: {message}");
        }
    }

    #[test]
    fn the_password_is_not_shown_in_debug_output() {
        let source: DatabaseSource = "postgresql://lab:secret@host/lab".parse().unwrap();
        let shown = format!("{source:?}");
        assert!(
            shown.contains("host") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn parameters_of_the_url_come_after_the_lab_s_own() {
        let source: DatabaseSource = "postgresql://lab@host/lab?connect_timeout=2"
            .parse()
            .unwrap();
        let DatabaseSource::Postgres(url) = source else {
            panic!("{source:?}");
        };
        let libpq = url.for_libpq();
        assert!(
            libpq.starts_with("postgresql://lab@host/lab?connect_timeout=5&"),
            "{libpq}"
        );
        assert!(libpq.ends_with("&connect_timeout=2"), "{libpq}");
        let tokio = url.for_tokio_postgres("test");
        assert_eq!(tokio.get_connect_timeout(), Some(&Duration::from_secs(2)));
    }
}
