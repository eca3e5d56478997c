//! The files for two receivers on PostgreSQL: `compose.yaml`, `fly.postgres.toml` and `deploy/postgres/`.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::deploy::{fits_schema, from_pip, read, root, said, settings_are_sound, text, yaml};
use crate::harness::running::BINARY;
use crate::postgres::{psql, socket_folder};

/// The settings of a service of `compose.yaml`. Its second receiver overrides some of the first one's.
fn settings(compose: &Value, service: &str) -> BTreeMap<String, String> {
    let environment = compose["services"][service]["environment"].as_object().expect("a mapping");
    let texts = environment.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    texts.map(|(name, value)| (name.clone(), value.to_owned())).collect()
}

#[test]
fn the_trial_fits_the_schema_of_compose() {
    fits_schema("vendor.compose-spec", &["compose.yaml"]);
}

#[test]
fn the_trial_has_sound_settings_and_two_receivers_that_differ_in_their_ports_only() {
    let compose = yaml(&read("compose.yaml"));
    let mut receivers = ["receiver-1", "receiver-2"].map(|name| settings(&compose, name));
    let port = |address: &String| address.rsplit(':').next().expect("a port").to_owned();
    let caddyfile = read("deploy/postgres/Caddyfile");
    let published = compose["services"]["front"]["ports"].as_array().expect("a list");
    for settings in &mut receivers {
        // They are the user's explicit choices in the file. Its ports are published to loopback only, as asserted below.
        settings_are_sound(
            settings,
            &[
                "HEARDBACK_OPS_LISTEN",
                "HEARDBACK_PUBLIC_URL",
                "HEARDBACK_UPSTREAM_URL",
                "HEARDBACK_APP_KEYS",
            ],
        );
        let listen = settings.remove("HEARDBACK_LISTEN").expect("set");
        assert!(caddyfile.contains(&format!(" {listen}")), "the front does not lead to {listen}");
        let ops = port(&settings.remove("HEARDBACK_OPS_LISTEN").expect("set"));
        assert!(published.contains(&json!(format!("127.0.0.1:{ops}:{ops}"))), "{ops}");
    }
    assert_eq!(receivers[0], receivers[1]);
    assert!(published.iter().all(|port| port.to_string().starts_with("\"127.0.0.1:")));
    // The public URL is the front, and the upstream the stand-in.
    for (name, site) in [("HEARDBACK_PUBLIC_URL", ":"), ("HEARDBACK_UPSTREAM_URL", "127.0.0.1:")] {
        let site = format!("\nhttp://{site}{} {{", port(&receivers[0][name]));
        assert!(caddyfile.contains(&site), "{site}");
    }
    for receiver in ["receiver-1", "receiver-2"] {
        let service = &compose["services"][receiver];
        assert_eq!(service["network_mode"], "service:front", "{receiver}");
        let migrated = &service["depends_on"]["migrate"]["condition"];
        assert_eq!(migrated, "service_completed_successfully", "{receiver}");
    }
    // Each role connects with the password that roles.sql gives it.
    let server = settings(&compose, "postgres");
    let url = |service| settings(&compose, service)["HEARDBACK_STORE"].clone();
    let expected = |role: &str, password: &str| format!("://{role}:{}@postgres/", server[password]);
    assert!(url("receiver-1").contains(&expected("heardback", "HEARDBACK_PASSWORD")));
    assert!(url("migrate").contains(&expected("heardback_owner", "HEARDBACK_OWNER_PASSWORD")));
    assert_eq!(compose["services"]["migrate"]["command"], json!(["store", "migrate"]));
    let front = text(&compose, "/services/front/image");
    assert_eq!(front, text(&yaml(&read("deploy/compose.yaml")), "/services/caddy/image"));
    let mounted = compose["services"].to_string();
    for file in ["deploy/postgres/Caddyfile", "deploy/postgres/roles.sql"] {
        assert!(mounted.contains(&format!("./{file}:")), "{file}");
    }
}

#[test]
fn caddy_accepts_the_file_of_the_trial() {
    let Some(program) = from_pip("caddy") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let path = root().join("deploy/postgres/Caddyfile");
    let mut validate = Command::new(program);
    validate.args(["validate", "--adapter", "caddyfile", "--config"]).arg(path);
    let output = validate.env("HOME", home.path()).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("not formatted"), "{}", said(&output));
}

/// `deploy/postgres/roles.sql`, run by an administrator.
#[test]
fn the_roles_let_receivers_change_rows_and_no_definition() {
    let Some(folder) = socket_folder() else { return };
    let run = |database: &str, sql: &str| {
        let output = psql(database).args(["-c", sql]).output().expect("psql runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    assert!(run("postgres", "CREATE DATABASE roles").0);
    let mut create = psql("roles");
    create.arg("-f").arg(root().join("deploy/postgres/roles.sql"));
    // A quote in a password ends no string.
    create.env("HEARDBACK_OWNER_PASSWORD", "o'; SELECT 1").env("HEARDBACK_PASSWORD", "p");
    let created = create.output().expect("psql runs");
    assert!(created.status.success(), "{}", said(&created));

    let heardback = |role: &str, arguments: &[&str]| {
        let url = format!("postgres:///roles?host={}&user={role}", folder.display());
        let mut command = Command::new(BINARY);
        command.args(arguments).env_clear().env("HEARDBACK_STORE", url);
        command.env("HEARDBACK_PHONE_KEY", "0123456789abcdef").output().expect("it runs")
    };
    let refused = heardback("heardback", &["store", "migrate"]);
    assert!(!refused.status.success() && said(&refused).contains("permission denied"));
    for _ in 0..2 {
        let migrated = heardback("heardback_owner", &["store", "migrate"]);
        assert!(migrated.status.success(), "{}", said(&migrated));
    }
    let stats = heardback("heardback", &["stats"]);
    assert!(stats.status.success(), "{}", said(&stats));

    let rights = "SELECT string_agg(DISTINCT privilege_type, ' ' ORDER BY privilege_type)
        FROM information_schema.role_table_grants WHERE grantee = 'heardback'";
    assert_eq!(run("roles", rights).1, "DELETE INSERT SELECT UPDATE");
    let owned = "SELECT count(*) FROM pg_class WHERE relnamespace = 'heardback'::regnamespace
        AND relowner <> 'heardback_owner'::regrole";
    assert_eq!(run("roles", owned).1, "0");
    for (sql, is_allowed) in [
        ("DELETE FROM message", true),
        ("CREATE TABLE x ()", false),
        ("CREATE TABLE public.x ()", false),
        ("CREATE TEMPORARY TABLE x ()", false),
        ("TRUNCATE message", false),
        ("ALTER TABLE message ADD x int", false),
        ("DROP TABLE message", false),
        ("CREATE SCHEMA x", false),
    ] {
        let as_receiver = format!("SET search_path = heardback; SET ROLE heardback; {sql}");
        assert_eq!(run("roles", &as_receiver).0, is_allowed, "{sql}");
    }
}

#[test]
fn the_two_files_for_fly_differ_only_where_a_database_needs_it() {
    let file = |name: &str| read(name).parse::<toml::Table>().expect("TOML");
    let (mut one, mut two) = (file("fly.toml"), file("fly.postgres.toml"));
    assert!(one.remove("mounts").is_some() && !two.contains_key("mounts"));
    // It is for sled's memory.
    assert!(one.remove("swap_size_mb").is_some());
    let deploy = two.remove("deploy").expect("a table");
    assert!(one.remove("deploy").is_some());
    assert_eq!(deploy["strategy"].as_str(), Some("bluegreen"));
    // It follows the image's entrypoint, and its URL has no password.
    let release = deploy["release_command"].as_str().expect("text");
    let url = release.strip_prefix("store migrate --store ").expect("the migration");
    assert!(read("Dockerfile").contains("\nENTRYPOINT [\"heardback\"]\n"));
    let migrate = Command::new(BINARY)
        .args([
            "store",
            "migrate",
            "--store",
            &url.replace("direct.CLUSTER.flympg.net", "127.0.0.1:1"),
        ])
        .env_clear()
        .output()
        .expect("it runs");
    assert!(said(&migrate).contains("cannot open the database"), "{}", said(&migrate));

    let number = |file: &mut toml::Table| {
        let service = file["http_service"].as_table_mut().expect("a table");
        service.remove("min_machines_running").and_then(|count| count.as_integer())
    };
    assert_eq!((number(&mut one), number(&mut two)), (Some(1), Some(2)));
    let env = |file: &mut toml::Table| {
        let table = file.remove("env").expect("a table");
        let texts = table.as_table().expect("a table").iter();
        texts
            .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let (mut of_one, mut of_two) = (env(&mut one), env(&mut two));
    assert_eq!(one, two);
    // Without the secret no machine starts on a store of its own.
    assert!(of_two["HEARDBACK_STORE"].contains(".invalid/"), "{of_two:?}");
    let mut with_secrets = of_two.clone();
    for (name, value) in [
        ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("HEARDBACK_APP_KEYS", "0123456789abcdef"),
        ("HEARDBACK_OPS_TOKEN", "0123456789abcdef"),
        ("HEARDBACK_PHONE_KEY", "0123456789abcdef"),
    ] {
        with_secrets.insert(name.to_owned(), value.to_owned());
    }
    settings_are_sound(&with_secrets, &["HEARDBACK_OPS_LISTEN"]);
    assert!(of_two.remove("HEARDBACK_RUN_DIR").is_some_and(|folder| folder.starts_with('/')));
    of_one.remove("HEARDBACK_STORE");
    of_two.remove("HEARDBACK_STORE");
    assert_eq!(of_one, of_two);
}
