use std::{fmt::Display, time::Duration};

use common::{auth::Issuer, config::Environment};

use crate::domain::{Email, KeySchedule, Password};

/// What is the users service's own in the environment.
#[derive(Clone, Debug)]
pub struct UsersConfig {
    /// Whether the demo user `u1` exists from the start (`DEMO_DATA`).
    pub demo_data: bool,
    /// The admin that exists from the start (`ADMIN_EMAIL`, `ADMIN_PASSWORD`).
    pub admin: Option<AdminConfig>,
    /// Who writes tokens, for whom and for how long (`AUTH_ISSUER`, `AUTH_AUDIENCE`, `AUTH_TOKEN_LIFETIME_S`).
    pub issuer: Issuer,
    /// When keys come and go (`AUTH_KEY_LIFETIME_S`).
    pub keys: KeySchedule,
}

/// An admin to be.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Its address.
    pub email: Email,
    /// Its password.
    pub password: Password,
}

/// Most keys that may be in use at a time; whoever verifies tokens reads no more of them.
const MOST_KEYS: u64 = 64;

impl UsersConfig {
    /// Reads the environment; mistakes are noted there.
    pub fn from_env(env: &mut Environment) -> Self {
        let token_s = seconds(env, "AUTH_TOKEN_LIFETIME_S", 3600, 30 * 24 * 3600);
        let key_s = seconds(env, "AUTH_KEY_LIFETIME_S", 24 * 3600, 366 * 24 * 3600);
        // Those that signed what is still good, the one that signs, and the one that is about to.
        if (token_s + 60) / key_s + 3 > MOST_KEYS {
            env.mistake(format!(
                "AUTH_KEY_LIFETIME_S is too short for AUTH_TOKEN_LIFETIME_S: more than {MOST_KEYS} keys would be in use"
            ));
        }
        let defaults = Issuer::default();
        Self {
            demo_data: env.flag("DEMO_DATA", false),
            admin: admin(env),
            issuer: Issuer {
                name: env.text("AUTH_ISSUER", &defaults.name),
                audience: env.text("AUTH_AUDIENCE", &defaults.audience),
                lifetime: Duration::from_secs(token_s),
            },
            keys: KeySchedule::new(key_s, token_s),
        }
    }
}

fn seconds(env: &mut Environment, name: &str, default: u64, most: u64) -> u64 {
    let expected = format!("a number of seconds from 1 to {most}");
    let seconds = env.parse(name, default, &expected);
    if (1..=most).contains(&seconds) {
        return seconds;
    }
    env.mistake(format!("{name} must be {expected}, not {seconds}"));
    default
}

fn admin(env: &mut Environment) -> Option<AdminConfig> {
    let (email, password) = (env.text("ADMIN_EMAIL", ""), env.text("ADMIN_PASSWORD", ""));
    match (email.is_empty(), password.is_empty()) {
        (true, true) => return None,
        (false, false) => {}
        (true, false) => env.mistake("ADMIN_PASSWORD is set and ADMIN_EMAIL is not: set both or neither"),
        (false, true) => env.mistake("ADMIN_EMAIL is set and ADMIN_PASSWORD is not: set both or neither"),
    }
    if email.is_empty() || password.is_empty() {
        return None;
    }
    // Neither is repeated: one is a secret, and who confuses the two must not find it in a log.
    let email = noted(env, "ADMIN_EMAIL", Email::parse(&email));
    let password = noted(env, "ADMIN_PASSWORD", Password::parse(&password));
    email.zip(password).map(|(email, password)| AdminConfig { email, password })
}

fn noted<T, E: Display>(env: &mut Environment, name: &str, parsed: Result<T, E>) -> Option<T> {
    parsed.map_err(|error| env.mistake(format!("{name} {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (UsersConfig, Result<(), String>) {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Environment::from_pairs(pairs);
        let config = UsersConfig::from_env(&mut env);
        (config, env.finish().map_err(|error| error.to_string()))
    }

    #[test]
    fn no_more_keys_are_in_use_than_verifiers_read() {
        for (key_s, token_s, sound) in [("86400", "3600", true), ("8", "120", true), ("8", "3600", false)] {
            let lifetimes = [("AUTH_KEY_LIFETIME_S", key_s), ("AUTH_TOKEN_LIFETIME_S", token_s)];

            assert_eq!(read(&lifetimes).1.is_ok(), sound, "{key_s} {token_s}");
        }
    }

    #[test]
    fn nobody_is_admin_if_nothing_is_said() {
        let (config, mistakes) = read(&[]);

        assert_eq!(mistakes, Ok(()));
        assert!(config.admin.is_none());
        assert_eq!(config.issuer, Issuer::default());
        assert_eq!(config.keys, KeySchedule::new(86_400, 3600));
    }

    #[test]
    fn an_admin_takes_an_address_and_a_password_that_are_sound_and_the_password_is_never_repeated() {
        let (config, mistakes) =
            read(&[("ADMIN_EMAIL", "root@example.com"), ("ADMIN_PASSWORD", "correct horse")]);
        assert_eq!(mistakes, Ok(()));
        assert!(config.admin.is_some() && !format!("{config:?}").contains("horse"));

        for (email, password, said) in [
            ("root@example.com", "hunter2", "ADMIN_PASSWORD must be at least 8 characters long"),
            ("root", "hunter2hunter2", "ADMIN_EMAIL must be an address such as"),
            ("root@example.com", "", "ADMIN_EMAIL is set and ADMIN_PASSWORD is not"),
            ("", "hunter2hunter2", "ADMIN_PASSWORD is set and ADMIN_EMAIL is not"),
        ] {
            let (config, mistakes) = read(&[("ADMIN_EMAIL", email), ("ADMIN_PASSWORD", password)]);

            let message = mistakes.expect_err("one of them is wrong");
            assert!(config.admin.is_none());
            assert!(message.contains(said) && !message.contains("hunter"), "{message}");
        }
    }

    #[test]
    fn lifetimes_that_cannot_be_meant_are_refused() {
        for (name, value) in
            [("AUTH_TOKEN_LIFETIME_S", "0"), ("AUTH_KEY_LIFETIME_S", "0"), ("AUTH_TOKEN_LIFETIME_S", "1h")]
        {
            let message = read(&[(name, value)]).1.expect_err("nobody wants that");
            assert!(message.contains(name), "{message}");
        }
    }
}
