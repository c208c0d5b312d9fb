// The stream of snapshots: opened while somebody looks, opened again when it ends, and honest about both.

import { ask, Refusal } from './api.js'

// The gateway speaks at least every 5 s; whoever says nothing for longer is gone.
const SILENCE_MS = 12_000
const PAUSES_MS = [250, 500, 1000, 2000, 4000]

let source = null
let silence = null
let retry = null
let failures = 0
let stopped = true
let told = () => {}
let react = {}

/**
 * Reads from now on. `react.state(snapshot)` and `react.receipt(receipt)` hear what comes;
 * `react.life({ life: 'live' | 'lost' | 'paused', retryAt })` hears how the stream itself is.
 */
export function follow(reactions) {
  react = reactions
  told = reactions.life
  document.addEventListener('visibilitychange', () => {
    if (!stopped) connect()
  })
  stopped = false
  connect()
}

/** Ends it, until `resume`. */
export function stop() {
  stopped = true
  close()
}

export function resume() {
  stopped = false
  failures = 0
  connect()
}

function close() {
  source?.close()
  source = null
  clearTimeout(silence)
  clearTimeout(retry)
}

function pause() {
  close()
  told({ life: 'paused' })
}

/** Reads while somebody looks; nobody who looks elsewhere is worked for. */
async function connect() {
  close()
  if (document.hidden) return pause()
  // An EventSource cannot say why it was refused; a plain question can.
  const mine = (source = { close() {} })
  try {
    const snapshot = await ask('GET', '/console/state')
    if (source !== mine) return
    react.state(snapshot)
  } catch (error) {
    if (source !== mine || stopped) return
    if (error instanceof Refusal && error.status === 401) return stop()
    return lost()
  }
  listen()
}

function listen() {
  const events = new EventSource('/console/events')
  source = events
  const heard = () => {
    failures = 0
    clearTimeout(silence)
    silence = setTimeout(lost, SILENCE_MS)
    told({ life: 'live' })
  }
  const on = (name, hear) =>
    events.addEventListener(name, (event) => {
      if (source !== events) return
      heard()
      hear(JSON.parse(event.data))
    })
  on('state', (snapshot) => react.state(snapshot))
  on('receipt', (receipt) => react.receipt(receipt))
  events.onerror = () => {
    if (source === events) lost()
  }
  silence = setTimeout(lost, SILENCE_MS)
}

function lost() {
  close()
  const longest = PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]
  const wait = longest * (0.5 + Math.random() / 2)
  failures += 1
  told({ life: 'lost', retryAt: Date.now() + wait })
  retry = setTimeout(connect, wait)
}
