use std::fmt;

/// What is wrong with a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// It is no HTTP.
    Malformed,
    /// A line ends with a line feed alone.
    BareLineFeed,
    /// It is longer than the limit.
    TooLong,
    /// It has more fields than the limit.
    TooManyFields,
    /// It is of another major version than 1.
    Version,
    /// What is asked for is neither a path nor a URL.
    Target,
    /// The host is missing, there are several, or it is none.
    Host,
    /// The length of the body is no number, or there are several.
    ContentLength,
    /// The body has a length and comes in chunks: readers differ in which of the two they believe.
    TwoLengths,
    /// The body comes in another coding than `chunked`, or the coding is written in an odd way.
    TransferCoding,
    /// Something else is expected than `100-continue`.
    Expectation,
    /// `Connection` names more fields than a request has.
    Connection,
    /// `Connection` names a field that is no matter of one connection.
    NotOfTheConnection(&'static str),
    /// A request with a body cannot change the protocol.
    UpgradeWithBody,
    /// A field that may come only once came several times.
    Repeated(&'static str),
}

impl HeadFault {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLong | Self::TooManyFields => 431,
            Self::Version => 505,
            Self::TransferCoding => 501,
            Self::Expectation => 417,
            _ => 400,
        }
    }
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the head is no HTTP/1.1",
            Self::BareLineFeed => "a line of the head ends without a carriage return",
            Self::TooLong => "the head is too long",
            Self::TooManyFields => "the head has too many fields",
            Self::Version => "only HTTP/1.1 and HTTP/1.0 are spoken here",
            Self::Target => "the target is neither a path nor a URL",
            Self::Host => "there must be exactly one host, and a sound one",
            Self::ContentLength => "the content length must be one whole number",
            Self::TwoLengths => "the body has two lengths",
            Self::TransferCoding => "chunked is the only transfer coding that is understood",
            Self::Expectation => "100-continue is the only expectation that is understood",
            Self::Connection => "Connection names too many fields",
            Self::NotOfTheConnection(name) => {
                return write!(f, "Connection names {name}, which is no matter of one connection");
            }
            Self::UpgradeWithBody => "a request with a body cannot change the protocol",
            Self::Repeated(name) => return write!(f, "{name} may come only once"),
        })
    }
}

impl std::error::Error for HeadFault {}
