//! spanwise as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;

use super::until;

/// The binary under test.
const SPANWISE: &str = env!("CARGO_BIN_EXE_spanwise");

/// Runs a command to its end, in a directory without a configuration file.
pub(crate) fn run(args: &[&str]) -> Output {
    let empty = tempfile::tempdir().unwrap();
    Command::new(SPANWISE).args(args).current_dir(empty.path()).output().unwrap()
}

/// `serve`, running.
pub(crate) struct Serving {
    child: Child,
    stderr: Arc<Mutex<String>>,
    /// OTLP over gRPC; `None` in a processor.
    pub(crate) grpc: Option<SocketAddr>,
    /// OTLP over HTTP; `None` in a processor.
    pub(crate) http: Option<SocketAddr>,
    pub(crate) api: SocketAddr,
}

impl Serving {
    /// Starts `serve` with a configuration and further arguments; returns when it says that it is
    /// there.
    pub(crate) fn start(dir: &Path, yaml: &str, args: &[&str]) -> Self {
        Self::start_with(dir, yaml, args, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with(
        dir: &Path,
        yaml: &str,
        args: &[&str],
        environment: &[(&str, &Path)],
    ) -> Self {
        let file = dir.join("test.yaml");
        std::fs::write(&file, yaml).unwrap();
        let mut child = Command::new(SPANWISE)
            .args(["serve", "-c", file.to_str().unwrap()])
            .args(args)
            .envs(environment.iter().copied())
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Arc::<Mutex<String>>::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::clone(&stderr);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = said.lock();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let api = until("the banner", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "serve ended with {ended:?}: {}", stderr.lock());
            address(&stderr.lock(), "API    http://")
        });
        let banner = stderr.lock().clone();
        let (grpc, http) = (address(&banner, "grpc "), address(&banner, "http "));
        Self { child, stderr, grpc, http, api }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().clone()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// The end without a warning: kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn signal(&self) {
        let kill = format!("kill -TERM {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The end a supervisor asks for: SIGTERM.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal();
        until("the end after SIGTERM", || self.child.try_wait().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address behind a word of the banner.
fn address(said: &str, word: &str) -> Option<SocketAddr> {
    let banner = said.lines().skip_while(|line| !line.starts_with("spanwise "));
    let mut lines = banner.take_while(|line| !line.contains("stopping"));
    lines.find_map(|line| {
        let (_, rest) = line.split_once(word)?;
        rest.split_whitespace().next()?.parse().ok()
    })
}
