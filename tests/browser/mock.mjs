// A gateway that is none: serves the page and answers what the console asks, in scenes that a real system shows seldom or never.
//
// By hand: node mock.mjs PORT [SCENE], and then a browser. PUT /mock/scene changes the scene while it runs.

import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const PAGE = new URL('../../gateway/src/console/page/', import.meta.url)
const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' }
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

export const SCENES = ['calm', 'away', 'blocked', 'silent', 'hostile']

const EVIL = `<script>document.title='pwned'</script><img src=x onerror="document.title='pwned'">"'>${'\u202e'}`
const LONG = `${'x'.repeat(3000)}`

const ago = (ms) => new Date(Date.now() - ms).toISOString()
const BEGUN = ago(3 * 3600e3)

function actor(name, more = {}) {
  return {
    name,
    status: 'running',
    generation: 1,
    restarts: 0,
    mailbox: 0,
    lastCause: null,
    nextAttemptAt: null,
    observed: {},
    ...more,
  }
}

function brokerActor(scene, consumers, since) {
  const queues = consumers.map((queue, index) => ({
    queue,
    acked: 1200 + index,
    retried: 3,
    dead: 2,
    inProgress: scene === 'calm' ? 4 : 0,
  }))
  const observed = {
    link: 'connected',
    broker: '127.0.0.1:5672/%2f (RabbitMQ 3.10.8)',
    connectedSince: BEGUN,
    blockedSince: null,
    unconfirmed: scene === 'calm' ? 12 : 0,
    consumers: queues,
  }
  if (scene === 'blocked')
    return actor('broker', {
      generation: 4,
      restarts: 3,
      mailbox: 31,
      observed: { ...observed, link: 'blocked', blockedSince: since },
    })
  if (scene !== 'away')
    return actor('broker', {
      generation: 4,
      restarts: 3,
      lastCause: { kind: 'lost', message: 'connection reset by peer' },
      observed,
    })
  // Tries every 1.5 s, as the guardian does when the broker stays away.
  const period = 1500
  const attempts = Math.floor((Date.now() - Date.parse(since)) / period)
  return actor('broker', {
    status: 'restarting',
    generation: 4 + attempts,
    restarts: 3 + attempts,
    mailbox: 2,
    lastCause: { kind: 'lost', message: 'cannot connect to 127.0.0.1:5672: connection refused' },
    nextAttemptAt: new Date(Date.parse(since) + (attempts + 1) * period).toISOString(),
    observed: { ...observed, link: 'connecting', connectedSince: null },
  })
}

function processOf(service, scene, since) {
  const away = scene === 'away'
  const waiting = away || scene === 'blocked' ? Math.floor((Date.now() - Date.parse(since)) / 25) : 0
  const repository = (more) =>
    actor('repository', {
      observed: { store: 'redb', commits: 21830, commands: 30412, outboxPending: waiting },
      ...more,
    })
  const relay = actor('relay', {
    observed: { inHand: waiting ? 64 : 0, inFlight: 0, sent: 21002, brokerIsThere: !away },
  })
  const consumer = (queue) =>
    actor(`consumer:${queue}`, { observed: { queue, applied: 10411, seenBefore: 2, notYet: 0, refused: 1 } })
  const actors = {
    gateway: [
      actor('upstream-health', {
        observed: {
          upstreams: [{ name: 'users', inFlight: 2, endpoints: [{ address: '127.0.0.1:3001', breaker: 'closed' }] }],
        },
      }),
      actor('auth-keys'),
      actor('api-description'),
      actor('proxy-0', { mailbox: 0, observed: { connections: 33, in_progress: 2, answered: 40120, refused: 8 } }),
      actor('proxy-1', { observed: { connections: 31, in_progress: 1, answered: 39811, refused: 2 } }),
      actor('status-board'),
      actor('dead-letters'),
    ],
    orders: [
      repository(),
      consumer('orders.user-created'),
      actor('customers', { observed: { breaker: 'closed' } }),
      brokerActor(scene, ['orders.user-created'], since),
      relay,
    ],
    users: [
      repository({
        generation: 2,
        restarts: 1,
        mailbox: 3,
        lastCause: { kind: 'panicked', message: 'asked to, by POST /actors/repository/fault' },
      }),
      consumer('users.order-created'),
      consumer('users.order-cancelled'),
      actor('passwords'),
      actor('signing-keys'),
      brokerActor(scene, ['users.order-created', 'users.order-cancelled'], since),
      relay,
    ],
  }[service]
  const port = { gateway: 8081, orders: 3002, users: 3001 }[service]
  const process = {
    service,
    address: `127.0.0.1:${port}`,
    state: away && service !== 'gateway' ? 'degraded' : 'ready',
    reason: away && service !== 'gateway' ? 'broker: away; events wait in the outbox' : null,
    since: BEGUN,
    pid: 4000 + port,
    startedAt: BEGUN,
    keeper: 'cargo up',
    faults: true,
    actors,
    counts: { requests: 61_204 + Math.floor((Date.now() / 20) % 1e6), failures: 3 },
    lastIncident: 9,
  }
  if (scene === 'silent' && service === 'users')
    return { ...process, state: 'silent', reason: 'connection refused', since, heardAt: since }
  if (scene === 'hostile') {
    process.reason = `${EVIL} ${LONG}`
    process.state = 'degraded'
    process.actors = [
      ...actors,
      actor(`${EVIL}${LONG}`, {
        status: 'restarting',
        generation: 1e9,
        restarts: 1e9,
        mailbox: 1e9,
        lastCause: { kind: 'failed', message: `${EVIL}${LONG}` },
        observed: { [EVIL]: LONG, deep: { er: [1, { [LONG]: EVIL }] } },
      }),
      actor('null', { observed: null }),
    ]
  }
  return process
}

/** What the console's contracts promise, of a system in some scene. */
export class Mock {
  #server
  #scene = 'calm'
  #since = ago(0)
  #changes = 0
  #streams = new Set()
  #letters = letters()
  #experiment = null
  #receipts = [
    receipt(2, 'Kill the process of users', {}),
    receipt(1, 'Cut the link of orders', {
      verdict: 'not clear',
      lost: 1,
      notes: ['order 01a2 was answered with 201 and is not in the store'],
    }),
  ]
  #levels = { gateway: 'info', users: 'info', orders: 'info,common::broker=debug' }
  /** Every request as `METHOD path`, and the changing ones with their body. */
  requests = []

  constructor({ scene = 'calm', faults = true, token = null, counts = true } = {}) {
    this.faults = faults
    this.counts = counts
    this.token = token
    this.scene(scene)
  }

  scene(name) {
    this.#scene = name
    this.#changes += 1
    this.#since = ago(0)
    if (name === 'hostile') this.#letters = hostileLetters()
    this.#push()
  }

  async start(port = 0) {
    this.#server = createServer((request, response) => this.#answer(request, response))
    await new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    this.timer = setInterval(() => this.#push(), 500)
    this.origin = `http://127.0.0.1:${this.#server.address().port}`
    return this
  }

  /** How many streams are open. */
  get viewers() {
    return this.#streams.size
  }

  async stop() {
    if (!this.#server.listening) return
    clearInterval(this.timer)
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  snapshot() {
    const scene = this.#scene
    const process = (service) => processOf(service, scene, this.#since)
    const wave = 1 + 0.3 * Math.sin(Date.now() / 3000)
    const link = (from, to, rate, more = {}) => ({
      from,
      to,
      state: 'up',
      rate: Math.round(rate * wave * 10) / 10,
      detail: null,
      ...more,
    })
    const amqp =
      {
        away: { state: 'down', rate: 0, detail: 'connection refused' },
        blocked: { state: 'degraded', rate: 0, detail: 'blocked: memory' },
      }[scene] ?? {}
    const users = scene === 'silent' ? { state: 'down', rate: 0, detail: 'connection refused' } : {}
    const broker = { away: 'away', blocked: 'blocked' }[scene] ?? 'connected'
    const evil = scene === 'hostile' ? { state: 'degraded', rate: 1e12, detail: `${EVIL}${LONG}` } : {}
    return {
      at: ago(0),
      gateway: process('gateway'),
      services: [
        { name: 'users', processes: [process('users')] },
        { name: 'orders', processes: [process('orders')] },
      ],
      broker: { state: broker, name: scene === 'hostile' ? `${EVIL}${LONG}` : '127.0.0.1:5672/%2f (RabbitMQ 3.10.8)' },
      links: [
        link('gateway', 'users', 12.4, { ...users, ...evil }),
        link('gateway', 'orders', 48, evil),
        link('orders', 'users', 41, users),
        link('orders', 'broker', 44, amqp),
        link('users', 'broker', 3.2, { ...amqp, ...(scene === 'silent' && users) }),
        link('broker', 'users', 44, { ...amqp, ...(scene === 'silent' && users) }),
        link('broker', 'orders', 3.2, amqp),
      ],
      deadLetters: this.counts
        ? { waiting: scene === 'hostile' ? 1e9 : this.#letters.length, countedAt: ago(2000) }
        : null,
      incidents: { gateway: 3, users: 8 + this.#changes, orders: 9 },
      faults: this.faults,
      experiment: this.#experiment,
    }
  }

  #push(event = 'state', data = this.snapshot()) {
    for (const stream of this.#streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  async #answer(request, response) {
    const url = new URL(request.url, 'http://mock')
    const { method } = request
    let body = ''
    for await (const chunk of request) body += chunk
    const path = url.pathname
    this.requests.push(method === 'GET' ? `${method} ${path}` : `${method} ${path} ${body}`)
    const json = (value, status = 200) => {
      const type = status < 400 ? 'application/json' : 'application/problem+json'
      response
        .writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
        .end(value === null ? '' : JSON.stringify(value))
    }
    const problem = (status, detail) => json({ type: 'about:blank', title: 'refused', status, detail }, status)
    const asked = body ? JSON.parse(body) : {}

    if (path === '/' || /^\/console\/\w+\.\w+$/.test(path)) {
      const name = path === '/' ? 'index.html' : path.slice('/console/'.length)
      const file = await readFile(new URL(name, PAGE)).catch(() => null)
      if (!file) return problem(404, `no file ${name}`)
      return response
        .writeHead(200, {
          'content-type': TYPES[name.split('.').pop()],
          'content-security-policy': POLICY,
          'x-content-type-options': 'nosniff',
        })
        .end(file)
    }
    if (path === '/mock/scene' && method === 'PUT') return (this.scene(asked.scene), json(null, 204))
    if (path === '/session' && method === 'POST') {
      if (asked.token !== this.token) return problem(401, 'this is not the token')
      return response.writeHead(204, { 'set-cookie': 'warren=yes; HttpOnly; SameSite=Strict; Path=/' }).end()
    }
    if (path === '/session' && method === 'DELETE')
      return response.writeHead(204, { 'set-cookie': 'warren=; Max-Age=0; Path=/' }).end()
    if (this.token && !/warren=yes/.test(request.headers.cookie ?? '')) return problem(401, 'a token is needed')

    if (path === '/console/state') return json(this.snapshot())
    if (path === '/console/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
      this.#streams.add(response)
      response.on('close', () => this.#streams.delete(response))
      return this.#push()
    }
    if (path === '/console/timeline') {
      const { service, kind, text, limit } = Object.fromEntries(url.searchParams)
      const fits = (item) =>
        (!service || item.service === service) &&
        (!kind || item.kind === kind) &&
        (!text || JSON.stringify(item).includes(text))
      return json({
        items: timeline(this.#scene, this.#since)
          .filter(fits)
          .slice(0, Number(limit ?? 200)),
        silent: this.#scene === 'silent' ? ['users'] : [],
      })
    }
    if (path === '/console/ledger') return json({ events: ledger(url.searchParams.get('q'), this.#scene), silent: [] })
    if (path === '/log-level') {
      if (method === 'GET') return json(this.#levels)
      if (/\s/.test(asked.level)) return problem(400, `cannot read the level ${asked.level}`)
      for (const name of asked.service ? [asked.service] : Object.keys(this.#levels)) this.#levels[name] = asked.level
      return json(this.#levels)
    }
    if (path.startsWith('/dead-letters')) return this.#deadLetters(method, path, asked, json, problem)
    if (path === '/experiments' && this.faults) {
      if (method === 'GET') return json({ kinds: KINDS, running: this.#experiment, receipts: this.#receipts })
      return json(this.#experimentBegins(asked), 202)
    }
    problem(404, 'not here')
  }

  #deadLetters(method, path, asked, json, problem) {
    if (method === 'GET') return json({ items: this.#letters, more: false })
    if (asked.confirm !== true) return problem(409, 'confirmation missing')
    const key = decodeURIComponent(path.split('/')[2])
    const before = this.#letters.length
    this.#letters = key === 'replay' ? [] : this.#letters.filter((letter) => letter.key !== key)
    if (method === 'DELETE') return json(null, 204)
    json({ replayed: before - this.#letters.length, left: this.#letters.length })
  }

  #experimentBegins({ kind }) {
    const { title } = KINDS.find((each) => each.kind === kind)
    const serial = this.#receipts[0].number + 1
    const phases = ['loading', 'fault', 'recovering', 'draining', 'auditing']
    this.#experiment = { number: serial, kind, title, startedAt: ago(0), phase: phases[0], accepted: 0, refused: 0 }
    const begun = this.#experiment
    const step = () => {
      const next = phases[phases.indexOf(this.#experiment.phase) + 1]
      if (next) {
        this.#experiment = {
          ...this.#experiment,
          phase: next,
          accepted: this.#experiment.accepted + 211,
          refused: this.#experiment.refused + 1,
        }
        setTimeout(step, 400).unref()
        return this.#push()
      }
      this.#experiment = null
      this.#receipts = [receipt(serial, title, { startedAt: begun.startedAt }), ...this.#receipts]
      this.#push()
      this.#push('receipt', this.#receipts[0])
    }
    setTimeout(step, 400).unref()
    return begun
  }
}

const kind = (name, title, services, why = null) => ({ kind: name, title, services, available: why === null, why })
const KINDS = [
  kind('crashActor', 'Crash an actor', ['gateway', 'users', 'orders']),
  kind('cutLink', 'Cut a link to the broker', ['users', 'orders']),
  kind('blockLink', 'Block the broker', ['users', 'orders']),
  kind('killProcess', 'Kill a process', ['users', 'orders'], 'nobody brings it back: start the system by cargo up'),
  kind('stallService', 'Stall a service', ['users']),
  kind('placeOrders', 'Place orders', []),
]

function receipt(serial, title, more) {
  return {
    number: serial,
    kind: 'killProcess',
    title,
    startedAt: ago(60_000 * (9 - serial)),
    lastedMs: 9120,
    faultMs: 5002,
    recoveredMs: 212,
    accepted: 844,
    refused: 4,
    unknown: 0,
    waited: 318,
    drainedMs: 301,
    lost: 0,
    doubled: 0,
    verdict: 'clear',
    notes: [],
    ...more,
  }
}

function timeline(scene, since) {
  const entry = (id, service, kind, subject, cause, begun, lasted, more = {}) => ({
    id,
    service,
    kind,
    subject,
    cause,
    at: ago(begun),
    endedAt: lasted === null ? null : ago(begun - lasted),
    durationMs: lasted,
    generation: null,
    attempts: 1,
    waited: null,
    drainedMs: null,
    ...more,
  })
  const items = [
    entry(3, 'gateway', 'operator', 'log level', 'set to debug for users', 61_000, 0),
    entry(9, 'orders', 'link', 'broker', 'lost: connection reset by peer', 200_000, 12_400, {
      attempts: 9,
      waited: 318,
      drainedMs: 301,
      generation: 4,
    }),
    entry(8, 'users', 'link', 'broker', 'lost: connection reset by peer', 200_010, 12_380, {
      attempts: 8,
      waited: 4,
      drainedMs: 12,
      generation: 4,
    }),
    entry(7, 'users', 'actor', 'repository', 'panicked: asked to, by POST /actors/repository/fault', 900_000, 36, {
      generation: 2,
    }),
    entry(2, 'gateway', 'breaker', '127.0.0.1:3001', '5 of the last 5 requests failed', 1_800_000, 3_000),
    entry(1, 'gateway', 'ejection', '127.0.0.1:3001', 'not ready: connection refused', 1_800_300, 5_020),
    entry(6, 'users', 'process', 'users', 'killed by signal 9', 1_801_000, 412, { generation: 2 }),
    entry(5, 'orders', 'blocked', 'broker', 'memory alarm', 100_000_000, 5_000, { waited: 1204, drainedMs: 96 }),
  ]
  if (scene === 'away')
    items.unshift(
      ...['orders', 'users'].map((name, index) => ({
        ...entry(20 + index, name, 'link', 'broker', 'lost: connection reset by peer', 0, null, { attempts: 3 }),
        at: since,
      })),
    )
  if (scene === 'hostile') {
    for (let id = 1000; id > 0; id -= 1)
      items.push(
        entry(
          id,
          'users',
          id % 7 ? 'actor' : EVIL,
          id % 5 ? EVIL : LONG,
          id % 3 ? LONG : EVIL,
          100_000_000 + (1000 - id) * 60_000,
          12,
        ),
      )
  }
  return items
}

function ledger(id, scene) {
  if (!id || id.startsWith('nothing')) return []
  const begun = Date.now() - 42_000
  let micros = begun * 1000
  const step = (name, after, service, actor, more = {}) => {
    micros += after
    const at = `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`
    return {
      step: name,
      at,
      service,
      pid: service === 'orders' ? 7002 : 7001,
      actor,
      generation: actor === 'broker' ? 4 : 1,
      queue: null,
      attempt: null,
      redelivered: null,
      reason: null,
      ...more,
    }
  }
  const queue = 'users.order-created'
  const events = [
    {
      id: '01a2054f-1ac1-719e-b6f0-b9274c934935',
      type: 'order.created',
      source: 'orders',
      about: [id, 'u1'],
      requestId: '01a2054f-1abf-7c11-8d07-0c9a2e5a7b61',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      steps: [
        step('accepted', 0, 'orders', null),
        step('committed', 840, 'orders', 'repository'),
        step('published', 410, 'orders', 'broker'),
        step('confirmed', 1630, 'orders', 'broker'),
        step('delivered', 390, 'users', 'broker', { queue, attempt: 1 }),
        step('notYet', 120, 'users', `consumer:${queue}`, { queue, attempt: 1, reason: 'no such user: u1' }),
        step('retried', 800, 'users', 'broker', { queue, attempt: 1 }),
        step('delivered', 9000, 'users', 'broker', { queue, attempt: 2, redelivered: true }),
        step('applied', 910, 'users', 'repository', { queue, attempt: 2 }),
        step('acked', 150, 'users', 'broker', { queue, attempt: 2 }),
      ],
    },
  ]
  if (scene === 'hostile') {
    events.push({
      id: `${EVIL}${LONG}`,
      type: EVIL,
      source: LONG,
      about: [EVIL, LONG, LONG],
      requestId: EVIL,
      traceId: LONG,
      steps: [step(EVIL, 0, EVIL, LONG, { reason: LONG, queue: LONG }), step('dead', 1e11, 'users', EVIL)],
    })
  }
  return events
}

function letter(key, more) {
  const id = `01a2054f-0000-7000-8000-00000000000${key}`
  const headers = {
    'x-reason': 'not yet: no such user',
    'x-attempts': '4',
    'x-queue': 'users.order-created',
    'x-routing-key': 'order.created',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  }
  const body = JSON.stringify({ id: `o${key}`, userId: 'u9', items: ['book'], status: 'created' })
  return {
    key: `k${key}`,
    id,
    queue: 'users.order-created',
    routingKey: 'order.created',
    reason: 'not yet: no such user u9',
    attempts: 4,
    failedAt: ago(90_000),
    headers,
    body,
    bodyBase64: null,
    bodyBytes: body.length,
    ...more,
  }
}

function letters() {
  return [
    letter(1, {}),
    letter(2, { reason: 'not JSON: expected value at line 1 column 1', attempts: 1, body: 'nonsense', bodyBytes: 8 }),
    letter(3, {
      id: null,
      queue: null,
      routingKey: 'order.teleported',
      reason: null,
      attempts: null,
      failedAt: null,
      headers: {},
      body: null,
      bodyBase64: 'AAH/gA==',
      bodyBytes: 4,
    }),
  ]
}

function hostileLetters() {
  return [
    letter(1, {
      body: EVIL,
      reason: EVIL,
      routingKey: EVIL,
      queue: LONG,
      headers: { [EVIL]: LONG, [LONG]: EVIL, deep: { er: [EVIL] } },
    }),
    letter(2, { id: `${EVIL}${LONG}`, key: `${EVIL}/../..`, body: `${LONG}${LONG}`, reason: LONG }),
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port = '9080', scene = 'calm'] = process.argv.slice(2)
  const mock = await new Mock({ scene, token: process.env.ADMIN_TOKEN ?? null }).start(Number(port))
  console.log(`${mock.origin} shows ${scene}; others: ${SCENES.join(', ')}`)
}
