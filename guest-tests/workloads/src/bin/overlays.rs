//! Overlays (fs/overlayfs) of two and three layers by each option: what is changed, moved, linked and taken away in one, and whether
//! the same is there when it is mounted again, with what the layers themselves then hold.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::places::{self, mount, unmount, unmount_with};
use workloads::sys;
use workloads::sys::{c_path, in_child, wrong};
use workloads::used_tree::{self, TOGETHER};

const LIMIT: Duration = Duration::from_secs(30);
const BASE: &str = "/tmp/layers";
const MERGED: &str = "/tmp/layers/merged";

/// Options; moving a directory of a lower layer needs `redirect_dir=on`.
const OPTIONS: [&str; 9] = [
    "redirect_dir=on",
    "redirect_dir=on,index=on,nfs_export=on",
    "redirect_dir=on,metacopy=on",
    "redirect_dir=off,index=on",
    "redirect_dir=nofollow,xino=on",
    "redirect_dir=follow,xino=auto,index=off",
    "userxattr",
    "volatile,redirect_dir=on",
    "uuid=on,fsync=strict,redirect_dir=on",
];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    for options in OPTIONS {
        it.step(format!("changed, {options}"), || with_layers(|| changed(options)));
        it.step(format!("moved, {options}"), || with_layers(|| moved(options)));
    }
    for names in TOGETHER {
        it.step(names.join(", "), || {
            with_layers(|| mounted("redirect_dir=on,index=on", |at| used_tree::groups(at, names)))
        });
    }
    it.step("moved in two layers", || with_layers(moved_in_two_layers));
    it.step("of lower layers alone", || with_layers(lower_alone));
    it.step("one on another", || with_layers(nested));
    for bad in BAD {
        it.refused(bad, || with_layers(|| mount("overlay", MERGED, bad)));
    }
}

const BAD: [&str; 8] = [
    "lowerdir=/tmp/layers/one",
    "lowerdir=/tmp/layers/one,upperdir=/tmp/layers/upper",
    "lowerdir=/tmp/layers/one,upperdir=/tmp/layers/upper,workdir=/tmp/layers/upper",
    "lowerdir=/tmp/layers/one,upperdir=/tmp/layers/upper,workdir=/tmp/layers/upper/work",
    "lowerdir=/tmp/layers/no-such,upperdir=/tmp/layers/upper,workdir=/tmp/layers/work",
    "lowerdir=/tmp/layers/one:/tmp/layers/one/deep/..,upperdir=/tmp/layers/one,workdir=/tmp/layers/work",
    "lowerdir=:::,upperdir=/tmp/layers/upper,workdir=/tmp/layers/work",
    "lowerdir=/tmp/layers/one,upperdir=/tmp/layers/upper,workdir=/tmp/layers/work,redirect_dir=nonsense",
];

fn layer(name: &str) -> PathBuf {
    Path::new(BASE).join(name)
}

/// A tree in each of two lower layers, and what an upper one needs; gone afterwards.
fn with_layers(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    mount("tmpfs", BASE, "")?;
    let end = in_child(LIMIT, || {
        for name in [
            "one",
            "two",
            "upper",
            "work",
            "merged",
            "one/deep/deeper",
            "two/deep/deeper",
            "one/own",
            "two/gone",
        ] {
            fs::create_dir_all(layer(name))?;
        }
        for (name, text) in [
            ("one/file", "one"),
            ("two/file", "two"),
            ("two/below", "below"),
            ("one/deep/deeper/file", "deep one"),
            ("two/deep/deeper/other", "deep two"),
            ("one/own/file", "own"),
            ("two/gone/file", "gone"),
        ] {
            fs::write(layer(name), text.repeat(3000))?;
        }
        fs::hard_link(layer("two/below"), layer("two/below-too"))?;
        std::os::unix::fs::symlink("file", layer("two/link"))?;
        // A whiteout of the upper of the lower layers: a device with the number 0.
        sys!(SYS_mknodat, libc::AT_FDCWD, c_path(layer("one/gone")).as_ptr(), libc::S_IFCHR | 0o600, 0)?;
        work()
    });
    let _ = unmount_with(MERGED, libc::MNT_DETACH);
    unmount_with(BASE, libc::MNT_DETACH).and(end)
}

/// Runs `work` on the overlay of both, which is mounted for it.
fn mounted(options: &str, work: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let lower = format!("{BASE}/one:{BASE}/two");
    mounted_on(&lower, "upper", options, work)
}

fn mounted_on(
    lower: &str,
    upper: &str,
    options: &str,
    work: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let layers = format!("lowerdir={lower},upperdir={BASE}/{upper},workdir={BASE}/work");
    mount("overlay", MERGED, &format!("{layers},{options}"))?;
    let end = work(Path::new(MERGED));
    unmount(MERGED).and(end)
}

fn has(path: &Path, text: &str) -> io::Result<()> {
    match fs::read_to_string(path)? == text.repeat(3000) {
        true => Ok(()),
        false => wrong("something else is in the file"),
    }
}

fn is_gone(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() { wrong("what was taken away is there") } else { Ok(()) }
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(path)?.collect();
    let mut names: Vec<String> =
        entries?.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

/// Files that are written to, given another mode, linked, opened before they are copied up, and taken away.
fn changed(options: &str) -> io::Result<()> {
    mounted(options, |at| {
        if names(at)? != ["below", "below-too", "deep", "file", "link", "own"] {
            return wrong("other names are there");
        }
        has(&at.join("file"), "one")?;
        has(&at.join("deep/deeper/other"), "deep two")?;
        let before = fs::File::open(at.join("below"))?;
        fs::set_permissions(at.join("below"), fs::Permissions::from_mode(0o640))?;
        has(&at.join("below"), "below")?;
        fs::write(at.join("file"), "new".repeat(3000))?;
        fs::OpenOptions::new().append(true).open(at.join("deep/deeper/other"))?.set_len(8)?;
        fs::hard_link(at.join("below"), at.join("linked"))?;
        fs::remove_file(at.join("link"))?;
        fs::remove_dir_all(at.join("own"))?;
        fs::create_dir(at.join("own"))?;
        fs::write(at.join("own/new"), "x")?;
        before.sync_all()?;
        // A cache of names that was read before does not come again.
        is_gone(&at.join("link"))
    })?;
    if !layer("upper/link").symlink_metadata()?.file_type().is_char_device() {
        return wrong("there is no whiteout");
    }
    has(&layer("one/file"), "one")?;
    // What was mounted as volatile is not mounted again.
    let _ = fs::remove_dir_all(layer("work"));
    fs::create_dir_all(layer("work"))?;
    mounted(options, |at| {
        has(&at.join("file"), "new")?;
        has(&at.join("below"), "below")?;
        has(&at.join("linked"), "below")?;
        is_gone(&at.join("link"))?;
        is_gone(&at.join("gone"))?;
        let mode = fs::metadata(at.join("below"))?.mode() & 0o777;
        match (names(&at.join("own"))? == ["new"], fs::read(at.join("deep/deeper/other"))?.len(), mode) {
            (true, 8, 0o640) => Ok(()),
            _ => wrong("something is not as it was"),
        }
    })
}

/// Directories that lower layers have, moved once and again, with what is below them, and exchanged.
fn moved(options: &str) -> io::Result<()> {
    let moves = options.contains("redirect_dir=on");
    mounted(options, |at| {
        let first = fs::rename(at.join("deep/deeper"), at.join("up"));
        if !moves {
            // Told to copy it itself.
            return if first.is_ok() { wrong("it was moved") } else { Ok(()) };
        }
        first?;
        fs::rename(at.join("deep"), at.join("own/shallow"))?;
        fs::rename(at.join("own"), at.join("another"))?;
        fs::rename(at.join("up"), at.join("another/shallow/back"))?;
        fs::write(at.join("another/shallow/back/new"), "new".repeat(3000))?;
        let (one, other) = (c_path(at.join("another")), c_path(at.join("file")));
        let here = libc::AT_FDCWD;
        // RENAME_EXCHANGE, there and back; RENAME_NOREPLACE.
        for _ in 0..2 {
            sys!(SYS_renameat2, here, one.as_ptr(), here, other.as_ptr(), 2)?;
        }
        let _ = sys!(SYS_renameat2, here, one.as_ptr(), here, other.as_ptr(), 1);
        fs::rename(at.join("below"), at.join("another/below"))?;
        is_gone(&at.join("own"))
    })?;
    if !moves {
        return Ok(());
    }
    let _ = fs::remove_dir_all(layer("work"));
    fs::create_dir_all(layer("work"))?;
    mounted(options, |at| {
        for (name, text) in [
            ("another/shallow/back/file", "deep one"),
            ("another/shallow/back/other", "deep two"),
            ("another/shallow/back/new", "new"),
            ("another/file", "own"),
            ("another/below", "below"),
            ("below-too", "below"),
        ] {
            has(&at.join(name), text)?;
        }
        is_gone(&at.join("deep"))?;
        is_gone(&at.join("up"))?;
        is_gone(&at.join("below"))?;
        // Moved to where a lower layer has one of the same name.
        fs::rename(at.join("another"), at.join("deep"))?;
        has(&at.join("deep/file"), "own")?;
        is_gone(&at.join("deep/deeper"))
    })
}

/// A directory that was moved in the upper layer, and in the one below it before: its name is looked up twice.
fn moved_in_two_layers() -> io::Result<()> {
    fs::create_dir(layer("middle"))?;
    let (two, both) = (format!("{BASE}/two"), format!("{BASE}/middle:{BASE}/two"));
    let options = "redirect_dir=on";
    mounted_on(&two, "middle", options, |at| fs::rename(at.join("deep"), at.join("mid")))?;
    for name in ["work", "upper"] {
        fs::remove_dir_all(layer(name))?;
        fs::create_dir(layer(name))?;
    }
    mounted_on(&both, "upper", options, |at| {
        has(&at.join("mid/deeper/other"), "deep two")?;
        fs::rename(at.join("mid"), at.join("top"))
    })?;
    for _ in 0..3 {
        mounted_on(&both, "upper", options, |at| {
            has(&at.join("top/deeper/other"), "deep two")?;
            is_gone(&at.join("mid"))
        })?;
    }
    Ok(())
}

fn lower_alone() -> io::Result<()> {
    mount("overlay", MERGED, &format!("lowerdir={BASE}/one:{BASE}/two"))?;
    let at = Path::new(MERGED);
    has(&at.join("below"), "below")?;
    is_gone(&at.join("gone"))?;
    if fs::write(at.join("file"), "x").is_ok() {
        return wrong("it was written to");
    }
    unmount(at)
}

/// One whose lower layer is another one.
fn nested() -> io::Result<()> {
    mounted("redirect_dir=on", |at| {
        for name in ["upper-2", "work-2", "merged-2"] {
            fs::create_dir(layer(name))?;
        }
        fs::write(at.join("between"), "between".repeat(3000))?;
        let layers =
            format!("lowerdir={MERGED},upperdir={BASE}/upper-2,workdir={BASE}/work-2,redirect_dir=on");
        let above = layer("merged-2");
        mount("overlay", &above, &layers)?;
        fs::rename(above.join("deep"), above.join("high"))?;
        fs::write(above.join("file"), "high".repeat(3000))?;
        let end = has(&above.join("high/deeper/file"), "deep one")
            .and_then(|()| has(&above.join("between"), "between"));
        unmount(&above).and(end)?;
        has(&at.join("file"), "one")
    })
}
