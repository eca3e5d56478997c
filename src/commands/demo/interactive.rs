//! The demo that is kept: what there is to see and to try, and doing what a person orders.

use std::io::Write;

use anyhow::Context;

use crate::commands::demo::fake_twilio::new_sid;
use crate::commands::demo::harness::{Harness, TOKEN, read_response};
use crate::commands::demo::remote_control::{RemoteCommand, RemoteControl};
use crate::commands::demo::scenario::{ENDINGS, ENTERED, REGISTERED, STUMBLES};
use crate::recording::Recording;

/// The reference in the recordings of the first message.
const REFERENCE: &str = "login-4093";

impl Harness {
    /// For `--keep`: what there is to see and to try by hand.
    pub(super) fn invite(
        &self,
        switch: &RemoteControl,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        // As it was called just now: under cargo it is not in the PATH.
        let me = std::env::args().next().unwrap_or_else(|| "heardback".to_owned());
        writeln!(out, "\nEverything keeps running. Stop it with Ctrl-C. The operator's page:\n")?;
        writeln!(out, "  open {}/ in a browser", self.operator_url())?;
        writeln!(out, "\nWatch it there, and in another terminal type, one after the other:\n")?;
        for order in RemoteCommand::ALL {
            writeln!(out, "  {}", order.tells())?;
            writeln!(out, "    curl -X POST http://{}{}", switch.addr, order.path())?;
        }
        writeln!(out, "\nBy hand:\n")?;
        writeln!(out, "  curl {}/readyz", self.operator_url())?;
        writeln!(out, "  curl {}/metrics", self.operator_url())?;
        writeln!(out, "  export TWILIO_AUTH_TOKEN={TOKEN}")?;
        writeln!(out, "  {me} sign {}/app/messages/{} --curl | sh", self.base, ENDINGS[0].sid)?;
        writeln!(
            out,
            "  {me} sign {}/app/events \\\n    --form MessageSid={} --form Type=code_entered --curl | sh",
            self.base, ENDINGS[4].sid
        )
    }

    /// Does what is ordered until it is told to stop.
    pub(super) async fn attend(
        &mut self,
        switch: &mut RemoteControl,
        told_to_stop: impl Future<Output = ()>,
    ) {
        let mut told_to_stop = std::pin::pin!(told_to_stop);
        loop {
            let (order, answer) = tokio::select! {
                () = &mut told_to_stop => return,
                ordered = switch.next() => ordered,
            };
            let done = self.carry_out(order).await;
            let words = done.unwrap_or_else(|error| format!("That did not work: {error:#}"));
            // Whoever asked may have gone.
            let _ = answer.send(words + "\n");
        }
    }

    async fn carry_out(&mut self, order: RemoteCommand) -> anyhow::Result<String> {
        match order {
            RemoteCommand::Message => self.confirm_another().await,
            RemoteCommand::Down => {
                self.twilio.stop().await;
                Ok(format!("Nobody listens at {} any more.", self.twilio_url()))
            }
            RemoteCommand::Revoke => {
                self.twilio.go_on(true)?;
                Ok(format!("{} answers 401 to everything.", self.twilio_url()))
            }
            RemoteCommand::Up => {
                self.twilio.go_on(false)?;
                Ok(format!("{} takes feedback.", self.twilio_url()))
            }
        }
    }

    /// The first message of the story once more, under a name of its own.
    async fn confirm_another(&self) -> anyhow::Result<String> {
        let sid = new_sid().context("no randomness")?;
        let (_, end) = sid.split_at(sid.len() - 6);
        let mut last = String::new();
        for recording in [REGISTERED, ENTERED] {
            let mut recording = Recording::parse(recording)?;
            let body = String::from_utf8_lossy(&recording.body).replace(STUMBLES, &sid);
            recording.body = body.replace(REFERENCE, &format!("login-{end}")).into_bytes();
            last = read_response(self.send(&recording.signed(&self.key, &self.base)).await?)
                .await?
                .words;
        }
        Ok(format!("{sid}: its code was entered, and the receiver answered {last}."))
    }
}
