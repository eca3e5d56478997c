//! The proxies of `docs/proxies.md`: nginx and Caddy run with the configuration that the page and `deploy/` show. Signed
//! requests get the same answers as without a proxy, and no client chooses which network its failures count for.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use heardback::domain::rate_limit::BURST;
use heardback::recording::Recording;
use serde_json::json;
use tempfile::TempDir;

use crate::deploy::{from_pip, read};
use crate::harness::http_client::{Answer, Line, bytes, connected_from};
use crate::harness::{
    Harness, LONG, RECIPIENT, SENDER, code_entered, eventually, form, get, key, sid, signed,
    status_callback,
};
use crate::skip::skipped_unless_ci;

/// The client's address, outside the proxy's network.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 88, 99, 9);

/// A proxy that runs in front of a service.
struct Proxy {
    process: Child,
    addr: SocketAddr,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address for a proxy that cannot bind port 0. Only this process uses that loopback address, so the port stays free
/// until the proxy binds it.
fn free_addr() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = SocketAddr::from(([127, 77, high, low], 0));
    TcpListener::bind(own).and_then(|listener| listener.local_addr()).expect("a free port")
}

impl Proxy {
    fn start(mut command: Command, addr: SocketAddr, folder: TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(folder.path().join("log")).expect("created"));
        let process = command.spawn().expect("it starts");
        let proxy = Self { process, addr, _folder: folder };
        let listens = || Line::try_open(addr).is_some();
        eventually("the proxy listens", LONG, listens);
        proxy
    }

    /// nginx with the server of `docs/proxies.md`, without TLS. `None`: skipped.
    fn nginx(service: SocketAddr) -> Option<Self> {
        // On Debian it is in /usr/sbin, which is only in root's PATH.
        let mut programs = ["nginx", "/usr/sbin/nginx"].into_iter();
        let there = |program: &&str| Command::new(program).arg("-v").output().is_ok();
        let Some(program) = programs.find(there) else {
            skipped_unless_ci("there is no `nginx`");
            return None;
        };
        let page = read("docs/proxies.md");
        let (_, block) = page.split_once("```nginx\n").expect("a block");
        let block = block.split("```").next().expect("an end");
        assert!(block.contains("http://127.0.0.1:8080") && block.contains("listen 443 ssl;"));
        let addr = free_addr();
        let lines = block.lines().filter(|line| !line.contains("ssl_certificate"));
        let server: Vec<&str> = lines.filter(|line| !line.contains("listen [::]")).collect();
        let server = server.join("\n");
        let server = server.replace("listen 443 ssl;", &format!("listen {addr};"));
        let server = server.replace("127.0.0.1:8080", &service.to_string());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {path}/{name};"));
        let whole = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr;\nevents {{}}\n\
             http {{ access_log off; {} \n{server}\n}}\n",
            temporary.join(" ")
        );
        fs::write(folder.path().join("nginx.conf"), whole).expect("written");
        let mut command = Command::new(program);
        command.arg("-c").arg(folder.path().join("nginx.conf")).arg("-p").arg(folder.path());
        Some(Self::start(command, addr, folder))
    }

    /// Caddy with `deploy/Caddyfile`, without TLS. `None`: skipped.
    fn caddy(service: SocketAddr) -> Option<Self> {
        let program = from_pip("caddy")?;
        let (addr, folder) = (free_addr(), tempfile::tempdir().expect("a folder"));
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/Caddyfile"));
        command.env("PUBLIC_HOST", format!("http://{addr}")).env("UPSTREAM", service.to_string());
        command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
        command.env("XDG_CONFIG_HOME", folder.path());
        Some(Self::start(command, addr, folder))
    }

    /// Sends a request from [`CLIENT`].
    fn exchange(&self, request: &Recording) -> Answer {
        // Caddy chooses the site by the host.
        let sent = bytes(request);
        let at = sent.windows(9).position(|nine| nine == b"Host: x\r\n").expect("a host");
        let host = format!("Host: {}\r\n", self.addr);
        let sent = [&sent[..at], host.as_bytes(), &sent[at + 9..]].concat();
        let mut line = Line::over(connected_from(CLIENT, self.addr));
        line.send(&sent);
        line.answer().expect("an answer")
    }
}

/// Requests whose signature fails as soon as a proxy changes a byte of the URL or the body.
fn delicate() -> Vec<Recording> {
    let shown = |query: &str| get(&format!("/app/messages/{}{query}", sid(7)));
    let reply = |body: &str| {
        let (from, to) = (("From", RECIPIENT), ("To", SENDER));
        form("/twilio/message", &[("MessageSid", &sid(8)), from, to, ("Body", body)])
    };
    let mut large = Vec::new();
    for n in 0..3_000 {
        large.push(json!({ "specversion": "1.0", "type": "com.example.unknown", "id": n, "data": "x".repeat(200) }));
    }
    vec![
        code_entered(7),
        status_callback(7, "delivered"),
        shown(""),
        shown("?a=%7e%7E~&b=a+b%20c&c=%2f/../x//y&d=%C3%A9&e"),
        shown("?"),
        get(&format!("/app/messages/%53M{}", &sid(7)[2..])),
        get(&format!("/app//messages/./x/../{}", sid(7))),
        shown("?empty=&=&&q=a;b"),
        reply("a+b & c=d % \u{e9} \u{1f600}"),
        form(
            "/twilio/status?feedback=1&reference=a%2Fb%20c",
            &[("MessageSid", &sid(9)), ("MessageStatus", "sent")],
        ),
        crate::harness::json(
            "/app/events",
            &json!({ "MessageSid": sid(7), "Type": "code_entered", "x": "\u{e9}  " }),
        ),
        crate::harness::json("/twilio/events", &json!(large)),
    ]
}

fn passes_everything_on_as_it_came(header: &str, start: fn(SocketAddr) -> Option<Proxy>) {
    // Two services with the same history: one gets its requests directly.
    let harnesses = [Harness::new(&[]), Harness::new(&[("HEARDBACK_CLIENT_IP_HEADER", header)])];
    let [direct, behind] = &harnesses;
    let Some(proxy) = start(behind.service.public) else { return };
    for request in delicate() {
        let request = signed(&request);
        let expected = direct.service.exchange(&bytes(&request));
        assert!(![401, 403].contains(&expected.status), "{}: {}", request.target, expected.head);
        let answer = proxy.exchange(&request);
        let shown = |answer: &Answer| (answer.status, answer.json()["message_sid"].clone());
        assert_eq!(shown(&answer), shown(&expected), "{}: {}", request.target, answer.head);
    }
    // The client forges a new address in each request; its failures still count for its real network.
    let forged = |n: u32| {
        let mut request = code_entered(n).signed(&key(), "https://elsewhere.example.com");
        for name in ["X-Forwarded-For", "X-Real-IP", header] {
            request.headers.push((name.to_owned(), format!("203.0.{}.9", n % 250)));
        }
        proxy.exchange(&request).status
    };
    let limited = (1..=10 * BURST).find(|n| forged(*n) == 429);
    assert!(limited.is_some_and(|n| n > BURST), "429 after {limited:?} of {BURST}");
    let [a, b, c, _] = CLIENT.octets();
    behind.service.says(&format!("more than {BURST} failed signatures from {a}.{b}.{c}.0/24"));
    assert_eq!(
        proxy.exchange(&signed(&code_entered(7))).status,
        200,
        "signed requests are not limited"
    );
}

#[test]
fn nginx_as_the_docs_configure_it_changes_nothing_that_is_signed_and_names_the_client() {
    passes_everything_on_as_it_came("X-Real-IP", Proxy::nginx);
}

#[test]
fn caddy_as_deployed_changes_nothing_that_is_signed_and_names_the_client() {
    passes_everything_on_as_it_came("X-Forwarded-For", Proxy::caddy);
}

#[test]
fn the_page_names_a_header_for_each_proxy_and_the_deployments_use_it() {
    let page = read("docs/proxies.md");
    for (proxy, header) in [
        ("Caddy", "X-Forwarded-For"),
        ("nginx", "X-Real-IP"),
        ("Cloudflare", "CF-Connecting-IP"),
        ("ngrok", "X-Forwarded-For"),
        ("Fly.io", "Fly-Client-IP"),
    ] {
        let row = format!("| {proxy} | `{header}` |");
        assert!(page.contains(&row), "{row}");
    }
    assert!(read("fly.toml").contains("HEARDBACK_CLIENT_IP_HEADER = \"Fly-Client-IP\""));
    assert!(read("deploy/heardback.env").contains("HEARDBACK_CLIENT_IP_HEADER=X-Real-IP"));
}
