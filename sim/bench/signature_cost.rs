//! The cost of a signature: a loop that parses and verifies the forms of the traffic.

use std::hint::black_box;
use std::path::Path;

use anyhow::ensure;
use heardback::twilio::form;
use heardback::twilio::signature::{Content, Presented, SigningKey, verify};

use crate::processes::output_of;
use crate::system_stats::cpu_time;
use crate::traffic::{self, BASE, Routes, Signed, TOKEN};

const REQUESTS: u32 = 50_000;

/// The CPU time of a request in microseconds, measured in another process on the core for servers.
pub(crate) fn measure(folder: &Path) -> anyhow::Result<f64> {
    let file = folder.join("requests");
    traffic::write(&file, 0, REQUESTS, (Routes::Heardback, Signed::Valid), 1)?;
    Ok(output_of(&["verify", &file.display().to_string()])?.trim().parse()?)
}

/// Verifies all requests of the file, and prints the cost.
pub(crate) fn all(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let requests: Vec<_> = text.lines().filter_map(parts).collect();
    ensure!(!requests.is_empty(), "no requests in {}", file.display());
    let (key, own) = (SigningKey::new(TOKEN.as_bytes()), [std::process::id()]);
    let bases = [BASE.to_owned()];
    let before = cpu_time(&own);
    for [path, signature, body] in &requests {
        let pairs = form::pairs(body.as_bytes());
        let presented = Presented {
            bases: &bases,
            path_and_query: path,
            content: Content::Form { pairs: &pairs, body: body.as_bytes() },
            is_get: false,
            settings: None,
        };
        let found = verify([&key], &presented, Some(signature.as_bytes()));
        ensure!(black_box(found).is_ok(), "the signature of {path} is invalid");
    }
    let took = cpu_time(&own).saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let each = took.as_secs_f64() * 1e6 / requests.len() as f64;
    println!("{each}");
    Ok(())
}

/// Path, signature and body.
fn parts(line: &str) -> Option<[&str; 3]> {
    line.splitn(3, '\t').collect::<Vec<_>>().try_into().ok()
}
