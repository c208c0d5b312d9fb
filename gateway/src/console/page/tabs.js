// The tabs, by mouse and by keyboard, and the address after the # that names them: #timeline, #follow=<id>, …
//
// On a wide screen the picture stands beside the tabs; on a narrow one it is the first of them.

import { byId, make, setAttribute, setHidden } from './dom.js'

const wide = matchMedia('(min-width: 1100px)')
const openings = new Map()
let current = null
let opened = ''

const tabs = () => [...document.querySelectorAll('[role=tab]')]
const nameOf = (tab) => tab.id.slice('tab-'.length)
const visible = () => tabs().filter((tab) => !(wide.matches && nameOf(tab) === 'now'))

/** Calls `open(argument)` whenever the tab is shown, with what stands after `=`. */
export function whenShown(name, open) {
  openings.set(name, open)
}

export const isShown = (name) => current === name && !document.hidden

/** Adds a tab that is there only sometimes, and returns its panel. */
export function addTab(name, title) {
  const label = make(
    'button',
    { type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': `panel-${name}` },
    ...title,
  )
  const panel = make('section', { role: 'tabpanel', id: `panel-${name}`, 'aria-labelledby': label.id, hidden: true })
  byId('tabs').append(label)
  byId('tabs').parentElement.append(panel)
  arrange()
  return panel
}

export function removeTab(name) {
  byId(`tab-${name}`)?.remove()
  byId(`panel-${name}`)?.remove()
  openings.delete(name)
  if (current === name) go('')
}

/** Shows a tab by its address, and leaves a trace in the history. */
export function go(hash) {
  if (location.hash === `#${hash}`) arrange()
  else location.hash = hash
}

export function startTabs() {
  const list = byId('tabs')
  list.addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]')
    if (tab) go(nameOf(tab))
  })
  list.addEventListener('keydown', (event) => {
    const all = visible()
    const at = all.indexOf(document.activeElement)
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key]
    if (to === undefined || at < 0) return
    event.preventDefault()
    const tab = all[(to + all.length) % all.length]
    go(nameOf(tab))
    tab.focus()
  })
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault()
    document.querySelector('[role=tab][aria-selected=true]')?.focus()
  })
  addEventListener('hashchange', arrange)
  wide.addEventListener('change', arrange)
  arrange()
}

/** The tab that the address names, else the first. */
function named() {
  const [name, ...rest] = location.hash.slice(1).split('=')
  const known = visible().some((tab) => nameOf(tab) === name)
  let argument = rest.join('=')
  try {
    argument = decodeURIComponent(argument)
  } catch {
    // It is taken as it stands.
  }
  return known ? { name, argument } : { name: nameOf(visible()[0]), argument: '' }
}

function arrange() {
  const { name, argument } = named()
  for (const tab of tabs()) {
    const selected = nameOf(tab) === name
    setHidden(tab, wide.matches && nameOf(tab) === 'now')
    setAttribute(tab, 'aria-selected', String(selected))
    setAttribute(tab, 'tabindex', selected ? '0' : '-1')
    const panel = byId(tab.getAttribute('aria-controls'))
    setHidden(panel, !selected && !(wide.matches && nameOf(tab) === 'now'))
  }
  const picture = byId('panel-now')
  setAttribute(picture, 'role', wide.matches ? 'region' : 'tabpanel')
  current = name
  const address = `${name}=${argument}`
  if (address === opened || !openings.has(name)) return
  opened = address
  openings.get(name)(argument)
}
