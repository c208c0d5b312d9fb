// Drives a broker with amqplib, as a Node program would. Usage: node amqplib_client.js AMQP-URL
//
// Prints a line for each thing that works, and ends with 1 and a sentence at the first that does not.
'use strict'

const assert = require('node:assert').strict
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const { setTimeout: sleep } = require('node:timers/promises')
const amqplib = require('amqplib')

const PATIENCE = 10_000
const NAME = `amqplib-${randomBytes(4).toString('hex')}`
const PERSISTENT = { persistent: true }

async function within(what, promise) {
  const late = sleep(PATIENCE, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: not within ${PATIENCE} ms`)
  })
  return Promise.race([promise, late])
}

async function take(channel, queue, options = { noAck: true }) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(20)) {
    const message = await channel.get(queue, options)
    if (message) return message
  }
  throw new Error(`no message in ${queue} within ${PATIENCE} ms`)
}

// Published, and confirmed.
function publish(channel, exchange, key, body, options = PERSISTENT) {
  const confirmed = new Promise((resolve, reject) => {
    channel.publish(exchange, key, Buffer.from(body), options, (error) => (error ? reject(error) : resolve()))
  })
  return within(`the confirm of ${body.length} bytes`, confirmed)
}

// The channel must be closed with this code.
async function refused(connection, code, text, attempt) {
  const channel = await connection.createChannel()
  const closed = once(channel, 'error')
  await Promise.resolve(attempt(channel)).catch(() => {})
  const [error] = await within(`${code} ${text}`, closed)
  assert.equal(error.code, code)
  assert.ok(error.message.includes(text), error.message)
}

async function declareAndPublish(connection) {
  const channel = await connection.createConfirmChannel()
  const [queue, exchange] = [`${NAME}-q`, `${NAME}-x`]
  await channel.assertExchange(exchange, 'topic', { durable: true })
  assert.equal((await channel.assertQueue(queue, { durable: true })).messageCount, 0)
  await channel.bindQueue(queue, exchange, 'order.*')

  const options = { ...PERSISTENT, messageId: '7', contentType: 'text/plain', headers: { colour: 'red', n: 7, deep: { a: [1, 'b'] } } }
  await publish(channel, exchange, 'order.created', 'é', options)
  const { content, fields, properties } = await take(channel, queue)
  assert.deepEqual([content.toString(), fields.exchange, fields.routingKey, fields.redelivered], ['é', exchange, 'order.created', false])
  assert.deepEqual([properties.messageId, properties.contentType, properties.deliveryMode], ['7', 'text/plain', 2])
  assert.deepEqual({ ...properties.headers }, options.headers)

  const order = []
  channel.once('return', (message) => order.push(message.fields.replyCode, message.fields.replyText, message.content.toString()))
  await publish(channel, exchange, 'nowhere', 'back', { mandatory: true }).then(() => order.push('confirmed'))
  assert.deepEqual(order, [312, 'NO_ROUTE', 'back', 'confirmed'])
  await channel.close()
}

async function consumeAndAcknowledge(connection) {
  const channel = await connection.createConfirmChannel()
  const queue = `${NAME}-q`
  for (const body of ['1', '2', '3', '4']) await publish(channel, '', queue, body)
  await channel.prefetch(2)

  const seen = []
  const all = new Promise((resolve) => {
    channel.consume(queue, (message) => {
      seen.push(`${message.content} ${message.fields.redelivered}`)
      if (seen.length === 1) channel.nack(message)
      else channel.ack(message)
      if (seen.length === 5) resolve()
    }, { consumerTag: 'me' })
  })
  await within('five deliveries', all)
  assert.deepEqual(seen.toSorted(), ['1 false', '1 true', '2 false', '3 false', '4 false'])
  await channel.cancel('me')
  assert.equal(await channel.get(queue), false)
  assert.deepEqual(await channel.checkQueue(queue), { queue, messageCount: 0, consumerCount: 0 })
  await channel.close()
}

async function cancelWhenTheQueueGoes(connection) {
  const channel = await connection.createChannel()
  const { queue } = await channel.assertQueue('', { exclusive: true })
  assert.match(queue, /^amq\.gen-/)
  // amqplib says so with a message that is none.
  let cancelled
  const end = new Promise((resolve) => { cancelled = resolve })
  await channel.consume(queue, (message) => { if (message === null) cancelled() })
  const other = await connection.createChannel()
  await other.deleteQueue(queue)
  await within('the cancellation', end)
  await Promise.all([channel.close(), other.close()])
}

async function deadLetters(connection) {
  const channel = await connection.createConfirmChannel()
  const [queue, dead] = [`${NAME}-dying`, `${NAME}-dead`]
  const quorum = { 'x-queue-type': 'quorum' }
  await channel.assertQueue(dead, { arguments: quorum })
  await channel.assertQueue(queue, {
    deadLetterExchange: '', deadLetterRoutingKey: dead, arguments: { ...quorum, 'x-delivery-limit': 1 },
  })
  await publish(channel, '', queue, 'rejected')
  await publish(channel, '', queue, 'deadly')

  for (const [body, requeue] of [['rejected', false], ['deadly', true], ['deadly', true]]) {
    const message = await take(channel, queue, {})
    assert.equal(message.content.toString(), body)
    channel.reject(message, requeue)
  }
  for (const [body, reason] of [['rejected', 'rejected'], ['deadly', 'delivery_limit']]) {
    const { content, properties } = await take(channel, dead)
    const death = properties.headers['x-death'][0]
    assert.deepEqual([content.toString(), death.reason, death.queue, death.count], [body, reason, queue, 1])
  }
  await channel.close()
}

async function delays(connection) {
  const channel = await connection.createConfirmChannel()
  const [queue, waiting] = [`${NAME}-q`, `${NAME}-waiting`]
  await channel.assertQueue(waiting, { messageTtl: 50, deadLetterExchange: '', deadLetterRoutingKey: queue })
  await publish(channel, '', waiting, 'later')
  const { content, properties } = await take(channel, queue)
  assert.deepEqual([content.toString(), properties.headers['x-death'][0].reason], ['later', 'expired'])
  await channel.close()
}

async function fullQueue(connection) {
  const channel = await connection.createConfirmChannel()
  const queue = `${NAME}-full`
  await channel.assertQueue(queue, { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } })
  await publish(channel, '', queue, 'first')
  await assert.rejects(publish(channel, '', queue, 'second'), /nack/)
  await channel.close()
}

async function largeMessage(connection) {
  const channel = await connection.createConfirmChannel()
  const body = randomBytes(4_000_000)
  await publish(channel, '', `${NAME}-q`, body)
  assert.ok((await take(channel, `${NAME}-q`)).content.equals(body))
  await channel.close()
}

async function errors(connection) {
  const queue = `${NAME}-q`
  await refused(connection, 404, 'NOT_FOUND', (channel) => channel.checkQueue(`missing-${NAME}`))
  await refused(connection, 406, "inequivalent arg 'durable'", (channel) => channel.assertQueue(queue, { durable: false }))
  await refused(connection, 403, 'reserved prefix', (channel) => channel.assertExchange('amq.mine', 'direct'))
  await refused(connection, 406, 'unknown delivery tag', async (channel) => {
    channel.sendToQueue(queue, Buffer.from('once'))
    const message = await take(channel, queue, {})
    channel.ack(message)
    channel.ack(message)
  })
}

async function cleanUp(connection) {
  const channel = await connection.createChannel()
  for (const queue of ['q', 'dying', 'dead', 'waiting', 'full']) await channel.deleteQueue(`${NAME}-${queue}`)
  await channel.deleteExchange(`${NAME}-x`)
}

async function wrongPassword(url) {
  const wrong = new URL(url)
  wrong.password = 'guess'
  await assert.rejects(amqplib.connect(wrong.href), /403.*ACCESS.REFUSED/s)
}

async function heartbeats(url) {
  const connection = await amqplib.connect(`${url}?heartbeat=1`)
  let error
  connection.on('error', (lost) => { error = lost })
  await sleep(4000)
  assert.equal(error, undefined)
  await (await connection.createChannel()).close()
  await connection.close()
}

async function main(url) {
  assert.ok(url, 'usage: node amqplib_client.js AMQP-URL')
  const connection = await amqplib.connect(url)
  const parts = [
    declareAndPublish, consumeAndAcknowledge, cancelWhenTheQueueGoes, deadLetters, delays, fullQueue, largeMessage, errors, cleanUp,
  ]
  for (const part of parts) {
    await part(connection)
    console.log(`ok amqplib ${part.name}`)
  }
  await connection.close()
  for (const part of [wrongPassword, heartbeats]) {
    await part(url)
    console.log(`ok amqplib ${part.name}`)
  }
}

main(process.argv[2]).then(
  () => process.exit(0),
  (error) => {
    console.error(`amqplib: ${error.stack}`)
    process.exit(1)
  },
)
