"""Drives a broker with pika, as a Python program would. Usage: pika_client.py AMQP-URL

Prints a line for each thing that works, and ends with 1 and a sentence at the first that does not.
"""

import sys
import time
import uuid

import pika
from pika.exceptions import ChannelClosedByBroker, NackError, ProbableAuthenticationError, UnroutableError

PATIENCE = 10
NAME = f"pika-{uuid.uuid4().hex[:8]}"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def expect(what, actual, expected):
    if actual != expected:
        sys.exit(f"pika: {what}: {actual!r} instead of {expected!r}")


def within(what, attempt):
    """Tries until there is something, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = attempt()
        if result:
            return result
        time.sleep(0.02)
    sys.exit(f"pika: {what}: not within {PATIENCE} s")


def refused(what, code, text, attempt):
    try:
        attempt()
    except ChannelClosedByBroker as closed:
        expect(what, (closed.reply_code, text in closed.reply_text), (code, True))
    else:
        sys.exit(f"pika: {what}: the broker did it instead of answering {code} {text}")


def take(channel, queue):
    def attempt():
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        return method and (method, properties, body)

    return within(f"a message in {queue}", attempt)


def declare_and_publish(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    queue, exchange = f"{NAME}-q", f"{NAME}-x"
    channel.exchange_declare(exchange, "topic", durable=True)
    expect("a new queue is empty", channel.queue_declare(queue, durable=True).method.message_count, 0)
    channel.queue_bind(queue, exchange, "order.*")

    properties = pika.BasicProperties(
        delivery_mode=2, content_type="text/plain", message_id="7", headers={"colour": "red", "n": 7, "deep": {"a": [1, "b"]}}
    )
    channel.basic_publish(exchange, "order.created", "é".encode(), properties, mandatory=True)
    method, got, body = take(channel, queue)
    expect("the message", (method.exchange, method.routing_key, method.redelivered), (exchange, "order.created", False))
    expect("the body", body.decode(), "é")
    expect("the properties", (got.content_type, got.message_id, got.delivery_mode), ("text/plain", "7", 2))
    expect("the headers", got.headers, properties.headers)

    try:
        channel.basic_publish(exchange, "nowhere", b"back", PERSISTENT, mandatory=True)
        sys.exit("pika: a mandatory message that no queue wants was taken")
    except UnroutableError as returned:
        message = returned.messages[0]
        expect("the return", (message.method.reply_code, message.method.reply_text, message.body), (312, "NO_ROUTE", b"back"))
    channel.close()


def consume_and_acknowledge(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    queue = f"{NAME}-q"
    for body in (b"1", b"2", b"3", b"4"):
        channel.basic_publish("", queue, body, PERSISTENT)
    channel.basic_qos(prefetch_count=2)

    seen = []
    for method, _, body in channel.consume(queue, inactivity_timeout=PATIENCE):
        if method is None:
            sys.exit(f"pika: no delivery within {PATIENCE} s after {seen}")
        seen.append((body, method.redelivered))
        if seen == [(b"1", False)]:
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            channel.basic_ack(method.delivery_tag)
        if len(seen) == 5:
            break
    channel.cancel()
    expect("each came, and the first again", sorted(seen), [(b"1", False), (b"1", True), (b"2", False), (b"3", False), (b"4", False)])
    expect("nothing is left", channel.queue_declare(queue, passive=True).method.message_count, 0)
    expect("nothing is got", channel.basic_get(queue)[0], None)
    channel.close()


def cancel_when_the_queue_goes(connection):
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    expect("the broker names it", queue.startswith("amq.gen-"), True)
    cancelled = []
    channel.add_on_cancel_callback(cancelled.append)
    consumer = channel.basic_consume(queue, lambda *_: None)
    connection.channel().queue_delete(queue)

    within("the cancellation", lambda: connection.process_data_events(0.05) or cancelled)
    expect("whose it was", cancelled[0].method.consumer_tag, consumer)
    channel.close()


def dead_letters(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    queue, dead = f"{NAME}-dying", f"{NAME}-dead"
    channel.queue_declare(dead, durable=True, arguments={"x-queue-type": "quorum"})
    arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-delivery-limit": 1}
    channel.queue_declare(queue, durable=True, arguments=arguments)
    channel.basic_publish("", queue, b"rejected", PERSISTENT)
    channel.basic_publish("", queue, b"deadly", PERSISTENT)

    for body, requeue in ((b"rejected", False), (b"deadly", True), (b"deadly", True)):
        method, _, got = within(f"{body}", lambda: (lambda got: got[0] and got)(channel.basic_get(queue)))
        expect("the next message", got, body)
        channel.basic_reject(method.delivery_tag, requeue=requeue)
    for body, reason in ((b"rejected", "rejected"), (b"deadly", "delivery_limit")):
        _, properties, got = take(channel, dead)
        death = properties.headers["x-death"][0]
        expect("the dead letter", (got, death["reason"], death["queue"], death["count"]), (body, reason, queue, 1))
    channel.close()


def full_queue(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    queue = f"{NAME}-full"
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.basic_publish("", queue, b"first")
    try:
        channel.basic_publish("", queue, b"second")
        sys.exit("pika: a full queue took another message")
    except NackError:
        pass
    channel.close()


def large_message(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    queue, body = f"{NAME}-q", bytes(range(256)) * 16_000
    channel.basic_publish("", queue, body, PERSISTENT)
    expect("4 MB came whole", take(channel, queue)[2] == body, True)
    channel.close()


def errors(connection):
    def channel():
        return connection.channel()

    refused("a missing queue", 404, "NOT_FOUND - no queue", lambda: channel().queue_declare("missing-" + NAME, passive=True))
    refused("other arguments", 406, "inequivalent arg 'durable'", lambda: channel().queue_declare(f"{NAME}-q", durable=False))
    refused("a reserved name", 403, "reserved prefix", lambda: channel().exchange_declare("amq.mine"))
    twice = channel()
    twice.basic_publish("", f"{NAME}-q", b"once")
    tag = within("the message", lambda: twice.basic_get(f"{NAME}-q")[0]).delivery_tag
    twice.basic_ack(tag)
    twice.basic_ack(tag)
    refused("a second ack", 406, "unknown delivery tag", lambda: twice.queue_declare(f"{NAME}-q", passive=True))


def wrong_password(parameters):
    parameters.credentials = pika.PlainCredentials("guest", "guess")
    try:
        pika.BlockingConnection(parameters)
        sys.exit("pika: a wrong password was taken")
    except ProbableAuthenticationError as error:
        expect("the refusal", "403" in str(error) and "ACCESS_REFUSED" in str(error), True)


def heartbeats(parameters):
    parameters.heartbeat = 1
    connection = pika.BlockingConnection(parameters)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        connection.process_data_events(0.1)
    expect("a connection with heartbeats is open after four intervals", connection.is_open, True)
    connection.channel().close()
    connection.close()


def clean_up(connection):
    channel = connection.channel()
    for queue in ("q", "dying", "dead", "full"):
        channel.queue_delete(f"{NAME}-{queue}")
    channel.exchange_delete(f"{NAME}-x")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    url = sys.argv[1]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    for part in (
        declare_and_publish,
        consume_and_acknowledge,
        cancel_when_the_queue_goes,
        dead_letters,
        full_queue,
        large_message,
        errors,
        clean_up,
    ):
        part(connection)
        print(f"ok pika {part.__name__}")
    connection.close()
    for part in (wrong_password, heartbeats):
        part(pika.URLParameters(url))
        print(f"ok pika {part.__name__}")


main()
