use super::*;
use std::process::Output;

fn sandbox() -> Sandbox {
    Sandbox::find(false, &[]).expect("the tests of the sandbox need bubblewrap")
}

/// What a shell says that is confined to `view`.
fn sh(view: &View, script: &str) -> Output {
    let command = ["sh", "-c", script].map(str::to_owned);
    sandbox()
        .command(&command, view)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_view_is_all_that_there_is_and_only_what_it_says_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tree", "tree/objects", "other"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let view = View::default().show(&dir.path().join("tree"), Path::new("tree"), Access::Read).show(
        &dir.path().join("tree/objects"),
        Path::new("tree/objects"),
        Access::Write,
    );
    let script = format!(
        "cd {INSIDE}; touch tree/objects/a; touch tree/b; touch /usr/b; touch {INSIDE}/b; ls {}; ls -A $HOME; ls {INSIDE}",
        dir.path().display()
    );
    let output = sh(&view, &script);
    assert_eq!(said(&output), "tree\n", "{output:?}");
    assert!(dir.path().join("tree/objects/a").exists() && !dir.path().join("tree/b").exists(), "{output:?}");
    assert!(!Path::new("/usr/b").exists());
}

#[test]
fn no_process_and_no_setting_of_the_host_can_be_reached() {
    let view = View::default();
    let output = sh(&view, "ls -d /proc/[0-9]* | wc -l; kill -0 $PPID && kill -9 1; echo alive");
    let lines: Vec<String> = said(&output).lines().map(str::to_owned).collect();
    assert!(lines[0].trim().parse::<u32>().unwrap() < 6, "{output:?}");
    // As uid 0 of the host, its mode alone lets one write to such a file.
    for file in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches"] {
        let output = sh(&view, &format!("echo 1 > {file} && echo written"));
        assert_eq!(said(&output), "", "{file}: {output:?}");
    }
    let output = sh(&view, "mount -o remount,rw /usr && echo mounted; unshare -U true && echo unshared");
    assert_eq!(said(&output), "", "{output:?}");
    let output = sh(&view, "grep CapEff /proc/self/status");
    assert_eq!(said(&output).trim(), "CapEff:\t0000000000000000");
}

#[test]
fn nothing_outlives_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let view = View::default().show(dir.path(), Path::new("out"), Access::Write);
    // In a session of its own, so that no signal to the group reaches it.
    let output = sh(&view, &format!("(setsid sh -c 'sleep 1; touch {INSIDE}/out/late' &) ; echo done"));
    assert_eq!(said(&output), "done\n", "{output:?}");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!dir.path().join("late").exists());
}

#[test]
fn a_listener_on_the_hosts_loopback_is_not_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let output = sh(&View::default(), &format!("exec bash -c 'echo x > /dev/tcp/127.0.0.1/{port}'"));
    assert!(!output.status.success(), "{output:?}");
    assert!(listener.accept().is_err());
}

#[test]
fn hostile_characters_of_a_path_are_not_seen_inside() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a b,c%s:$(id)'\"\n");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("file"), "content").unwrap();
    let view = View::default().show(&odd, Path::new("tree"), Access::Read).start_in(&odd);
    assert_eq!(said(&sh(&view, "pwd; cat file")), format!("{INSIDE}/tree\ncontent"));
    assert_eq!(sandbox().name(&view, &odd.join("file")), Path::new(INSIDE).join("tree/file"));
    assert!(hostile_to_make(&odd) && !hostile_to_make(dir.path()));
}

#[test]
fn the_innermost_mount_names_a_path() {
    let view = View::default().show(Path::new("/a"), Path::new("tree"), Access::Read).show(
        Path::new("/a/b"),
        Path::new("objects"),
        Access::Write,
    );
    let name = |path: &str| {
        Sandbox::Bubblewrap { version: String::new(), system: Vec::new() }.name(&view, Path::new(path))
    };
    assert_eq!(name("/a/x"), Path::new(INSIDE).join("tree/x"));
    assert_eq!(name("/a/b/x"), Path::new(INSIDE).join("objects/x"));
    assert_eq!(name("/c"), Path::new("/c"));
    assert_eq!(Sandbox::Off.name(&view, Path::new("/a/x")), Path::new("/a/x"));
}

#[test]
fn a_signal_that_ends_the_program_is_told_from_its_status() {
    let on = sandbox();
    assert_eq!(on.end(ChildEnd::Exited(137)), ChildEnd::Signalled(9));
    assert_eq!(on.end(ChildEnd::Exited(2)), ChildEnd::Exited(2));
    assert_eq!(Sandbox::Off.end(ChildEnd::Exited(137)), ChildEnd::Exited(137));
    let output = sh(&View::default(), "kill -9 $$");
    assert_eq!(output.status.code(), Some(137));
}

#[test]
fn a_tool_reads_an_object_whatever_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a, b");
    std::fs::create_dir(&odd).unwrap();
    std::fs::copy("/bin/true", odd.join("-x.o")).unwrap();
    let log = dir.path().join("log");
    let text = sandbox().read_object("objdump", &["-f"], &odd.join("-x.o"), &[], &log).unwrap();
    assert!(text.contains("file format elf"), "{text}");
    assert!(sandbox().read_object("objdump", &["-f"], &odd.join("absent"), &[], &log).is_err());
}
