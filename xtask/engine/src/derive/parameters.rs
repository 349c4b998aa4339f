//! Words of the kernel's command line without which a changed file does nothing: a parameter of the file's own name that is read as
//! yes or no (`early_param`, include/linux/init.h; `kstrtobool`). mm/page_owner.c has `page_owner`. Text in, words out.

use std::sync::LazyLock;

use regex::Regex;

use super::PatchedFiles;

/// Early parameters and the functions that read them.
static DECLARED: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r#"(?m)^early_param\("(\w+)",\s*(\w+)\);"#).unwrap()
});

/// `page_owner=on` for each file of `paths` that has such a parameter.
pub fn find(files: &PatchedFiles<'_>, paths: &[&str]) -> Vec<String> {
    paths.iter().filter_map(|path| switch_of(path, &(files.patched)(path)?)).collect()
}

fn switch_of(path: &str, text: &str) -> Option<String> {
    let name = path.rsplit('/').next()?.strip_suffix(".c")?;
    let is_its_own = |parameter: &str| parameter.replace('_', "") == name.replace(['_', '-'], "");
    let found = DECLARED.captures_iter(text).find(|found| is_its_own(&found[1]))?;
    reads_yes_or_no(text, &found[2]).then(|| format!("{}=on", &found[1]))
}

/// In the kernel's style a function ends with a brace at the beginning of a line.
fn reads_yes_or_no(text: &str, function: &str) -> bool {
    let Some(at) = text.find(&format!(" {function}(")) else { return false };
    let body = text[at..].split("\n}").next().unwrap_or_default();
    body.contains("kstrtobool(")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "static int __init early_page_owner_param(char *buf)\n{\n\tint ret = kstrtobool(buf, &on);\n\n\treturn \
                         ret;\n}\nearly_param(\"page_owner\", early_page_owner_param);\n";

    #[test]
    fn file_that_does_nothing_without_its_parameter_is_switched_on() {
        assert_eq!(switch_of("mm/page_owner.c", OWNER).as_deref(), Some("page_owner=on"));
        // What other files' parameters do to this one is not known.
        assert_eq!(switch_of("mm/page_alloc.c", OWNER), None);
        let parsed = OWNER.replace("kstrtobool(buf, &on)", "strcmp(buf, \"on\")");
        assert_eq!(switch_of("mm/page_owner.c", &parsed), None);
        assert_eq!(switch_of("mm/page_owner.h", OWNER), None);
    }
}
