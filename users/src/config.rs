use common::config::Environment;

/// What is the users service's own in the environment.
#[derive(Clone, Copy, Debug)]
pub struct UsersConfig {
    /// Whether the demo user `u1` exists from the start (`DEMO_DATA`).
    pub demo_data: bool,
}

impl UsersConfig {
    /// Reads `DEMO_DATA`.
    pub fn from_env(env: &mut Environment) -> Self {
        Self { demo_data: env.flag("DEMO_DATA", false) }
    }
}
