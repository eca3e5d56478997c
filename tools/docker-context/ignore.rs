//! `.dockerignore` as Docker reads it (<https://docs.docker.com/build/concepts/context/#dockerignore-files>): each pattern
//! is compared with a path and with every folder above it, and the last pattern that matches decides.
//!
//! Absent: `[…]` and `\`. A pattern with one of them is an error, because a wrong reading would go unnoticed.

use anyhow::ensure;

/// The patterns of a `.dockerignore`.
#[derive(Debug)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    /// Whether the pattern lets files in (`!`) or leaves them out.
    lets_in: bool,
    glob: String,
}

impl Ignore {
    /// # Errors
    ///
    /// A `!` without a pattern, or syntax that this reader does not know.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut patterns = Vec::new();
        // A comment begins in the first column; spaces around a pattern do not count.
        let lines = text.trim_start_matches('\u{feff}').lines();
        for line in lines.filter(|line| !line.starts_with('#')).map(str::trim) {
            let (lets_in, pattern) =
                line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            ensure!(!lets_in || !pattern.is_empty(), "`!` without a pattern");
            ensure!(
                !pattern.contains(['[', ']', '\\']),
                "{pattern}: `[`, `]` and `\\` are not read"
            );
            if !pattern.is_empty() {
                patterns.push(Pattern { lets_in, glob: cleaned(pattern) });
            }
        }
        Ok(Self { patterns })
    }

    /// Whether the context holds the file at `path`, given from the root and with `/`.
    pub(crate) fn lets_in(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let with_folders: Vec<&str> = ends.filter_map(|end| path.get(..end)).collect();
        let decides =
            |pattern: &&Pattern| with_folders.iter().any(|path| matches(&pattern.glob, path));
        self.patterns.iter().rev().find(decides).is_none_or(|pattern| pattern.lets_in)
    }

    /// Whether the context may hold something below the folder at `path`.
    pub(crate) fn may_hold(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.lets_in);
        // The part of a pattern before its first wildcard.
        let literal = |pattern: &Pattern| {
            pattern.glob.split(['*', '?']).next().unwrap_or_default().to_owned()
        };
        self.lets_in(path)
            || exceptions.any(|pattern| {
                let literal = literal(pattern);
                literal.starts_with(&below) || below.starts_with(&literal)
            })
    }
}

/// The pattern without leading, trailing and doubled slashes, `.` and `..`, as Go's `filepath.Clean` returns it.
fn cleaned(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `**` stands for any number of folders, `*` for anything within one name, `?` for one character of it.
fn matches(glob: &str, path: &str) -> bool {
    if let Some(rest) = glob.strip_prefix("**") {
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let mut below = path.match_indices('/').filter_map(|(at, _)| path.get(at + 1..));
        return rest.is_empty() || matches(rest, path) || below.any(|path| matches(rest, path));
    }
    if let Some(rest) = glob.strip_prefix('*') {
        let name = path.split('/').next().unwrap_or_default();
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        return ends.filter_map(|end| path.get(end..)).any(|path| matches(rest, path));
    }
    let (mut glob, mut path) = (glob.chars(), path.chars());
    match (glob.next(), path.next()) {
        (None, None) => true,
        (Some(expected), Some(found)) => {
            (expected == found || (expected == '?' && found != '/'))
                && matches(glob.as_str(), path.as_str())
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}
