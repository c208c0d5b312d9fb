// The dead letters: why each died, what it says, and sending it back to where it came from.

import { ask } from './api.js'
import { confirmed } from './confirm.js'
import { byId, idLink, make, setAttribute, setHidden, setText, showFacts, showList, showNote } from './dom.js'
import { isShown, whenShown } from './tabs.js'
import { bytes, capital, clockTime, count, day, number } from './words.js'

const LIMIT = 100

let letters = []
let more = false
let deaths = null
let counted
let question = 0

export function startDeadLetters() {
  byId('dead-letters-refresh').addEventListener('click', load)
  byId('dead-letters-replay-all').addEventListener('click', replayAll)
  whenShown('dead-letters', load)
}

/** Reading the dead letters is work for the broker, so it is done when there are others than before. */
export function deadLettersHear(snapshot) {
  const actors = snapshot.services.flatMap(({ processes }) => processes).flatMap((process) => process.actors ?? [])
  const dead = actors
    .flatMap(({ observed }) => observed?.consumers ?? [])
    .reduce((sum, queue) => sum + (queue.dead ?? 0), 0)
  const waiting = snapshot.deadLetters?.waiting
  showWaiting(waiting ?? 0)
  // Consumers say at once that there is another one. How many wait is counted now and then, and known to who has just acted.
  const isNew = deaths !== null && dead !== deaths
  const isOther = waiting !== undefined && waiting !== counted && !more && waiting !== letters.length
  if ((isNew || isOther) && !isShown('dead-letters')) return
  deaths = dead
  counted = waiting
  if (isNew || isOther) load()
}

function showWaiting(waiting) {
  const place = byId('dead-letters-waiting')
  setText(place, waiting > 99 ? '99+' : waiting || '')
  setHidden(place, !waiting)
  setAttribute(byId('tab-dead-letters'), 'aria-label', waiting ? `Dead letters, ${number(waiting)} waiting` : null)
}

async function load() {
  const mine = ++question
  try {
    const answer = await ask('GET', `/dead-letters?limit=${LIMIT}`)
    if (mine !== question) return
    letters = answer.items
    more = answer.more
    const there = more ? `the first ${letters.length}, there are more` : count(letters.length, 'dead letter')
    show(letters.length ? capital(there) : 'None. Every event that came was applied, or is still being tried.')
  } catch (error) {
    if (mine === question) show(`They cannot be read: ${error.message}`, true)
  }
}

function show(text, isOdd = false) {
  note(text, isOdd)
  byId('dead-letters-replay-all').disabled = letters.length === 0
  showList(byId('dead-letters-list'), letters, ({ key }) => key, makeLetter)
}

const note = (text, isOdd) => showNote(byId('dead-letters-note'), text, isOdd)

function makeLetter(letter) {
  const headers = Object.entries(letter.headers ?? {}).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  const facts = make('dl', { class: 'facts' })
  const headerList = make('dl', { class: 'facts' })
  showFacts(facts, [
    ['event', letter.id ? idLink(letter.id) : 'without an id'],
    ['queue', letter.queue],
    ['died', letter.failedAt ? `${day(letter.failedAt)}, ${clockTime(letter.failedAt)}` : null],
    ['size', bytes(letter.bodyBytes)],
  ])
  showFacts(headerList, headers)
  const name = `${letter.routingKey}${letter.id ? ` ${letter.id}` : ''}`
  const node = make(
    'li',
    { class: 'card', 'data-key': letter.key },
    make(
      'details',
      {},
      make(
        'summary',
        {},
        make('span', { class: 'name' }, letter.routingKey),
        make(
          'span',
          { class: 'tag' },
          letter.attempts === null || letter.attempts === undefined
            ? 'attempts unknown'
            : count(letter.attempts, 'attempt'),
        ),
        make('span', { class: 'why' }, letter.reason ?? 'no reason given'),
      ),
      facts,
      make('h3', {}, 'Payload'),
      make('pre', { tabindex: '0', 'aria-label': 'Payload' }, bodyOf(letter)),
      make('h3', {}, headers.length ? 'Headers' : 'No headers'),
      headerList,
    ),
    make(
      'div',
      { class: 'bar' },
      make('button', { type: 'button', 'aria-label': `Replay ${name}`, onclick: () => replay(letter) }, 'Replay…'),
      make('button', { type: 'button', 'aria-label': `Discard ${name}`, onclick: () => discard(letter) }, 'Discard…'),
    ),
  )
  return { node }
}

function bodyOf({ body, bodyBase64, bodyBytes }) {
  if (typeof body !== 'string')
    return bodyBase64 ? `not text; in base64:\n${bodyBase64}` : bodyBytes ? 'not shown' : 'empty'
  try {
    return JSON.stringify(JSON.parse(body), null, 2)
  } catch {
    return body || 'empty'
  }
}

const named = (letter) => `${letter.routingKey}${letter.id ? ` (event ${letter.id})` : ''}`

async function replay(letter) {
  const goes = letter.queue ? `to the queue ${letter.queue}` : `by its routing key ${letter.routingKey}`
  const text = `${named(letter)} goes back ${goes} and is tried again. If the cause is still there it dies once more; if it was applied before, it is not applied twice as long as its consumer remembers it.`
  if (!(await confirmed({ title: 'Replay this dead letter?', text, action: 'Replay it' }))) return
  await act(async () => {
    const { replayed, left } = await ask('POST', `/dead-letters/${encodeURIComponent(letter.key)}/replay`, {
      confirm: true,
    })
    return `${replayed} replayed, ${left} left`
  })
}

async function replayAll() {
  const text = `${more ? `All dead letters, more than ${letters.length},` : count(letters.length, 'dead letter')} ${!more && letters.length === 1 ? 'goes' : 'go'} back to where they came from and are tried again. What was applied before is not applied twice as long as its consumer remembers it.`
  if (!(await confirmed({ title: 'Replay all dead letters?', text, action: 'Replay all' }))) return
  await act(async () => {
    const { replayed, left } = await ask('POST', '/dead-letters/replay', { confirm: true })
    return `${replayed} replayed, ${left} left`
  })
}

async function discard(letter) {
  const text = `${named(letter)} is deleted and its effect never happens. Nobody can bring it back.`
  if (!(await confirmed({ title: 'Discard this dead letter?', text, action: 'Discard it for good' }))) return
  await act(async () => {
    await ask('DELETE', `/dead-letters/${encodeURIComponent(letter.key)}`, { confirm: true })
    return 'Discarded'
  })
}

/** Does it, shows what is there afterwards, and says what came of it. */
async function act(work) {
  let said
  let failed = false
  try {
    said = await work()
  } catch (error) {
    said = `That did not work: ${error.message}`
    failed = true
  }
  await load()
  note(`${said}. ${byId('dead-letters-note').textContent}`, failed)
  byId('panel-dead-letters').querySelector('h2').focus({ preventScroll: true })
}
