//! spanwise as a library for its own binary and tests: configuration, pipeline, command line. Not an
//! API: the crates beside it are.

pub mod archiving;
pub mod cli;
pub mod clock;
pub mod config;
pub mod exit;
mod http_client;
pub mod persist;
pub mod pipeline;
mod resources;
pub mod rules_test;
pub mod serve;
pub mod telemetry;

use std::ffi::OsString;

use clap::Parser as _;

use crate::cli::output::Output;
use crate::cli::{BenchCommand, Cli, Command, EvalCommand, LogFormat};
use crate::exit::{Exit, FAILED, OK};

/// Runs a command line and says how it ended. Errors are printed here.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure; printing may fail on a closed pipe.
            drop(error.print());
            return if error.use_stderr() { FAILED } else { OK };
        }
    };
    let output = Output::new(&cli.global);
    if let Some(problem) = cli.misplaced_output() {
        output.note(&format!("error: {problem}"));
        return FAILED;
    }
    let is_json = cli.global.log_format == LogFormat::Json;
    let started = telemetry::start(&cli.global.log_level, is_json);
    match started.and_then(|()| dispatch(&cli, &output)) {
        Ok(exit) => exit,
        Err(error) => {
            output.note(&cli::failure::render(&error));
            FAILED
        }
    }
}

fn dispatch(cli: &Cli, output: &Output) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Demo(args) => cli::demo::run(args, output),
        Command::Serve(args) => cli::serve::run(args, output),
        Command::Replay(args) => cli::replay::run(args, output),
        Command::Rules(command) => cli::rules::run(command, output),
        Command::Config(command) => cli::config::run(command, output),
        Command::Decisions(command) => cli::decisions::run(command, output),
        Command::Traces(command) => cli::traces::run(command, output),
        Command::Explain(args) => cli::explain::run(args, output),
        Command::Eval(EvalCommand::Spans(args)) => cli::eval::spans(args, output).map(|()| OK),
        Command::Eval(EvalCommand::Shocks(args)) => cli::eval::shocks(args, output).map(|()| OK),
        Command::Eval(EvalCommand::Traces(args)) => cli::eval::traces(args, output).map(|()| OK),
        Command::Eval(EvalCommand::Archive(args)) => cli::eval::archive(args, output).map(|()| OK),
        Command::Archive(command) => cli::archive::run(command, output),
        Command::Bench(command) => {
            match command {
                BenchCommand::Hst(args) => cli::bench::hst(args, output),
                BenchCommand::Ingest(args) => cli::bench::ingest(args, output),
                BenchCommand::Traces(args) => cli::bench::traces(args, output),
                BenchCommand::Throughput(args) => cli::bench::throughput(args, output),
                BenchCommand::Footprint(args) => cli::bench::footprint(args, output),
            }?;
            Ok(OK)
        }
    }
}
