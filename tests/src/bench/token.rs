//! Who the load says it is: a token for the policy that asks for one, and the key that a gateway verifies it with.
//!
//! Both are constants, made once and valid until the year 2100, so the benchmark itself needs nothing that signs. The
//! private half of the key was thrown away; a real system does not know its public half.

/// An EdDSA token of user `u1` by the issuer `warren` for the audience `warren`.
pub const TOKEN: &str = concat!(
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImJlbmNoIn0.",
    "eyJpc3MiOiJ3YXJyZW4iLCJhdWQiOiJ3YXJyZW4iLCJzdWIiOiJ1MSIsInJvbGUiOiJ1c2VyIiwiaWF0IjoxNzAwMDAwMDAwLCJu",
    "YmYiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMCwianRpIjoiYmVuY2gifQ.",
    "-XlIf4frveuqrApGCRnIoYa_87TEOeG4w1QnOqCKLqXiDWyBBlxaCjEacjvuUmKl8Ye1dT_p_6cKCW4Q1IirAQ",
);

/// The JWKS that the upstream publishes.
pub const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"bench","x":"pBcfWdzfNYJWuS-zBRM5eZ0aHjIbtKX-5lBV19uyVD0"}]}"#;
