//! Arguments as they are kept: the bytes of the wire, because JSON knows neither their types nor every number.

use amq_protocol::frame::WriteContext;
use amq_protocol::types::FieldTable;
use amq_protocol::types::generation::gen_field_table;
use amq_protocol::types::parsing::parse_field_table;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

pub fn serialize<S: Serializer>(table: &FieldTable, serializer: S) -> Result<S::Ok, S::Error> {
    let written = gen_field_table(table)(WriteContext::from(Vec::new())).map_err(ser::Error::custom)?;
    written.into_inner().0.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FieldTable, D::Error> {
    let bytes = Vec::<u8>::deserialize(deserializer)?;
    match parse_field_table(bytes.as_slice()) {
        Ok(([], table)) => Ok(table),
        _ => Err(de::Error::custom("these bytes are no table of arguments")),
    }
}
