// One event from the request to its effect: every step with who did it, and the time that went by in between.

import { ask } from './api.js'
import { micros } from './clock.js'
import { byId, idLink, make, setAttribute, setText, showFacts, showList, showNote } from './dom.js'
import { go, isShown, whenShown } from './tabs.js'
import { clockTime, count, day, duration } from './words.js'

// What is still on its way is asked for again, for so long.
const AGAIN_MS = 700
const PATIENCE_MS = 30_000

const WORDS = {
  accepted: ['accepted', 'good'],
  committed: ['committed', 'good'],
  published: ['published', 'good'],
  confirmed: ['confirmed', 'good'],
  unroutable: ['unroutable', 'bad'],
  refused: ['refused', 'bad'],
  unknown: ['unknown', 'odd'],
  delivered: ['delivered', 'good'],
  applied: ['applied', 'best'],
  seenBefore: ['seen before', 'odd'],
  notYet: ['not yet', 'odd'],
  rejected: ['rejected', 'bad'],
  acked: ['acked', 'good'],
  retried: ['retried', 'odd'],
  dead: ['dead letter', 'bad'],
}
const FINAL = ['acked', 'dead', 'rejected', 'unroutable']

let question = 0
let again = null
let asked = ''

export function startFollow() {
  byId('follow-form').addEventListener('submit', (event) => {
    event.preventDefault()
    const id = event.target.elements.q.value.trim()
    if (!id) return
    if (id === asked) load(id, Date.now())
    else go(`follow=${encodeURIComponent(id)}`)
  })
  whenShown('follow', (id) => {
    if (!id || id === asked) return
    byId('follow-form').elements.q.value = id
    load(id, Date.now())
  })
}

async function load(id, begun) {
  const mine = ++question
  clearTimeout(again)
  if (id !== asked) {
    note('Asking…')
    show([])
  }
  asked = id
  try {
    const { events, silent } = await ask('GET', `/console/ledger?q=${encodeURIComponent(id)}&limit=50`)
    if (mine !== question) return
    show(events)
    const missing = silent?.length ? ` (without ${silent.join(' and ')}, not answering)` : ''
    const none = `No event is known that is, or is about, this id. The ledger keeps the newest events.`
    note(
      (events.length ? `${count(events.length, 'event')}${events.length > 1 ? ', newest first' : ''}` : none) + missing,
      !events.length || missing,
    )
    const isOnItsWay = !events.length || events.some(({ steps }) => !steps.some(({ step }) => FINAL.includes(step)))
    if (isOnItsWay && Date.now() - begun < PATIENCE_MS) wait(id, begun)
  } catch (error) {
    if (mine === question) note(`It cannot be followed: ${error.message}`, true)
  }
}

function wait(id, begun) {
  again = setTimeout(() => {
    if (isShown('follow')) load(id, begun)
    else wait(id, begun)
  }, AGAIN_MS)
}

const note = (text, isOdd) => showNote(byId('follow-note'), text, isOdd)

function show(events) {
  showList(byId('follow-list'), events, ({ id }) => id, makeEvent)
}

function makeEvent() {
  const type = make('h3')
  const whole = make('span', { class: 'whole' })
  const facts = make('dl', { class: 'facts' })
  const steps = make('ol', { class: 'steps' })
  return {
    node: make('li', { class: 'card' }, make('header', {}, type, whole), facts, steps),
    update(event) {
      setText(type, event.type ?? 'an event')
      const times = event.steps.map(({ at }) => micros(at))
      const first = Math.min(...times)
      const total = Math.max(...times) - first
      setText(whole, event.steps.length ? `${duration(total / 1000)} in all` : '')
      showFacts(facts, [
        ['event', idLink(event.id)],
        ['from', event.source],
        ['about', linked(event.about)],
        ['request', event.requestId ? idLink(event.requestId) : null],
        ['trace', event.traceId],
        ['on', event.steps.length ? day(event.steps[0].at) : null],
      ])
      const rows = event.steps.map((step, index) => ({
        ...step,
        key: `${step.step} ${step.at} ${step.service} ${step.queue ?? ''}`,
        from: total ? ((times[index - 1] ?? first) - first) / total : 0,
        to: total ? (times[index] - first) / total : 0,
        gap: index ? (times[index] - times[index - 1]) / 1000 : null,
      }))
      showList(steps, rows, ({ key }) => key, makeStep)
    },
  }
}

function linked(ids) {
  if (!ids?.length) return null
  const node = make('span')
  ids.forEach((id, index) => node.append(index ? ' ' : '', idLink(id)))
  return node
}

function makeStep() {
  const what = make('span', { class: 'step' })
  const at = make('time')
  const bar = make('span', { class: 'gap', 'aria-hidden': 'true' }, make('span'))
  const gap = make('span', { class: 'ms' })
  const who = make('span', { class: 'who' })
  const why = make('span', { class: 'why' })
  const node = make('li', {}, what, bar, gap, at, who, why)
  return {
    node,
    update(step) {
      const [word, kind] = WORDS[step.step] ?? [step.step, 'unknown']
      setText(what, word)
      setAttribute(node, 'data-step', kind)
      setAttribute(at, 'datetime', step.at)
      setAttribute(at, 'title', step.at)
      setText(at, clockTime(step.at, { millis: true }))
      setText(gap, step.gap === null ? 'began' : `+${duration(step.gap)}`)
      const [stripe] = bar.children
      stripe.style.left = `${step.from * 100}%`
      stripe.style.width = `${Math.max(0, step.to - step.from) * 100}%`
      setText(who, whoDid(step))
      setText(why, step.reason ?? '')
    },
  }
}

function whoDid({ service, pid, actor, generation, queue, attempt, redelivered }) {
  const said = [`${service}${pid ? ` (pid ${pid})` : ''}`]
  if (actor) said.push(generation ? `${actor}, generation ${generation}` : actor)
  if (queue && !actor?.includes(queue)) said.push(queue)
  if (attempt > 1) said.push(`attempt ${attempt}`)
  if (redelivered) said.push('delivered again')
  return said.join(' · ')
}
