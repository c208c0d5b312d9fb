// One line at the top: what is wrong right now, or that nothing is.

import { byId } from './dom.js'
import { showState } from './states.js'
import { capital, count } from './words.js'

export function showVerdict(snapshot) {
  const troubles = troublesOf(snapshot)
  const bad = troubles.some(({ bad }) => bad)
  const said = troubles.length ? troubles.map((trouble) => trouble.said) : ['everything works']
  const dead = snapshot.deadLetters?.waiting ?? 0
  // They are no trouble of the system, and wait for somebody to decide.
  if (dead) said.push(`${count(dead, 'dead letter')} ${dead === 1 ? 'waits' : 'wait'}`)
  const state = bad ? 'down' : troubles.length || dead ? 'degraded' : 'ready'
  showState(byId('verdict'), state, capital(said.join('; ')))
  setTitle(troubles.length)
}

function setTitle(troubles) {
  const title = troubles ? `(${troubles}) Warren` : 'Warren'
  if (document.title !== title) document.title = title
}

export function troublesOf({ broker, services, links, gateway }) {
  const troubles = []
  const say = (said, bad = true) => troubles.push({ said, bad })

  const waits = waitingIn(services.flatMap(({ processes }) => processes))
  const waiting = waits ? `, ${count(waits, 'event')} ${waits === 1 ? 'waits' : 'wait'}` : ', events will wait'
  if (broker.state === 'away') say(`the broker is away${waiting}`)
  if (broker.state === 'blocked') say(`the broker takes no events${waiting}`, false)
  const silent = services.filter(
    ({ processes }) => processes.length && processes.every(({ state }) => state === 'silent'),
  )
  for (const { name } of silent) say(`the ${name} service does not answer`)

  const gone = new Set([...silent.map(({ name }) => name), ...(broker.state === 'away' ? ['broker'] : [])])
  for (const { from, to, state } of links) {
    // What follows from something that is gone is not said again.
    if (state === 'down' && !gone.has(from) && !gone.has(to)) say(`${from} does not reach ${to}`)
  }
  const processes = [gateway, ...services.flatMap((service) => service.processes)].filter(Boolean)
  for (const { service, state, actors, reason } of processes) {
    if (state === 'silent') continue
    const down = (actors ?? []).filter(
      ({ name, status }) => status !== 'running' && !(name === 'broker' && broker.state !== 'connected'),
    )
    if (down.length) say(`${service} restarts ${down.map(({ name }) => name).join(', ')}`)
    else if (state === 'unready') say(`${service} is not ready${reason ? `: ${reason}` : ''}`)
    else if (state === 'degraded' && !troubles.length)
      say(`${service} is degraded${reason ? `: ${reason}` : ''}`, false)
  }
  return troubles
}

/** The events in the outboxes of `processes`. */
export function waitingIn(processes) {
  const actors = processes.flatMap((process) => process?.actors ?? [])
  const waits = ({ name, observed }) => (name === 'repository' ? (observed?.outboxPending ?? 0) : 0)
  return actors.reduce((sum, actor) => sum + waits(actor), 0)
}
