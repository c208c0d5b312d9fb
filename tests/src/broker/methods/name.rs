//! The names of methods.

use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, exchange, queue};

/// How the specification writes a method.
pub(super) fn name_of(class: &AMQPClass) -> &'static str {
    match class {
        AMQPClass::Basic(method) => match method {
            basic::AMQPMethod::Publish(_) => "basic.publish",
            basic::AMQPMethod::Ack(_) => "basic.ack",
            basic::AMQPMethod::Nack(_) => "basic.nack",
            basic::AMQPMethod::Reject(_) => "basic.reject",
            basic::AMQPMethod::Consume(_) => "basic.consume",
            basic::AMQPMethod::Cancel(_) => "basic.cancel",
            basic::AMQPMethod::CancelOk(_) => "basic.cancel-ok",
            basic::AMQPMethod::Get(_) => "basic.get",
            basic::AMQPMethod::Qos(_) => "basic.qos",
            basic::AMQPMethod::Recover(_) | basic::AMQPMethod::RecoverAsync(_) => "basic.recover",
            _ => "basic",
        },
        AMQPClass::Channel(method) => match method {
            channel::AMQPMethod::Open(_) => "channel.open",
            channel::AMQPMethod::Close(_) => "channel.close",
            channel::AMQPMethod::CloseOk(_) => "channel.close-ok",
            channel::AMQPMethod::Flow(_) => "channel.flow",
            _ => "channel",
        },
        AMQPClass::Exchange(method) => match method {
            exchange::AMQPMethod::Declare(_) => "exchange.declare",
            exchange::AMQPMethod::Delete(_) => "exchange.delete",
            exchange::AMQPMethod::Bind(_) => "exchange.bind",
            exchange::AMQPMethod::Unbind(_) => "exchange.unbind",
            _ => "exchange",
        },
        AMQPClass::Queue(method) => match method {
            queue::AMQPMethod::Declare(_) => "queue.declare",
            queue::AMQPMethod::Bind(_) => "queue.bind",
            queue::AMQPMethod::Unbind(_) => "queue.unbind",
            queue::AMQPMethod::Purge(_) => "queue.purge",
            queue::AMQPMethod::Delete(_) => "queue.delete",
            _ => "queue",
        },
        AMQPClass::Confirm(method) => match method {
            confirm::AMQPMethod::Select(_) => "confirm.select",
            _ => "confirm",
        },
        AMQPClass::Tx(_) => "tx",
        AMQPClass::Access(_) => "access",
        AMQPClass::Connection(method) => match method {
            connection::AMQPMethod::Close(_) => "connection.close",
            connection::AMQPMethod::CloseOk(_) => "connection.close-ok",
            _ => "connection",
        },
    }
}
