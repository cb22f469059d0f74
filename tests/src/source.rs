//! Reads Rust sources far enough to tell what they name: no comments, no strings, no test modules.

/// A path named in a source, with `crate`, `self` and `super` resolved to the crate's name and modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Line, from 1.
    pub line: usize,
    /// For instance `["docent", "queue", "Lane"]` or `["sqlx", "query"]`.
    pub path: Vec<String>,
}

/// A source with comments, strings and `#[cfg(test)]` items blanked out, line breaks kept.
#[derive(Debug)]
pub struct Code(String);

impl Code {
    /// Blanks out what is no code of the product.
    pub fn of(source: &str) -> Self {
        let mut text = blank(source);
        while let Some((from, to)) = test_item(&text) {
            let hole: String = text[from..to].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            text.replace_range(from..to, &hole);
        }
        Self(text)
    }

    /// Line numbers (from 1) and lines.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Every path named. `module` is the file's own place, for instance `["docent", "queue", "memory"]`.
    pub fn names(&self, module: &[&str]) -> Vec<Named> {
        let tokens = tokens(&self.0);
        let children: Vec<&str> =
            tokens.windows(3).filter(|w| w[0].text == "mod" && w[2].text == ";").map(|w| w[1].text).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            at += paths(&tokens[at..], &mut Vec::new(), &mut found);
        }
        for named in &mut found {
            resolve(&mut named.path, module, &children);
        }
        found
    }
}

/// Appends the path, or the tree of paths, that `tokens` starts with. Answers how many tokens that took, at least 1.
fn paths(tokens: &[Token<'_>], prefix: &mut Vec<String>, found: &mut Vec<Named>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    while at < tokens.len() {
        let Token { text, line } = tokens[at];
        if is_word(text) {
            prefix.push(text.to_owned());
            at += 1;
            if tokens.get(at).is_some_and(|t| t.text == "::") {
                at += 1;
                continue;
            }
            found.push(Named { line, path: prefix.clone() });
        } else if text == "{" && at > 0 && tokens[at - 1].text == "::" {
            at += 1;
            while at < tokens.len() && tokens[at].text != "}" {
                at += paths(&tokens[at..], prefix, found);
            }
            at += 1;
        } else if prefix.len() > depth {
            // `path::<T>` or `path::*`: the path ends here, what follows is read on its own.
            found.push(Named { line, path: prefix.clone() });
        } else {
            at += 1;
        }
        break;
    }
    prefix.truncate(depth);
    at.max(1)
}

fn resolve(path: &mut Vec<String>, module: &[&str], children: &[&str]) {
    let owned = |part: &[&str]| part.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
    match path[0].as_str() {
        "crate" => path.splice(0..1, owned(&module[..1])),
        "self" if path.len() > 1 => path.splice(0..1, owned(module)),
        "super" => {
            let ups = path.iter().take_while(|s| *s == "super").count();
            path.splice(0..ups, owned(&module[..module.len().saturating_sub(ups)]))
        }
        child if children.contains(&child) => path.splice(0..0, owned(module)),
        _ => return,
    };
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (i, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token { text: &rest[..length], line: i + 1 });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Where the first item marked `#[cfg(test)]` begins and ends.
fn test_item(code: &str) -> Option<(usize, usize)> {
    let from = code.find("#[cfg(test)]")?;
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return Some((from, from + at + 1)),
            '}' => depth -= 1,
            ';' if depth == 0 => return Some((from, from + at + 1)),
            _ => {}
        }
    }
    Some((from, code.len()))
}

/// Replaces comments, strings and characters by spaces.
fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, string or character that begins at `at`, or `at` if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let find = |from: usize, what: &[char]| {
        (at + from..chars.len())
            .find(|&i| chars[i..].starts_with(what))
            .map_or(chars.len(), |i| i + what.len())
    };
    match rest {
        ['/', '/', ..] => find(2, &['\n']).saturating_sub(1).max(at + 2),
        ['/', '*', ..] => find(2, &['*', '/']),
        ['"', ..] => quoted_end(chars, at + 1, '"'),
        ['r', ..] if at == 0 || !(chars[at - 1].is_alphanumeric() && chars[at - 1] != 'b') => {
            let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
            if rest.get(1 + hashes) != Some(&'"') {
                return at;
            }
            let mut close = vec!['"'];
            close.extend(std::iter::repeat_n('#', hashes));
            find(2 + hashes, &close)
        }
        // A lifetime has no second quote right behind its first letter.
        ['\'', '\\', ..] => quoted_end(chars, at + 1, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        let named = Code::of(source).names(&["docent", "queue", "memory"]);
        named.into_iter().map(|n| n.path.join("::")).filter(|p| p.contains("::")).collect()
    }

    #[test]
    fn comments_strings_and_tests_are_no_code() {
        let source = "// sqlx::a\n/* sqlx::b */ let s = \"sqlx::c\"; let r = r#\"\"sqlx::d\"#;\n\
                      let q = '\"'; let e = '\\''; fn f<'a>(x: &'a sqlx::E) {}\n\
                      #[cfg(test)]\nmod tests { fn t() { sqlx::g(); } }\nsqlx::h();";
        assert_eq!(names(source), ["sqlx::E", "sqlx::h"]);
        let lines: Vec<usize> = Code::of(source).names(&["x"]).iter().map(|n| n.line).collect();
        assert_eq!(lines.last(), Some(&6), "line numbers are kept");
    }

    #[test]
    fn trees_of_imports_are_unfolded_and_resolved() {
        let source = "use crate::{store::{self, Ledger}, http};\nuse super::{Lane, Queue as Q};\nuse self::x::y;\n\
                      mod z;\npub use z::Z;\nlet v = Vec::<axum::Router>::new(); sqlx::query::<A>();";
        let found = names(source);
        for expected in [
            "docent::store::self",
            "docent::store::Ledger",
            "docent::http",
            "docent::queue::Lane",
            "docent::queue::Queue",
            "docent::queue::memory::x::y",
            "docent::queue::memory::z::Z",
            "axum::Router",
            "sqlx::query",
        ] {
            assert!(found.iter().any(|f| f == expected), "{expected} is not in {found:?}");
        }
    }
}
