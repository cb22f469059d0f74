//! Who is told by HTTP: the list `webhook`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{Secret, path_or_none};
use crate::events::webhooks::{Client, Key, Options, means_something};

/// An entry of the list. The address may contain a secret, so only its host is ever shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// What people call it: lower-case letters, digits and hyphens.
    pub name: String,
    /// Where events go.
    pub url: Secret,
    /// Names of events, or beginnings as in `suggestion.*`; none: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Longest time for one event.
    #[serde(default = "timeout")]
    pub timeout_seconds: u64,
    /// It is disabled after it has taken nothing for so long.
    #[serde(default = "patience")]
    pub patience_hours: u64,
    /// What events are signed with; the variable goes before it.
    #[serde(default)]
    pub secret: Secret,
    /// A file with the secret.
    #[serde(default, deserialize_with = "path_or_none")]
    pub secret_file: Option<PathBuf>,
}

fn timeout() -> u64 {
    15
}

fn patience() -> u64 {
    72
}

/// Bytes of a file with a secret, at most.
const MOST_BYTES: u64 = 1024;
/// Webhooks at most: each is a task that looks for events.
const MOST: usize = 64;

/// Why a webhook cannot be used here.
#[derive(Debug, thiserror::Error)]
#[error("webhook '{name}': {reason}")]
pub struct WebhookError {
    /// Its name.
    pub name: String,
    /// What is wrong, without the secret.
    pub reason: String,
}

impl WebhookSection {
    /// The variable that its secret may stand in.
    pub fn variable(&self) -> String {
        format!("DOCENT_WEBHOOK_{}_SECRET", self.name.replace('-', "_").to_uppercase())
    }

    /// Its name in the outbox.
    pub fn sink(&self) -> String {
        format!("{}{}", crate::events::WEBHOOK, self.name)
    }

    /// Where events go, without what may be secret.
    pub fn host(&self) -> String {
        let url = self.url.reveal().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
    }

    /// What sends. Reads the file with the secret, if there is one.
    pub fn options(&self) -> Result<Options, WebhookError> {
        let wrong = |reason: String| WebhookError { name: self.name.clone(), reason };
        let secret = match (self.secret.reveal(), &self.secret_file) {
            (Some(secret), _) => secret.to_owned(),
            (None, Some(file)) => {
                let read = std::fs::metadata(file).and_then(|found| match found.len() > MOST_BYTES {
                    true => Err(std::io::Error::other("it is too large for a secret")),
                    false => std::fs::read_to_string(file),
                });
                read.map_err(|error| wrong(format!("read the secret from {}: {error}", file.display())))?
            }
            (None, None) => {
                let variable = self.variable();
                return Err(wrong(format!("it has no secret: set {variable}, or name a secret_file")));
            }
        };
        let key = Key::read(&secret).map_err(|error| wrong(error.to_string()))?;
        Ok(Options {
            url: self.url.reveal().unwrap_or_default().to_owned(),
            key,
            events: self.events.clone(),
            timeout: Duration::from_secs(self.timeout_seconds),
            patience: Duration::from_secs(self.patience_hours * 60 * 60),
        })
    }

    /// What is wrong with it: an option, and what that must be.
    fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let url = self.url.reveal().unwrap_or_default();
        // Without TLS: whether there are authorities is known where events are sent.
        let plain =
            url.strip_prefix("https://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
        let checks = [
            (
                (1..=32).contains(&self.name.len()) && self.name.chars().all(named),
                "name",
                "1 to 32 lower-case letters, digits and hyphens",
            ),
            (
                Client::new(&plain, timeout_of(self)).is_ok(),
                "url",
                "an address as in https://host/path, without user and password",
            ),
            (
                self.events.iter().all(|entry| means_something(entry)),
                "events",
                "names of events, or beginnings as in \"suggestion.*\"",
            ),
            ((1..=60).contains(&self.timeout_seconds), "timeout_seconds", "from 1 to 60"),
            ((1..=8760).contains(&self.patience_hours), "patience_hours", "from 1 to 8760"),
        ];
        checks.into_iter().find_map(|(holds, key, expected)| (!holds).then_some((key, expected)))
    }
}

fn timeout_of(section: &WebhookSection) -> Duration {
    Duration::from_secs(section.timeout_seconds)
}

/// Takes secrets out of the environment. Answers the variables that hold them.
pub(super) fn take_secrets(
    webhooks: &mut [WebhookSection],
    environment: &BTreeMap<OsString, OsString>,
) -> Vec<String> {
    let mut taken = Vec::new();
    for webhook in webhooks {
        let variable = webhook.variable();
        if let Some(secret) = environment.get(&OsString::from(&variable)).and_then(|text| text.to_str()) {
            webhook.secret = Secret::from(secret);
            taken.push(variable);
        }
    }
    taken
}

/// The first option that is not usable, and what it must be. Values are not told: they may be secret.
pub(super) fn out_of_range(webhooks: &[WebhookSection]) -> Option<(String, &'static str)> {
    if webhooks.len() > MOST {
        return Some(("webhook".to_owned(), "a list of at most 64"));
    }
    for (number, webhook) in webhooks.iter().enumerate() {
        if let Some((option, expected)) = webhook.out_of_range() {
            return Some((format!("webhook.{number}.{option}"), expected));
        }
        if webhooks[..number].iter().any(|earlier| earlier.variable() == webhook.variable()) {
            return Some((format!("webhook.{number}.name"), "a name of its own"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(url: &str) -> WebhookSection {
        WebhookSection {
            name: "our-dam".to_owned(),
            url: Secret::from(url),
            events: Vec::new(),
            timeout_seconds: timeout(),
            patience_hours: patience(),
            secret: Secret::default(),
            secret_file: None,
        }
    }

    #[test]
    fn only_the_host_of_an_address_is_shown() {
        let webhook = section("https://hooks.example:8443/T0/secret?token=x");
        assert_eq!(webhook.host(), "https://hooks.example:8443");
        assert!(!format!("{webhook:?}").contains("T0"));
        assert_eq!(webhook.variable(), "DOCENT_WEBHOOK_OUR_DAM_SECRET");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |change: fn(&mut WebhookSection)| {
            let mut webhook = section("http://localhost/");
            change(&mut webhook);
            out_of_range(&[webhook]).map(|(key, _)| key)
        };
        assert_eq!(wrong(|_| ()), None);
        assert_eq!(wrong(|w| w.name = "Our DAM".to_owned()).as_deref(), Some("webhook.0.name"));
        assert_eq!(wrong(|w| w.url = Secret::from("ftp://x/")).as_deref(), Some("webhook.0.url"));
        assert_eq!(wrong(|w| w.url = Secret::from("http://a:b@x/")).as_deref(), Some("webhook.0.url"));
        assert_eq!(wrong(|w| w.events = vec!["x".to_owned()]).as_deref(), Some("webhook.0.events"));
        assert_eq!(wrong(|w| w.timeout_seconds = 0).as_deref(), Some("webhook.0.timeout_seconds"));
        let twice = [section("http://a/"), section("http://b/")];
        assert_eq!(out_of_range(&twice).map(|(key, _)| key).as_deref(), Some("webhook.1.name"));
    }

    #[test]
    fn secrets_come_from_a_variable_or_a_file() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let mut webhook = section("http://localhost/");
        let error = webhook.options().expect_err("has no secret").to_string();
        assert!(error.contains("DOCENT_WEBHOOK_OUR_DAM_SECRET"), "{error}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("secret");
        webhook.secret_file = Some(file.clone());
        assert!(webhook.options().is_err());
        std::fs::write(&file, format!("{secret}\n")).expect("is written");
        webhook.options().expect("has a secret");
        std::fs::write(&file, "hunter2").expect("is written");
        let error = webhook.options().expect_err("is no secret").to_string();
        assert!(!error.contains("hunter2"), "{error}");
        let environment = BTreeMap::from([(OsString::from(webhook.variable()), OsString::from(secret))]);
        let taken = take_secrets(std::slice::from_mut(&mut webhook), &environment);
        assert_eq!(taken, [webhook.variable()]);
        webhook.options().expect("has a secret");
    }
}
