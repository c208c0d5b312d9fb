// How numbers, times and incidents are said. Pure, and tried by itself.

/** `850 ms`, `12.4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '?'
  const whole = Math.max(0, ms)
  if (whole === 0) return '0 ms'
  if (whole < 1) return `${Math.round(whole * 1000)} µs`
  if (whole < 10) return `${round(whole)} ms`
  if (whole < 1000) return `${Math.round(whole)} ms`
  if (whole < 59_950) return `${(whole / 1000).toFixed(1)} s`
  const seconds = Math.round(whole / 1000)
  if (seconds < 3600) return two(seconds, 60, 'min', 's')
  const minutes = Math.round(seconds / 60)
  if (minutes < 24 * 60) return two(minutes, 60, 'h', 'min')
  return two(Math.round(minutes / 60), 24, 'd', 'h')
}

const round = (number) => String(Math.round(number * 10) / 10)

function two(amount, size, large, small) {
  const rest = amount % size
  return `${Math.floor(amount / size)} ${large}${rest ? ` ${rest} ${small}` : ''}`
}

/** Seconds that count: always one decimal, so that they don't jump about. */
export const seconds = (ms) => (ms < 59_950 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : duration(ms))

export const number = (value) => (typeof value === 'number' ? value.toLocaleString('en') : '?')

export const count = (amount, one, many = `${one}s`) => `${number(amount)} ${amount === 1 ? one : many}`

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1)

/** A rate per second, in as many digits as say something. */
export function rate(value) {
  if (!(value > 0)) return '0/s'
  if (value < 10) return `${value.toFixed(1)}/s`
  return `${number(Math.round(value))}/s`
}

/** `14:03:09.120`, in the viewer's zone. */
export function clockTime(at, { millis = false } = {}) {
  const time = new Date(at)
  if (Number.isNaN(time.getTime())) return '?'
  const said = time.toLocaleTimeString('en-GB', { hour12: false })
  return millis ? `${said}.${String(time.getMilliseconds()).padStart(3, '0')}` : said
}

/** `22 Nov 2026`. */
export function day(at) {
  const time = new Date(at)
  if (Number.isNaN(time.getTime())) return 'at an unknown time'
  return time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
}

/** Why an actor ended, in words. */
export function cause(exit) {
  if (!exit) return ''
  if (typeof exit === 'string') return exit
  return exit.message ? `${exit.kind}: ${exit.message}` : String(exit.kind ?? '')
}

/** What one entry of the timeline says, in one sentence; `lasted` in milliseconds: until now for an open one, null where nobody knows. */
export function sentence(incident, lasted) {
  const { kind, subject, cause: why, attempts, generation } = incident
  if (kind === 'operator') return `${subject}: ${why}`

  const open = incident.endedAt === null || incident.endedAt === undefined
  const time = open ? seconds(lasted) : duration(lasted)
  const rest = []
  const so = (done, still) => (open ? still : done)
  const first =
    {
      actor: () => so(`${subject} restarted, back after ${time}`, `${subject} is down for ${time}`),
      link: () => so(`${subject} away ${time}`, `${subject} is away for ${time}`),
      blocked: () => so(`${subject} blocked publishers for ${time}`, `${subject} blocks publishers for ${time}`),
      breaker: () => so(`breaker opened: ${subject}, for ${time}`, `breaker opened: ${subject}, for ${time} now`),
      ejection: () =>
        so(`not ready, left alone: ${subject}, for ${time}`, `not ready, left alone: ${subject}, for ${time} now`),
      process: () =>
        so(`process of ${subject} ended, ${returned(lasted)}`, `process of ${subject} ended, away for ${time}`),
    }[kind]?.() ?? `${kind} of ${subject}, ${time}`
  if (attempts > 1) rest.push(`${number(attempts)} attempts`)
  if (kind === 'actor' && generation) rest.push(`generation ${number(generation)} ended`)
  if (typeof incident.waited === 'number') rest.push(`${count(incident.waited, 'event')} waited`)
  if (incident.waited !== 0 && typeof incident.drainedMs === 'number')
    rest.push(`drained in ${duration(incident.drainedMs)}`)
  return [first, ...rest].join(', ')
}

/** Whoever brings a process back may not have said when the one before ended. */
const returned = (lasted) =>
  typeof lasted === 'number' ? `serving again after ${duration(lasted)}` : 'nobody knows for how long it was away'

/** Bytes as people say them. */
export function bytes(size) {
  if (size < 1024) return count(size, 'byte')
  return size < 1024 * 1024 ? `${(size / 1024).toFixed(1)} KiB` : `${(size / 1024 / 1024).toFixed(1)} MiB`
}
