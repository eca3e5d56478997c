//! The checks of a PostgreSQL database: its schema, the role's rights, TLS, and the durability of a commit.

use jiff::{SignedDuration, Timestamp};

use crate::commands::doctor::live::report::{Check, CheckStatus, Judgement, fail, ok, warn};
use crate::commands::store_access::{now, postgres_options};
use crate::config::{PostgresUrl, Values};
use crate::domain::span::humanized;
use crate::store::postgres::{DatabaseFacts, PostgresStore, SCHEMA_VERSION};

/// A larger difference is a warning, because five minutes of it make times of events unusable.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);
/// The oldest version that gets fixes: those of PostgreSQL 14 ended in November 2026
/// (<https://www.postgresql.org/support/versioning/>).
const OLDEST_MAINTAINED: u32 = 15;

pub(super) fn checks(settings: &Values, url: &PostgresUrl) -> Vec<Check> {
    match PostgresStore::inspect(postgres_options(settings, url)) {
        Ok(facts) => of_facts(&facts, url, now()),
        Err(error) => vec![Check::new("store", CheckStatus::Fail, format!("{url}: {error}"))],
    }
}

fn of_facts(facts: &DatabaseFacts, url: &PostgresUrl, wall: Timestamp) -> Vec<Check> {
    let rows = [
        server(facts, url),
        schema(facts),
        rights(facts),
        tls(facts),
        durability(facts),
        standbys(facts),
        connections(facts),
        clocks(facts, wall),
    ];
    rows.into_iter().map(|(status, text)| Check::new("store", status, text)).collect()
}

fn server(facts: &DatabaseFacts, url: &PostgresUrl) -> Judgement {
    let version = &facts.server_version;
    if facts.is_read_only {
        return fail(format!("{url} is read-only, as a standby is; connect to the primary"));
    }
    let major = version.split(['.', ' ']).next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST_MAINTAINED) {
        return warn(format!(
            "{url} is PostgreSQL {version}, which gets no fixes any more; upgrade it"
        ));
    }
    ok(format!("{url} answers: PostgreSQL {version}"))
}

fn schema(facts: &DatabaseFacts) -> Judgement {
    match facts.schema_version {
        SCHEMA_VERSION => ok(format!("the schema has version {SCHEMA_VERSION}")),
        0 => fail("the database has no schema; run `heardback store migrate`"),
        found if found < SCHEMA_VERSION => fail(format!(
            "the schema has version {found}, this release needs {SCHEMA_VERSION}; run `heardback store migrate`"
        )),
        found => warn(format!(
            "the schema has version {found}, newer than this release's {SCHEMA_VERSION}; finish the deploy"
        )),
    }
}

fn rights(facts: &DatabaseFacts) -> Judgement {
    let role = &facts.role;
    if facts.excess_rights.is_empty() {
        return ok(format!("the role {role} has no right beyond rows"));
    }
    let rights = facts.excess_rights.join(", ");
    warn(format!(
        "the role {role} has rights that the service does not need: {rights}; give it only those of docs/postgres.md"
    ))
}

fn tls(facts: &DatabaseFacts) -> Judgement {
    ok(match &facts.tls {
        Some(version) => format!("the connection is encrypted with {version}"),
        None => "the connection is not encrypted; that is safe only if the database runs on this machine".to_owned(),
    })
}

/// Heardback answers 2xx only after a commit is on the server's disk.
fn durability(facts: &DatabaseFacts) -> Judgement {
    let DatabaseFacts { fsync, synchronous_commit, .. } = facts;
    if fsync == "off" {
        return fail(
            "fsync is off: a power cut of the server loses acknowledged records; set fsync=on",
        );
    }
    ok(match synchronous_commit.as_str() {
        "off" => {
            "synchronous_commit is off; this service sets it to on for its own commits".to_owned()
        }
        value => format!("fsync is on, synchronous_commit is {value}"),
    })
}

fn standbys(facts: &DatabaseFacts) -> Judgement {
    let DatabaseFacts { standbys, synchronous_standbys, hidden_standbys, .. } = facts;
    let names = facts.synchronous_standby_names.trim();
    if *hidden_standbys > 0 {
        return warn(format!(
            "{standbys} standbys, but the role may not see whether they are synchronous; ask the provider, or grant \
             pg_monitor: a failover to an asynchronous standby loses acknowledged records"
        ));
    }
    if *synchronous_standbys > 0 && facts.synchronous_commit == "local" {
        return warn(
            "synchronous_commit is local: a commit does not wait for the synchronous standby, and a failover \
                    loses acknowledged records; set it to on",
        );
    }
    match (*standbys, *synchronous_standbys) {
        (0, _) if !names.is_empty() => warn(
            "synchronous_standby_names is set, and no standby is connected: commits wait for one",
        ),
        (0, _) => ok("no standby: the server's own disk is the only copy of what is acknowledged"),
        (_, 0) => warn(format!(
            "ASYNCHRONOUS STANDBYS ({standbys}): a failover to one of them loses records that were acknowledged; \
                 set synchronous_standby_names (docs/postgres.md)"
        )),
        (all, synchronous) => ok(format!("{synchronous} of {all} standbys confirm each commit")),
    }
}

fn connections(facts: &DatabaseFacts) -> Judgement {
    let DatabaseFacts { connections, max_connections, max_locks_per_transaction, .. } = facts;
    let text = format!(
        "{connections} of {max_connections} connections are in use; max_locks_per_transaction is \
         {max_locks_per_transaction}"
    );
    let is_short = connections * 10 > i64::from(*max_connections) * 9;
    (if is_short { CheckStatus::Warn } else { CheckStatus::Ok }, text)
}

/// The server's clock decides when a message is due; this machine's clock judges the times that apps sign.
fn clocks(facts: &DatabaseFacts, wall: Timestamp) -> Judgement {
    let server = Timestamp::from_millisecond(facts.now_ms).unwrap_or(wall);
    let apart = wall.duration_since(server);
    let text =
        format!("this machine's clock and the server's are {} apart", humanized(apart.abs()));
    let status = if apart.abs() > MAX_CLOCK_SKEW { CheckStatus::Warn } else { CheckStatus::Ok };
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> DatabaseFacts {
        DatabaseFacts {
            server_version: "15.18 (Debian 15.18-1)".to_owned(),
            role: "heardback".to_owned(),
            excess_rights: Vec::new(),
            tls: Some("TLSv1.3".to_owned()),
            fsync: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            synchronous_standby_names: String::new(),
            standbys: 0,
            synchronous_standbys: 0,
            hidden_standbys: 0,
            is_read_only: false,
            max_connections: 100,
            connections: 9,
            max_locks_per_transaction: 64,
            now_ms: 1_000,
            schema_version: SCHEMA_VERSION,
        }
    }

    #[test]
    fn a_database_that_may_lose_acknowledged_records_is_named() {
        let status = |facts: &DatabaseFacts| (durability(facts).0, standbys(facts).0);
        assert_eq!(status(&facts()), (CheckStatus::Ok, CheckStatus::Ok));
        let no_fsync = DatabaseFacts { fsync: "off".to_owned(), ..facts() };
        assert_eq!(durability(&no_fsync).0, CheckStatus::Fail);
        let asynchronous = DatabaseFacts { standbys: 2, ..facts() };
        assert!(standbys(&asynchronous).1.starts_with("ASYNCHRONOUS STANDBYS (2)"));
        let synchronous = DatabaseFacts { standbys: 2, synchronous_standbys: 1, ..facts() };
        assert_eq!(standbys(&synchronous).0, CheckStatus::Ok);
        let local = DatabaseFacts { synchronous_commit: "local".to_owned(), ..synchronous };
        assert_eq!(standbys(&local).0, CheckStatus::Warn);
        let hidden = DatabaseFacts { standbys: 1, hidden_standbys: 1, ..facts() };
        assert_eq!(standbys(&hidden).0, CheckStatus::Warn);
    }

    #[test]
    fn a_standby_an_old_schema_excess_rights_and_a_wrong_clock_are_named() {
        let url = match crate::config::StoreUrl::parse("postgres://heardback@localhost/x") {
            Ok(crate::config::StoreUrl::Postgres(url)) => url,
            other => panic!("{other:?}"),
        };
        let read_only = DatabaseFacts { is_read_only: true, ..facts() };
        assert_eq!(server(&read_only, &url).0, CheckStatus::Fail);
        assert_eq!(schema(&DatabaseFacts { schema_version: 0, ..facts() }).0, CheckStatus::Fail);
        let newer = DatabaseFacts { schema_version: SCHEMA_VERSION + 1, ..facts() };
        assert_eq!(schema(&newer).0, CheckStatus::Warn);
        let owner = DatabaseFacts { excess_rights: vec!["superuser".to_owned()], ..facts() };
        assert_eq!(rights(&owner).0, CheckStatus::Warn);
        let wall = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert_eq!(clocks(&facts(), wall(3)).0, CheckStatus::Ok);
        assert_eq!(clocks(&facts(), wall(-300)).0, CheckStatus::Warn);
        let full = DatabaseFacts { connections: 95, ..facts() };
        assert_eq!(connections(&full).0, CheckStatus::Warn);
    }
}
