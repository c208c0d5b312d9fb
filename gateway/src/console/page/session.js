// The token, where the gateway asks for one. The gateway keeps it in a cookie that no script can read.

import { ask, whenUnauthorized } from './api.js'
import { byId, setHidden, setText } from './dom.js'

const MARK = 'logged-in'

/** `opened()` is called after a login, `closed()` when a token is asked for. */
export function startSession({ opened, closed }) {
  whenUnauthorized(() => {
    closed()
    showLogin()
  })
  byId('login-form').addEventListener('submit', async (event) => {
    event.preventDefault()
    const { token } = event.target.elements
    setText(byId('login-wrong'), '')
    try {
      await ask('POST', '/session', { token: token.value })
    } catch (error) {
      setText(byId('login-wrong'), error.status === 401 ? 'This is not the token.' : error.message)
      token.select()
      return
    }
    token.value = ''
    localStorage.setItem(MARK, 'yes')
    setHidden(byId('login'), true)
    showLogout()
    opened()
  })
  byId('logout-button').addEventListener('click', async () => {
    await ask('DELETE', '/session').catch(() => {})
    location.reload()
  })
  showLogout()
}

const showLogout = () => setHidden(byId('logout-button'), localStorage.getItem(MARK) === null)

function showLogin() {
  localStorage.removeItem(MARK)
  showLogout()
  setHidden(byId('console'), true)
  setHidden(byId('level-button'), true)
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close()
  setText(byId('verdict').querySelector('.words'), 'Closed')
  if (!byId('login').hidden) return
  setHidden(byId('login'), false)
  byId('login-form').elements.token.focus()
}
