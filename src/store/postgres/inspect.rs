//! What `doctor` reads of a database: its version, its rights, its TLS, and how durable a commit is.

use sqlx::{FromRow, PgConnection};

use crate::store::postgres::open_error::PostgresOpenError;
use crate::store::postgres::schema;

/// The facts about a server, a role and a connection.
#[derive(Debug, Clone, FromRow)]
pub struct DatabaseFacts {
    /// The version of the server, such as `15.18`.
    pub server_version: String,
    pub role: String,
    /// The rights of the role that the service does not need.
    pub excess_rights: Vec<String>,
    /// The protocol of TLS; `None` without TLS.
    pub tls: Option<String>,
    pub fsync: String,
    pub synchronous_commit: String,
    pub synchronous_standby_names: String,
    /// The standbys that the role can see.
    pub standbys: i64,
    /// Those that confirm a commit before it returns.
    pub synchronous_standbys: i64,
    /// Those whose kind the role may not see.
    pub hidden_standbys: i64,
    /// Whether the server refuses writes, as a standby does.
    pub is_read_only: bool,
    pub max_connections: i32,
    pub connections: i64,
    pub max_locks_per_transaction: i32,
    /// The server's time, in milliseconds since 1970.
    pub now_ms: i64,
    /// The version of the schema; 0 without one.
    #[sqlx(skip)]
    pub schema_version: i64,
}

/// The version of the schema that this release has.
pub const SCHEMA_VERSION: i64 = schema::LATEST;

/// Reads the facts. It changes nothing, and needs no right but to connect.
pub(super) async fn facts(
    connection: &mut PgConnection,
) -> Result<DatabaseFacts, PostgresOpenError> {
    let mut facts: DatabaseFacts = sqlx::query_as(
        "SELECT current_setting('server_version') AS server_version,
                current_user::text AS role,
                array_remove(ARRAY[
                    CASE WHEN r.rolsuper THEN 'superuser' END,
                    CASE WHEN r.rolcreatedb THEN 'create databases' END,
                    CASE WHEN r.rolcreaterole THEN 'create roles' END,
                    CASE WHEN r.rolreplication THEN 'replication' END,
                    CASE WHEN has_schema_privilege(current_schema(), 'CREATE') THEN 'create tables' END,
                    CASE WHEN has_table_privilege(t.oid, 'TRUNCATE') THEN 'truncate tables' END,
                    CASE WHEN pg_has_role(t.relowner, 'MEMBER') THEN 'own the tables' END
                ], NULL) AS excess_rights,
                (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls,
                current_setting('fsync') AS fsync,
                current_setting('synchronous_commit') AS synchronous_commit,
                current_setting('synchronous_standby_names') AS synchronous_standby_names,
                s.standbys, s.synchronous_standbys, s.hidden_standbys,
                pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS is_read_only,
                current_setting('max_connections')::int AS max_connections,
                (SELECT count(*) FROM pg_stat_activity) AS connections,
                current_setting('max_locks_per_transaction')::int AS max_locks_per_transaction,
                (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
         FROM pg_roles r
         LEFT JOIN pg_class t ON t.oid = to_regclass('message')
         CROSS JOIN (
             SELECT count(*) AS standbys,
                    count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous_standbys,
                    count(*) FILTER (WHERE sync_state IS NULL) AS hidden_standbys
             FROM pg_stat_replication) s
         WHERE r.rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await?;
    facts.schema_version = schema::version(connection).await?;
    Ok(facts)
}
