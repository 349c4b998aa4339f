use std::os::unix::fs::PermissionsExt;

use super::*;

const CAME_UP: &str = include_str!("../../../testdata/accel/came-up.console");

/// A stand-in for QEMU: a shell script that counts its boots and answers `--version`.
struct Stand {
    dir: tempfile::TempDir,
}

impl Stand {
    /// `script` sees the accelerator as `$accel` and the console's file as `$console`.
    fn new(script: &str) -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let qemu = dir.path().join("qemu");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'QEMU 1.0' && exit\necho boot >>{}/boots\n\
             for word; do case $last in -accel) accel=$word;; -serial) console=${{word#file:}};; esac; last=$word; done\n\
             up() {{ cat {}/came-up >\"$console\"; }}\n{script}\n",
            dir.path().display(),
            dir.path().display()
        );
        fs::write(&qemu, text).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("came-up"), CAME_UP).unwrap();
        fs::write(dir.path().join("kvm"), "").unwrap();
        Stand { dir }
    }

    fn choose(&self, wish: Wish) -> Result<Choice> {
        let (qemu, work_dir, kvm_device) = (self.path("qemu"), self.path("work"), self.path("kvm"));
        let bench = ProbeSetup {
            sandbox: &Sandbox::Off,
            cpus: 1,
            arch: crate::host::arch::DEFAULT,
            qemu: &qemu,
            kernel: Path::new("vmlinux"),
            work_dir: &work_dir,
            kvm_device: &kvm_device,
            deadline: |accel| Duration::from_secs(if accel == Accel::Kvm { 1 } else { 10 }),
        };
        choose_with(wish, &bench, &self.path("memory.json"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn boots(&self) -> usize {
        fs::read_to_string(self.path("boots")).unwrap_or_default().lines().count()
    }
}

#[test]
fn kvm_that_boots_is_chosen_and_not_tried_a_second_time() {
    let stand = Stand::new("up");
    for _ in 0..2 {
        let choice = stand.choose(Wish::Auto).unwrap();
        assert_eq!(choice.accel, Accel::Kvm);
        assert!(choice.reason.starts_with("kvm: booted a kernel here in "), "{}", choice.reason);
    }
    assert_eq!(stand.boots(), 1);
}

#[test]
fn a_kernel_that_came_up_is_enough_even_if_qemu_stays() {
    let stand = Stand::new("up; sleep 100");
    let started = Instant::now();
    assert_eq!(stand.choose(Wish::Tcg).unwrap().accel, Accel::Tcg);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn kvm_that_dies_with_a_message_gives_way_to_tcg_with_that_message() {
    let stand =
        Stand::new("[ $accel = tcg ] && up && exit\necho 'qemu: failed to set MSR 0x10a' >&2\nkill -6 $$");
    for _ in 0..2 {
        let choice = stand.choose(Wish::Auto).unwrap();
        assert_eq!(choice.accel, Accel::Tcg);
        assert_eq!(
            choice.reason,
            "kvm did not boot a kernel: QEMU was killed by signal 6: qemu: failed to set MSR 0x10a"
        );
    }
    assert_eq!(stand.boots(), 2, "one boot each, then remembered");
}

#[test]
fn kvm_that_stays_silent_is_found_out_at_its_deadline() {
    let stand = Stand::new("[ $accel = tcg ] && up && exit\nexec sleep 100");
    let choice = stand.choose(Wish::Auto).unwrap();
    assert_eq!(choice.reason, "kvm did not boot a kernel within 1 s: console silent");
}

#[test]
fn with_kvm_wished_for_nothing_else_is_taken() {
    let stand = Stand::new("[ $accel = tcg ] && up\nexit 1");
    let failure = stand.choose(Wish::Kvm).unwrap_err();
    assert_eq!(failure.what, "kvm boots no kernel here");
    assert_eq!(failure.exit, failure::Exit::Inconclusive);
    assert_eq!(stand.boots(), 1);
}

#[test]
fn a_kernel_that_boots_nowhere_is_an_error_and_nothing_is_remembered() {
    let stand = Stand::new("exit 1");
    let failure = stand.choose(Wish::Auto).unwrap_err();
    assert_eq!(failure.what, "tcg boots no kernel here");
    assert!(failure.because.iter().any(|why| why.starts_with("kvm did not boot")), "{failure}");
    assert!(!stand.path("memory.json").exists());
}

#[test]
fn without_the_device_kvm_is_not_even_tried() {
    let stand = Stand::new("up");
    fs::remove_file(stand.path("kvm")).unwrap();
    let choice = stand.choose(Wish::Auto).unwrap();
    assert_eq!(choice.accel, Accel::Tcg);
    assert!(choice.reason.starts_with("kvm cannot be used: there is no "), "{}", choice.reason);
    assert_eq!(stand.boots(), 1);
}

#[test]
fn a_memory_that_is_damaged_foreign_or_of_another_host_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory.json");
    let key = ProbeKey {
        qemu_version: "7.2".to_owned(),
        kernel_release: "6.1".to_owned(),
        cpu_model: "a".to_owned(),
        kvm_denied: None,
    };
    let memory = Memory::new(key.clone());
    memory.save(&file).unwrap();
    assert_eq!(recall(&file, &key), Some(memory));
    for other in [
        ProbeKey { qemu_version: "8".to_owned(), ..key.clone() },
        ProbeKey { kernel_release: "6.2".to_owned(), ..key.clone() },
        ProbeKey { cpu_model: "b".to_owned(), ..key.clone() },
        ProbeKey { kvm_denied: Some("no".to_owned()), ..key.clone() },
    ] {
        assert_eq!(recall(&file, &other), None);
    }
    for foreign in ["", "{}", "{\"schema\": 1", "[1]"] {
        fs::write(&file, foreign).unwrap();
        assert_eq!(recall(&file, &key), None, "{foreign}");
    }
}

#[test]
fn doctor_says_what_is_known_and_what_is_not() {
    assert_eq!(describe(None), "not yet proven: no kernel has been built here");
    let key = ProbeKey {
        qemu_version: String::new(),
        kernel_release: String::new(),
        cpu_model: String::new(),
        kvm_denied: None,
    };
    let mut memory = Memory::new(key);
    memory.tcg = Some(ProbeOutcome::Booted { millis: 2340 });
    assert_eq!(describe(Some(&memory)), "tcg: booted a kernel here in 2.3 s");
    memory.kvm =
        Some(ProbeOutcome::Failed { reason: "did not boot a kernel within 8 s: console silent".to_owned() });
    assert_eq!(describe(Some(&memory)), "tcg: kvm did not boot a kernel within 8 s: console silent");
    memory.kvm = Some(ProbeOutcome::Booted { millis: 900 });
    assert_eq!(describe(Some(&memory)), "kvm: booted a kernel here in 0.9 s");
}

#[test]
fn the_console_tells_how_far_a_kernel_came() {
    assert_eq!(ConsoleLog::of(b""), ConsoleLog::Silent);
    assert_eq!(
        ConsoleLog::of(b"SeaBIOS (version 1.16.2)\r\nBooting from ROM..\r\n"),
        ConsoleLog::NoBanner("Booting from ROM..".to_owned())
    );
    assert_eq!(
        ConsoleLog::of(b"[ 0.0] Linux version 7.2.12\r\n[ 0.1] Calibrating"),
        ConsoleLog::Stuck("[ 0.1] Calibrating".to_owned())
    );
    assert_eq!(ConsoleLog::of(CAME_UP.as_bytes()), ConsoleLog::CameUp);
    let other_panic = b"Linux version 7\nKernel panic - not syncing: Fatal exception\n";
    assert!(matches!(ConsoleLog::of(other_panic), ConsoleLog::Stuck(_)), "an oops is no boot");
}

#[test]
fn the_reason_prefers_qemus_own_words_and_skips_its_warnings() {
    let said = "qemu: warning: host lacks a feature\nqemu: could not access KVM\n";
    let reason = failed_because(Duration::from_secs(8), ChildEnd::Exited(1), &ConsoleLog::Silent, said);
    assert_eq!(reason, "did not boot a kernel: QEMU ended with status 1: qemu: could not access KVM");
    let stuck = ConsoleLog::Stuck("x".to_owned());
    let reason = failed_because(Duration::from_secs(8), ChildEnd::DeadlinePassed, &stuck, "");
    assert_eq!(reason, "did not boot a kernel within 8 s: the kernel stopped after \"x\"");
}

#[test]
fn the_processor_is_read_from_cpuinfo() {
    assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
}
