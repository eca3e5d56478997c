//! Policies: the results of each setting in the same world.

use std::path::Path;

use anyhow::Context as _;
use std::time::Duration;

use heardback::domain::matching::{Policy, Resend};

use crate::generator::{Generator, People, WorldOptions};
use crate::runner::Settings;
use crate::support::store::default_policy;
use crate::tables;

/// The default settings.
pub(crate) fn defaults() -> Settings {
    Settings { policy: default_policy(), ignores_crawlers: true, confirms_on_get: false }
}

/// A setting that is compared.
struct Variant {
    name: String,
    settings: Settings,
    registers_late: bool,
}

fn variants() -> Vec<Variant> {
    let ships = defaults();
    let with = |policy| Settings { policy, ..ships };
    let named =
        |name: &str, settings| Variant { name: name.to_owned(), settings, registers_late: false };
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
    let registers_late = Variant {
        registers_late: true,
        ..named("as it ships, but references are registered late", ships)
    };
    let first = named("as it ships", ships);
    [first].into_iter().chain(resend).chain(windows).chain(others).chain([registers_late]).collect()
}

/// Runs one world with each setting, and prints the results.
///
/// # Errors
/// A store fails.
pub(crate) fn compare(
    seed: u64,
    messages: usize,
    people: People,
    folder: &Path,
) -> anyhow::Result<()> {
    let world = |registers_late| {
        Generator::generate(seed, messages, WorldOptions { days: 3, registers_late, people })
    };
    let (usual, registers_late) = (world(false), world(true));
    tables::policies_head();
    let variants = variants();
    let run = |number: usize| {
        let variants: &Variant = variants.get(number).context("no such policy")?;
        let world = if variants.registers_late { &registers_late } else { &usual };
        crate::result(world, variants.settings, &folder.join(format!("policy-{number}")))
    };
    for (variants, judgement) in variants.iter().zip(crate::run_in_parallel(variants.len(), &run)?)
    {
        tables::policy(&variants.name, &judgement);
    }
    Ok(())
}
