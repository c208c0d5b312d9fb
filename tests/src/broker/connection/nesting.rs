//! Tables within tables: `amq-protocol` reads them by recursion, so that a client could end the broker with one frame of
//! thousands, each within the one before. They are counted first, without recursion.

/// Nobody needs more, and so many are read with a few KiB of stack each.
const DEEPEST: usize = 64;

/// Whether the table among the arguments of a method, where it has one, is nested too deep.
pub fn is_too_deep(method: &[u8]) -> bool {
    table_of(method).is_some_and(has_deep_table)
}

/// Whether the headers among the properties of a message are.
pub fn is_header_too_deep(properties: &[u8]) -> bool {
    let mut rest = properties;
    let Some(flags) = skip(&mut rest, 2) else { return false };
    let flags = u16::from_be_bytes([flags[0], flags[1]]);
    // Content type and content encoding come before the headers.
    let strings = (flags >> 15 & 1) + (flags >> 14 & 1);
    if flags >> 13 & 1 == 0 || (0..strings).any(|_| skip_short(&mut rest).is_none()) {
        return false;
    }
    has_deep_table(rest)
}

/// What begins with the table of a method: it comes behind a number, some names, and perhaps a byte of bits.
fn table_of(method: &[u8]) -> Option<&[u8]> {
    let mut rest = method;
    let ids = skip(&mut rest, 4)?;
    let (number, names, bits) = match (ids[1], ids[3]) {
        // connection.start-ok
        (10, 11) => (0, 0, 0),
        // exchange.declare, exchange.bind, exchange.unbind
        (40, 10) => (2, 2, 1),
        (40, 30 | 40) => (2, 3, 1),
        // queue.declare, queue.bind, queue.unbind
        (50, 10) => (2, 1, 1),
        (50, 20) => (2, 3, 1),
        (50, 50) => (2, 3, 0),
        // basic.consume
        (60, 20) => (2, 2, 1),
        _ => return None,
    };
    skip(&mut rest, number)?;
    for _ in 0..names {
        skip_short(&mut rest)?;
    }
    skip(&mut rest, bits)?;
    Some(rest)
}

/// Whether these bytes begin with a table that is nested too deep. What is no table is left to the one who reads it.
fn has_deep_table(bytes: &[u8]) -> bool {
    // The ends of what is open, and whether its values have names.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut at = 0;
    let mut next = Some(true);
    loop {
        if let Some(has_names) = next.take() {
            let Some(length) = number(bytes, at) else { return false };
            at += 4;
            open.push((at.saturating_add(length), has_names));
            if open.len() > DEEPEST {
                return true;
            }
        }
        let Some(&(end, has_names)) = open.last() else { return false };
        if at >= end {
            open.pop();
            continue;
        }
        if has_names {
            let Some(length) = bytes.get(at) else { return false };
            at += 1 + usize::from(*length);
        }
        let Some(kind) = bytes.get(at) else { return false };
        at += 1;
        at = at.saturating_add(match kind {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'u' | b'U' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'S' | b'x' => match number(bytes, at) {
                Some(length) => length.saturating_add(4),
                None => return false,
            },
            b'F' | b'A' => {
                next = Some(*kind == b'F');
                0
            }
            _ => return false,
        });
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*number) as usize)
}

fn skip<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (skipped, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(skipped)
}

fn skip_short(rest: &mut &[u8]) -> Option<()> {
    let length = skip(rest, 1)?;
    skip(rest, length[0].into()).map(drop)
}

#[cfg(test)]
mod tests {
    use amq_protocol::frame::WriteContext;
    use amq_protocol::protocol::basic::gen_properties;
    use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, connection, exchange, gen_class, queue};
    use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};

    use super::*;

    /// Every kind of value, and then tables and arrays in turns.
    fn nested(depth: usize) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in [
            ("a", AMQPValue::Boolean(true)),
            ("b", AMQPValue::ShortShortInt(1)),
            ("c", AMQPValue::ShortShortUInt(1)),
            ("d", AMQPValue::ShortInt(1)),
            ("e", AMQPValue::ShortUInt(1)),
            ("f", AMQPValue::LongInt(1)),
            ("g", AMQPValue::LongUInt(1)),
            ("h", AMQPValue::LongLongInt(1)),
            ("i", AMQPValue::Float(1.0)),
            ("j", AMQPValue::Double(1.0)),
            ("k", AMQPValue::LongString("FFFFAAAA".into())),
            ("l", AMQPValue::Timestamp(1)),
            ("m", AMQPValue::ByteArray(vec![b'F'; 9].into())),
            ("n", AMQPValue::Void),
        ] {
            table.insert(name.into(), value);
        }
        if depth > 1 {
            let inside = if depth.is_multiple_of(2) {
                AMQPValue::FieldTable(nested(depth - 1))
            } else {
                AMQPValue::FieldArray(FieldArray::from(match depth {
                    2 => vec![],
                    _ => vec![AMQPValue::Void, AMQPValue::FieldTable(nested(depth - 2))],
                }))
            };
            table.insert("z".into(), inside);
        }
        table
    }

    fn methods(table: &FieldTable) -> Vec<AMQPClass> {
        let arguments = table.clone();
        vec![
            AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: arguments.clone(),
                mechanism: "PLAIN".into(),
                response: "".into(),
                locale: "".into(),
            })),
            AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
                exchange: "e".into(),
                kind: "direct".into(),
                arguments: arguments.clone(),
                ..Default::default()
            })),
            AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
                arguments: arguments.clone(),
                ..Default::default()
            })),
            AMQPClass::Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind {
                arguments: arguments.clone(),
                ..Default::default()
            })),
            AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
                queue: "q".into(),
                arguments: arguments.clone(),
                ..Default::default()
            })),
            AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
                queue: "q".into(),
                routing_key: "k".into(),
                arguments: arguments.clone(),
                ..Default::default()
            })),
            AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
                exchange: "e".into(),
                arguments: arguments.clone(),
                ..Default::default()
            })),
            AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
                consumer_tag: "c".into(),
                arguments,
                ..Default::default()
            })),
        ]
    }

    fn written(class: &AMQPClass) -> Vec<u8> {
        let written = gen_class(class)(WriteContext::from(Vec::new()));
        written.expect("memory has room").into_inner().0
    }

    fn properties(table: FieldTable) -> Vec<u8> {
        let properties = BasicProperties::default()
            .with_content_type("text".into())
            .with_content_encoding("none".into())
            .with_headers(table);
        let written = gen_properties(&properties)(WriteContext::from(Vec::new()));
        written.expect("memory has room").into_inner().0
    }

    #[test]
    fn what_is_nested_deeper_than_it_may_be_is_found_wherever_a_table_can_be() {
        for (depth, expected) in [(1, false), (2, false), (DEEPEST, false), (DEEPEST + 1, true), (500, true)]
        {
            let table = nested(depth);
            for method in methods(&table) {
                assert_eq!(is_too_deep(&written(&method)), expected, "{depth} in {method:?}");
            }
            assert_eq!(is_header_too_deep(&properties(table)), expected, "{depth} in headers");
        }
    }

    #[test]
    fn what_is_cut_short_is_not_too_deep() {
        let method = written(&methods(&nested(5))[4]);
        let headers = properties(nested(5));
        assert!((0..method.len()).all(|length| !is_too_deep(&method[..length])));
        assert!((0..headers.len()).all(|length| !is_header_too_deep(&headers[..length])));
    }
}
