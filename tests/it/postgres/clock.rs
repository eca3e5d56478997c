//! The wall clock of a receiver beside the database's.

use std::sync::Arc;
use std::time::Duration;

use heardback::store::ClockGuard;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use jiff::{SignedDuration, Timestamp};

use crate::given::{Hands, policy};
use crate::postgres::Postgres;

#[test]
fn a_receiver_that_starts_with_a_wrong_wall_clock_dates_records_by_the_databases() {
    let Some(postgres) = Postgres::new() else { return };
    for days in [-2, 9] {
        let wall = move || Timestamp::now() + SignedDuration::from_hours(24 * days);
        let uptime = Arc::new(|| Duration::from_secs(1));
        let guard = ClockGuard::disciplined(Arc::new(wall), uptime, Arc::new(|_| {}));
        assert_eq!(guard.jump().map(|_| ()), None);
        let options = PostgresOptions {
            clock: None,
            clock_guard: Some(Arc::clone(&guard)),
            ..postgres.options(&Hands::default(), policy())
        };
        let store = PostgresStore::open(options).expect("it opens");
        let off = guard.dated().duration_since(Timestamp::now()).abs();
        assert!(off < SignedDuration::from_mins(10), "{days} days: {off:?}");
        assert!(guard.jump().is_some(), "{days} days: the jump is known");
        drop(store);
    }
}
