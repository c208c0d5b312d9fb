// Says in a live region what broke and what healed, for those who listen rather than look.

import { byId, make } from './dom.js'
import { capital } from './words.js'

const KEEP = 5

export function announce(text) {
  const region = byId('announcer')
  region.append(make('p', {}, text))
  while (region.childElementCount > KEEP) region.firstElementChild.remove()
}

let before = null

/** Compares the snapshot with the one before. */
export function announceChanges(snapshot) {
  const states = new Map()
  for (const { from, to, state } of snapshot.links) {
    states.set(`the link from ${from} to ${to}`, state === 'down' ? 'is broken' : state === 'up' ? 'works' : null)
  }
  for (const { name, processes } of snapshot.services) {
    const silent = processes.length > 0 && processes.every((process) => process.state === 'silent')
    states.set(`the service ${name}`, silent ? 'does not answer' : 'answers')
  }
  if (before) {
    const changed = []
    for (const [what, state] of states) {
      const was = before.get(what)
      // A link on its way between the two is announced when it has arrived.
      if (state === null) states.set(what, was ?? null)
      else if (was && was !== state) changed.push(`${what} ${state}${/works|answers/.test(state) ? ' again' : ''}`)
    }
    if (changed.length) announce(capital(changed.join('; ')))
  }
  before = states
}
