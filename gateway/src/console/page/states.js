// The few states that things are in: each has a symbol and a word besides its colour, which the style sheet gives by `data-state`.

import { make, setAttribute, setText } from './dom.js'

const SYMBOLS = { good: '●', busy: '◐', odd: '▲', bad: '✕', silent: '○', unknown: '·' }

const OF = {
  ready: 'good',
  running: 'good',
  up: 'good',
  connected: 'good',
  clear: 'good',
  starting: 'busy',
  restarting: 'bad',
  degraded: 'odd',
  blocked: 'odd',
  incomplete: 'odd',
  unready: 'bad',
  stopped: 'bad',
  down: 'bad',
  away: 'bad',
  'not clear': 'bad',
  silent: 'silent',
}

export const kindOf = (state) => OF[state] ?? 'unknown'

/** Makes what `showState` fills. */
export const makeState = (name = 'state') =>
  make(
    'span',
    { class: name },
    make('span', { class: 'symbol', 'aria-hidden': 'true' }),
    make('span', { class: 'words' }),
  )

/** Shows a state on `node`, which has a child `.symbol`, and the words in its child `.words`. */
export function showState(node, state, words = state) {
  const kind = kindOf(state)
  setAttribute(node, 'data-state', kind)
  const symbol = node.querySelector(':scope > .symbol')
  if (symbol) setText(symbol, SYMBOLS[kind])
  const place = node.querySelector(':scope > .words')
  if (place) setText(place, words)
}
