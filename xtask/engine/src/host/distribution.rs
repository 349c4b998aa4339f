//! Distributions as far as packages are concerned: which family this host belongs to, and how its package manager is called. A
//! table and the reading of `/etc/os-release`; runs nothing.

/// Distributions whose packages have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageFamily {
    /// And Ubuntu.
    Debian,
    Fedora,
    Suse,
    Arch,
}

/// How one family is recognised and installs.
struct PackageFamilyRecord {
    family: PackageFamily,
    /// Words in `ID` or `ID_LIKE` of `/etc/os-release`, os-release(5).
    ids: &'static [&'static str],
    install: &'static str,
}

/// In the order of the packages of a tool.
const FAMILIES: [PackageFamilyRecord; 4] = [
    PackageFamilyRecord {
        family: PackageFamily::Debian,
        ids: &["debian", "ubuntu"],
        install: "apt-get install --no-install-recommends -y",
    },
    PackageFamilyRecord {
        family: PackageFamily::Fedora,
        ids: &["fedora", "rhel", "centos"],
        install: "dnf install -y --setopt=install_weak_deps=False",
    },
    PackageFamilyRecord {
        family: PackageFamily::Suse,
        ids: &["opensuse", "suse", "opensuse-tumbleweed", "opensuse-leap"],
        install: "zypper --non-interactive install --no-recommends",
    },
    PackageFamilyRecord {
        family: PackageFamily::Arch,
        ids: &["arch"],
        install: "pacman -S --needed --noconfirm",
    },
];

/// The distribution of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// None: nothing is known of its packages.
    pub family: Option<PackageFamily>,
    /// For people.
    pub name: String,
}

impl Distribution {
    /// By the text of `/etc/os-release`; what it is itself counts more than what it is like.
    pub fn of(os_release: &str) -> Distribution {
        let field = |name: &str| {
            let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let words = format!("{} {}", field("ID"), field("ID_LIKE"));
        let family = words.split_whitespace().find_map(|word| {
            FAMILIES.iter().find(|record| record.ids.contains(&word)).map(|record| record.family)
        });
        let name = match field("PRETTY_NAME") {
            name if name.is_empty() => "this system".to_owned(),
            name => name,
        };
        Distribution { family, name }
    }

    /// That of this host.
    pub fn here() -> Distribution {
        Distribution::of(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
    }
}

impl PackageFamily {
    /// The command that installs `packages`.
    pub fn install_command(self, packages: &[&str], root: bool) -> String {
        let sudo = if root { "" } else { "sudo " };
        format!("{sudo}{} {}", FAMILIES[self as usize].install, packages.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stand_in_the_order_of_the_families() {
        for (index, record) in FAMILIES.iter().enumerate() {
            assert_eq!(record.family as usize, index);
        }
    }

    #[test]
    fn family_is_found_by_id_and_then_by_what_it_is_like() {
        for (text, family, name) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n",
                Some(PackageFamily::Debian),
                "Debian GNU/Linux 12 (bookworm)",
            ),
            (
                "ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\n",
                Some(PackageFamily::Debian),
                "Ubuntu 24.04.1 LTS",
            ),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Some(PackageFamily::Debian), "this system"),
            ("ID=fedora\nPRETTY_NAME='Fedora Linux 42'\n", Some(PackageFamily::Fedora), "Fedora Linux 42"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Some(PackageFamily::Fedora), "this system"),
            (
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
                Some(PackageFamily::Suse),
                "this system",
            ),
            ("ID=manjaro\nID_LIKE=arch\n", Some(PackageFamily::Arch), "this system"),
            ("ID=nixos\nPRETTY_NAME=\"NixOS 25.05\"\n", None, "NixOS 25.05"),
            ("", None, "this system"),
        ] {
            assert_eq!(Distribution::of(text), Distribution { family, name: name.to_owned() }, "{text}");
        }
    }

    #[test]
    fn each_family_has_its_own_command() {
        let command = |family: PackageFamily| family.install_command(&["flex", "bc"], false);
        assert_eq!(command(PackageFamily::Debian), "sudo apt-get install --no-install-recommends -y flex bc");
        assert_eq!(
            command(PackageFamily::Fedora),
            "sudo dnf install -y --setopt=install_weak_deps=False flex bc"
        );
        assert_eq!(
            command(PackageFamily::Suse),
            "sudo zypper --non-interactive install --no-recommends flex bc"
        );
        assert_eq!(
            PackageFamily::Arch.install_command(&["flex"], true),
            "pacman -S --needed --noconfirm flex"
        );
    }
}
