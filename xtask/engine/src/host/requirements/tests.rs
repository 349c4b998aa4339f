use super::*;

const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
const FEDORA: &str = "PRETTY_NAME=\"Fedora Linux 42\"\nID=fedora\n";

const TUMBLEWEED: &str =
    "PRETTY_NAME=\"openSUSE Tumbleweed\"\nID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n";
const ARCH: &str = "PRETTY_NAME=\"Arch Linux\"\nID=arch\n";
const NIXOS: &str = "PRETTY_NAME=\"NixOS 25.05\"\nID=nixos\n";

fn lacking(names: &[&str]) -> Vec<Tool> {
    missing(needed(&[crate::host::arch::DEFAULT]), |tool| !names.contains(&tool.name.as_str()))
}

fn said(names: &[&str], os_release: &str) -> Failure {
    lacks(&lacking(names), &Distribution::of(os_release), false)
}

#[test]
fn everything_missing_is_named_at_once_with_one_command() {
    let failure = said(&["flex", "gelf.h", "bc"], BOOKWORM);
    assert_eq!(failure.what, "this host lacks flex, bc, gelf.h");
    assert_eq!(failure.next[0], "sudo apt-get install --no-install-recommends -y flex bc libelf-dev");
}

#[test]
fn root_needs_no_sudo() {
    assert!(install_command(&lacking(&["bc"]), PackageFamily::Debian, true).starts_with("apt-get install"));
}

#[test]
fn other_distributions_get_their_own_command_and_are_told_that_it_was_not_tried() {
    let tools = ["qemu-system-x86_64", "stdio.h", "gelf.h", "xz"];
    for (os_release, command) in [
        (
            FEDORA,
            "sudo dnf install -y --setopt=install_weak_deps=False qemu-system-x86-core glibc-devel glibc-static \
             elfutils-libelf-devel xz",
        ),
        (
            TUMBLEWEED,
            "sudo zypper --non-interactive install --no-recommends qemu-x86 glibc-devel glibc-devel-static libelf-devel xz",
        ),
        (ARCH, "sudo pacman -S --needed --noconfirm qemu-system-x86 glibc libelf xz"),
    ] {
        let failure = said(&tools, os_release);
        assert_eq!(failure.next[0], command);
        assert!(failure.next[1].contains("only Debian 12 was"), "{failure}");
    }
}

#[test]
fn tool_without_a_known_package_is_named() {
    let arch = crate::host::arch::find("riscv64").unwrap();
    let tools = missing(needed(&[arch]), |tool| !tool.name.contains("riscv64"));
    let failure = lacks(&tools, &Distribution::of(FEDORA), true);
    let unknown = failure.next.iter().find(|next| next.contains("not known here")).unwrap();
    assert!(unknown.contains("rustc for riscv64") && unknown.contains("Fedora Linux 42"), "{failure}");
    assert!(failure.next[0].ends_with(" qemu-system-riscv-core"), "{failure}");
}

#[test]
fn unknown_distribution_gets_names_and_no_command_that_would_fail() {
    let failure = said(&["flex"], NIXOS);
    assert!(
        failure.next[0].contains("NixOS 25.05") && failure.next[0].contains("others differ"),
        "{failure}"
    );
    assert!(!failure.to_string().contains("apt-get"), "{failure}");
}

#[test]
fn lists_are_stale_when_there_are_none_and_fresh_when_just_written() {
    let dir = tempfile::tempdir().unwrap();
    assert!(lists_are_stale(dir.path()));
    fs::write(dir.path().join("m_dists_x_main_binary-amd64_Packages"), "").unwrap();
    assert!(!lists_are_stale(dir.path()));
}

#[test]
fn memory_is_read_in_mebibytes() {
    assert_eq!(memory_mib("MemFree: 1 kB\nMemTotal:       24689488 kB\n"), Some(24110));
    assert_eq!(memory_mib("nothing"), None);
}

#[test]
fn free_space_of_a_directory_that_is_not_there_yet_is_that_of_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let free = free_mib(&dir.path().join("not/yet")).unwrap();
    assert!(free > 0);
}

#[test]
fn doctor_shows_versions_gaps_and_whether_the_disk_is_large_enough() {
    let facts = Facts {
        tools: vec![
            (
                "qemu-system-x86_64".to_owned(),
                Some("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".to_owned()),
            ),
            ("make".to_owned(), Some("GNU Make 4.3".to_owned())),
            ("flex".to_owned(), None),
            ("gelf.h".to_owned(), Some("found".to_owned())),
        ],
        complete: false,
        install: Some("sudo apt-get install --no-install-recommends -y flex".to_owned()),
        target: PathBuf::from("/home/dev/patchproof/target"),
        free_mib: 3000,
        cores: 2,
        memory_mib: 24110,
        kernel: "6.1.0-40-amd64".to_owned(),
        accelerator: "tcg: kvm opened but did not boot a kernel within 8 s: console silent".to_owned(),
    };
    let expected = include_str!("../../../testdata/host/doctor.txt");
    assert_eq!(doctor(&facts), expected);
}

#[test]
fn tools_of_tests_are_named_with_their_packages() {
    let failure =
        lacks(&missing(tools::for_tests(), |_| false), &Distribution::of(BOOKWORM), true).to_string();
    for words in ["git-send-email", "apt-get install --no-install-recommends -y", "git-email", "chromium"] {
        assert!(failure.contains(words), "{failure}");
    }
}
