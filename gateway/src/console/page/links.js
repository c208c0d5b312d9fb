// One link: a wire on which dots run as fast as what flows, or which is visibly cut.

import { make, setAttribute, setText } from './dom.js'
import { makeState, showState } from './states.js'
import { rate } from './words.js'

const still = matchMedia('(prefers-reduced-motion: reduce)')

const verb = (from, to) =>
  from === 'broker' ? 'delivers' : to === 'broker' ? 'publishes' : from === 'gateway' ? 'requests' : 'asks'

const WORDS = { up: '', degraded: 'degraded', down: 'broken' }

export function makeLink(from, to, { place, way }) {
  const dots = make('span', { class: 'dots' })
  const wire = make('span', { class: 'wire', 'aria-hidden': 'true' }, dots, make('span', { class: 'cut' }))
  const state = makeState()
  const speed = make('span', { class: 'rate' })
  const detail = make('span', { class: 'detail' })
  const node = make(
    'div',
    { class: `link at-${place}`, 'data-from': from, 'data-to': to, 'data-way': way, role: 'group' },
    wire,
    make(
      'span',
      { class: 'label' },
      make('span', { class: 'ends' }, `${from} → ${to}`),
      make('span', { class: 'flow' }, speed, ' ', make('span', { class: 'verb' }, verb(from, to))),
      state,
      detail,
    ),
  )
  const run = flowOf(dots, way)
  return {
    node,
    update(link) {
      showState(node, link.state)
      showState(state, link.state, WORDS[link.state] ?? link.state)
      setAttribute(node, 'data-link', link.state)
      setText(speed, rate(link.rate))
      setText(detail, link.detail ?? '')
      const says = link.state === 'up' ? `works, ${rate(link.rate)}` : `${WORDS[link.state]} ${link.detail ?? ''}`
      setAttribute(node, 'aria-label', `${from} to ${to}: ${says}`)
      run(link.state === 'down' ? 0 : link.rate)
    },
  }
}

const STEP_PX = 16

/** Returns what sets the flow: one animation that is only made faster and slower, never begun again, so nothing jumps. */
function flowOf(dots, way) {
  const animation = dots.animate([{ transform: 'translate(0, 0)' }, { transform: `translate(var(--dx), var(--dy))` }], {
    duration: 1000,
    iterations: Infinity,
  })
  dots.style.setProperty('--step', `${STEP_PX}px`)
  dots.dataset.way = way
  animation.pause()
  return (perSecond) => {
    const flows = perSecond > 0
    setAttribute(dots, 'data-flows', flows ? 'yes' : 'no')
    // Ten times as many events run about twice as fast.
    if (flows) animation.updatePlaybackRate(0.6 + Math.log10(1 + perSecond) * 0.9)
    if (flows && !still.matches) {
      if (animation.playState !== 'running') animation.play()
    } else if (animation.playState === 'running') animation.pause()
  }
}
