//! Panics as the harness might, for the test of what the user then sees: `crash main|thread|scope|none`.

use std::process::ExitCode;

use engine::host::crash;
use failure::{Exit, Failure, Result};

fn main() -> ExitCode {
    let how = std::env::args().nth(1).unwrap_or_default();
    let exit = crash::guarded(|| work(&how)).unwrap_or_else(|failure| failure.exit);
    ExitCode::from(exit as u8)
}

fn work(how: &str) -> Result<Exit> {
    let bug = || -> () { panic!("a stand-in\u{1b}[2J for a bug") };
    match how {
        "main" => bug(),
        "thread" => _ = std::thread::Builder::new().name("reader".to_owned()).spawn(bug).map(|it| it.join()),
        "scope" => std::thread::scope(|scope| _ = scope.spawn(bug)),
        "fails" => return Err(Failure::usage("no bug")),
        _ => {}
    }
    Ok(Exit::Ok)
}
