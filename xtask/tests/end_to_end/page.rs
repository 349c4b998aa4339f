//! The page of a run, looked at in a real browser: nothing is wider than the screen, no text lies over another, and all text can
//! be read on what is behind it; on a phone, a tablet and a screen, light, dark and printed.
//!
//! With PATCHPROOF_SCREENSHOTS=DIR it also writes pictures of the page there; docs/page.md has those of `docs/`.

mod browser;
mod rich;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::Bench;
use browser::Browser;

/// Widths in CSS pixels.
const WIDTHS: [u32; 3] = [360, 800, 1400];

/// Finds what is wrong with the text of a page.
const MEASURE: &str = include_str!("page/measure.js");

/// Spoils a page in each way that the measurement has to see.
const SPOIL: &str =
    "document.body.insertAdjacentHTML('beforeend', `<div style='position:relative;height:3rem'>
    <p style='position:absolute;top:0;margin:0;color:#999;background:#aaa'>one text over</p>
    <p style='position:absolute;top:0;margin:0'>another text</p>
    <p style='width:3000px'>too wide</p></div>`)";

/// A page with everything that a report can have, from a real run of the stand-ins, in a directory of its own.
fn rich_page() -> (tempfile::TempDir, PathBuf) {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let file = bench.path("work/runs/latest/report.json");
    let report = rich::enriched(bench.report());
    std::fs::write(&file, serde_json::to_string_pretty(&report).unwrap()).unwrap();
    let args = ["report", "latest", "--format", "html"].map(str::to_owned);
    let shown = bench.command(&args, &[]).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("report.html");
    // The directory of the bench has another name each time, and pictures are compared by people.
    let run_dir = bench.path("work/runs/latest").canonicalize().unwrap();
    let html = String::from_utf8(shown.stdout).unwrap();
    let html = html
        .replace(run_dir.to_str().unwrap(), "/home/dev/patchproof/target/patchproof/runs/20260101-000000-1");
    let tree = bench.path("tree");
    std::fs::write(&page, html.replace(tree.to_str().unwrap(), "/home/dev/linux")).unwrap();
    (dir, page)
}

/// What the measurement found wrong, of each kind.
fn wrong(browser: &mut Browser) -> [Vec<Value>; 3] {
    let found = browser.evaluate(MEASURE);
    assert!(found["texts"].as_u64().unwrap() > 100, "hardly any text: {found}");
    ["wide", "overlaps", "faint"].map(|kind| found[kind].as_array().unwrap().clone())
}

#[test]
fn page_can_be_read_on_every_screen() {
    let (_dir, page) = rich_page();
    let mut browser = Browser::start();
    browser.open(&page);
    for width in WIDTHS {
        browser.set_width(width);
        for scheme in ["light", "dark"] {
            browser.set_media("screen", scheme);
            let found = wrong(&mut browser);
            assert!(found.iter().all(Vec::is_empty), "{width}, {scheme}: {found:#?}");
        }
    }
    browser.set_width(700);
    browser.set_media("print", "dark");
    let found = wrong(&mut browser);
    assert!(found.iter().all(Vec::is_empty), "print: {found:#?}");
    if let Some(dir) = std::env::var_os("PATCHPROOF_SCREENSHOTS") {
        take_pictures(&mut browser, Path::new(&dir));
    }
    // What was measured is measured: each kind of trouble is seen.
    browser.set_media("screen", "light");
    browser.evaluate(SPOIL);
    let found = wrong(&mut browser);
    assert!(found.iter().all(|kind| !kind.is_empty()), "{found:#?}");
}

/// The top of the page at each width, the widest in the dark, and the whole of it, which is for looking at and not for `docs/`.
fn take_pictures(browser: &mut Browser, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for (width, height, scheme) in [(360, 900, "light"), (800, 760, "light"), (1400, 680, "dark")] {
        browser.set_width(width);
        browser.set_media("screen", scheme);
        std::fs::write(dir.join(format!("page-{width}.png")), browser.picture(width, height)).unwrap();
        if std::env::var_os("PATCHPROOF_SCREENSHOTS_WHOLE").is_some() {
            let whole = browser.evaluate("document.documentElement.scrollHeight").as_u64().unwrap();
            let picture = browser.picture(width, u32::try_from(whole).unwrap());
            std::fs::write(dir.join(format!("whole-{width}.png")), picture).unwrap();
        }
    }
}
