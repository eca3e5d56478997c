//! The listeners of the real binary: both address families, host names, the operator's page from a
//! private network, few file descriptors; and `health`, which sends requests to them.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use heardback::config::ListenAddr;
use heardback::twilio::signature::SigningKey;
use rustix::process::Signal;

use crate::abuse::many_connections::affordable;
use crate::disk::holder;
use crate::harness::http_client::{self, Line, connected_from};
use crate::harness::running::{BINARY, Running, settings, wrapped};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{BASE, Harness, LONG, eventually, signed, status_callback};
use crate::page::{TOKEN, ask, csrf_token, get};
use crate::skip::{skipped, skipped_unless_ci};
use crate::slow_clients::open_files;

const OPS_TOKEN: (&str, &str) = ("HEARDBACK_OPS_TOKEN", TOKEN);
/// For the programs that a shell starts.
const PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A running service with its own store and Twilio.
struct Place {
    service: Running,
    twilio: Twilio,
    folder: tempfile::TempDir,
}

impl Place {
    fn start(words: &[&str], more: &[(&str, &str)]) -> Self {
        let (twilio, folder) = (Twilio::start(), tempfile::tempdir().expect("a folder"));
        let service = Running::start(wrapped(words, &folder.path().join("store"), &twilio, more));
        Self { service, twilio, folder }
    }

    fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }
}

/// Runs a service that must refuse to start: its exit code and its output.
fn refused(words: &[&str], more: &[(&str, &str)]) -> (Option<i32>, String) {
    let (twilio, folder) = (Twilio::start(), tempfile::tempdir().expect("a folder"));
    let store = folder.path().join("store");
    let output =
        wrapped(words, &store, &twilio, more).stdin(Stdio::null()).output().expect("it ran");
    assert!(!store.exists(), "a service that does not start creates no store");
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8([stdout, stderr].concat()).expect("UTF-8"))
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind((V6, 0)).is_ok();
    if !has {
        skipped_unless_ci("there is no IPv6");
    }
    has
}

/// `heardback health` with these arguments, this `HEARDBACK_OPS_LISTEN` and an empty environment
/// otherwise: exit code and stdout.
fn health(words: &[&str], listen: &str) -> (i32, String) {
    let mut command = Command::new(BINARY);
    command.arg("health").args(words).env_clear().env("HEARDBACK_OPS_LISTEN", listen);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout) + &text(stderr))
}

fn accepted(address: SocketAddr, number: u32) {
    let mut line = Line::open(address);
    line.send(&http_client::bytes(&signed(&status_callback(number, "sent"))));
    assert_eq!(line.answer().expect("an answer").status, 204, "{address}");
}

#[test]
fn both_listeners_on_the_unspecified_ipv6_address_answer_both_families() {
    if !has_ipv6() {
        return;
    }
    let everywhere =
        [("HEARDBACK_LISTEN", "[::]:0"), ("HEARDBACK_OPS_LISTEN", "[::]:0"), OPS_TOKEN];
    let place = Place::start(&[BINARY, "serve"], &everywhere);
    for (number, ip) in (1..).zip([V4, V6]) {
        accepted((ip, place.service.public.port()).into(), number);
        let ops = (ip, place.service.ops.port()).into();
        assert_eq!(get(ops, "/readyz", &[]).status, 200);
    }
}

#[test]
fn a_dual_stack_listener_does_not_depend_on_bindv6only() {
    // In its own network namespace, because the sysctl needs one.
    let script = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/bindv6only || exit 77
        \"$0\" serve & service=$!
        tries=0
        until \"$0\" health --ready; do
            tries=$((tries + 1)); test $tries -lt 100 || break
            kill -0 $service 2>/dev/null || break
            sleep 0.1
        done
        \"$0\" health --ready; code=$?
        kill $service; wait $service; exit $code";
    let everywhere =
        [("HEARDBACK_LISTEN", "[::]:8080"), ("HEARDBACK_OPS_LISTEN", "[::]:9091"), OPS_TOKEN, PATH];
    let (twilio, folder) = (Twilio::start(), tempfile::tempdir().expect("a folder"));
    let words = ["unshare", "-n", "sh", "-c", script, BINARY];
    let output = wrapped(&words, &folder.path().join("store"), &twilio, &everywhere).output();
    let Ok(Output { status, stdout, stderr }) = output else {
        return skipped_unless_ci("there is no `unshare`");
    };
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    if status.code() == Some(77) || said.contains("unshare failed") {
        return skipped_unless_ci(&format!("no network namespace may be made: {said}"));
    }
    assert!(status.success() && said.contains("ready at 127.0.0.1:9091"), "{said}");
}

#[test]
fn without_ipv6_the_unspecified_address_falls_back_to_ipv4_and_a_literal_gets_the_remedy() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped_unless_ci("there is no `strace`");
    }
    // The first socket is the public listener's.
    let broken = "inject=socket:error=EAFNOSUPPORT:when=1";
    let words = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=socket",
        "-e",
        broken,
        "-o",
        "/dev/null",
        BINARY,
        "serve",
    ];
    let mut place = Place::start(&words, &[("HEARDBACK_LISTEN", "[::]:0")]);
    let pid = holder(&place.store());
    place.service.is_really(pid);
    assert_eq!(place.service.public.ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    accepted((V4, place.service.public.port()).into(), 1);
    place.service.says("this system has no IPv6");
    let (code, said) = refused(&words, &[("HEARDBACK_LISTEN", "[::1]:8080")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no IPv6") && said.contains("HEARDBACK_LISTEN=127.0.0.1:8080"), "{said}");
}

#[test]
fn a_host_name_is_accepted_and_localhost_needs_no_token() {
    let names = [("HEARDBACK_LISTEN", "LOCALHOST:0"), ("HEARDBACK_OPS_LISTEN", "localhost:0")];
    let place = Place::start(&[BINARY, "serve"], &names);
    assert!(place.service.public.ip().is_loopback() && place.service.ops.ip().is_loopback());
    accepted(place.service.public, 1);
    assert_eq!(get(place.service.ops, "/", &["Host: localhost:9091"]).status, 200);
    let (code, said) =
        refused(&[BINARY, "serve"], &[("HEARDBACK_OPS_LISTEN", "no-such-host.invalid:0")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("HEARDBACK_OPS_TOKEN is missing"), "{said}");
    let unknown = [("HEARDBACK_LISTEN", "no-such-host.invalid:0")];
    let (code, said) = refused(&[BINARY, "serve"], &unknown);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no-such-host.invalid (HEARDBACK_LISTEN)"), "{said}");
}

/// The command line of `serve` with this file as its /etc/hosts. `None`: the test is skipped, for example without root.
fn serve_with_hosts(hosts: &Path) -> Option<Vec<String>> {
    let script = "mount --bind \"$1\" /etc/hosts && exec \"$0\" serve";
    let words = ["unshare", "-m", "sh", "-c", script, BINARY, &hosts.display().to_string()]
        .map(str::to_owned);
    let tried = Command::new("unshare")
        .args(["-m", "sh", "-c", "mount --bind \"$0\" /etc/hosts"])
        .arg(hosts)
        .output();
    match tried {
        Ok(output) if output.status.success() => Some(words.to_vec()),
        Ok(output) => {
            // A mount needs root, and CI may not be root.
            skipped(&String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            skipped_unless_ci(&format!("there is no `unshare`: {error}"));
            None
        }
    }
}

#[test]
fn every_address_of_a_name_is_bound_and_a_localhost_that_is_not_loopback_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    // 203.0.113.1 is reserved for documentation: no machine has it.
    let lines = "127.0.0.1 both\n::1 both\n203.0.113.1 both\n203.0.113.1 localhost\n";
    fs::write(&hosts, lines).expect("written");
    let Some(words) = serve_with_hosts(&hosts) else { return };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if has_ipv6() {
        let place = Place::start(&words, &[("HEARDBACK_LISTEN", "both:0"), PATH]);
        for (number, ip) in (1..).zip([V4, V6]) {
            accepted((ip, place.service.public.port()).into(), number);
        }
    }
    let (code, said) = refused(&words, &[("HEARDBACK_OPS_LISTEN", "localhost:9091"), PATH]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("203.0.113.1") && said.contains("HEARDBACK_OPS_TOKEN"), "{said}");
}

#[test]
fn the_operators_page_is_reachable_through_fly_proxy_and_a_private_network() {
    if !has_ipv6() {
        return;
    }
    let place = Place::start(&[BINARY, "serve"], &[("HEARDBACK_OPS_LISTEN", "[::]:0"), OPS_TOKEN]);
    let ops = SocketAddr::from((V6, place.service.ops.port()));
    let login = serde_urlencoded::to_string([("token", TOKEN)]).expect("encodes");
    for name in [
        "localhost:9091",
        "heardback.internal:9091",
        "iad.heardback.internal:9091",
        "[fdaa:0:1::3]:9091",
    ] {
        let (host, origin) = (format!("Host: {name}"), format!("Origin: http://{name}"));
        let answer = get(ops, "/", &[&host]);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/login")), "{name}");
        assert_eq!(get(ops, "/login", &[&host]).status, 200, "{name}");
        let answer = ask(ops, "POST", "/login", &[&host, &origin], &login);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/")), "{name}");
        let cookie = answer.header("Set-Cookie").and_then(|it| it.split(';').next()).expect("one");
        let cookie = format!("Cookie: {cookie}");
        let page = get(ops, "/", &[&host, &cookie]);
        assert_eq!(page.status, 200, "{name}");
        let button = format!("csrf_token={}", csrf_token(&page.text()));
        let answer = ask(ops, "POST", "/logout", &[&host, &origin, &cookie], &button);
        assert_eq!(answer.status, 303, "{name}");
        // A page of another site is refused under every name.
        let foreign =
            ask(ops, "POST", "/login", &[&host, "Origin: http://evil.example:9091"], &login);
        assert_eq!(foreign.status, 403, "{name}");
    }
}

#[test]
fn ipv4_networks_are_limited_apart_on_a_dual_stack_listener() {
    if !has_ipv6() {
        return;
    }
    let place = Place::start(&[BINARY, "serve"], &[("HEARDBACK_LISTEN", "[::]:0")]);
    let to = SocketAddr::from((V4, place.service.public.port()));
    let forged =
        http_client::bytes(&status_callback(1, "sent").signed(&SigningKey::new(b"a guess"), BASE));
    let fails = |source: &str| {
        let mut stream = connected_from(source.parse().expect("an address"), to);
        std::io::Write::write_all(&mut stream, &forged).expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        String::from_utf8_lossy(&head).into_owned()
    };
    eventually("one network is limited", LONG, || fails("127.0.1.1").ends_with("429"));
    assert_eq!(fails("127.0.2.1"), "HTTP/1.1 403", "another network is not");
}

#[test]
fn with_64_descriptors_idle_clients_of_both_listeners_delay_no_request_and_no_probe() {
    affordable();
    let limited = format!("ulimit -n 64; exec {BINARY} serve");
    let mut place = Place::start(&["/bin/sh", "-c", &limited], &[]);
    let service = &place.service;
    service.says("the limit of open files (ulimit -n) is 64");
    let mut idle = Vec::new();
    for number in 1..=200 {
        idle.push(TcpStream::connect(service.public).expect("connected"));
        idle.push(TcpStream::connect(service.ops).expect("connected"));
        if number % 20 == 0 {
            let began = Instant::now();
            assert_eq!(service.operator("/readyz").status, 200, "{number}");
            accepted(service.public, number);
            assert!(began.elapsed() < Duration::from_secs(5), "{number}: {:?}", began.elapsed());
        }
    }
    // Confirmations are still posted.
    let confirmed = http_client::bytes(&signed(&crate::harness::code_entered(1)));
    assert_eq!(service.exchange(&confirmed).status, 200);
    eventually("the confirmation is posted", LONG, || !place.twilio.posts().is_empty());
    assert!(open_files(service) < 64, "{}", open_files(service));
    assert!(!service.logs().contains("Too many open files"), "{}", service.logs());
    drop(idle);
    place.service.signal(Signal::TERM);
    assert!(place.service.ends_within(LONG).success(), "{}", place.service.logs());
}

#[test]
fn a_descriptor_limit_that_is_too_low_is_refused_with_the_remedy() {
    let limited = format!("ulimit -n 40; exec {BINARY} serve");
    let (code, said) = refused(&["/bin/sh", "-c", &limited], &[]);
    assert_eq!(code, Some(1), "{said}");
    for words in
        ["(ulimit -n) is 40", "`ulimit -n 65536`", "LimitNOFILE=65536", "--ulimit nofile=65536"]
    {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn health_uses_loopback_for_every_listen_address() {
    let mut listens = vec!["127.0.0.1:0", "0.0.0.0:0", "localhost:0", "127.0.0.2:0"];
    if has_ipv6() {
        listens.extend(["[::]:0", "[::1]:0"]);
    }
    for listen in listens {
        let place =
            Place::start(&[BINARY, "serve"], &[("HEARDBACK_OPS_LISTEN", listen), OPS_TOKEN]);
        let (host, _) = listen.rsplit_once(':').expect("a port");
        let set = format!("{host}:{}", place.service.ops.port());
        let at = ListenAddr::parse(&set).expect("one").from_here();
        assert_eq!(health(&[], &set), (0, format!("alive at {at}\n")));
        assert_eq!(health(&["--ready"], &set), (0, format!("ready at {at}\n")));
        assert_eq!(
            health(&["--ready", "--ops-listen", &set], "127.0.0.1:1").0,
            0,
            "a flag overrides the environment"
        );
    }
}

#[test]
fn health_gives_the_reason_in_one_line_and_never_waits_long() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = nobody.local_addr().expect("bound").to_string();
    // This listener accepts the connection and sends nothing.
    let began = Instant::now();
    let (code, said) = health(&[], &at);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no answer within 3 s") && said.lines().count() == 1, "{said}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // A bound socket that does not listen refuses connections, and no other process gets its port.
    let silent = tokio::net::TcpSocket::new_v4().expect("a socket");
    silent.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let at = silent.local_addr().expect("bound").to_string();
    let (code, said) = health(&[], &at);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("no answer at {at}")) && said.contains("HEARDBACK_OPS_LISTEN"),
        "{said}"
    );
    // The public listener is Heardback's, but does not serve the operator's routes.
    let harness = Harness::new(&[]);
    for words in [&[][..], &["--ready"]] {
        let (code, said) = health(words, &harness.service.public.to_string());
        assert!(code == 1 && said.contains("not Heardback"), "{said}");
    }
    // A draining service is alive, and not ready.
    harness.twilio.reply_with(TwilioReply::Hold);
    assert_eq!(harness.confirm(1).status, 200);
    eventually("the post is under way", LONG, || !harness.twilio.posts().is_empty());
    harness.service.signal(Signal::TERM);
    harness.service.says("draining");
    let ops = harness.service.ops.to_string();
    assert_eq!(health(&[], &ops), (0, format!("alive at {ops}\n")));
    assert_eq!(health(&["--ready"], &ops), (1, format!("not ready at {ops}: shutting down\n")));
    harness.twilio.reply_with(TwilioReply::Status(200));
    for wrong in ["nowhere", "127.0.0.1:0", ":9091"] {
        let (code, said) = health(&[], wrong);
        assert!(code == 2 && said.contains("HEARDBACK_OPS_LISTEN"), "{wrong}: {said}");
    }
}

fn repository(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("there")
}

#[test]
fn the_image_and_fly_listen_on_both_families_and_the_image_checks_its_own_health() {
    let image = repository("Dockerfile").replace("\\\n", " ");
    let lines = || image.lines().map(str::trim);
    let listens = lines().find_map(|line| line.split("HEARDBACK_LISTEN=").nth(1));
    assert_eq!(listens.and_then(|rest| rest.split(' ').next()), Some("[::]:8080"));
    let check = lines().find(|line| line.starts_with("HEALTHCHECK")).expect("a health check");
    assert!(check.ends_with("CMD [\"heardback\", \"health\"]"), "{check}");
    let fly: toml::Table = repository("fly.toml").parse().expect("TOML");
    let env = |name: &str| fly["env"][name].as_str().map(str::to_owned);
    assert_eq!(env("HEARDBACK_LISTEN").as_deref(), Some("[::]:8080"));
    assert_eq!(env("HEARDBACK_OPS_LISTEN").as_deref(), Some("[::]:9091"));
    for page in ["docs/running.md", "docs/operations.md"] {
        let page = repository(page);
        assert!(
            !page.contains("curl -s localhost:9091") && page.contains("heardback health --ready")
        );
    }
}

#[test]
fn doctor_reaches_a_service_on_every_address() {
    let place = Place::start(&[BINARY, "serve"], &[("HEARDBACK_OPS_LISTEN", "[::]:0"), OPS_TOKEN]);
    let set = format!("[::]:{}", place.service.ops.port());
    let mut asked = Command::new(BINARY);
    asked.arg("doctor").env_clear().envs(settings(&place.store(), &place.twilio));
    asked.envs([("HEARDBACK_OPS_LISTEN", set.as_str()), OPS_TOKEN]);
    let output = asked.stdin(Stdio::null()).output().expect("it ran");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let at = format!("127.0.0.1:{}", place.service.ops.port());
    assert!(said.contains(&format!("ok    service     at {at}: ready")), "{said}");
}
