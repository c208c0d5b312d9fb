// "Break something": there only where the gateway allows faults. One thing at a time, and each ends in a receipt.

import { ask } from './api.js'
import { announce } from './announce.js'
import { confirmed } from './confirm.js'
import { make, setAttribute, setHidden, setText, showList } from './dom.js'
import { makeReceipt } from './receipts.js'
import { addTab, removeTab, whenShown } from './tabs.js'
import { number } from './words.js'

const PHASES = ['loading', 'fault', 'recovering', 'draining', 'auditing']

// What each kind asks for besides its service, and what the dialog says will happen.
const KINDS = {
  crashActor: {
    fields: ['service', 'actor'],
    text: ({ service, actor }) => `The actor ${actor} of ${service} panics. Its guardian builds a fresh one.`,
  },
  cutLink: {
    fields: ['service', 'ms'],
    text: ({ service, ms }) => `${service} loses its link to the broker for ${ms} ms. Events wait in the outbox.`,
  },
  blockLink: {
    fields: ['service', 'ms'],
    text: ({ service, ms }) => `The broker takes no events from ${service} for ${ms} ms.`,
  },
  killProcess: {
    fields: ['service'],
    text: ({ service }) => `The process of ${service} is killed, as by kill -9. Its keeper starts it again.`,
  },
  stallService: { fields: ['service', 'ms'], text: ({ service, ms }) => `${service} does nothing for ${ms} ms.` },
  placeOrders: { fields: ['orders'], text: ({ orders }) => `${orders} orders are placed through the public entry.` },
}
const UNKNOWN = { fields: ['service', 'ms'], text: ({ service }) => `It happens to ${service}.` }

let parts = null
let kinds = []
let receipts = []
let running = null
let actorsOf = () => []

/** Hears of every snapshot. */
export function experimentsHear(snapshot) {
  if (!snapshot.faults) {
    if (parts) removeTab('break')
    parts = null
    return
  }
  actorsOf = (service) => {
    const all = [{ name: 'gateway', processes: [snapshot.gateway] }, ...snapshot.services]
    const processes = all.find(({ name }) => name === service)?.processes ?? []
    return [...new Set(processes.flatMap((process) => process?.actors ?? []).map(({ name }) => name))]
  }
  if (!parts) begin()
  const had = running
  running = snapshot.experiment
  showRunning()
  if (had && !running) load()
  for (const { showActors } of forms.values()) showActors()
}

/** A gateway that was started again counts from 1. */
const keyOf = ({ number, startedAt }) => `${number} ${startedAt}`

/** A receipt came by itself. */
export function experimentsHearReceipt(receipt) {
  if (!parts) return
  receipts = [receipt, ...receipts.filter((other) => keyOf(other) !== keyOf(receipt))]
  showReceipts()
  announce(
    `Receipt ${receipt.number}, ${receipt.title}: ${receipt.verdict}, lost ${receipt.lost ?? 'unknown'}, doubled ${receipt.doubled ?? 'unknown'}`,
  )
}

function begin() {
  const panel = addTab('break', ['Break', make('span', { class: 'roomy' }, ' something')])
  parts = {
    note: make('p', { class: 'note', role: 'status' }),
    running: make('div', { class: 'card running', hidden: true }),
    kinds: make('ul', { class: 'kinds' }),
    receipts: make('ol', { class: 'receipts' }),
  }
  parts.title = make('h3')
  parts.phases = make(
    'ol',
    { class: 'phases', 'aria-label': 'Phases' },
    ...PHASES.map((phase) => make('li', { 'data-phase': phase }, phase)),
  )
  parts.counts = make('p', { class: 'counts' })
  parts.running.append(parts.title, parts.phases, parts.counts)
  panel.append(
    make('h2', { tabindex: '-1' }, 'Break something'),
    parts.running,
    parts.note,
    parts.kinds,
    make('h2', {}, 'Receipts'),
    parts.receipts,
  )
  whenShown('break', load)
  load()
}

async function load() {
  try {
    const answer = await ask('GET', '/experiments')
    if (!parts || !answer) return
    kinds = answer.kinds
    receipts = answer.receipts
    running = answer.running
    showList(parts.kinds, kinds, ({ kind }) => kind, makeKind)
    showRunning()
    showReceipts()
  } catch (error) {
    if (parts) setText(parts.note, error.message)
  }
}

function showReceipts() {
  showList(parts.receipts, receipts, keyOf, makeReceipt)
}

function showRunning() {
  setHidden(parts.running, !running)
  for (const { showBusy } of forms.values()) showBusy()
  if (!running) return
  setText(parts.title, running.title ?? running.kind)
  const at = PHASES.indexOf(running.phase)
  for (const [index, phase] of [...parts.phases.children].entries()) {
    setAttribute(phase, 'data-done', index < at)
    setAttribute(phase, 'aria-current', index === at ? 'step' : null)
  }
  setText(parts.counts, `${number(running.accepted)} accepted, ${number(running.refused)} refused`)
}

const forms = new Map()

function makeKind({ kind, title }) {
  const { fields, text } = KINDS[kind] ?? UNKNOWN
  const go = make('button', { type: 'submit', class: 'danger' }, 'Break it…')
  if (kind === 'placeOrders') setText(go, 'Place them…')
  const why = make('p', { class: 'why' })
  const label = (name) => `${name} of: ${title}`
  const inputs = {
    service: make('select', { name: 'service', 'aria-label': label('Service') }),
    actor: make('select', { name: 'actor', 'aria-label': label('Actor') }),
    ms: make('input', {
      name: 'ms',
      type: 'number',
      min: '100',
      max: '60000',
      step: '100',
      value: '5000',
      required: true,
      'aria-label': label('Milliseconds'),
    }),
    orders: make('input', {
      name: 'orders',
      type: 'number',
      min: '1',
      max: '10000',
      value: '1000',
      required: true,
      'aria-label': label('Orders'),
    }),
  }
  const units = { ms: 'ms', orders: 'orders' }
  const form = make(
    'form',
    { class: 'bar' },
    ...fields.flatMap((name) => [inputs[name], ...(units[name] ? [make('span', { class: 'unit' }, units[name])] : [])]),
    go,
  )
  const node = make('li', { 'data-kind': kind }, make('h3', {}, title), form, why)
  let available = true

  const showOptions = (select, values) =>
    showList(
      select,
      values.map((value) => ({ value })),
      ({ value }) => value,
      ({ value }) => ({ node: make('option', { value }, value) }),
    )
  const part = {
    showActors: () => showOptions(inputs.actor, actorsOf(inputs.service.value)),
    showBusy: () => {
      // Not `disabled`: the focus stays where it was pressed.
      setAttribute(go, 'aria-disabled', !available || running ? 'true' : null)
    },
  }
  forms.set(kind, part)
  inputs.service.addEventListener('change', part.showActors)
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (running) return setText(parts.note, 'One thing at a time: wait for the receipt.')
    if (!available) return setText(parts.note, why.textContent)
    const wish = { kind }
    for (const name of fields)
      wish[name] = inputs[name].type === 'number' ? Number(inputs[name].value) : inputs[name].value
    if (
      !(await confirmed({
        title: `${title}?`,
        text: `${text(wish)}${kind === 'placeOrders' ? '' : ' Orders are placed meanwhile.'} What became of each is counted in the end.`,
        action: go.textContent.replace('…', ''),
      }))
    )
      return
    await start(wish)
  })
  return {
    node,
    update(now) {
      available = now.available
      setText(why, now.why ?? '')
      setHidden(why, now.available || !now.why)
      setHidden(inputs.service, !now.services?.length)
      setAttribute(node, 'data-available', now.available ? 'yes' : 'no')
      showOptions(inputs.service, now.services ?? [])
      part.showActors()
      part.showBusy()
    },
  }
}

async function start(wish) {
  setText(parts.note, '')
  try {
    running = await ask('POST', '/experiments', wish)
    showRunning()
  } catch (error) {
    setText(parts.note, error.message)
  }
}
