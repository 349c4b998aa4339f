//! Which paths a patch may name. Pure; the one place that decides it, for sound and damaged patches alike.

/// The path inside the tree that `raw` (from `--- a/…`, `+++ b/…`, one leading component) stands for; `None` for
/// `/dev/null`.
///
/// # Errors
/// Why the path is refused.
pub fn inside_tree(raw: &[u8]) -> Result<Option<String>, String> {
    if raw == b"/dev/null" {
        return Ok(None);
    }
    let shown = String::from_utf8_lossy(raw).escape_debug().to_string();
    let text = std::str::from_utf8(raw).map_err(|_| format!("path `{shown}` is not UTF-8"))?;
    if text.starts_with('"') {
        return Err(format!("quoted path {text} is not supported"));
    }
    if text.starts_with('/') {
        return Err(format!("path `{shown}` is absolute: a patch may not leave the tree"));
    }
    let Some((_, path)) = text.split_once('/') else {
        return Err(format!("path `{shown}` lacks the leading `a/` or `b/`"));
    };
    check(text).map_err(|why| format!("path `{shown}` {why}"))?;
    Ok(Some(path.to_owned()))
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

    #[test]
    fn ordinary_paths_lose_their_first_component() {
        assert_eq!(inside_tree(b"a/mm/mmu_gather.c"), Ok(Some("mm/mmu_gather.c".into())));
        assert_eq!(inside_tree(b"linux.orig/.gitignore"), Ok(Some(".gitignore".into())));
        assert_eq!(inside_tree(b"/dev/null"), Ok(None));
    }

    #[test]
    fn paths_out_of_the_tree_or_into_git_are_refused() {
        let hostile: [&[u8]; 14] = [
            b"a/../x",
            b"../x",
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
            b"x",
        ];
        for path in hostile {
            assert!(inside_tree(path).is_err(), "{}", String::from_utf8_lossy(path));
        }
        assert!(inside_tree(b"a/\xff").is_err());
    }
}
