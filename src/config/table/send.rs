//! Send through: the route at which apps create messages.

use crate::config::parse;
use crate::config::parse::{count, set, switch};
use crate::config::reader::{Setting, Value};
use crate::config::show::written;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: "HEARDBACK_SEND",
        value: Value::Switch { default: "false" },
        help: "Send through: serve Twilio's route for creating messages, add the parameters of Message Feedback, pass each request on, \
               and register the message",
        parse: |reader, text| set(&mut reader.values.send.is_on, switch(text)),
        show: |settings| {
            let base = settings.public_urls.first().map_or("", |url| url.as_str());
            if settings.send.is_on {
                format!("true: the base URL for your Twilio client is {base}")
            } else {
                "false".to_owned()
            }
        },
    },
    Setting {
        name: "HEARDBACK_SEND_CONCURRENCY",
        value: Value::Text { form: "1..256", default: "32" },
        help: "The most sends under way; a further one gets 503, and nothing is sent",
        parse: |reader, text| set(&mut reader.values.send.concurrency, count(text, 1, 256)),
        show: |settings| settings.send.concurrency.to_string(),
    },
    Setting {
        name: "HEARDBACK_SEND_TIMEOUT",
        value: Value::Text { form: "DURATION", default: "10s" },
        help: "The longest wait for Twilio's answer to a send, from 1s to 14s; then the app gets 504",
        parse: |reader, text| set(&mut reader.values.send.timeout, parse::send_timeout(text)),
        show: |settings| written(settings.send.timeout),
    },
];

#[cfg(test)]
mod tests {
    use crate::config::{Settings, SettingsArgs, every_setting};

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn load(name: &'static str, text: &str) -> Result<Settings, String> {
        let args = SettingsArgs::of([
            ("HEARDBACK_PUBLIC_URL", "https://a.example.com,https://b.example.com"),
            ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ]);
        let env = |known: &str| match known {
            "TWILIO_AUTH_TOKEN" => Some(TOKEN.to_owned()),
            "HEARDBACK_SEND_API_KEYS" if known == name => Some(text.to_owned()),
            _ => None,
        };
        let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let settings = Settings::load(&args.with(name, text), &env, &none);
        settings.map_err(|problems| problems.to_string())
    }

    #[test]
    fn each_setting_shows_its_value_and_no_secret() {
        let keys = format!(
            "SK{TOKEN}:hush-hush-hush-hush,SK{}:hush-hush-hush-hu:sh",
            TOKEN.replace('0', "1")
        );
        for (name, text, expected) in [
            (
                "HEARDBACK_SEND",
                "on",
                "true: the base URL for your Twilio client is https://a.example.com",
            ),
            ("HEARDBACK_SEND", "off", "false"),
            ("HEARDBACK_SEND_CONCURRENCY", "256", "256"),
            ("HEARDBACK_SEND_TIMEOUT", "14s", "14s"),
            (
                "HEARDBACK_SEND_API_KEYS",
                &keys,
                "SK0123456789abcdef0123456789abcdef, SK1123456789abcdef1123456789abcdef",
            ),
        ] {
            let settings = load(name, text).expect("valid");
            let row = every_setting().find(|row| row.name == name).expect("a row");
            assert_eq!((row.show)(&settings), expected, "{name}");
            assert!(!format!("{settings:?}").contains("hush"));
        }
    }

    #[test]
    fn each_wrong_value_names_its_setting_and_shows_no_secret() {
        let rows: [(&str, &[&str]); 4] = [
            ("HEARDBACK_SEND", &["maybe", "through"]),
            ("HEARDBACK_SEND_CONCURRENCY", &["0", "257", "many"]),
            ("HEARDBACK_SEND_TIMEOUT", &["0s", "999ms", "15s", "10"]),
            (
                "HEARDBACK_SEND_API_KEYS",
                &[
                    "hush hush hush hush",
                    "SK1:hush hush hush hush",
                    "SK0123456789abcdef0123456789abcdef:hush",
                    ",",
                ],
            ),
        ];
        for (name, values) in rows {
            for value in values {
                let problems = load(name, value).expect_err(value);
                assert!(problems.contains(name) && !problems.contains("hush"), "{problems}");
            }
        }
    }
}
