//! Every dependency has a permissive license and comes from crates.io, as deny.toml says. cargo-deny, which is mostly
//! not installed where the tests run, would be a check that nobody sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What deny.toml allows.
struct Rules {
    licenses: BTreeSet<String>,
    exceptions: BTreeMap<String, BTreeSet<String>>,
    registries: BTreeSet<String>,
}

fn strings(value: Option<&toml::Value>) -> BTreeSet<String> {
    let items = value.and_then(toml::Value::as_array).expect("deny.toml: a list of strings");
    items.iter().map(|item| item.as_str().expect("deny.toml: a string").to_owned()).collect()
}

fn rules(deny: &str) -> Rules {
    let deny: toml::Table = deny.parse().expect("deny.toml is TOML");
    let licenses = &deny["licenses"];
    let exceptions = licenses.get("exceptions").and_then(toml::Value::as_array).into_iter().flatten();
    Rules {
        licenses: strings(licenses.get("allow")),
        exceptions: exceptions
            .map(|e| {
                let name = e.get("name").and_then(toml::Value::as_str).expect("deny.toml: a name");
                (name.to_owned(), strings(e.get("allow")))
            })
            .collect(),
        registries: strings(deny["sources"].get("allow-registry")),
    }
}

/// Whether `expression` (SPDX, or the older `A/B`) can be satisfied with `allowed` licenses alone.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let answer = alternatives(&mut rest, allowed)?;
    if rest.is_empty() { Ok(answer) } else { Err(format!("'{}' in '{expression}'", rest[0])) }
}

fn alternatives(tokens: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let mut answer = together(tokens, allowed)?;
    while let ["OR", rest @ ..] = *tokens {
        *tokens = rest;
        answer |= together(tokens, allowed)?;
    }
    Ok(answer)
}

fn together(tokens: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let mut answer = single(tokens, allowed)?;
    while let ["AND", rest @ ..] = *tokens {
        *tokens = rest;
        answer &= single(tokens, allowed)?;
    }
    Ok(answer)
}

fn single(tokens: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    match *tokens {
        ["(", rest @ ..] => {
            *tokens = rest;
            let answer = alternatives(tokens, allowed)?;
            match *tokens {
                [")", rest @ ..] => {
                    *tokens = rest;
                    Ok(answer)
                }
                _ => Err("a parenthesis is not closed".to_owned()),
            }
        }
        [license, "WITH", exception, rest @ ..] => {
            *tokens = rest;
            Ok(allowed(&format!("{license} WITH {exception}")))
        }
        [license, rest @ ..] if !matches!(*license, "AND" | "OR" | "WITH" | ")") => {
            *tokens = rest;
            Ok(allowed(license))
        }
        other => Err(format!("a license is missing before {other:?}")),
    }
}

/// Why `package` (of `cargo metadata`) may not be used, if so.
fn complaint(package: &serde_json::Value, rules: &Rules) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let version = package["version"].as_str().unwrap_or_default();
    let license = package["license"].as_str().unwrap_or_default();
    let none = BTreeSet::new();
    let exceptions = rules.exceptions.get(name).unwrap_or(&none);
    let allowed = |license: &str| rules.licenses.contains(license) || exceptions.contains(license);
    match satisfied(license, &allowed) {
        Ok(true) => {}
        Ok(false) => return Some(format!("{name} {version}: license '{license}' is not allowed")),
        Err(reason) => return Some(format!("{name} {version}: unreadable license: {reason}")),
    }
    // Crates of this workspace have no source.
    let source = package["source"].as_str()?;
    let known = source.strip_prefix("registry+").is_some_and(|registry| rules.registries.contains(registry));
    (!known).then(|| format!("{name} {version}: comes from {source}"))
}

#[test]
fn every_dependency_is_permissive_and_from_crates_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let deny = std::fs::read_to_string(root.join("deny.toml")).expect("deny.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let about = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    // Only what is built for this machine, all of which is here already.
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", host])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "only {} packages were looked at", packages.len());
    let rules = rules(&deny);
    let complaints: Vec<String> = packages.iter().filter_map(|package| complaint(package, &rules)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn license_expressions_are_read_as_spdx_means_them() {
    let allowed = |license: &str| matches!(license, "MIT" | "Apache-2.0" | "Apache-2.0 WITH LLVM-exception");
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("Unlicense/MIT", true),
        // AND binds tighter than OR.
        ("GPL-3.0-only AND MIT OR Apache-2.0", true),
        ("(MIT OR Apache-2.0) AND OpenSSL", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0-only WITH Classpath-exception-2.0", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), Ok(expected), "{expression}");
    }
    for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0"] {
        assert!(satisfied(broken, &allowed).is_err(), "'{broken}' was read");
    }
}

#[test]
fn a_foreign_source_and_a_forbidden_license_are_complained_about() {
    let rules = rules(
        "[licenses]\nallow = ['MIT']\nexceptions = [{ name = 'x', allow = ['MPL-2.0'] }]\n\
         [sources]\nallow-registry = ['https://here']",
    );
    let package = |name: &str, license: &str, source: &str| serde_json::json!({ "name": name, "version": "1.0.0", "license": license, "source": source });
    assert_eq!(complaint(&package("a", "MIT", "registry+https://here"), &rules), None);
    assert_eq!(complaint(&package("x", "MPL-2.0", "registry+https://here"), &rules), None);
    assert!(complaint(&package("a", "MPL-2.0", "registry+https://here"), &rules).is_some());
    assert!(complaint(&package("a", "MIT", "git+https://elsewhere"), &rules).is_some());
    assert!(complaint(&package("a", "", "registry+https://here"), &rules).is_some());
}
