// What an experiment came to, as counted from the stores.

import { make, setText, showFacts, showList } from './dom.js'
import { makeState, showState } from './states.js'
import { clockTime, duration, number } from './words.js'

export function makeReceipt({ number: serial, title, startedAt }) {
  const verdict = makeState('verdict')
  const facts = make('dl', { class: 'facts' })
  const notes = make('ul', { class: 'notes' })
  const header = make(
    'header',
    {},
    make('span', { class: 'serial' }, `№ ${serial}`),
    make('h3', {}, title),
    make('time', { datetime: startedAt }, clockTime(startedAt)),
  )
  return {
    node: make('li', { class: 'receipt', 'data-number': serial }, header, facts, notes, verdict),
    update(receipt) {
      showState(verdict, receipt.verdict)
      const counted = (value) => (value === null || value === undefined ? 'not known' : number(value))
      const lasted = (value) => (value === null || value === undefined ? null : duration(value))
      showFacts(facts, [
        ['lasted', lasted(receipt.lastedMs)],
        ['fault', lasted(receipt.faultMs)],
        ['works again after', lasted(receipt.recoveredMs)],
        ['accepted in all', counted(receipt.accepted)],
        ['refused', counted(receipt.refused)],
        ['without an answer', receipt.unknown ? number(receipt.unknown) : null],
        ['events waited', counted(receipt.waited)],
        ['drained in', lasted(receipt.drainedMs)],
        ['lost', counted(receipt.lost)],
        ['doubled', counted(receipt.doubled)],
      ])
      for (const line of facts.children) line.dataset.fact = line.firstElementChild.textContent
      showList(
        notes,
        receipt.notes ?? [],
        (note) => note,
        (note) => {
          const node = make('li')
          setText(node, note)
          return { node }
        },
      )
    },
  }
}
