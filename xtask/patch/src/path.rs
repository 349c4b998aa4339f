//! Which paths a patch may name. Pure; the one place that decides it, for sound and damaged patches alike.

/// A path as a patch writes it: mostly with a component in front that is no part of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// First components that git writes in front of a path (git-diff(1), `diff.mnemonicPrefix`).
const PREFIXES: [&str; 8] = ["a", "b", "i", "w", "c", "o", "1", "2"];

/// Reads the path that stands in `raw`, such as what follows `--- `; `None` for `/dev/null`.
///
/// # Errors
/// Why the path is refused.
pub fn name(raw: &[u8]) -> Result<Option<Name>, String> {
    if raw == b"/dev/null" {
        return Ok(None);
    }
    let unquoted = match raw.first() {
        Some(b'"') => unquote(raw).ok_or_else(|| format!("path {} is not quoted as git does", shown(raw)))?.0,
        _ => raw.to_vec(),
    };
    let raw = shown(&unquoted);
    let text = String::from_utf8(unquoted).map_err(|_| format!("path `{raw}` is not UTF-8"))?;
    if text.starts_with('/') {
        return Err(format!("path `{raw}` is absolute: a patch may not leave the tree"));
    }
    // `./mm/x.c` is what diff(1) and find(1) make of a directory `.`.
    let rest = text.strip_prefix("./").unwrap_or(&text);
    check(rest).map_err(|why| format!("path `{raw}` {why}"))?;
    Ok(Some(Name(text)))
}

/// The path inside the tree that `raw` stands for, which has no component in front: as in `rename from`.
///
/// # Errors
/// Why the path is refused.
pub fn inside_tree(raw: &[u8]) -> Result<String, String> {
    match name(raw)? {
        Some(Name(text)) if !text.starts_with("./") => Ok(text),
        _ => Err(format!("path `{}` names no file of the tree", shown(raw))),
    }
}

impl Name {
    /// Without its first component; `None` if it has only one.
    pub fn stripped(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, rest)| rest)
    }

    /// As it stands.
    pub fn whole(&self) -> &str {
        &self.0
    }

    pub fn first(&self) -> &str {
        self.0.split_once('/').map_or("", |(first, _)| first)
    }

    /// Its first component is one that git writes in front.
    pub fn has_prefix_of_git(&self) -> bool {
        PREFIXES.contains(&self.first())
    }

    /// Whether it is `path`, as it stands or without its first component.
    pub fn is(&self, path: &str) -> bool {
        self.0 == path || self.stripped() == Some(path)
    }
}

/// Bytes as people can read them.
pub fn shown(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).chars().take(200).collect::<String>().escape_debug().to_string()
}

/// Text that git quoted as C does (git's quote.c, quote_c_style()), and how many bytes it took.
pub fn unquote(raw: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::new();
    let mut at = 1;
    loop {
        let byte = *raw.get(at)?;
        at += 1;
        match byte {
            b'"' => return Some((out, at)),
            b'\\' => {}
            _ => {
                out.push(byte);
                continue;
            }
        }
        let escape = *raw.get(at)?;
        at += 1;
        out.push(match escape {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'"' | b'\\' => escape,
            b'0'..=b'3' => {
                let digits = std::str::from_utf8(raw.get(at - 1..at + 2)?).ok()?;
                at += 2;
                u8::from_str_radix(digits, 8).ok()?
            }
            _ => return None,
        });
    }
}

fn check(path: &str) -> Result<(), &'static str> {
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("holds a control character or a backslash");
    }
    for component in path.split('/') {
        // Some file systems ignore case, trailing dots and spaces, or know `.git` by its short name.
        let plain = component.trim_end_matches(['.', ' ']).to_ascii_lowercase();
        match component {
            "" => return Err("has an empty component"),
            "." | ".." => return Err("has a `.` or `..` component: a patch may not leave the tree"),
            _ if plain == ".git" || plain == "git~1" => return Err("reaches into `.git`"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &[u8]) -> Name {
        name(raw).unwrap().unwrap()
    }

    #[test]
    fn the_first_component_can_be_taken_off() {
        assert_eq!(read(b"a/mm/mmu_gather.c").stripped(), Some("mm/mmu_gather.c"));
        assert_eq!(read(b"linux.orig/.gitignore").stripped(), Some(".gitignore"));
        assert_eq!(read(b"./mm/x.c").stripped(), Some("mm/x.c"));
        assert_eq!((read(b"x").stripped(), read(b"x").whole()), (None, "x"));
        assert_eq!(name(b"/dev/null"), Ok(None));
        assert_eq!(inside_tree(b"mm/x.c").as_deref(), Ok("mm/x.c"));
    }

    #[test]
    fn odd_names_are_read_as_they_are() {
        for text in ["a/with space", "a/a&b,c%d'e", "a/-x", "a/$(x)", "a/;x"] {
            assert_eq!(Some(read(text.as_bytes()).whole()), Some(text));
        }
        assert_eq!(read(b"\"a/caf\\303\\251 \\\"x\\\"\"").stripped(), Some("caf\u{e9} \"x\""));
    }

    #[test]
    fn paths_out_of_the_tree_or_into_git_are_refused() {
        let hostile: [&[u8]; 19] = [
            b"a/../x",
            b"../x",
            b"./../x",
            b"a/mm/../../x",
            b"/etc/passwd",
            b"a//etc/passwd",
            b"a/.git/config",
            b"a/.GIT/hooks/x",
            b"a/sub/.Git/x",
            b"a/.git./x",
            b"a/GIT~1/x",
            b"a/x\0y",
            b"a/x\\..\\y",
            b"\"a/\\056\\056/x\"",
            b"\"a/x\\ny\"",
            b"\"a/x\\377\"",
            b"\"a/x",
            b"\"a/\\9\"",
            b"",
        ];
        for path in hostile {
            assert!(name(path).is_err(), "{}", String::from_utf8_lossy(path));
        }
        assert!(name(b"a/\xff").is_err());
        assert!(inside_tree(b"/dev/null").is_err());
    }
}
