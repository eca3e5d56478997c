//! The program: parses the command line, runs the command, and returns its exit code.
//!
//! 0 done, 1 failed, 2 wrong usage or settings, 3 the store is no longer at its path. Results go to stdout, notes to stderr.

use std::process::ExitCode;

use clap::Parser;
use heardback::cli::{Cli, Command};
use heardback::commands::dispatch;
use heardback::commands::pipe_tolerant_stdout::note;
use heardback::serve::{command, core_dump, signals};

fn main() -> ExitCode {
    if let Err(error) = core_dump::disable() {
        note(format_args!(
            "heardback: cannot disable core dumps, so a crash may write secrets to one: {error}"
        ));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return dispatch::usage(&error),
    };
    let result = match cli.command {
        Command::Serve(args) => command::run(&args),
        Command::Demo(args) => dispatch::demo(&args, command::launch, signals::stop),
        Command::Tool(tool) => dispatch::run(tool, signals::stop),
    };
    result.unwrap_or_else(|error| dispatch::failure(&error))
}
