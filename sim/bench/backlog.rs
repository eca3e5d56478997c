//! The backlog: how soon confirmations that piled up are reported, compared with the rate that the fake Twilio accepts
//! from wrk on as many connections.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::growth::fill_store;
use crate::measurement::{Place, median, report};
use crate::processes::{CLIENT_CORE, Heardback, HeardbackOptions, Process, SERVER_CORE};

#[derive(clap::Args)]
pub(crate) struct Backlog {
    /// Confirmed messages
    #[arg(long, default_value_t = 20_000)]
    messages: u32,
    /// Concurrent posts (`HEARDBACK_UPSTREAM_CONCURRENCY`)
    #[arg(long, value_delimiter = ',', default_value = "4,32")]
    concurrency: Vec<u32>,
    /// The delay of the fake Twilio's replies, in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0")]
    after: Vec<u64>,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    #[command(flatten)]
    place: Place,
}

const HEADER: &str = "\
| answer after, ms | posts at a time | stand-in's own, posts/s | reported, posts/s | ratio |
| ---: | ---: | ---: | ---: | ---: |";

impl Backlog {
    pub(crate) fn measure(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.place.folder)?;
        println!("{HEADER}");
        for after in &self.after {
            for concurrency in &self.concurrency {
                let rounds = (0..self.rounds).map(|_| self.round(*after, *concurrency));
                let rounds = rounds.collect::<Result<Vec<_>, _>>()?;
                let of = |read: fn(&(f64, f64)) -> f64| median(rounds.iter().map(read).collect());
                println!(
                    "| {after} | {concurrency} | {:.0} | {:.0} | {:.2} |",
                    of(|round| round.0),
                    of(|round| round.1),
                    of(|round| round.1 / round.0)
                );
            }
        }
        Ok(())
    }

    /// The rate of the fake Twilio alone, and the rate of the reports, in posts per second.
    fn round(&self, after: u64, concurrency: u32) -> anyhow::Result<(f64, f64)> {
        let folder = &self.place.folder;
        let store = folder.join("backlog");
        fill_store(&store, self.messages, true)?;
        let after = after.to_string();
        let log = folder.join("twilio.log");
        let (_twilio, twilio) = Process::own(CLIENT_CORE, &["twilio", &after], &log)?;
        let alone = self.alone(twilio, concurrency)?;
        let service = Heardback::start(&HeardbackOptions {
            binary: &self.place.binary,
            store: &store,
            database: None,
            twilio,
            concurrency: Some(concurrency),
            sends: false,
            cgroup: None,
            slow: None,
        })?;
        let began = Instant::now();
        let left = service.metric("heardback_outbox")?;
        service.reports_all()?;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let reported = left as f64 / began.elapsed().as_secs_f64();
        eprintln!(
            "  after {after} ms, {concurrency} at a time: {alone:.0}/s alone, {reported:.0}/s"
        );
        Ok((alone, reported))
    }

    fn alone(&self, twilio: u16, concurrency: u32) -> anyhow::Result<f64> {
        let file: PathBuf = self.place.folder.join("feedback");
        let path =
            format!("/2010-04-01/Accounts/AC{0}/Messages/SM{0}/Feedback.json", "0".repeat(32));
        writeln!(std::fs::File::create(&file)?, "{path}\t-\tOutcome=confirmed")?;
        let mut wrk = Command::new("taskset");
        wrk.args(["-c", SERVER_CORE, "wrk", "-t1", "-d3s", "-s", "bench/replay.lua"]);
        wrk.args([format!("-c{concurrency}"), format!("http://127.0.0.1:{twilio}")]);
        let report = report(wrk.env("FILE", &file))?;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        return Ok(report.requests as f64 * 1e6 / report.us as f64);
    }
}
