//! HTTP/1.1 on the wire, by RFC 9112. Pure: bytes in, meaning out.
//!
//! Where the standard lets a reader be lenient, this one is not: a line ends with CRLF, a body has one length,
//! a name is followed at once by its colon. A request that two readers could take for two different ones is
//! refused here, so that no service behind can be made to see another request than the gateway saw.

mod request;
mod response;

mod fault;
mod field;

mod chunked;

mod end;

mod decimal;

pub use chunked::{ChunkFault, Chunks};
pub use decimal::write_decimal;
pub use end::HeadScan;
pub use fault::HeadFault;
pub use field::{Field, FieldName};
pub use request::{BodyLength, MOST_FIELDS, Method, RequestHead, Slots};
pub use response::{AnswerLength, BadAnswer, ResponseHead};
