/// A header field as it came: its name and its value without the white space around it.
pub type Field<'b> = httparse::Header<'b>;

/// What a field's name means to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// `Accept-Encoding` and all others that mean nothing to the gateway.
    Other,
    /// `Access-Control-*` of a request: which method a page wants to use.
    AskedMethod,
    /// `Access-Control-*` of a request: which fields a page wants to send.
    AskedFields,
    /// `Access-Control-*` of an answer.
    CorsAnswer,
    /// Who asks.
    Authorization,
    /// What concerns this connection.
    Connection,
    /// How long the body is.
    ContentLength,
    /// What a browser was told to say again.
    Cookie,
    /// Where what is answered is.
    ContentLocation,
    /// When the answer was made.
    Date,
    /// What is expected before the body is sent.
    Expect,
    /// Who sent a request, in the one or the other notation (`Forwarded`, `X-Real-Ip`, other `X-Forwarded-*`).
    AboutTheSender,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// What only gateways may say: `X-Warren-*`, `X-Request-Timeout-Ms`.
    Internal,
    /// For whom the request is.
    Host,
    /// Concerns one connection alone (RFC 9110 section 7.6.1).
    HopByHop,
    /// By what a write is known when it comes again.
    IdempotencyKey,
    /// Where something else is.
    Location,
    /// Which page asks.
    Origin,
    /// How often one may ask.
    RateLimit,
    /// The request's id.
    RequestId,
    /// When to ask again.
    RetryAfter,
    /// In which trace the request belongs.
    Traceparent,
    /// More about the trace.
    Tracestate,
    /// How the body comes.
    TransferEncoding,
    /// Which protocol to change to.
    Upgrade,
}

impl FieldName {
    /// Reads a name; upper and lower case are the same.
    pub fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // By length first: nearly every name is settled by one comparison or none.
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            4 if is("date") => Self::Date,
            6 if is("cookie") => Self::Cookie,
            6 if is("expect") => Self::Expect,
            6 if is("origin") => Self::Origin,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::HopByHop,
            8 if is("location") => Self::Location,
            9 if is("forwarded") || is("x-real-ip") => Self::AboutTheSender,
            9 if is("ratelimit") => Self::RateLimit,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            10 if is("tracestate") => Self::Tracestate,
            11 if is("traceparent") => Self::Traceparent,
            11 if is("retry-after") => Self::RetryAfter,
            12 if is("x-request-id") => Self::RequestId,
            13 if is("authorization") => Self::Authorization,
            14 if is("content-length") => Self::ContentLength,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            15 if is("idempotency-key") => Self::IdempotencyKey,
            16 if is("content-location") => Self::ContentLocation,
            16 if is("x-forwarded-host") => Self::ForwardedHost,
            16 if is("ratelimit-policy") => Self::RateLimit,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            17 if is("x-forwarded-proto") => Self::ForwardedProto,
            20 if is("x-request-timeout-ms") => Self::Internal,
            29 if is("access-control-request-method") => Self::AskedMethod,
            30 if is("access-control-request-headers") => Self::AskedFields,
            _ if starts_with(name, "x-forwarded-") => Self::AboutTheSender,
            _ if starts_with(name, "x-warren-") => Self::Internal,
            _ if starts_with(name, "proxy-") => Self::HopByHop,
            _ if starts_with(name, "access-control-") => Self::CorsAnswer,
            _ => Self::Other,
        }
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_and_lower_case_are_the_same() {
        for (name, meaning) in [
            ("Host", FieldName::Host),
            ("CONTENT-length", FieldName::ContentLength),
            ("Transfer-Encoding", FieldName::TransferEncoding),
            ("X-Warren-Subject", FieldName::Internal),
            ("x-forwarded-port", FieldName::AboutTheSender),
            ("Proxy-Connection", FieldName::HopByHop),
            ("Accept", FieldName::Other),
            ("x-warre", FieldName::Other),
        ] {
            assert_eq!(FieldName::of(name), meaning, "{name}");
        }
    }
}
