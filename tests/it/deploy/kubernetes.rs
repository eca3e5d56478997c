//! `deploy/kubernetes.yaml`: one pod with one disk.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::deploy::{USER, from_pip, read, root, said, settings_are_sound, text, yaml};
use crate::harness::Harness;

fn documents() -> Vec<Value> {
    read("deploy/kubernetes.yaml").split("\n---\n").map(yaml).collect()
}

fn stateful_set() -> Value {
    let documents = documents();
    let mut sets = documents.into_iter().filter(|document| document["kind"] == "StatefulSet");
    sets.next().expect("a StatefulSet")
}

fn container(set: &Value) -> &Value {
    set.pointer("/spec/template/spec/containers/0").expect("a container")
}

#[test]
fn the_kubernetes_manifests_fit_their_schemas() {
    let Some(program) = from_pip("kubernetes-validate") else { return };
    let mut command = Command::new(program);
    command.args(["--strict", "deploy/kubernetes.yaml"]).current_dir(root());
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches(" passed ").count(), documents().len());
}

#[test]
fn the_stateful_set_has_sound_settings_from_values_and_mounted_secrets() {
    let set = stateful_set();
    let container = container(&set);
    let entries = container["env"].as_array().expect("a list").iter();
    let settings: BTreeMap<String, String> = entries
        .map(|entry| (text(entry, "/name").to_owned(), text(entry, "/value").to_owned()))
        .collect();
    // Only the headless Service has this port, so it has no cluster address.
    settings_are_sound(&settings, &["HEARDBACK_OPS_LISTEN"]);
    // Kubernetes would add HEARDBACK_PORT and others for the Service of that name.
    assert_eq!(set.pointer("/spec/template/spec/enableServiceLinks"), Some(&json!(false)));

    let mounts = container["volumeMounts"].as_array().expect("a list");
    let mount = |name: &str| {
        let found = mounts.iter().find(|mount| mount["name"] == name).expect(name);
        text(found, "/mountPath").to_owned()
    };
    let store = settings["HEARDBACK_STORE"].strip_prefix("sled:").expect("sled");
    assert!(store.starts_with(&format!("{}/", mount("data"))), "{store}");
    let create = read("deploy/kubernetes.yaml");
    let create =
        create.lines().find(|line| line.contains("kubectl create secret")).expect("a line");
    for (name, path) in settings.iter().filter(|(name, _)| name.ends_with("_FILE")) {
        let file = path.strip_prefix(&format!("{}/", mount("secrets"))).expect(name);
        assert!(create.contains(&format!("--from-file={file}")), "{name}: {file}");
    }
}

#[test]
fn the_stateful_set_never_has_two_pods_and_runs_as_the_images_user() {
    let set = stateful_set();
    let at = |pointer: &str| set.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    assert_eq!(at("/spec/replicas"), 1);
    // It ends the old pod before it starts the new one.
    assert_eq!(at("/spec/updateStrategy/type"), "RollingUpdate");
    assert_eq!(at("/spec/volumeClaimTemplates/0/spec/accessModes"), json!(["ReadWriteOncePod"]));
    assert_eq!(at("/spec/volumeClaimTemplates/0/metadata/name"), "data");
    let grace = at("/spec/template/spec/terminationGracePeriodSeconds").as_u64().expect("a number");
    let fly = read("fly.toml");
    assert!(fly.contains(&format!("kill_timeout = \"{grace}s\"")), "as on Fly: {grace}");
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(at(&format!("/spec/template/spec/securityContext/{id}")), USER, "{id}");
    }
    assert_eq!(at("/spec/template/spec/securityContext/runAsNonRoot"), true);
    let context = &container(&set)["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
}

#[test]
fn the_probes_request_routes_that_a_healthy_service_answers_on_the_operators_port() {
    let set = stateful_set();
    let container = container(&set);
    let port = |listen: &str| {
        let mut entries = container["env"].as_array().expect("a list").iter();
        let entry = entries.find(|entry| entry["name"] == listen).expect(listen);
        text(entry, "/value").rsplit(':').next().and_then(|port| port.parse::<u64>().ok())
    };
    let ports = json!([
        { "name": "http", "containerPort": port("HEARDBACK_LISTEN") },
        { "name": "ops", "containerPort": port("HEARDBACK_OPS_LISTEN") },
    ]);
    assert_eq!(container["ports"], ports);
    let harness = Harness::new(&[]);
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        let get = &container[probe]["httpGet"];
        assert_eq!(get, &json!({ "path": path, "port": "ops" }), "{probe}");
        assert_eq!(harness.service.operator(path).status, 200, "{path}");
    }
}

#[test]
fn the_services_select_the_pod_and_only_the_public_port_has_an_address() {
    let set = stateful_set();
    let labels = set.pointer("/spec/template/metadata/labels").expect("labels");
    assert_eq!(set.pointer("/spec/selector/matchLabels"), Some(labels));
    let documents = documents();
    let services: Vec<&Value> =
        documents.iter().filter(|document| document["kind"] == "Service").collect();
    assert_eq!(services.len(), 2);
    for service in services {
        assert_eq!(&service["spec"]["selector"], labels);
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
        let headless = service["spec"]["clusterIP"] == "None";
        let target = service.pointer("/spec/ports/0/targetPort").expect("a port");
        assert_eq!(target, if headless { "ops" } else { "http" });
        let is_the_sets = service["metadata"]["name"] == set["spec"]["serviceName"];
        assert_eq!(headless, is_the_sets);
    }
}
