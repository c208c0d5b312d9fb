// What the services write into their logs, changed while they run.

import { ask } from './api.js'
import { byId, offer, setHidden, setText, showFacts } from './dom.js'

export function startLevel() {
  const dialog = byId('level-dialog')
  const form = byId('level-form')
  byId('level-button').addEventListener('click', () => {
    setText(byId('level-note'), '')
    dialog.showModal()
    load()
  })
  byId('level-close').addEventListener('click', () => dialog.close())
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const { service, level } = form.elements
    const wish = { level: level.value.trim(), ...(service.value && { service: service.value }) }
    await tell(async () => {
      show(await ask('PUT', '/log-level', wish))
      return 'Set, until the process starts again.'
    })
  })
  setHidden(byId('level-button'), false)
}

function load() {
  return tell(async () => {
    show(await ask('GET', '/log-level'))
    return ''
  })
}

async function tell(work) {
  try {
    setText(byId('level-note'), await work())
  } catch (error) {
    setText(byId('level-note'), error.message)
  }
}

function show(levels) {
  if (!levels) return
  showFacts(
    byId('level-list'),
    Object.entries(levels).map(([service, level]) => [service, level ?? 'does not answer']),
  )
  offer(byId('level-form').elements.service, Object.keys(levels))
}
