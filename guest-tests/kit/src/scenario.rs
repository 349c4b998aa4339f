//! The outside of every scenario's program: PID 1 starts it with one [`Order`] as JSON, and it prints one
//! [`Answer`] as JSON. It measures and never judges.

use std::fs::File;
use std::io::{self, Write};

use protocol::{Answer, Measured, Order};

/// Runs `body` on the order in the first argument, and answers.
pub fn run(body: impl FnOnce(&Order) -> Result<Measured, String>) {
    let mut answers = answers_apart().expect("descriptors for what is answered");
    let answer = match std::env::args().nth(1) {
        Some(order) => serde_json::from_str(&order)
            .map_err(|error| format!("the order {order:?} is not one: {error}"))
            .and_then(|order| body(&order)),
        None => Err("started without an order".to_owned()),
    };
    let answer = answer.map_or_else(Answer::Broken, |measured| Answer::Measured(Box::new(measured)));
    let text = serde_json::to_string(&answer).expect("an answer is plain data with string keys");
    writeln!(answers, "{text}").expect("room for an answer");
}

/// Standard output under another number, and standard error in its place: a kernel that is given the descriptor 1, as a 9P file
/// system can be, writes no answer of its own.
fn answers_apart() -> io::Result<File> {
    let answers = rustix::io::fcntl_dupfd_cloexec(io::stdout(), APART)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(answers))
}

/// Above what a scenario opens by chance.
const APART: i32 = 200;
