//! The latency of a send through Heardback, beside the direct call of the same fake Twilio. One connection each, one send at
//! a time; the sides alternate in blocks, so that both meet the same moments of the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::measurement::Place;
use crate::processes::{CLIENT_CORE, Heardback, HeardbackOptions, Process};
use crate::support::http::{Connection, post, request_bytes};
use crate::traffic::{ACCOUNT, TOKEN};

/// Sends of one side before the other side has its turn.
const BLOCK: u32 = 50;
/// The longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct SendLatency {
    /// The delays of the fake Twilio's answers, in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0,50")]
    after: Vec<u64>,
    /// Sends of each side
    #[arg(long, default_value_t = 2_000)]
    sends: u32,
    #[command(flatten)]
    place: Place,
}

const HEADER: &str = "\
| answer after, ms | direct p50 · p99, ms | through Heardback p50 · p99, ms | added p50 · p99, ms |
| ---: | ---: | ---: | ---: |";

/// One side: its connection, and the latencies of its sends in milliseconds.
struct Side {
    connection: Connection,
    took: Vec<f64>,
}

impl Side {
    fn open(port: u16) -> anyhow::Result<Self> {
        let connection = Connection::open(([127, 0, 0, 1], port).into(), TIMEOUT)?;
        Ok(Self { connection, took: Vec::new() })
    }

    fn block(&mut self, request: &[u8], count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            let began = Instant::now();
            let answer = self.connection.exchange(request)?;
            self.took.push(began.elapsed().as_secs_f64() * 1e3);
            ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
        }
        Ok(())
    }

    /// The latency that this share of the sends does not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a small count"
        )]
        let at = ((took.len() as f64 * share).ceil() as usize).clamp(1, took.len().max(1));
        took.get(at - 1).copied().unwrap_or_default()
    }
}

impl SendLatency {
    pub(crate) fn measure(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.place.folder)?;
        println!("{HEADER}");
        for after in &self.after {
            let store = self.place.folder.join("send");
            let (direct, through) = self.pair(*after, &store)?;
            let of = |side: &Side| (side.quantile(0.5), side.quantile(0.99));
            let ((d50, d99), (t50, t99)) = (of(&direct), of(&through));
            println!(
                "| {after} | {d50:.2} · {d99:.2} | {t50:.2} · {t99:.2} | {:.2} · {:.2} |",
                t50 - d50,
                t99 - d99
            );
            std::fs::remove_dir_all(&store)?;
        }
        Ok(())
    }

    fn pair(&self, after: u64, store: &Path) -> anyhow::Result<(Side, Side)> {
        let _ = std::fs::remove_dir_all(store);
        let _ = std::fs::remove_file(store.with_extension("served"));
        let after = after.to_string();
        let log = self.place.folder.join("twilio.log");
        let (_twilio, twilio) = Process::own(CLIENT_CORE, &["twilio", &after], &log)?;
        let service = Heardback::start(&HeardbackOptions {
            binary: &self.place.binary,
            store,
            database: None,
            twilio,
            concurrency: None,
            sends: true,
            cgroup: None,
            slow: None,
        })?;
        let request = request();
        let (mut direct, mut through) = (Side::open(twilio)?, Side::open(service.port)?);
        // Opens the service's own connection to the fake Twilio.
        through.block(&request, 1)?;
        through.took.clear();
        for _ in 0..self.sends.div_ceil(BLOCK) {
            direct.block(&request, BLOCK)?;
            through.block(&request, BLOCK)?;
        }
        let registered = service.metric("heardback_sends_total{result=\"registered\"}")?;
        ensure!(registered > u64::from(self.sends), "only {registered} messages are registered");
        Ok((direct, through))
    }
}

fn request() -> Vec<u8> {
    let body = "To=%2B14155550100&From=%2B14155550123&Body=Your+code+is+471108";
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    let mut request = post(&path, "application/x-www-form-urlencoded", body.as_bytes());
    let credential = STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    request.headers.push(("Authorization".to_owned(), format!("Basic {credential}")));
    request_bytes(&request)
}
