//! Where the broker is, and who we are to it.

use lapin::auth::AuthProvider;
use lapin::types::{LongString, ShortString};
use lapin::uri::{AMQPUri, AMQPUserInfo, SASLMechanism};

/// Seconds after which a silent connection is dead, unless the URL says otherwise.
const HEARTBEAT: u16 = 20;

/// The URL in two parts, so that no part of the client that talks about an address knows the credentials.
/// It has no `Debug` on purpose.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    login: Login,
}

#[derive(Clone)]
pub(super) struct Login {
    mechanism: SASLMechanism,
    user: String,
    password: String,
}

impl Address {
    /// The address in `url`. The error does not repeat it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let mut uri: AMQPUri = url.parse().map_err(|_| {
            "the URL of the broker is not understood; it looks like amqp://user:password@host:5672/%2f"
                .to_owned()
        })?;
        let mechanism = uri.query.auth_mechanism.unwrap_or_default();
        if !matches!(mechanism, SASLMechanism::Plain | SASLMechanism::External | SASLMechanism::Anonymous) {
            return Err(format!(
                "the broker's URL asks for the login mechanism {mechanism}, which docent lacks"
            ));
        }
        let nobody = AMQPUserInfo { username: String::new(), password: String::new() };
        let AMQPUserInfo { username, password } = std::mem::replace(&mut uri.authority.userinfo, nobody);
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self { uri, login: Login { mechanism, user: username, password } })
    }

    /// Host, port and virtual host, without credentials.
    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// The credentials.
    pub(super) fn login(&self) -> Login {
        self.login.clone()
    }

    /// `words` of the broker without the user's name, which some of its refusals repeat.
    pub(super) fn scrub(&self, words: &str) -> String {
        let mut words = words.to_owned();
        for secret in [&self.login.user, &self.login.password] {
            words = words.replace(&format!("'{secret}'"), "'***'");
        }
        words
    }
}

impl AuthProvider for Login {
    fn mechanism(&self) -> ShortString {
        self.mechanism.name().into()
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        Ok(match self.mechanism {
            SASLMechanism::Plain => format!("\0{}\0{}", self.user, self.password).into(),
            _ => LongString::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_do_not_repeat_the_url() {
        for url in [
            "amqp//ann:hunter2@host",
            "http://ann:hunter2@host",
            "amqp://ann:hunter2@host:port",
            "ann:hunter2",
        ] {
            let Err(error) = Address::parse(url) else { panic!("{url} was understood") };
            assert!(!error.contains("hunter2") && !error.contains("ann:"), "{error}");
        }
    }

    #[test]
    fn the_address_itself_has_no_credentials() {
        let address = Address::parse("amqps://zoe:hunter2@host/%2f").expect("is understood");
        let shown = format!("{:?}", address.uri());
        assert!(!shown.contains("hunter2") && !shown.contains("zoe"), "{shown}");
        assert_eq!(
            address.scrub("access to vhost '/' refused for user 'zoe'"),
            "access to vhost '/' refused for user '***'"
        );
        assert_eq!(address.login().auth_starter().expect("a login").as_bytes(), b"\0zoe\0hunter2");
    }
}
