//! The store, its limits and the delivery to Twilio.

use std::path::PathBuf;

use crate::config::names::{
    ALLOW_UNVERIFIED_DATABASE, MAX_MESSAGES, MAX_PARKED, PHONE_KEY, RETENTION, STORE_DEFAULT,
    STORE_URL,
};
use crate::config::parse;
use crate::config::parse::{count, duration, set, switch};
use crate::config::reader::{Setting, Value};
use crate::config::settings::StoreUrl;
use crate::config::show::written;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: STORE_URL,
        value: Value::StoreUrl { form: "sled:PATH|postgres://…", default: STORE_DEFAULT },
        help: "The store: a folder on this machine, or a PostgreSQL database for several receivers. A URL with a \
               password belongs in the variable, or in a file that HEARDBACK_STORE_FILE names. DATABASE_URL \
               counts if neither is set",
        parse: |reader, text| set(&mut reader.values.store, StoreUrl::parse(text)),
        show: |settings| settings.store.to_string(),
    },
    Setting {
        name: "HEARDBACK_STORE_CONNECTIONS",
        value: Value::Text { form: "COUNT", default: "8" },
        help: "With PostgreSQL: the most connections of this receiver",
        parse: |reader, text| set(&mut reader.values.pool.connections, count(text, 3, 1000)),
        show: |settings| settings.pool.connections.to_string(),
    },
    Setting {
        name: "HEARDBACK_STORE_ACQUIRE_TIMEOUT",
        value: Value::Text { form: "DURATION", default: "2s" },
        help: "With PostgreSQL: the longest time of a command, with its wait for a connection; then the client gets 503",
        parse: |reader, text| set(&mut reader.values.pool.acquire_timeout, duration(text)),
        show: |settings| written(settings.pool.acquire_timeout),
    },
    Setting {
        name: "HEARDBACK_STORE_CONNECTION_LIFETIME",
        value: Value::Text { form: "DURATION", default: "10m" },
        help: "With PostgreSQL: the age at which a connection is replaced, before a proxy such as Fly's ends it",
        parse: |reader, text| set(&mut reader.values.pool.lifetime, duration(text)),
        show: |settings| written(settings.pool.lifetime),
    },
    Setting {
        name: "HEARDBACK_STORE_IDLE_TIMEOUT",
        value: Value::Text { form: "DURATION", default: "5m" },
        help: "With PostgreSQL: the time after which an unused connection is closed",
        parse: |reader, text| set(&mut reader.values.pool.idle_timeout, duration(text)),
        show: |settings| written(settings.pool.idle_timeout),
    },
    Setting {
        name: "HEARDBACK_STORE_POOLER",
        value: Value::Switch { default: "false" },
        help: "With PostgreSQL: whether a pooler without prepared statements is in front, as PgBouncer before 1.21",
        parse: |reader, text| set(&mut reader.values.pool.is_behind_pooler, switch(text)),
        show: |settings| settings.pool.is_behind_pooler.to_string(),
    },
    Setting {
        name: ALLOW_UNVERIFIED_DATABASE,
        value: Value::Switch { default: "false" },
        help: "Allow an sslmode weaker than verify-full for a database on another machine",
        parse: |reader, text| set(&mut reader.values.allow_unverified_database, switch(text)),
        show: |settings| settings.allow_unverified_database.to_string(),
    },
    Setting {
        name: "HEARDBACK_RUN_DIR",
        value: Value::Text { form: "DIR", default: "heardback-run" },
        help: "With PostgreSQL: the folder of the control socket, for `doctor --watch` and `replay`",
        parse: |reader, text| set(&mut reader.values.run_dir, Ok(PathBuf::from(text))),
        show: |settings| settings.run_dir.display().to_string(),
    },
    Setting {
        name: "HEARDBACK_ALLOW_UNSAFE_STORE",
        value: Value::Switch { default: "false" },
        help: "Allow a store on tmpfs, overlayfs, a network file system or FUSE, which can lose acknowledged \
               records",
        parse: |reader, text| set(&mut reader.values.allow_unsafe_store, switch(text)),
        show: |settings| settings.allow_unsafe_store.to_string(),
    },
    Setting {
        name: PHONE_KEY,
        value: Value::Secret,
        help: "The key of the hash of recipients' addresses: a text of 16 bytes or more, or hex: and the digits \
               of `heardback store key` [default: random, kept in the store]",
        parse: parse::phone_key,
        show: |settings| match settings.phone_key {
            Some(_) => "set".to_owned(),
            None => "not set: the store keeps a random one".to_owned(),
        },
    },
    Setting {
        name: RETENTION,
        value: Value::Text { form: "DURATION", default: "30d" },
        help: "How long finished records are kept",
        parse: |reader, text| set(&mut reader.values.policy.retention, duration(text)),
        show: |settings| written(settings.policy.retention),
    },
    Setting {
        name: MAX_MESSAGES,
        value: Value::Text { form: "COUNT", default: "1000000" },
        help: "The most messages. At the limit, a new message evicts the oldest finished one, or gets 503 if \
               there is none. The limit on click links is the same; above it, new links get 503",
        parse: |reader, text| set(&mut reader.values.max_messages, count(text, 1, u64::MAX)),
        show: |settings| settings.max_messages.to_string(),
    },
    Setting {
        name: MAX_PARKED,
        value: Value::Text { form: "COUNT", default: "200000" },
        help: "The most evidence that is parked for messages not yet registered. One account may use at most as \
               much as is free; more gets 503",
        parse: |reader, text| set(&mut reader.values.max_parked, count(text, 1, u64::MAX)),
        show: |settings| settings.max_parked.to_string(),
    },
];
