//! The live checks: settings, store, Twilio, the public URL, the running service.
//!
//! They change nothing: requests are GETs (except with `--ask-app`), the store's lock is taken and released, no file is made.
//! A problem that may be one of this machine alone (the public URL, a service elsewhere) is a warning.

mod app;
mod database;
pub(crate) mod reach;
mod report;
mod service;
mod twilio;

use crate::commands::check::{placement_warning, webhooks};
use crate::commands::doctor::live::report::{Check, CheckStatus, DoctorReport, fail, ok, warn};
use crate::config::{Settings, StoreUrl};
use crate::store::sled::{StoreProbe, probe};
use std::path::Path;

pub(crate) async fn run_checks(
    settings: &Settings,
    asks_app: bool,
) -> anyhow::Result<DoctorReport> {
    let http = reach::client()?;
    let sound = "sound, as far as this command has them";
    let mut checks = vec![Check::new("settings", CheckStatus::Ok, sound)];
    let warnings = settings.warnings.iter();
    checks.extend(warnings.map(|warning| Check::new("settings", CheckStatus::Warn, warning)));
    checks.extend(store_checks(settings));
    checks.extend(file_system_check(settings));
    checks.extend(twilio::checks(settings).await?);
    for url in &settings.public_urls {
        checks.push(reach::public_url_check(&http, url).await);
    }
    checks.extend(app::checks(settings, asks_app).await?);
    checks.extend(service::checks(&http, settings).await);
    let ok = checks.iter().all(|check| check.mark != CheckStatus::Fail);
    let webhooks = settings.public_urls.iter().map(|url| webhooks(url.as_str())).collect();
    Ok(DoctorReport { ok, checks, webhooks })
}

fn store_checks(settings: &Settings) -> Vec<Check> {
    match &settings.store {
        StoreUrl::Sled(path) => vec![sled_check(path)],
        StoreUrl::Postgres(url) => database::checks(settings, url),
    }
}

fn sled_check(path: &Path) -> Check {
    let shown = path.display();
    let (mark, says) = match probe(path) {
        Ok(StoreProbe::InUse { holder }) => {
            ok(format!("{shown} is in use ({holder}), as expected of a running service"))
        }
        Ok(StoreProbe::Free) => ok(format!(
            "{shown} exists, no service has it open; its records were not read: `heardback verify-store` \
                 does that"
        )),
        Ok(StoreProbe::Absent) => {
            warn(format!("there is no store at {shown} yet; `heardback serve` makes it"))
        }
        Err(error) => fail(error.to_string()),
    };
    Check::new("store", mark, says)
}

/// A file system that `serve` refuses is a failure; one that the settings allow is a warning.
fn file_system_check(settings: &Settings) -> Option<Check> {
    let warning = placement_warning(settings)?;
    let mark = if settings.allow_unsafe_store { CheckStatus::Warn } else { CheckStatus::Fail };
    Some(Check::new("store", mark, warning))
}
