//! Where seeds and cases are run: in processes of their own, each a copy of one that has made everything ready which is
//! the same for all. So nothing of one is left for the next, and a seed does the same whatever ran before it.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tradingbot::core::wrong::{self, Wrong};
use tradingbot_simulation::api_server::ApiServer;

use crate::world::plan::Plan;
use crate::{seed, sweep};

/// A run that takes longer than this is stuck, seconds of real time.
const LONGEST: u32 = 300;

/// What is to be run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// A seed, with a deliberate mistake or without.
    Seed(u64, Option<String>),
    /// A case of the crash sweep.
    Case(String),
}

/// A process that runs whatever it is asked to, one after the other.
pub struct Worker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// When this program cannot be started again.
    pub fn new() -> Result<Worker, String> {
        let failed = |error: std::io::Error| format!("this program cannot be started again: {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .arg("--worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process was started without its pipes".to_owned());
        };
        Ok(Worker { child, questions, answers: BufReader::new(answers) })
    }

    /// Runs this and answers what came of it.
    ///
    /// # Errors
    /// A sentence, when it did not come to an end.
    pub fn ask<T: DeserializeOwned>(&mut self, question: &Question) -> Result<T, String> {
        let unread = |error: serde_json::Error| format!("{question:?}: the answer cannot be read: {error}");
        let line = serde_json::to_string(question).map_err(unread)?;
        let lost = |error: std::io::Error| format!("{question:?}: the process that runs it is gone: {error}");
        writeln!(self.questions, "{line}").map_err(lost)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(lost)?;
        let answer: Result<T, String> = serde_json::from_str(&answer).map_err(unread)?;
        answer.map_err(|why| format!("{question:?}: {why}"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side of a [`Worker`].
///
/// # Errors
/// When a question cannot be read.
pub fn serve() -> Result<bool, String> {
    get_ready();
    for line in stdin().lock().lines() {
        let line = line.map_err(|error| format!("the next question cannot be read: {error}"))?;
        let question = serde_json::from_str(&line).map_err(|error| format!("'{line}' is no question: {error}"))?;
        if let Err(why) = in_a_copy(question) {
            say(&json!({ "Err": why }))?;
        }
    }
    Ok(true)
}

/// Makes ready what is the same for all seeds: the schemas of the API server, which take longer to make than a seed.
pub fn get_ready() {
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime can be made");
    runtime.block_on(async {
        let api = ApiServer::new(0);
        api.create("namespaces", json!({"metadata": {"name": crate::world::plan::NAMESPACE}}));
        for bot in Plan::steady().bots {
            api.create("tradingbots", bot.object());
        }
    });
}

/// Runs it in a copy of this process, which says the answer.
fn in_a_copy(question: Question) -> Result<(), String> {
    // SAFETY: this process has one thread, so the copy has all that there was.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            // SAFETY: no memory is involved.
            unsafe { libc::alarm(LONGEST) };
            let said = answer(question).and_then(|answer| say(&json!({ "Ok": answer })));
            // SAFETY: what is there to be said was said; nothing of the copied process is to be ended twice.
            unsafe { libc::_exit(i32::from(said.is_err())) }
        }
        1.. => {
            let mut status = 0;
            // SAFETY: `status` is valid for writes.
            let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            let well = ended == pid && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
            if well { Ok(()) } else { Err(format!("it did not come to an end (status {status}); see above")) }
        }
        _ => Err(format!("the process cannot be copied: {}", std::io::Error::last_os_error())),
    }
}

/// Runs it on a thread of its own, so that nothing that belongs to a thread is left from before.
///
/// # Errors
/// When there is no such case.
fn answer(question: Question) -> Result<Value, String> {
    let run = move || match question {
        Question::Seed(number, mistake) => {
            let wrong: Option<Wrong> = mistake.map(|name| name.parse()).transpose()?;
            wrong::choose(wrong);
            serde_json::to_value(seed::run(number, false)).map_err(|error| error.to_string())
        }
        Question::Case(case) => serde_json::to_value(sweep::run(&case, false)?).map_err(|error| error.to_string()),
    };
    on_a_thread(run)
}

/// Runs something on a thread of its own.
///
/// # Errors
/// Its own.
pub fn on_a_thread<T: Send + 'static>(run: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    thread::spawn(run).join().unwrap_or_else(|_| Err("it panicked; see above".to_owned()))
}

fn say(answer: &Value) -> Result<(), String> {
    let mut out = stdout().lock();
    writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|error| format!("nobody listens: {error}"))
}
