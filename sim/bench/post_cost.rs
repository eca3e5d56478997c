//! The cost of a post to Twilio: the worker's client alone, with four concurrent posts. The fake Twilio has the other
//! core.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::processes::{CLIENT_CORE, Process, output_of};
use crate::system_stats::cpu_time;
use crate::traffic::{ACCOUNT, TOKEN};

/// The share of requests that lead to a report.
pub(crate) const POSTS_PER_REQUEST: f64 = 0.2;
const POSTS: u32 = 20_000;
/// The default of `HEARDBACK_UPSTREAM_CONCURRENCY`.
const CONCURRENCY: u32 = 4;

/// The CPU time of a post in microseconds, measured in another process on the core for servers.
pub(crate) fn measure(folder: &Path) -> anyhow::Result<f64> {
    let (_twilio, port) = Process::own(CLIENT_CORE, &["twilio"], &folder.join("twilio.log"))?;
    Ok(output_of(&["post", &port.to_string()])?.trim().parse()?)
}

/// Posts, and prints the cost.
pub(crate) fn all(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let message = "0".repeat(32);
    let url = format!(
        "http://127.0.0.1:{port}/2010-04-01/Accounts/{ACCOUNT}/Messages/SM{message}/Feedback.json"
    );
    let own = [std::process::id()];
    let took = runtime.block_on(async {
        let sent = Arc::new(move || {
            let request = client.post(&url).basic_auth(ACCOUNT, Some(TOKEN));
            request.form(&[("Outcome", "confirmed")])
        });
        // Opens the connections before the measurement.
        together(&sent, CONCURRENCY).await?;
        let before = cpu_time(&own);
        together(&sent, POSTS).await?;
        anyhow::Ok(cpu_time(&own).saturating_sub(before))
    })?;
    println!("{}", took.as_secs_f64() * 1e6 / f64::from(POSTS));
    Ok(())
}

async fn together(
    post: &Arc<impl Fn() -> reqwest::RequestBuilder + Send + Sync + 'static>,
    posts: u32,
) -> anyhow::Result<()> {
    let mut lanes = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let post = Arc::clone(post);
        lanes.spawn(async move {
            for _ in 0..posts / CONCURRENCY {
                let answer = post().send().await?;
                ensure!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await?;
            }
            Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(())
}
