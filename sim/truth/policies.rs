//! Policies: what each setting would have made of one and the same world.

use std::path::Path;

use anyhow::Context as _;
use std::time::Duration;

use heardback::domain::matching::{Policy, Resend};

use crate::generator::{Habits, Life};
use crate::runner::Settings;
use crate::support::store::default_policy;
use crate::tables;

/// What ships.
pub(crate) fn defaults() -> Settings {
    Settings { policy: default_policy(), ignores_crawlers: true, confirms_on_get: false }
}

/// A setting that is tried.
struct Tried {
    name: String,
    settings: Settings,
    careless: bool,
}

fn tried() -> Vec<Tried> {
    let ships = defaults();
    let with = |policy| Settings { policy, ..ships };
    let named = |name: &str, settings| Tried { name: name.to_owned(), settings, careless: false };
    let resend = Resend::ALL.map(|resend| {
        let settings = with(Policy { resend, ..ships.policy });
        named(&format!("HEARDBACK_RESEND={}", resend.as_str()), settings)
    });
    let windows = [("10m", 10), ("24h", 24 * 60)].map(|(name, minutes)| {
        let reply_window = Duration::from_mins(minutes);
        let settings = with(Policy { reply_window, ..ships.policy });
        named(&format!("HEARDBACK_REPLY_WINDOW={name}"), settings)
    });
    let read = with(Policy { read_confirms: true, ..ships.policy });
    let others = [
        named("HEARDBACK_READ_CONFIRMS=true", read),
        named("crawlers' clicks count", Settings { ignores_crawlers: false, ..ships }),
        named("HEARDBACK_LINKS=confirm-on-get", Settings { confirms_on_get: true, ..ships }),
    ];
    let careless =
        Tried { careless: true, ..named("as it ships, but references are registered late", ships) };
    let first = named("as it ships", ships);
    [first].into_iter().chain(resend).chain(windows).chain(others).chain([careless]).collect()
}

/// Plays one world under each setting, and prints what came of it.
///
/// # Errors
/// Where a store fails.
pub(crate) fn compare(seed: u64, messages: usize, folder: &Path) -> anyhow::Result<()> {
    let world = |careless| Life::lived(seed, messages, Habits { days: 3, careless });
    let (usual, careless) = (world(false), world(true));
    tables::policies_head();
    let tried = tried();
    let play = |number: usize| {
        let tried: &Tried = tried.get(number).context("no such policy")?;
        let world = if tried.careless { &careless } else { &usual };
        crate::played(world, tried.settings, &folder.join(format!("policy-{number}")))
    };
    for (tried, judgement) in tried.iter().zip(crate::side_by_side(tried.len(), &play)?) {
        tables::policy(&tried.name, &judgement);
    }
    Ok(())
}
