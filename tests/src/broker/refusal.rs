//! stub
#![allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Channel,
    Connection,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub text: String,
    pub scope: Scope,
}
impl Refusal {
    fn new(code: u16, text: String, scope: Scope) -> Self {
        Self { code, text, scope }
    }
    pub fn ordered(code: u16, text: String) -> Self {
        Self::new(code, text, Scope::Channel)
    }
    pub fn not_found(kind: &str, name: &str, vhost: &str) -> Self {
        Self::new(404, format!("NOT_FOUND - no {kind} '{name}' in vhost '{vhost}'"), Scope::Channel)
    }
    pub fn no_previous_queue() -> Self {
        Self::new(404, "NOT_FOUND - no previously declared queue".into(), Scope::Channel)
    }
    pub fn access_refused(t: &str) -> Self {
        Self::new(403, format!("ACCESS_REFUSED - {t}"), Scope::Channel)
    }
    pub fn precondition_failed(t: &str) -> Self {
        Self::new(406, format!("PRECONDITION_FAILED - {t}"), Scope::Channel)
    }
    pub fn resource_locked(n: &str, v: &str) -> Self {
        Self::new(
            405,
            format!(
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{n}' in vhost '{v}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
            ),
            Scope::Channel,
        )
    }
    pub fn not_implemented(t: &str) -> Self {
        Self::new(540, format!("NOT_IMPLEMENTED - {t}"), Scope::Connection)
    }
    pub fn not_allowed(t: &str) -> Self {
        Self::new(530, format!("NOT_ALLOWED - {t}"), Scope::Connection)
    }
    pub fn frame_error(t: &str) -> Self {
        Self::new(501, format!("FRAME_ERROR - {t}"), Scope::Connection)
    }
    pub fn syntax_error(t: &str) -> Self {
        Self::new(502, format!("SYNTAX_ERROR - {t}"), Scope::Connection)
    }
    pub fn command_invalid(t: &str) -> Self {
        Self::new(503, format!("COMMAND_INVALID - {t}"), Scope::Connection)
    }
    pub fn channel_error(t: &str) -> Self {
        Self::new(504, format!("CHANNEL_ERROR - {t}"), Scope::Connection)
    }
    pub fn unexpected_frame(t: &str) -> Self {
        Self::new(505, format!("UNEXPECTED_FRAME - {t}"), Scope::Connection)
    }
}
