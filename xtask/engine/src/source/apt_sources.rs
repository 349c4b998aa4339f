//! Reads apt's source lists, both syntaxes, to learn which mirror and which keyring the host already trusts.
//! Pure: text in, values out. See sources.list(5) for the formats.

/// An archive that the host's apt is configured to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub uri: String,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    /// The value of `Signed-By`, as written: keyring paths, fingerprints, or a whole key over several lines.
    pub signed_by: Option<String>,
}

/// The binary archives of a one-line-style file (`sources.list`, `*.list`), in the order written.
pub fn one_line_style(text: &str) -> Vec<Archive> {
    text.lines().filter_map(one_line).collect()
}

fn one_line(line: &str) -> Option<Archive> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="))
        // One-line style separates several keyrings by commas, deb822 style by spaces.
        .map(|value| value.replace(',', " "));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Archive { uri: words.next()?, suites: vec![words.next()?], components: words.collect(), signed_by })
}

/// The enabled binary archives of a deb822-style file (`*.sources`), one per URI, in the order written.
pub fn deb822_style(text: &str) -> Vec<Archive> {
    stanzas(text).iter().flat_map(|stanza| archives_of(stanza)).collect()
}

type Deb822Field = (String, String);

fn stanzas(text: &str) -> Vec<Vec<Deb822Field>> {
    let mut stanzas = vec![Vec::<Deb822Field>::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanzas.last_mut().and_then(|stanza| stanza.last_mut()) {
                value.push('\n');
                value.push_str(line);
            }
        } else if let (Some((name, value)), Some(stanza)) = (line.split_once(':'), stanzas.last_mut()) {
            stanza.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas
}

fn archives_of(stanza: &[Deb822Field]) -> Vec<Archive> {
    let field = |name: &str| stanza.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let words = |name: &str| -> Vec<String> {
        field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let disabled = field("enabled")
        .is_some_and(|value| ["no", "false", "0", "off", "without", "disable"].contains(&value));
    if disabled || !words("types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    words("uris")
        .into_iter()
        .map(|uri| Archive {
            uri,
            suites: words("suites"),
            components: words("components"),
            signed_by: field("signed-by").map(str::to_owned),
        })
        .collect()
}

/// The archive to fetch Debian packages from: of those that carry a Debian release's `main` and are not the
/// security archive, the one that looks most like Debian's own. Other vendors call their suites and components
/// the same, so the keyring decides first, then the URI, then the order. `codename` is the host's
/// `VERSION_CODENAME`.
pub fn debian_main<'a>(archives: &'a [Archive], codename: &str) -> Option<&'a Archive> {
    archives.iter().filter(|archive| carries_debian_main(archive, codename)).min_by_key(|archive| {
        let debian_keyring = archive.signed_by.as_ref().is_some_and(|key| key.contains("debian-archive"));
        let debian_uri = archive.uri.trim_end_matches('/').ends_with("/debian");
        (!debian_keyring, !debian_uri)
    })
}

fn carries_debian_main(archive: &Archive, codename: &str) -> bool {
    const ALIASES: [&str; 5] = ["stable", "oldstable", "testing", "unstable", "sid"];
    let security = |suite: &String| suite.contains("security") || suite.contains('/');
    let release = |suite: &String| {
        let name = suite.split('-').next().unwrap_or_default();
        (!codename.is_empty() && name == codename) || ALIASES.contains(&name)
    };
    !archive.uri.starts_with("cdrom:")
        && !archive.uri.contains("security")
        && archive.components.iter().any(|component| component == "main")
        && archive.suites.iter().any(|suite| release(suite) && !security(suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = include_str!("../../testdata/source/debian.sources");
    const ONE_LINE: &str = include_str!("../../testdata/source/sources.list");

    #[test]
    fn deb822_gives_the_main_archive_with_its_keyring() {
        let archives = deb822_style(DEB822);
        let main = debian_main(&archives, "bookworm").unwrap();
        assert_eq!(main.uri, "http://mirror.example/debian");
        assert_eq!(main.signed_by.as_deref(), Some("/usr/share/keyrings/debian-archive-keyring.gpg"));
    }

    #[test]
    fn one_line_style_skips_cdroms_sources_security_and_other_vendors() {
        let archives = one_line_style(ONE_LINE);
        let main = debian_main(&archives, "bookworm").unwrap();
        assert_eq!(main.uri, "https://ftp.example.org/debian/");
        assert_eq!(main.signed_by.as_deref(), Some("/usr/share/keyrings/a.gpg /usr/share/keyrings/b.gpg"));
    }

    #[test]
    fn a_disabled_stanza_and_a_source_only_stanza_count_for_nothing() {
        let text = "Types: deb\nEnabled: no\nURIs: http://a/debian\nSuites: sid\nComponents: main\n\n\
                    Types: deb-src\nURIs: http://b/debian\nSuites: sid\nComponents: main\n";
        assert_eq!(deb822_style(text), []);
    }

    #[test]
    fn a_key_written_into_the_stanza_keeps_its_lines() {
        let text = "Types: deb\nURIs: http://a/debian\nSuites: sid\nComponents: main\nSigned-By:\n \
                    -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc=\n";
        let archives = deb822_style(text);
        assert_eq!(
            archives[0].signed_by.as_deref(),
            Some("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc=")
        );
    }

    #[test]
    fn another_distribution_has_no_debian_archive() {
        let text = "deb http://archive.ubuntu.com/ubuntu noble main universe\n";
        assert_eq!(debian_main(&one_line_style(text), "bookworm"), None);
    }

    #[test]
    fn of_two_archives_with_the_same_suite_the_one_under_debians_keyring_is_taken() {
        let text = "deb https://apt.vendor.example/debian bookworm main\n\
                    deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror/d bookworm main\n";
        let archives = one_line_style(text);
        assert_eq!(debian_main(&archives, "bookworm").unwrap().uri, "http://mirror/d");
    }
}
