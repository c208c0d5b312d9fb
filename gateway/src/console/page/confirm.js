// Whatever cannot be taken back is asked twice: the dialog names what will happen, and Cancel has the focus.

import { byId, setText } from './dom.js'

/** Resolves to whether it was confirmed. */
export function confirmed({ title, text, action }) {
  const dialog = byId('confirm')
  setText(byId('confirm-title'), title)
  setText(byId('confirm-text'), text)
  setText(byId('confirm-yes'), action)
  // Escape closes with the value that is there.
  dialog.returnValue = 'no'
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true })
  })
}
