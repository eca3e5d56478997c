//! The demo with `--keep`: prints instructions, and executes the commands of the remote control.

use std::io::Write;

use anyhow::Context;

use crate::commands::demo::fake_twilio::new_sid;
use crate::commands::demo::harness::{Harness, TOKEN, read_response};
use crate::commands::demo::remote_control::{RemoteCommand, RemoteControl};
use crate::commands::demo::scenario::{ENDINGS, ENTERED, FAILS_ONCE, REGISTERED};
use crate::recording::Recording;

/// The reference of the first message.
const REFERENCE: &str = "login-4093";

impl Harness {
    pub(super) fn print_instructions(
        &self,
        control: &RemoteControl,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        // The program as it was started: under cargo it is not in the PATH.
        let program = std::env::args().next().unwrap_or_else(|| "heardback".to_owned());
        writeln!(out, "\nThe demo continues. Stop it with Ctrl-C. The operator's page:\n")?;
        writeln!(out, "  open {}/ in a browser", self.operator)?;
        writeln!(
            out,
            "\nWatch the page, and run these in another terminal, one after the other:\n"
        )?;
        for command in RemoteCommand::ALL {
            writeln!(out, "  {}", command.description())?;
            writeln!(out, "    curl -X POST http://{}{}", control.addr, command.path())?;
        }
        writeln!(out, "\nBy hand:\n")?;
        writeln!(out, "  curl {}/readyz", self.operator)?;
        writeln!(out, "  curl {}/metrics", self.operator)?;
        writeln!(out, "  export TWILIO_AUTH_TOKEN={TOKEN}")?;
        writeln!(
            out,
            "  {program} sign {}/app/messages/{} --curl | sh",
            self.base, ENDINGS[0].sid
        )?;
        writeln!(
            out,
            "  {program} sign {}/app/events \\\n    --form MessageSid={} --form Type=code_entered --curl | sh",
            self.base, ENDINGS[4].sid
        )
    }

    pub(super) async fn execute_commands(
        &mut self,
        control: &mut RemoteControl,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let (command, reply) = tokio::select! {
                () = &mut stop => return,
                command = control.next() => command,
            };
            let result = self.execute(command).await;
            let text = result.unwrap_or_else(|error| format!("The command failed: {error:#}"));
            // The client may have closed its connection.
            let _ = reply.send(text + "\n");
        }
    }

    async fn execute(&mut self, command: RemoteCommand) -> anyhow::Result<String> {
        match command {
            RemoteCommand::Message => self.confirm_another().await,
            RemoteCommand::Down => {
                self.twilio.stop().await;
                Ok(format!("{} is down.", self.twilio.url()))
            }
            RemoteCommand::Revoke => {
                self.twilio.resume(true)?;
                Ok(format!("{} responds to every post with 401.", self.twilio.url()))
            }
            RemoteCommand::Up => {
                self.twilio.resume(false)?;
                Ok(format!("{} accepts feedback.", self.twilio.url()))
            }
        }
    }

    /// Repeats the first message of the scenario with a new SID and reference.
    async fn confirm_another(&self) -> anyhow::Result<String> {
        let sid = new_sid().context("no randomness")?;
        let (_, end) = sid.split_at(sid.len() - 6);
        let mut last = String::new();
        for recording in [REGISTERED, ENTERED] {
            let mut recording = Recording::parse(recording)?;
            let body = String::from_utf8_lossy(&recording.body).replace(FAILS_ONCE, &sid);
            recording.body = body.replace(REFERENCE, &format!("login-{end}")).into_bytes();
            let response = self.send(&recording.signed(&self.key, &self.base)).await?;
            last = read_response(response).await?.text;
        }
        Ok(format!("{sid}: its code was entered, and the receiver responded with {last}."))
    }
}
