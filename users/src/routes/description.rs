//! What the service says of its endpoints. Each describes itself; this brings them together, and says what the
//! types of the domain, which knows nothing of OpenAPI, look like in JSON.

use common::http::Description;
use jiff::Timestamp;
use utoipa::{OpenApi, ToSchema};

use super::{find, keys, list, log_in, register};

/// The whole description.
pub(super) fn description() -> Description {
    Description::of(&Endpoints::openapi())
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Warren users", description = "Who there is, and how many orders each has placed."),
    paths(list::list, register::register, find::find, log_in::log_in, keys::keys),
    tags((name = "users", description = "Who there is"), (name = "sessions", description = "Logging in"))
)]
struct Endpoints;

/// An address as its owner writes it: `local@domain`, at most 254 bytes, 64 of them before the `@`. White space around
/// it does not count.
#[derive(ToSchema)]
#[schema(
    max_length = 254,
    example = "grace@example.com",
    pattern = r"^[\s\x85]*[^\s@\x00-\x1f\x7f-\x9f]{1,64}@[^\s@.\x00-\x1f\x7f-\x9f]+(\.[^\s@.\x00-\x1f\x7f-\x9f]+)*[\s\x85]*$"
)]
#[expect(dead_code, reason = "it stands for domain::Email as it is sent")]
pub(super) struct EmailAddress(String);

/// A user.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands for domain::User")]
pub(super) struct User {
    /// A UUID version 7, or the demo's `u1`.
    #[schema(example = "u1")]
    id: String,
    #[schema(min_length = 1, max_length = 200, example = "Ada")]
    name: String,
    /// As its owner writes it.
    #[schema(max_length = 254, example = "ada@example.com")]
    email: String,
    /// When the user registered.
    created_at: Timestamp,
}

/// The keys that tokens are signed with (RFC 7517).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it stands for the answer of the key set")]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// A public key of Ed25519 (RFC 8037).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it stands for a key of the key set")]
struct Key {
    #[schema(pattern = "^OKP$")]
    kty: String,
    #[schema(pattern = "^Ed25519$")]
    crv: String,
    kid: String,
    /// The key itself, in base64url.
    x: String,
    #[schema(rename = "use", pattern = "^sig$")]
    purpose: String,
    #[schema(pattern = "^EdDSA$")]
    alg: String,
}

#[cfg(test)]
mod tests {
    use common::http::{described_otherwise, flaws};
    use serde_json::Value;

    use super::*;
    use crate::domain;

    #[test]
    fn the_description_is_sound() {
        assert_eq!(flaws(description().document()), [""; 0]);
    }

    #[actix::test]
    async fn every_endpoint_is_described_and_nothing_else() {
        let found = described_otherwise(description().document(), super::super::endpoints).await;

        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_user_is_described_as_the_domain_writes_it() {
        let user = domain::User {
            id: domain::UserId::given("u1"),
            name: domain::Name::parse("Ada").expect("a name"),
            email: domain::Email::parse("ada@example.com").expect("an address"),
            created_at: Timestamp::UNIX_EPOCH,
        };

        let written: Value = serde_json::to_value(&user).expect("JSON");

        let described = description();
        let schema = &described.document()["components"]["schemas"]["User"];
        let names = |value: &Value| -> Vec<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        assert_eq!(names(&schema["properties"]), names(&written), "{schema}");
        assert_eq!(schema["required"].as_array().map(Vec::len), Some(4), "{schema}");
    }
}
