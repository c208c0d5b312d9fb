// One process of a service: where it runs, how it is, and its actors. One that is silent keeps what was last heard of it.

import { makeActor } from './actors.js'
import { counting, now } from './clock.js'
import { make, setHidden, setText, showList } from './dom.js'
import { makeState, showState } from './states.js'
import { clockTime, duration, seconds } from './words.js'

export function makeProcess() {
  const address = make('span', { class: 'address' })
  const about = make('span', { class: 'about' })
  const state = makeState()
  const trouble = make('p', { class: 'trouble' })
  const actors = make('ul', { class: 'actors', 'aria-label': 'Actors' })
  const titles = make(
    'p',
    { class: 'titles', 'aria-hidden': 'true' },
    ...['', 'actor', 'state', 'gen', 'restarts', 'mailbox'].map((title) => make('span', {}, title)),
  )
  const node = make(
    'li',
    { class: 'process' },
    make('p', { class: 'line' }, state, address, about),
    trouble,
    titles,
    actors,
  )
  return {
    node,
    update(process) {
      showState(node, process.state)
      showState(state, process.state, process.state)
      setText(address, process.address ?? '')
      counting(about, () => setText(about, aboutOf(process)))
      const isTroubled = process.state !== 'ready'
      setHidden(trouble, !isTroubled)
      counting(trouble, isTroubled ? () => setText(trouble, troubleOf(process)) : null)
      setHidden(titles, !process.actors?.length)
      showList(
        actors,
        process.actors ?? [],
        ({ name }) => name,
        ({ name }) => makeActor(name, process.service),
      )
    },
  }
}

function aboutOf({ pid, startedAt, keeper }) {
  const said = []
  if (pid) said.push(`pid ${pid}`)
  const age = now() - Date.parse(startedAt)
  // In minutes once it is a minute old: nobody needs the seconds.
  if (age >= 0)
    said.push(`up ${age < 60_000 ? `${Math.floor(age / 1000)} s` : duration(Math.floor(age / 60_000) * 60_000)}`)
  if (keeper) said.push(`kept by ${keeper}`)
  return said.join(' · ')
}

function troubleOf({ state, reason, since, heardAt }) {
  const lasted = seconds(now() - Date.parse(since))
  if (state !== 'silent') return reason ?? ''
  const heard = heardAt ? `last heard ${clockTime(heardAt)}, as shown here` : 'never heard'
  return `silent for ${lasted}${reason ? `: ${reason}` : ''}; ${heard}`
}
