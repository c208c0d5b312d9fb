// Light or dark: what the system prefers, until somebody chooses here. Loaded before anything is painted.
'use strict'
{
  const CHOICES = ['auto', 'light', 'dark']
  const SYMBOLS = { auto: '◐', light: '☀', dark: '☾' }
  const root = document.documentElement

  const chosen = () => {
    const kept = localStorage.getItem('theme')
    return CHOICES.includes(kept) ? kept : 'auto'
  }
  const show = () => {
    root.dataset.theme = chosen()
    const button = document.getElementById('theme-button')
    if (!button) return
    button.textContent = SYMBOLS[chosen()]
    button.title = `Theme: ${chosen()}`
    button.setAttribute('aria-label', `Theme: ${chosen()}. Change it`)
  }

  show()
  document.addEventListener('DOMContentLoaded', () => {
    show()
    document.getElementById('theme-button').addEventListener('click', () => {
      localStorage.setItem('theme', CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length])
      show()
    })
  })
}
