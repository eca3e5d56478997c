//! Heardback's click links over real HTTP: how an app creates one, what its page shows, and which
//! request proves that a person opened it.

use heardback::recording::Recording;
use serde_json::{Value, json};

use crate::harness::http_client::{self, Answer};
use crate::harness::{
    BASE, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, form, get, json as json_post, sid,
};

const TARGET: &str = "https://app.example.com/welcome?a=1&b=%20";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

fn text(json: &Value, field: &str) -> String {
    let value = json.get(field).and_then(Value::as_str);
    value.unwrap_or_else(|| unreachable!("no {field} in {json}")).to_owned()
}

/// Creates a link for message `number`, or for none yet. Returns its path.
fn made(harness: &Harness, number: Option<u32>) -> String {
    let body = match number {
        Some(number) => json!({ "MessageSid": sid(number), "Link": TARGET }),
        None => json!({ "Link": TARGET }),
    };
    let answer = harness.send(&json_post("/app/messages", &body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    path(&answer)
}

fn path(answer: &Answer) -> String {
    let link = text(&answer.json(), "link");
    let path = link.strip_prefix(BASE).expect("on the public origin").to_owned();
    assert_eq!(path.strip_prefix("/c/").map(str::len), Some(16), "{link}");
    path
}

/// A browser's unsigned request on a new connection.
fn visit(harness: &Harness, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let request = Recording {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.iter().map(owned).collect(),
        ..Recording::default()
    };
    let mut line = harness.service.line();
    line.send(&http_client::bytes(&request));
    let answer = line.answer_to(method).expect("an answer");
    assert!(answer.closes() && line.is_closed_within(LONG), "{method} {target}");
    answer
}

fn as_phone(harness: &Harness, method: &str, target: &str) -> Answer {
    visit(harness, method, target, &[("User-Agent", PHONE)])
}

/// No response below `/c/` may be cached or indexed.
fn is_not_cached_or_indexed(answer: &Answer) {
    for (name, value) in [
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("X-Robots-Tag", "noindex, nofollow"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} in {}", answer.head);
    }
    let policy = answer.header("Content-Security-Policy").expect("a policy");
    for part in [
        "default-src 'none';",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "form-action 'self' https:;",
        "base-uri 'none';",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe") && answer.header("Set-Cookie").is_none());
}

fn is_sent_on(answer: &Answer) {
    assert_eq!((answer.status, answer.header("Location")), (303, Some(TARGET)), "{}", answer.head);
    is_not_cached_or_indexed(answer);
}

fn is_the_page(answer: &Answer) {
    assert_eq!((answer.status, answer.header("Location")), (200, None), "{}", answer.head);
    assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
    is_not_cached_or_indexed(answer);
}

fn evidence(harness: &Harness, outcome: &str) -> u64 {
    let labels = format!("{{kind=\"link\",outcome=\"{outcome}\"}}");
    harness.service.metric(&format!("heardback_evidence_total{labels}"))
}

#[test]
fn a_fetch_shows_the_page_and_proves_nothing_and_the_button_proves_it_and_redirects() {
    let harness = Harness::new(&[]);
    let link = made(&harness, Some(1));
    for method in ["GET", "HEAD", "GET"] {
        let answer = as_phone(&harness, method, &link);
        is_the_page(&answer);
        let page = answer.text();
        assert_eq!(page.is_empty(), method == "HEAD");
        if method == "GET" {
            assert!(page.contains("<h1>app.example.com</h1>"), "{page}");
            assert!(page.contains("<form method=\"post\"><button"), "{page}");
            let token = link.trim_start_matches("/c/");
            assert!(!page.contains(token) && !page.contains("/welcome"), "{page}");
        }
    }
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    is_sent_on(&as_phone(&harness, "POST", &link));
    harness.reaches(1, "reported");
    assert_eq!(text(&harness.message(1).expect("known"), "evidence"), "link_opened");
    assert_eq!(text(&harness.message(1).expect("known"), "evidence_basis"), "direct");
    is_sent_on(&as_phone(&harness, "POST", &link));
    assert_eq!((evidence(&harness, "confirmed"), evidence(&harness, "already")), (1, 1));
    let requests = "heardback_http_requests_total{route=\"/c/{token}\",status=\"303\"}";
    assert_eq!(harness.service.metric(requests), 2);
}

#[test]
fn the_page_has_exactly_the_script_and_the_style_that_its_policy_names() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let harness = Harness::new(&[]);
    let answer = as_phone(&harness, "GET", &made(&harness, None));
    let (policy, page) = (answer.header("Content-Security-Policy").expect("one"), answer.text());
    for tag in ["script", "style"] {
        let (_, rest) = page.split_once(&format!("<{tag}>")).expect(tag);
        let (inside, _) = rest.split_once(&format!("</{tag}>")).expect(tag);
        let digest = sha2::Sha256::digest(inside);
        let hash = base64::engine::general_purpose::STANDARD.encode(digest);
        assert!(policy.contains(&format!("{tag}-src 'sha256-{hash}';")), "{tag} in {policy}");
        assert_eq!(page.matches(&format!("<{tag}")).count(), 1);
    }
    for outside in ["src=", "href=", "url(", "//", "@import", " on", "style="] {
        let body = page.split("</style>").nth(1).expect("a body");
        assert!(!body.contains(outside), "{outside} in {body}");
    }
}

#[test]
fn a_link_is_created_before_its_message_and_bound_to_it_afterwards() {
    let harness = Harness::new(&[]);
    let asked = json!({ "link": TARGET, "reference": "login-1", "messageSid": null });
    let answer = harness.send(&json_post("/app/messages", &asked));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let unbound = answer.json();
    assert_eq!(unbound.get("message_sid"), Some(&Value::Null));
    assert_eq!(text(&unbound, "reference"), "login-1");
    assert!(text(&unbound, "expires_at").ends_with('Z'));
    let link = path(&answer);
    // The person opens the link before the app registers the message.
    is_sent_on(&as_phone(&harness, "POST", &link));
    assert_eq!(evidence(&harness, "parked"), 1);
    let address = format!("{BASE}{link}");
    let fields = [("MessageSid", &*sid(1)), ("To", RECIPIENT), ("Link", &*address)];
    let bound = harness.send(&form("/app/messages", &fields));
    assert_eq!((bound.status, text(&bound.json(), "link")), (201, address.clone()));
    assert_eq!(text(&bound.json(), "state"), "confirmed");
    assert_eq!(text(&bound.json(), "reference"), "login-1", "the reference of the link");
    harness.reaches(1, "reported");
    // The bare token names the same link.
    let token = link.trim_start_matches("/c/");
    let again = harness.send(&json_post("/app/messages", &json!({ "sid": sid(1), "Link": token })));
    assert_eq!((again.status, text(&again.json(), "link")), (200, address.clone()));
    let other =
        harness.send(&json_post("/app/messages", &json!({ "sid": sid(2), "Link": address })));
    assert_eq!((other.status, text(&other.json(), "field")), (409, "Link".to_owned()));
    assert_eq!(harness.state(2), None, "nothing of it was stored");
    let unknown = json!({ "sid": sid(3), "Link": "0123456789abcdef" });
    let unknown = harness.send(&json_post("/app/messages", &unknown));
    assert_eq!((unknown.status, text(&unknown.json(), "field")), (409, "Link".to_owned()));
    let shown = harness.message(1).expect("known");
    assert!(shown.get("link").is_none(), "the token is not stored: {shown}");
}

#[test]
fn a_link_for_a_reference_alone_proves_the_message_with_that_reference() {
    let harness = Harness::new(&[]);
    let asked = [("Link", TARGET), ("Reference", "login-1")];
    let link = path(&harness.send(&form("/app/messages", &asked)));
    harness.send(&form("/app/messages", &[("MessageSid", &*sid(1)), ("Reference", "login-1")]));
    is_sent_on(&as_phone(&harness, "POST", &link));
    harness.reaches(1, "reported");
}

#[test]
fn an_invalid_link_is_refused_with_the_field_and_the_expected_form() {
    let harness = Harness::new(&[]);
    let long = format!("https://example.com/{}", "x".repeat(2048));
    let ours = format!("{BASE}/somewhere");
    let ours_shouted = BASE.to_uppercase() + ":443/c/0123456789abcdef/x";
    for bad in [
        "http://example.com/",
        "javascript:alert(1)",
        "data:text/html,x",
        "//example.com/",
        "example.com",
        "https://user:pass@example.com/",
        "https://example.com/\r\nSet-Cookie: a=b",
        "https://example.com/a b",
        "https://example.com\\@evil.example/",
        "https://b\u{fc}cher.example/",
        &long,
        &ours,
        &ours_shouted,
    ] {
        for body in [json!({ "Link": bad }), json!({ "MessageSid": sid(1), "Link": bad })] {
            let answer = harness.send(&json_post("/app/messages", &body));
            assert_eq!((answer.status, text(&answer.json(), "field")), (400, "Link".to_owned()));
            assert!(text(&answer.json(), "detail").contains("expected"), "{}", answer.text());
        }
    }
    assert_eq!(harness.state(1), None, "nothing of it was stored");
    // An existing link must be bound to a message, and this request names none.
    let unbound = json!({ "Link": "0123456789abcdef" });
    let answer = harness.send(&json_post("/app/messages", &unbound));
    assert_eq!((answer.status, text(&answer.json(), "field")), (400, "MessageSid".to_owned()));
    let others = json!({ "Link": TARGET, "AccountSid": OTHER_ACCOUNT });
    assert_eq!(harness.send(&json_post("/app/messages", &others)).status, 403);
    let unsigned = json_post("/app/messages", &json!({ "Link": TARGET }));
    assert_eq!(harness.service.exchange(&http_client::bytes(&unsigned)).status, 403);
    // An empty value counts as a missing one.
    let empty = json!({ "MessageSid": sid(1), "Link": "" });
    assert_eq!(harness.send(&json_post("/app/messages", &empty)).status, 201);
}

#[test]
fn nothing_in_a_request_chooses_the_target_of_a_link() {
    let harness = Harness::new(&[]);
    let link = made(&harness, Some(1));
    for query in
        ["?to=https://evil.example/", "?url=//evil.example", "?next=%2f%2fevil.example&target=x"]
    {
        let target = format!("{link}{query}");
        let page = as_phone(&harness, "GET", &target);
        is_the_page(&page);
        assert!(!page.text().contains("evil"), "{}", page.text());
        let headers = [("X-Forwarded-Host", "evil.example"), ("Referer", "https://evil.example/")];
        is_sent_on(&visit(&harness, "POST", &target, &headers));
    }
    let mut post = form(&link, &[("Link", "https://evil.example/"), ("to", "//evil.example")]);
    post.headers.push(("User-Agent".to_owned(), PHONE.to_owned()));
    is_sent_on(&harness.service.exchange(&http_client::bytes(&post)));
    for around in
        ["/c//evil.example", "/c/https:%2f%2fevil.example", "/c/%2e%2e/%2e%2e", "/c/\\evil.example"]
    {
        let answer = as_phone(&harness, "GET", around);
        assert_eq!((answer.status, answer.header("Location")), (404, None), "{around}");
    }
}

#[test]
fn an_unknown_or_malformed_token_gets_a_small_page_and_404() {
    let harness = Harness::new(&[]);
    let link = made(&harness, None);
    let (mut cut, mut other) = (link.clone(), link.clone());
    cut.pop();
    other.replace_range(3..4, if link[3..].starts_with('A') { "B" } else { "A" });
    for target in [cut.as_str(), &other, "/c/0123456789abcdef", "/c/x", "/c/%00", "/c/%ff%fe"] {
        for method in ["GET", "HEAD", "POST"] {
            let answer = as_phone(&harness, method, target);
            assert_eq!((answer.status, answer.header("Location")), (404, None), "{target}");
            is_not_cached_or_indexed(&answer);
            let page = answer.text();
            assert_eq!(page.contains("This link does not work"), method != "HEAD", "{page}");
            assert!(!page.contains("<form") && !page.contains("<script"), "{page}");
        }
    }
    assert_eq!(harness.service.metric("heardback_refusals_total{reason=\"unknown_link\"}"), 18);
    for none in ["/c", "/c/", "/c/a/b"] {
        let answer = as_phone(&harness, "GET", none);
        assert_eq!((answer.status, answer.body.is_empty()), (404, true), "{none}");
    }
}

#[test]
fn other_methods_and_large_bodies_are_refused_as_on_other_routes() {
    let harness = Harness::new(&[]);
    let link = made(&harness, Some(1));
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = as_phone(&harness, method, &link);
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, POST")));
    }
    let mut large = form(&link, &[("x", &"y".repeat(5000))]);
    assert_eq!(harness.service.exchange(&http_client::bytes(&large)).status, 413);
    let chunked = harness.service.exchange(&http_client::chunked(&large, 500));
    assert_eq!(chunked.status, 413);
    large.body.clear();
    let mut slowly = harness.service.line();
    slowly.send(&http_client::head(&large, 100));
    let slow = slowly.answer().expect("an answer");
    assert!(slow.status == 408 && slow.closes(), "{}", slow.head);
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
}

/// Clients that fetch links automatically. Their user agents are from their vendors' pages or from
/// published logs.
const SCANNERS: [(&str, &str); 20] = [
    ("WhatsApp", "WhatsApp/2.24.20.89 A"),
    ("Facebook", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"),
    ("Slack", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
    ("Telegram", "TelegramBot (like TwitterBot)"),
    ("X", "Twitterbot/1.0"),
    (
        "iMessage",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) \
         Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
    ),
    ("Google Safe Browsing", "Google-Safety (+http://www.google.com/bot.html)"),
    (
        "Gmail's images",
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    ),
    (
        "Google Messages",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/56.0.2924.87 \
         Safari/537.36 Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)",
    ),
    ("Microsoft Safe Links", "Mozilla/5.0 (compatible; SafeLinks; +https://aka.ms/safelinks)"),
    (
        "Microsoft's previews",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
    ),
    ("Proofpoint", "Mozilla/5.0 (compatible; Proofpoint URL Defense)"),
    ("Mimecast", "Mimecast-URL-Protect/1.0"),
    ("Barracuda", "BarracudaCentral/1.0 (+http://www.barracudacentral.org)"),
    ("Discord", "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"),
    ("LinkedIn", "LinkedInBot/1.0 (compatible; Mozilla/5.0; +http://www.linkedin.com)"),
    ("Bing", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
    (
        "a detonating browser",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         HeadlessChrome/140.0.0.0 Safari/537.36",
    ),
    ("curl", "curl/8.14.1"),
    ("Python", "python-requests/2.32.3"),
];

const PEOPLE: [&str; 4] = [
    PHONE,
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile \
     Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15; SAMSUNG SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) \
     SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0",
];

#[test]
fn no_scanner_confirms_by_any_method_and_a_person_confirms_by_the_button_alone() {
    let harness = Harness::new(&[]);
    let link = made(&harness, Some(1));
    for (name, agent) in SCANNERS {
        let fetch = |method| visit(&harness, method, &link, &[("User-Agent", agent)]);
        is_the_page(&fetch("GET"));
        is_the_page(&fetch("HEAD"));
        is_sent_on(&fetch("POST"));
        assert_eq!(harness.state(1).as_deref(), Some("pending"), "{name}");
    }
    let scanners = SCANNERS.len() as u64;
    let crawler = "heardback_evidence_unmatched_total{reason=\"crawler\"}";
    assert_eq!((evidence(&harness, "none"), harness.service.metric(crawler)), (scanners, scanners));
    for (number, agent) in (2..).zip(PEOPLE) {
        let link = made(&harness, Some(number));
        is_the_page(&visit(&harness, "GET", &link, &[("User-Agent", agent)]));
        assert_eq!(harness.state(number).as_deref(), Some("pending"), "{agent}");
        is_sent_on(&visit(&harness, "POST", &link, &[("User-Agent", agent)]));
        harness.reaches(number, "reported");
    }
}

const AHEAD_OF_TIME: [(&str, &str); 5] = [
    ("Sec-Purpose", "prefetch;prerender"),
    ("Sec-Purpose", "prefetch"),
    ("Purpose", "prefetch"),
    ("X-Purpose", "preview"),
    ("X-Moz", "prefetch"),
];

#[test]
fn a_browsers_prefetch_is_no_evidence() {
    for (settings, get) in [
        (&[][..], 200),
        // The browser may show a prefetched page later, and then its button counts.
        (&[("HEARDBACK_LINKS", "confirm-on-get")][..], 200),
    ] {
        let harness = Harness::new(settings);
        let link = made(&harness, Some(1));
        for header in AHEAD_OF_TIME {
            let answer = visit(&harness, "GET", &link, &[("User-Agent", PHONE), header]);
            assert_eq!(answer.status, get, "{header:?}");
            is_sent_on(&visit(&harness, "POST", &link, &[("User-Agent", PHONE), header]));
        }
        assert_eq!(harness.state(1).as_deref(), Some("pending"));
        let preview = "heardback_evidence_unmatched_total{reason=\"preview\"}";
        assert_eq!(harness.service.metric(preview), 5);
        is_sent_on(&as_phone(&harness, "POST", &link));
        harness.reaches(1, "reported");
    }
}

#[test]
fn with_confirm_on_get_a_persons_fetch_is_the_evidence_and_a_scanners_is_not() {
    let harness = Harness::new(&[("HEARDBACK_LINKS", "confirm-on-get")]);
    let link = made(&harness, Some(1));
    for (name, agent) in SCANNERS {
        for method in ["GET", "HEAD", "POST"] {
            is_sent_on(&visit(&harness, method, &link, &[("User-Agent", agent)]));
        }
        assert_eq!(harness.state(1).as_deref(), Some("pending"), "{name}");
    }
    is_sent_on(&as_phone(&harness, "HEAD", &link));
    assert_eq!(harness.state(1).as_deref(), Some("pending"), "no person opens a page with HEAD");
    is_sent_on(&as_phone(&harness, "GET", &link));
    harness.reaches(1, "reported");
}

#[test]
fn with_confirm_on_press_only_a_press_with_the_browsers_own_marks_counts() {
    let harness = Harness::new(&[("HEARDBACK_LINKS", "confirm-on-press")]);
    let link = made(&harness, Some(1));
    let page = as_phone(&harness, "GET", &link);
    assert!(
        page.status == 200 && page.text().contains("<button") && !page.text().contains("<script")
    );
    for headers in [
        // A script's press, a browser without `Sec-Fetch-User`, a prefetch, a program.
        &[("User-Agent", PHONE), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")]
            [..],
        &[("User-Agent", PHONE)],
        &[("User-Agent", PHONE), ("Sec-Fetch-User", "?0")],
        &[("User-Agent", PHONE), ("Sec-Fetch-User", "?1"), ("Sec-Purpose", "prefetch")],
        &[("User-Agent", "curl/8.14.1"), ("Sec-Fetch-User", "?1")],
    ] {
        is_sent_on(&visit(&harness, "POST", &link, headers));
        assert_eq!(harness.state(1).as_deref(), Some("pending"), "{headers:?}");
    }
    is_sent_on(&visit(&harness, "POST", &link, &[("User-Agent", PHONE), ("Sec-Fetch-User", "?1")]));
    harness.reaches(1, "reported");
}

#[test]
fn crawlers_count_if_the_settings_say_so() {
    let harness = Harness::new(&[("HEARDBACK_IGNORE_CRAWLERS", "false")]);
    let link = made(&harness, Some(1));
    is_sent_on(&visit(&harness, "POST", &link, &[("User-Agent", "curl/8.14.1")]));
    harness.reaches(1, "reported");
    // Only a person's press counts under confirm-on-press.
    let press = ("HEARDBACK_LINKS", "confirm-on-press");
    let harness = Harness::new(&[press, ("HEARDBACK_IGNORE_CRAWLERS", "false")]);
    let link = made(&harness, Some(1));
    is_sent_on(&visit(&harness, "POST", &link, &[("User-Agent", "curl/8.14.1")]));
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
}

#[test]
fn with_links_off_none_is_served_and_none_is_created() {
    let harness = Harness::new(&[("HEARDBACK_LINKS", "off")]);
    for body in [json!({ "Link": TARGET }), json!({ "MessageSid": sid(1), "Link": TARGET })] {
        let answer = harness.send(&json_post("/app/messages", &body));
        assert_eq!((answer.status, text(&answer.json(), "field")), (400, "Link".to_owned()));
        assert!(text(&answer.json(), "detail").contains("HEARDBACK_LINKS=off"));
    }
    assert_eq!(harness.state(1), None);
    for method in ["GET", "HEAD", "POST", "PUT"] {
        let answer = as_phone(&harness, method, "/c/0123456789abcdef");
        assert_eq!((answer.status, answer.body.is_empty()), (404, true), "{method}");
    }
    let sid = sid(1);
    assert_eq!(harness.send(&form("/app/messages", &[("MessageSid", &sid)])).status, 201);
}

#[test]
fn a_link_survives_a_restart_and_its_token_is_in_no_log_no_metric_and_no_file() {
    let mut harness = Harness::new(&[("HEARDBACK_LOG", "trace")]);
    let link = made(&harness, Some(1));
    let token = link.trim_start_matches("/c/").to_owned();
    is_the_page(&as_phone(&harness, "GET", &link));
    harness.service.signal(rustix::process::Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    let mut logs = harness.service.logs();
    for file in std::fs::read_dir(harness.store()).expect("there").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let holds = bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!holds, "{} holds the token", file.path().display());
    }
    let again = crate::harness::running::command(
        &harness.store(),
        &harness.twilio,
        &[("HEARDBACK_LOG", "trace")],
    );
    harness.service = crate::harness::running::Running::start(again);
    is_sent_on(&as_phone(&harness, "POST", &link));
    harness.reaches(1, "reported");
    assert_eq!(as_phone(&harness, "DELETE", &link).status, 405);
    let wrong = format!("{link}x");
    assert_eq!(as_phone(&harness, "GET", &wrong).status, 404);
    logs.push_str(&harness.service.logs());
    assert!(logs.contains("by link"), "the log says that a link confirmed it");
    assert!(!logs.contains(&token), "the token is in the logs");
    assert!(!harness.service.operator("/metrics").text().contains(&token));
    let shown = harness.send(&get(&format!("/app/messages/{}", sid(1))));
    assert!(!shown.text().contains(&token));
}

#[test]
fn a_public_url_with_a_path_is_a_part_of_the_link() {
    let public = "https://example.com/heard";
    let harness =
        Harness::new(&[("HEARDBACK_PUBLIC_URL", "https://example.com/heard,https://b.example")]);
    let sign = |request: &Recording| request.signed(&crate::harness::key(), public);
    let send = |body: Value| {
        let request = sign(&json_post("/app/messages", &body));
        harness.service.exchange(&http_client::bytes(&request))
    };
    let link = text(&send(json!({ "Link": TARGET })).json(), "link");
    let path = link.strip_prefix(public).expect("behind the prefix").to_owned();
    is_the_page(&as_phone(&harness, "GET", &path));
    // The same host outside Heardback's prefix belongs to the app.
    assert_eq!(send(json!({ "Link": "https://example.com/welcome" })).status, 201);
    // Under each public URL it is a link of Heardback.
    let alias = format!("https://b.example{path}");
    assert_eq!(send(json!({ "MessageSid": sid(1), "Link": alias })).status, 201);
    assert_eq!(send(json!({ "Link": "https://b.example/x" })).status, 400);
}
