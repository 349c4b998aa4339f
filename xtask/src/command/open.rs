//! `cargo xtask report RUN --open`: hands the page of a run to a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host;
use crate::host::input::shown;
use crate::host::terminal;
use failure::{Context, Exit, Failure, Result};

/// Opens `page`, and says where it is in any case. Without a browser that is all.
///
/// # Errors
/// When the browser that was found ends with an error.
pub fn open(page: &Path) -> Result<Exit> {
    terminal::print_line(&format!("page: {}", shown(page)))?;
    let wanted = std::env::var("BROWSER").unwrap_or_default();
    let Some((program, args)) = browser(&wanted, page, &host::find_program) else {
        terminal::print_line(
            "no browser is known here: neither $BROWSER nor xdg-open is there; open the page yourself",
        )?;
        return Ok(Exit::Ok);
    };
    let status =
        Command::new(&program).args(&args).status().or_infra(|| format!("start {}", shown(&program)))?;
    match status.success() {
        true => Ok(Exit::Ok),
        false => Err(Failure::infra(format!("{} did not open the page", shown(&program)))
            .because(status.to_string())
            .next("open the page yourself, or name a browser in $BROWSER")),
    }
}

/// The program and its arguments: the first of those in `wanted`, which are separated by colons, that is there, else xdg-open. `%s`
/// in an argument stands for the page.
fn browser(
    wanted: &str,
    page: &Path,
    find: &dyn Fn(&str) -> Option<PathBuf>,
) -> Option<(PathBuf, Vec<String>)> {
    let page = page.to_string_lossy();
    let one = |command: &str| {
        let mut words = command.split_whitespace();
        let program = find(words.next()?)?;
        let mut args: Vec<String> = words.map(|word| word.replace("%s", &page)).collect();
        if !command.contains("%s") {
            args.push(page.to_string());
        }
        Some((program, args))
    };
    wanted.split(':').chain(["xdg-open"]).find_map(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browser_of_the_user_comes_first_and_xdg_open_last() {
        let page = Path::new("/r/report.html");
        let with = |wanted: &str, there: &[&str]| {
            let find = |name: &str| there.contains(&name).then(|| PathBuf::from(format!("/bin/{name}")));
            browser(wanted, page, &find)
                .map(|(program, args)| format!("{} {}", program.display(), args.join(" ")))
        };
        let all = ["xdg-open", "lynx", "w3m"];
        assert_eq!(with("", &all).unwrap(), "/bin/xdg-open /r/report.html");
        assert_eq!(with("firefox:w3m -x:lynx", &all).unwrap(), "/bin/w3m -x /r/report.html");
        assert_eq!(with("lynx -dump %s -y", &all).unwrap(), "/bin/lynx -dump /r/report.html -y");
        assert_eq!(with("firefox", &["xdg-open"]).unwrap(), "/bin/xdg-open /r/report.html");
        assert_eq!(with("firefox", &[]), None);
    }
}
