//! `serve`: the pipeline until a signal stops it.

use std::time::Duration;

use anyhow::Result;

use super::ServeArgs;
use super::output::Output;
use crate::clock::Clock;
use crate::config::{Loaded, load};
use crate::exit::{DISK_FAILED, DRAIN_TIMEOUT, Exit, OK, PANICKED};
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
        until_end(server, output).await
    });
    // Threads that are busy past the deadline end with the process: nobody waits for them.
    runtime.shutdown_background();
    ended
}

/// Until a signal, and what is in flight then has been drained; or until nothing good can come any more.
async fn until_end(server: Server, output: &Output) -> Result<Exit> {
    let panics = server.panics().clone();
    let panicked = |stage: &str| {
        let text = "panicked, which is a mistake in spanwise: please report it";
        output.note(&format!("stopped: {stage} {text}"));
        PANICKED
    };
    tokio::select! {
        () = signal() => {}
        () = server.log_stopped() => {
            output.note("stopped: the disk failed twice; what was acknowledged is read at the next start");
            return Ok(DISK_FAILED);
        }
        stage = panics.wait() => return Ok(panicked(stage)),
    }
    output.note("stopping: draining what is in flight; send the signal again to abort");
    end_for_good(output.clone())?;
    let drained = tokio::select! {
        drained = server.stop() => drained,
        () = signal() => false,
    };
    Ok(match panics.first() {
        Some(stage) => panicked(stage),
        None if drained => OK,
        None => DRAIN_TIMEOUT,
    })
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};

    use super::*;
    use crate::config::load::parse;

    /// The status line for a request with one span, of this trace.
    fn post(to: SocketAddr, trace: u32) -> String {
        let body = format!(
            r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"traceId": "{trace:032x}",
            "spanId": "{trace:016x}", "name": "GetCart", "startTimeUnixNano": "1",
            "endTimeUnixNano": "2"}}]}}]}}]}}"#
        );
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply.lines().next().unwrap().to_owned()
    }

    /// Scenario: one of two shards panics.
    /// Guarantees: nobody is answered that his spans were taken, and the process ends with a code of
    /// its own.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_that_panics_ends_the_process() {
        let free = "127.0.0.1:0";
        let yaml = format!(
            "listen: {{otlp_grpc: '{free}', otlp_http: '{free}', http: '{free}'}}\nshards: 2\n"
        );
        let config = parse("test.yaml", &yaml, |_| {}).unwrap().config;
        let server = Server::start(config, Role::All, Clock::start()).await.unwrap();
        let http = server.addresses().otlp_http.unwrap();
        // Traces of either shard.
        let answers =
            || tokio::task::spawn_blocking(move || (1..9).map(|n| post(http, n)).collect());
        let all: Vec<String> = answers().await.unwrap();
        assert!(all.iter().all(|answer| answer == "HTTP/1.1 200 OK"), "{all:?}");
        server.state().panic_at(1);
        let panics = server.panics().clone();
        assert_eq!(panics.wait().await, "worker");
        let all = answers().await.unwrap();
        assert!(all.iter().all(|answer| answer.contains(" 503 ")), "{all:?}");
        let global = crate::cli::Global {
            output: vec!["text".to_owned()],
            log_level: "info".to_owned(),
            log_format: crate::cli::LogFormat::Text,
            no_progress: true,
        };
        assert_eq!(until_end(server, &Output::new(&global)).await.unwrap(), PANICKED);
    }
}
