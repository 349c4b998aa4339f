use super::*;

const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
const FEDORA: &str = "PRETTY_NAME=\"Fedora Linux 42\"\nID=fedora\n";

fn lacking(names: &[&str]) -> Vec<Tool> {
    missing(needed(&[crate::host::arch::DEFAULT]), |tool| !names.contains(&tool.name.as_str()))
}

#[test]
fn everything_missing_is_named_at_once_with_one_command() {
    let failure = lacks(&lacking(&["flex", "gelf.h", "bc"]), &distribution(BOOKWORM), false);
    assert_eq!(failure.what, "this host lacks flex, bc, gelf.h");
    assert_eq!(failure.next[0], "sudo apt-get install --no-install-recommends -y flex bc libelf-dev");
}

#[test]
fn root_needs_no_sudo() {
    assert!(install_command(&lacking(&["bc"]), true).starts_with("apt-get install"));
}

#[test]
fn another_distribution_gets_names_and_no_command_that_would_fail() {
    let failure = lacks(&lacking(&["flex"]), &distribution(FEDORA), false);
    assert!(
        failure.next[0].contains("Fedora Linux 42") && failure.next[0].contains("others differ"),
        "{failure}"
    );
    assert!(!failure.to_string().contains("apt-get"), "{failure}");
}

#[test]
fn a_derivative_counts_as_debian() {
    assert_eq!(distribution("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Distribution::Debian);
    assert_eq!(distribution(""), Distribution::Other("this system".to_owned()));
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
    let failure = lacks(&missing(tools::for_tests(), |_| false), &distribution(BOOKWORM), true).to_string();
    for words in ["this host lacks git-send-email", "apt-get install --no-install-recommends -y git-email"] {
        assert!(failure.contains(words), "{failure}");
    }
}
