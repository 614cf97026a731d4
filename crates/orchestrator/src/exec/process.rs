//! One run of a command: bounded time, bounded output, no shell.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join3;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::unknown_effect;
use crate::error::OrchError;

/// Bytes of standard output that are read; a state is far smaller.
const STDOUT_BYTES_MAX: u64 = 64 << 10;
/// Bytes of standard error that go into messages.
const STDERR_BYTES_MAX: usize = 256;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    /// What it printed, cut at 64 KiB.
    pub(super) stdout: Vec<u8>,
    /// The beginning of its error output, as text fit for one line.
    pub(super) stderr: String,
}

impl Ended {
    /// The end in words, with the beginning of the error output.
    pub(super) fn describe(&self, argv: &[String]) -> String {
        let program = argv.first().map_or("", String::as_str);
        let end = match self.code {
            Some(code) => format!("{program} exited with {code}"),
            None => format!("{program} was ended by a signal"),
        };
        if self.stderr.is_empty() { end } else { format!("{end}: {}", self.stderr) }
    }
}

/// Runs `argv` with `input` on its standard input, at most for `timeout`; then it is killed and the
/// effect is unknown. `Invalid` if it cannot be started.
pub(super) async fn run(
    argv: &[String],
    input: &[u8],
    timeout: Duration,
) -> Result<Ended, OrchError> {
    let mut child = start(argv)?;
    match tokio::time::timeout(timeout, converse(&mut child, input)).await {
        Ok(Ok(ended)) => Ok(ended),
        Ok(Err(error)) => Err(unknown_effect(format!("lost contact with {}: {error}", argv[0]))),
        Err(_) => {
            // The reply to the kill does not matter: `kill_on_drop` covers what is left.
            drop(child.kill().await);
            Err(unknown_effect(format!("{} ran longer than {timeout:?} and was killed", argv[0])))
        }
    }
}

fn start(argv: &[String]) -> Result<Child, OrchError> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| OrchError::invalid("the command is empty"))?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            OrchError::invalid(format!("cannot start {program}: {error}; check path and rights"))
        })
}

async fn converse(child: &mut Child, input: &[u8]) -> std::io::Result<Ended> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input, so a closed pipe is no error.
            drop(stdin.write_all(input).await);
        }
    };
    let read_stdout = read_head(stdout, STDOUT_BYTES_MAX);
    let read_stderr = read_head(stderr, STDERR_BYTES_MAX as u64);
    let ((), stdout, stderr) = join3(write, read_stdout, read_stderr).await;
    let (stdout, stderr) = (stdout?, stderr?);
    let status = child.wait().await?;
    Ok(Ended { code: status.code(), stdout, stderr: one_line(&stderr) })
}

/// Keeps the first `n_max` bytes and reads the rest into nothing, so that the writer never blocks.
async fn read_head<R: AsyncRead + Unpin>(
    source: Option<R>,
    n_max: u64,
) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    if let Some(mut source) = source {
        (&mut source).take(n_max).read_to_end(&mut head).await?;
        tokio::io::copy(&mut source, &mut tokio::io::sink()).await?;
    }
    Ok(head)
}

/// Control characters become spaces: what a command prints ends up in logs and records.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
