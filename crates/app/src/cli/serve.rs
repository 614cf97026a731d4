//! `serve`: the pipeline until a signal stops it.

use std::time::Duration;

use anyhow::Result;

use super::ServeArgs;
use super::output::Output;
use crate::clock::Clock;
use crate::config::{Loaded, load};
use crate::exit::{DISK_FAILED, DRAIN_TIMEOUT, Exit, OK};
use crate::serve::{Role, STOP_MAX, Server, signal};

/// Behind the deadline of the drain: by then it has been told what is lost.
const END_AFTER: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or ctrl-c.
pub fn run(args: &ServeArgs, output: &Output) -> Result<Exit> {
    let loaded = load_config(args)?;
    if !loaded.warnings.is_empty() {
        output.note(&loaded.warnings);
    }
    let role = role(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let server = Server::start(loaded.config, role, Clock::start()).await?;
        output.note(&server.banner());
        tokio::select! {
            () = signal() => {}
            () = server.log_stopped() => {
                output.note("stopped: the disk failed twice; what was acknowledged is read at the next start");
                return Ok(DISK_FAILED);
            }
        }
        output.note("stopping: draining what is in flight; send the signal again to abort");
        end_for_good(output.clone())?;
        let drained = tokio::select! {
            drained = server.stop() => drained,
            () = signal() => false,
        };
        Ok(if drained { OK } else { DRAIN_TIMEOUT })
    });
    // Threads that are busy past the deadline end with the process: nobody waits for them.
    runtime.shutdown_background();
    ended
}

/// Ends the process if everything else failed to: when every thread of the runtime is busy, no timer
/// of its own fires either.
fn end_for_good(output: Output) -> Result<()> {
    let thread = std::thread::Builder::new().name("deadline".to_owned());
    thread.spawn(move || {
        #[expect(clippy::disallowed_methods, reason = "the thread has nothing else to do")]
        std::thread::sleep(STOP_MAX + END_AFTER);
        output.note("not drained in time, and every thread is busy: ending");
        #[expect(clippy::exit, reason = "nothing else ends a process whose threads are all busy")]
        std::process::exit(i32::from(DRAIN_TIMEOUT.0));
    })?;
    Ok(())
}

/// The file's settings under the flags.
pub fn load_config(args: &ServeArgs) -> Result<Loaded> {
    load(args.config.as_deref(), |raw| {
        let text = |addr: &std::net::SocketAddr| addr.to_string();
        let listen = &mut raw.listen;
        listen.otlp_grpc = args.otlp_grpc.as_ref().map(text).or(listen.otlp_grpc.take());
        listen.otlp_http = args.otlp_http.as_ref().map(text).or(listen.otlp_http.take());
        listen.http = args.http.as_ref().map(text).or(listen.http.take());
        listen.insecure |= args.insecure;
        raw.data_dir = args.data_dir.clone().or(raw.data_dir.take());
        raw.scaler.mode = args.mode.clone().or(raw.scaler.mode.take());
        if !args.shadow.is_empty() {
            raw.sampler.traces.get_or_insert_default().shadow.clone_from(&args.shadow);
        }
        raw.sampler.budget = args.budget.clone().or(raw.sampler.budget.take());
    })
}

fn role(args: &ServeArgs) -> Result<Role> {
    match (args.role, &args.sampler) {
        (super::Role::All, None) => Ok(Role::All),
        (super::Role::Sampler, None) => Ok(Role::Sampler),
        (super::Role::Processor, Some(url)) => Ok(Role::Processor { sampler: url.clone() }),
        (super::Role::Processor, None) => anyhow::bail!(
            "--role processor needs a sampler to subscribe to\n  fix: add --sampler http://host:4317"
        ),
        (_, Some(_)) => {
            anyhow::bail!("--sampler is only for --role processor\n  fix: leave it out")
        }
    }
}
