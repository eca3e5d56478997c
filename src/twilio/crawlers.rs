//! Known crawlers: machines that open links and name themselves in their `User-Agent`.
//!
//! The list is short on purpose: a deceptive client names itself differently, as the mail gateways of companies do
//! (Microsoft's Safe Links uses a browser's name). It reduces false confirmations; a link of our own, whose page waits
//! for a POST, prevents them. Compared with isbot, crawler-user-agents and Crawler-Detect.

/// Words in the names of machines, in lower case.
const WORDS: [&str; 8] =
    ["crawl", "spider", "preview", "scanner", "fetcher", "headless", "prerender", "monitoring"];

/// Machines whose name contains none of these words, in lower case, each with the source.
const NAMES: [&str; 32] = [
    // Meta for developers, "Meta web crawlers". iMessage's previews claim to be this, too.
    "facebookexternalhit",
    "facebookcatalog",
    "facebot",
    "meta-externalagent",
    "meta-externalfetcher",
    // Google Search Central, "Google crawlers and fetchers". Google-PageRenderer makes the previews of
    // Google Messages; it is the user agent in Twilio's own example of a `link-clicked` event.
    "google-",
    "googleimageproxy",
    "googleother",
    "mediapartners-google",
    "developers.google.com/",
    "chrome-lighthouse",
    // Slack API, "Robots". Slackbot-LinkExpanding is a bot by its name.
    "slack-imgproxy",
    // LINE Developers, "Page share"; KakaoTalk's scraper as in its developers' debugger; VK's as in its docs.
    "line-poker",
    "kakaotalk-scrap",
    "vkshare",
    "embedly",
    "iframely",
    // Yahoo's crawler; the Internet Archive's.
    "slurp",
    "ia_archiver",
    // Office checks whether a link works ("Microsoft Office Existence Discovery").
    "existence discovery",
    "safelinks",
    // Gateways and scanners that name themselves.
    "proofpoint",
    "mimecast",
    "barracuda",
    "symantec",
    "urlscan",
    "virustotal",
    "phantomjs",
    // Apple's and Android's own HTTP clients, which browsers do not name.
    "cfnetwork/",
    "dalvik/",
    "libwww",
    "python",
];

/// Programs and libraries, by the beginning of their `User-Agent`, in lower case.
const BEGINNINGS: [&str; 13] = [
    // "WhatsApp/2.23.20.0 A" (WhatsApp FAQ, "About link previews"). A tap opens a browser.
    "whatsapp/",
    "viber/",
    "curl/",
    "wget/",
    "go-http-client/",
    "okhttp/",
    "java/",
    "apache-httpclient/",
    "axios/",
    "undici",
    "node",
    "ruby",
    "postmanruntime/",
];

/// Whether a `User-Agent` is a known machine's. A missing or empty one is not.
pub fn is_known(user_agent: &str) -> bool {
    let agent = user_agent.trim().to_ascii_lowercase();
    is_bot(&agent)
        || WORDS.iter().chain(&NAMES).any(|name| agent.contains(name))
        || BEGINNINGS.iter().any(|name| agent.starts_with(name))
}

/// Most names contain "bot": Googlebot, bingbot, `Slackbot-LinkExpanding`, `TelegramBot (like TwitterBot)`, Discordbot,
/// `LinkedInBot`, Applebot. Cubot makes telephones.
fn is_bot(agent: &str) -> bool {
    agent.match_indices("bot").any(|(at, _)| !agent.get(..at).is_some_and(|so| so.ends_with("cu")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_scanners_and_programs_are_known() {
        for agent in [
            "WhatsApp/2.23.20.0 A",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            // iMessage.
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            "Twitterbot/1.0",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Slack-ImgProxy (+https://api.slack.com/robots)",
            "TelegramBot (like TwitterBot)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/56.0.2924.87 Safari/537.36 Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Google-Safety",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
            "Microsoft Office Existence Discovery",
            "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
            "Mimecast-URL-Protect",
            "BarracudaCentral",
            "urlscan.io/1.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
            "python-requests/2.31.0",
            "curl/8.5.0",
            "Go-http-client/2.0",
            "node",
            "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UD1A)",
            "MobileSMS/1.0 CFNetwork/1494.0.7 Darwin/23.4.0",
        ] {
            assert!(is_known(agent), "{agent}");
        }
    }

    #[test]
    fn people_are_not() {
        for agent in [
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; CUBOT_NOTE_50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/490.0.0.46.109]",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/344.0.695551749 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Linux; Android 12; M2101K6G; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.0.0 Mobile Safari/537.36 Instagram 360.0.0.30.113 Android",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
            "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80; U; en) Presto/2.5.25 Version/10.54",
            "",
            " ",
        ] {
            assert!(!is_known(agent), "{agent}");
        }
    }
}
