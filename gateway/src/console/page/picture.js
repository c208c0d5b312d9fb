// The picture: gateway, services and broker as boxes, and between them the links with what flows.
//
//            gateway
//           /       \
//      orders  ──>  users
//           \       /
//            broker

import { counting, now } from './clock.js'
import { byId, make, setAttribute, setHidden, setText, showList } from './dom.js'
import { makeLink } from './links.js'
import { makeProcess } from './processes.js'
import { makeState, showState } from './states.js'
import { waitingIn } from './verdict.js'
import { number } from './words.js'

const SIDES = { orders: 'left', users: 'right' }

let gateway, broker, services, links

export function showPicture(snapshot) {
  const picture = byId('panel-now')
  if (!gateway) {
    gateway = makeNode('gateway')
    broker = makeBroker()
    services = make('div', { class: 'services' })
    links = make('div', { class: 'links' })
    gateway.node.classList.add('at-gateway')
    broker.node.classList.add('at-broker')
    picture.append(gateway.node, services, links, broker.node)
  }
  gateway.update([snapshot.gateway])
  showList(
    services,
    snapshot.services,
    ({ name }) => name,
    ({ name }) => {
      const part = makeNode(name)
      part.node.classList.add(`at-${SIDES[name] ?? 'left'}`)
      return { node: part.node, update: (service) => part.update(service.processes) }
    },
  )
  showList(
    links,
    snapshot.links,
    ({ from, to }) => `${from} ${to}`,
    ({ from, to }) => makeLink(from, to, placeOf(from, to)),
  )
  broker.update(snapshot)
}

/** Where a link is drawn, and which way it points there. */
function placeOf(from, to) {
  if (from === 'gateway') return { place: `top-${SIDES[to] ?? 'left'}`, way: 'down' }
  if (to === 'broker') return { place: `bottom-${SIDES[from] ?? 'left'}`, way: 'down' }
  if (from === 'broker') return { place: `bottom-${SIDES[to] ?? 'left'}`, way: 'up' }
  return { place: 'middle', way: SIDES[from] === 'right' ? 'left' : 'right' }
}

const RANK = ['silent', 'unready', 'degraded', 'ready']

function makeNode(name) {
  const state = makeState()
  const figures = make('span', { class: 'figures' })
  const processes = make('ul', { class: 'processes', 'aria-label': `Processes of ${name}` })
  const node = make(
    'article',
    { class: 'node', 'aria-labelledby': `node-${name}`, 'data-node': name },
    make('header', {}, make('h2', { id: `node-${name}` }, name), state, figures),
    processes,
  )
  return {
    node,
    update(list) {
      // As good as its best process; worse than that is said at the process itself.
      const states = list.map((process) => process.state)
      const best = RANK.findLast((known) => states.includes(known)) ?? 'unknown'
      const shown = best === 'ready' && states.some((each) => each !== 'ready') ? 'degraded' : best
      showState(node, shown)
      showState(state, shown)
      setText(figures, figuresOf(list))
      setAttribute(processes, 'data-several', list.length > 1)
      showList(processes, list.filter(Boolean), ({ address, service }) => address ?? service, makeProcess)
    },
  }
}

function figuresOf(processes) {
  const sum = (of) => processes.reduce((total, process) => total + (of(process) ?? 0), 0)
  const outbox = waitingIn(processes)
  const said = [`${number(sum((process) => process.counts?.requests))} answered`]
  const failures = sum((process) => process.counts?.failures)
  if (failures) said.push(`${number(failures)} failed`)
  if (outbox) said.push(`${number(outbox)} waiting`)
  return said.join(' · ')
}

const BROKER = {
  connected: 'connected',
  blocked: 'takes no events',
  away: 'away',
  unknown: 'nobody can say',
}

function makeBroker() {
  const state = makeState()
  const figures = make('span', { class: 'figures' })
  const name = make('p', { class: 'broker-name' })
  const away = make('span', { class: 'since' })
  const node = make(
    'article',
    { class: 'node broker', 'aria-labelledby': 'node-broker', 'data-node': 'broker' },
    make('header', {}, make('h2', { id: 'node-broker' }, 'broker'), state, away, name, figures),
  )
  let since = null
  return {
    node,
    update({ broker, services, at }) {
      showState(node, broker.state)
      showState(state, broker.state, BROKER[broker.state])
      setText(name, broker.name ?? '')
      setText(figures, brokerFigures(services))
      since = broker.state === 'away' || broker.state === 'blocked' ? (since ?? Date.parse(at)) : null
      setHidden(away, since === null)
      counting(away, since === null ? null : () => setText(away, `${((now() - since) / 1000).toFixed(1)} s`))
    },
  }
}

function brokerFigures(services) {
  const links = services.flatMap(({ processes }) => processes).flatMap(({ actors }) => actors ?? [])
  const brokers = links.filter(({ name }) => name === 'broker').map(({ observed }) => observed ?? {})
  const unconfirmed = brokers.reduce((sum, each) => sum + (each.unconfirmed ?? 0), 0)
  const inProgress = brokers
    .flatMap((each) => each.consumers ?? [])
    .reduce((sum, each) => sum + (each.inProgress ?? 0), 0)
  const said = []
  if (unconfirmed) said.push(`${number(unconfirmed)} unconfirmed`)
  if (inProgress) said.push(`${number(inProgress)} in progress`)
  return said.join(' · ')
}
