// The whole system, started as a person would start it, on ports and data of its own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { eventually } from './patience.mjs'

const WARREN = process.env.WARREN ?? 'target/debug/warren'

/** Ports on which nobody listens. */
async function freePorts(amount) {
  const servers = await Promise.all(
    Array.from({ length: amount }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

// Whatever was started ends with this process, also when that is told to end in the middle of a story.
const children = new Set()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

export class System {
  #child
  #output = ''

  /** `broker` is `embedded` or `rabbitmq`; `env` is added to what the system is started with. */
  static async start({ broker, env = {} }) {
    const system = new System()
    system.broker = broker
    system.data = await mkdtemp(path.join(tmpdir(), 'warren-browser-'))
    system.ports = await freePorts(4)
    await system.up(env)
    return system
  }

  async up(env = {}) {
    const [gateway, users, orders, admin] = this.ports.map(String)
    const options = [
      '--gateway-port',
      gateway,
      '--users-port',
      users,
      '--orders-port',
      orders,
      '--admin-port',
      admin,
      '--data',
      this.data,
    ]
    this.#output = ''
    this.#child = spawn(WARREN, ['up', '--broker', this.broker, ...options], {
      env: { ...process.env, AUTH: 'open', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const child = this.#child
    children.add(child)
    child.once('exit', () => children.delete(child))
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (text) => (this.#output += text))
    this.public = `http://127.0.0.1:${gateway}`
    this.console = `http://127.0.0.1:${admin}`
    const ready = async () => {
      if (this.#child.exitCode !== null) throw new Error(`it ended:\n${this.#output.slice(-3000)}`)
      return /\| ready after/.test(this.#output)
    }
    await eventually(`${this.broker} system is ready`, ready, 60_000).catch((error) => {
      throw new Error(`${error.message}\n${this.#output.slice(-3000)}`)
    })
    await eventually(
      'all is linked',
      async () => (await (await fetch(`${this.public}/health/ready`)).json()).status === 'ready',
    )
  }

  /** The broker's process as the launcher named it last. */
  get brokerPid() {
    const named = [...this.#output.matchAll(/\| (?:broker: .*\(process|(?:broker|rabbitmq) is back as process) (\d+)/g)]
    return Number(named.at(-1)[1])
  }

  get amqpUrl() {
    return /amqp:\/\/\S+/.exec(this.#output)[0]
  }

  /** Ends it in order; its data stays. */
  async down() {
    if (!this.#child || this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const last = setTimeout(() => this.#child.kill('SIGKILL'), 30_000)
    await ended
    clearTimeout(last)
  }

  async stop() {
    await this.down()
    await rm(this.data, { recursive: true, force: true })
  }

  /** Places an order through the public port and returns it. */
  async placeOrder(userId = 'u1') {
    const response = await fetch(`${this.public}/api/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ userId, items: ['book'] }),
    })
    if (response.status !== 201)
      throw new Error(`the order was answered with ${response.status}: ${await response.text()}`)
    return response.json()
  }

  async user(id) {
    const response = await fetch(`${this.public}/api/users/${id}`)
    return response.ok ? response.json() : null
  }
}

/**
 * Kills the broker with signal 9. The embedded one would be back before anybody saw it gone: there its port is taken
 * meanwhile, so that it cannot begin again until `release()`; a RabbitMQ takes its time by itself.
 */
export async function killBroker(system) {
  const { hostname, port } = new URL(system.amqpUrl)
  process.kill(system.brokerPid, 'SIGKILL')
  const killed = Date.now()
  if (system.broker === 'rabbitmq') return { killed, release: async () => {} }

  const squatter = createServer((socket) => socket.destroy())
  await eventually('the port of the dead broker is taken', async () => {
    squatter.listen(Number(port), hostname)
    await Promise.race([once(squatter, 'listening'), once(squatter, 'error').then(([error]) => Promise.reject(error))])
    return true
  })
  return { killed, release: () => new Promise((resolve) => squatter.close(resolve)) }
}
