// One actor: a row that tells its state, and what it says of itself when it is unfolded.

import { counting, now } from './clock.js'
import { make, setAttribute, setHidden, setText, showFacts } from './dom.js'
import { showState } from './states.js'
import { cause, clockTime, number } from './words.js'

export function makeActor(name, service) {
  const state = make('span', { class: 'state' }, make('span', { class: 'words' }))
  const symbol = make('span', { class: 'symbol', 'aria-hidden': 'true' })
  const [generation, restarts, mailbox] = ['generation', 'restarts', 'mailbox'].map((what) =>
    make('span', { class: `figure ${what}` }),
  )
  const why = make('span', { class: 'why' })
  const facts = make('dl', { class: 'facts' })
  const row = make(
    'summary',
    { class: 'actor' },
    symbol,
    make('span', { class: 'name', title: name }, shortName(name, service)),
    state,
    make('span', { class: 'figures' }, generation, restarts, mailbox),
    why,
  )
  const details = make('details', { 'data-actor': name }, row, facts)
  let latest = null
  details.addEventListener('toggle', () => latest && unfold())

  /** What is folded costs nothing. */
  function unfold() {
    if (!details.open) return
    const { observed, nextAttemptAt, lastCause } = latest
    const own =
      observed && typeof observed === 'object' ? flat(observed) : [['says', observed === null ? 'nothing' : observed]]
    const next = nextAttemptAt ? clockTime(nextAttemptAt, { millis: true }) : null
    showFacts(facts, [['name', name], ['last cause', cause(lastCause)], ['next attempt', next], ...own])
  }

  return {
    node: make('li', {}, details),
    update(actor) {
      latest = actor
      showState(row, actor.status)
      setAttribute(details, 'data-status', actor.status)
      const isWaiting = actor.status === 'restarting' && actor.nextAttemptAt
      if (!isWaiting) setText(state.lastElementChild, actor.status)
      counting(state, isWaiting ? () => setText(state.lastElementChild, dueIn(actor.nextAttemptAt)) : null)
      figure(generation, actor.generation, 'generation ')
      figure(restarts, actor.restarts, '', ` ${actor.restarts === 1 ? 'restart' : 'restarts'}`)
      figure(mailbox, actor.mailbox, '', ' in the mailbox')
      setAttribute(restarts, 'data-some', actor.restarts > 0)
      setAttribute(mailbox, 'data-some', actor.mailbox > 0)
      setHidden(why, !actor.lastCause)
      setText(why, actor.lastCause ? `${actor.status === 'running' ? 'last ' : ''}${cause(actor.lastCause)}` : '')
      unfold()
    },
  }
}

function dueIn(at) {
  const left = Date.parse(at) - now()
  return left > 0 ? `again in ${(left / 1000).toFixed(1)} s` : 'trying again'
}

/** A number for the eye, and the same with its unit for the ear and for narrow screens. */
function figure(node, value, before, after = '') {
  const said = typeof value === 'number' ? number(value) : '–'
  if (node.dataset.value === said) return
  node.dataset.value = said
  node.replaceChildren(make('span', { class: 'unit' }, before), said, make('span', { class: 'unit' }, after))
}

/** `consumer:users.order-created` of users is `⇥ order-created`; unfolded it says its whole name. */
const shortName = (name, service) => name.replace(/^consumer:/, '⇥ ').replace(`⇥ ${service}.`, '⇥ ')

/** Nested state as lines: `consumers.0.acked` becomes `consumers 1 acked`. */
function flat(value, path = '') {
  return Object.entries(value).flatMap(([key, inner]) => {
    const part = Array.isArray(value) ? String(Number(key) + 1) : words(key)
    const name = path ? `${path} ${part}` : part
    if (inner && typeof inner === 'object') return Object.keys(inner).length ? flat(inner, name) : [[name, 'none']]
    return [[name, inner === null ? null : said(inner)]]
  })
}

const words = (key) => key.replaceAll('_', ' ').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)

function said(value) {
  if (typeof value === 'number') return number(value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return String(value)
}
