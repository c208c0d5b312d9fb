// Time as the gateway has it, and what counts up or down with it.

const TICK_MS = 100

// How far this machine's clock is ahead of the gateway's; what was heard soonest tells it best.
let ahead = null

/** Learns from a time that was just sent. */
export function heard(at) {
  const sent = Date.parse(at)
  if (Number.isNaN(sent)) return
  const seen = Date.now() - sent
  // A clock that was set is believed slowly.
  ahead = ahead === null ? seen : Math.min(seen, ahead + 5)
}

/** The gateway's time in milliseconds. */
export const now = () => Date.now() - (ahead ?? 0)

/** Microseconds of an RFC 3339 time, which `Date` would cut to milliseconds. */
export function micros(at) {
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? ''
  return Math.floor(Date.parse(at) / 1000) * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

const counters = new Map()

/** Calls `show` now and on every tick, as long as `node` is in the page. One of a node; `null` ends it. */
export function counting(node, show) {
  if (!show) return counters.delete(node)
  counters.set(node, show)
  show()
}

function tick() {
  for (const [node, show] of counters) {
    if (!node.isConnected) counters.delete(node)
    else if (node.offsetParent) show()
  }
}

let timer = null

/** Nothing counts while nobody looks. */
function mind() {
  clearInterval(timer)
  timer = document.hidden ? null : setInterval(tick, TICK_MS)
}
document.addEventListener('visibilitychange', mind)
mind()
