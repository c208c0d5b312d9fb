// The page changes in place: a node is made once and then only told what is new, so that focus, selection and what is
// unfolded survive every snapshot. All text enters by textContent, since much of it was written by strangers.

export const byId = (id) => document.getElementById(id)

/** Makes an element: attributes by name, `on…` as listeners, children as nodes or text. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else setAttribute(node, name, value)
  }
  node.append(...children)
  return node
}

/** `null` and `false` remove the attribute, `true` is an empty one. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name)
  else if (node.getAttribute(name) !== String(value === true ? '' : value))
    node.setAttribute(name, value === true ? '' : value)
}

export function setText(node, text) {
  const said = String(text ?? '')
  if (node.textContent !== said) node.textContent = said
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden
}

/** Says below a heading what is there, or what is odd about it. */
export function showNote(node, text, isOdd = false) {
  setText(node, text)
  setAttribute(node, 'data-state', isOdd ? 'odd' : null)
}

/** Offers `names` in a <select>, besides what it offers already. */
export function offer(select, names) {
  const offered = new Set([...select.options].map(({ value }) => value))
  for (const name of names) if (!offered.has(name)) select.append(make('option', { value: name }, name))
}

const parts = new WeakMap()

/**
 * Makes the children of `parent` show `items`, one each, in their order. `create(item)` makes `{ node, update }` for a key
 * that is new; `update(item)` is called for every item. Nodes of keys that are still there stay the same nodes.
 */
export function showList(parent, items, keyOf, create) {
  const before = parts.get(parent) ?? new Map()
  const after = new Map()
  for (const item of items) {
    const key = keyOf(item)
    if (after.has(key)) continue
    const part = before.get(key) ?? create(item)
    after.set(key, part)
    part.update?.(item)
  }
  for (const [key, part] of before) {
    if (!after.has(key)) removeKeepingFocus(part.node, parent)
  }
  let next = parent.firstElementChild
  for (const { node } of after.values()) {
    if (node === next) next = next.nextElementSibling
    else parent.insertBefore(node, next)
  }
  parts.set(parent, after)
}

/** Whoever was in what disappears finds itself at the heading above, rather than at the top of the page. */
function removeKeepingFocus(node, parent) {
  const had = node.contains(document.activeElement)
  node.remove()
  if (had) parent.closest('section, main')?.querySelector('h2[tabindex]')?.focus({ preventScroll: true })
}

/** Fills a <dl>; `facts` are pairs, those without a value are left out. */
export function showFacts(list, facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== '')
  showList(
    list,
    known,
    ([name]) => name,
    ([name]) => {
      const value = make('dd')
      return { node: make('div', {}, make('dt', {}, name), value), update: ([, text]) => fill(value, text) }
    },
  )
}

function fill(node, value) {
  if (!(value instanceof Node)) setText(node, value)
  else if (node.textContent !== value.textContent) node.replaceChildren(value)
}

/** An id that leads to its story. */
export function idLink(id) {
  return make('a', { href: `#follow=${encodeURIComponent(id)}`, class: 'id', title: 'Follow it' }, id)
}
