// The timeline: what happened, newest first; a fault and its recovery are one line, and what still lasts counts up.

import { ask } from './api.js'
import { counting, now } from './clock.js'
import { byId, make, offer, setAttribute, setHidden, setText, showList, showNote } from './dom.js'
import { isShown, whenShown } from './tabs.js'
import { clockTime, count, day, number, sentence } from './words.js'

const PAGE = 200
const MOST = 1000
// So many of each service are looked through for what fits a filter.
const AMONG = `among the newest ${number(1000)} of each service`
// Open entries end without a new number, so they are looked after as long as there are some.
const OPEN_MS = 1000

const SYMBOLS = { actor: '↻', link: '✕', blocked: '■', breaker: '⊗', ejection: '⊘', process: '◌', operator: '›' }

let limit = PAGE
let seen = ''
let hasOpen = false
let loadedAt = 0
let question = 0

export function startTimeline() {
  const filter = byId('timeline-filter')
  let typing = null
  filter.addEventListener('input', () => {
    clearTimeout(typing)
    typing = setTimeout(load, 200)
  })
  filter.addEventListener('submit', (event) => {
    event.preventDefault()
    load()
  })
  byId('timeline-more').addEventListener('click', () => {
    limit = MOST
    load()
  })
  whenShown('timeline', load)
}

/** Hears of every snapshot; asks again when something happened since. */
export function timelineHears(snapshot) {
  const service = byId('timeline-filter').elements.service
  offer(service, ['gateway', ...snapshot.services.map(({ name }) => name)])
  const incidents = JSON.stringify(snapshot.incidents ?? {})
  const isDue = incidents !== seen || (hasOpen && Date.now() - loadedAt >= OPEN_MS)
  seen = incidents
  // Whoever opens it asks anyway.
  if (isDue && isShown('timeline')) load()
}

async function load() {
  const mine = ++question
  loadedAt = Date.now()
  const { service, kind, text } = byId('timeline-filter').elements
  const query = new URLSearchParams({ limit: String(limit) })
  for (const field of [service, kind, text]) if (field.value.trim()) query.set(field.name, field.value.trim())
  try {
    const answer = await ask('GET', `/console/timeline?${query}`)
    if (mine === question) show(answer, query.size > 1)
  } catch (error) {
    if (mine === question) note(`The timeline cannot be read: ${error.message}`, true)
  }
}

function show({ items, silent }, isFiltered) {
  hasOpen = items.some((item) => !item.endedAt)
  const missing = silent?.length ? `without ${silent.join(' and ')}, not answering` : ''
  const found = items.length ? count(items.length, 'entry', 'entries') : isFiltered ? 'None' : 'Nothing happened yet.'
  const said = isFiltered && items.length < limit ? `${found} ${AMONG}` : found
  note(missing ? `${said} (${missing})` : said, Boolean(missing))
  setHidden(byId('timeline-more'), items.length < limit || limit === MOST)

  const rows = []
  let last = null
  for (const item of items) {
    const date = day(item.at)
    if (date !== last) rows.push({ date })
    last = date
    rows.push(item)
  }
  const key = (row) => (row.date ? `day ${row.date}` : `${row.service} ${row.id}`)
  showList(byId('timeline-list'), rows, key, (row) =>
    row.date ? { node: make('li', { class: 'day' }, row.date) } : makeEntry(row),
  )
}

const note = (text, isOdd) => showNote(byId('timeline-note'), text, isOdd)

function makeEntry({ kind, service, at }) {
  const said = make('p', { class: 'sentence' })
  const why = make('p', { class: 'why' })
  const node = make(
    'li',
    { class: 'entry', 'data-kind': kind, 'data-service': service },
    make('span', { class: 'symbol', 'aria-hidden': 'true' }, SYMBOLS[kind] ?? '·'),
    make('div', { class: 'story' }, said, why),
    make('span', { class: 'tag' }, service),
    make('time', { datetime: at, title: at }, clockTime(at)),
  )
  return {
    node,
    update(incident) {
      const isOpen = !incident.endedAt
      setAttribute(node, 'data-open', isOpen)
      const begun = Date.parse(incident.at)
      const tell = () => setText(said, sentence(incident, isOpen ? now() - begun : incident.durationMs))
      counting(said, isOpen ? tell : null)
      tell()
      setText(why, kind === 'operator' ? '' : (incident.cause ?? ''))
      setHidden(why, !why.textContent)
    },
  }
}
