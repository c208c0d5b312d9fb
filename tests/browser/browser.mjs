// One headless chromium, and pages in it that nothing unseemly may happen on.

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'

// The packages are installed in a folder of their own, which NODE_PATH names.
export const require = createRequire(import.meta.url)
const { chromium } = require('playwright-core')

export const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }
const SCREENSHOTS = process.env.SCREENSHOTS

export async function startBrowser() {
  const args = process.getuid() === 0 ? ['--no-sandbox'] : []
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args })
}

/**
 * A page that remembers every request, console error and exception. `end()` closes it and fails where one of them is not
 * to be: a request to anywhere but `origin`, or an error that none of `expected` names.
 */
export async function openPage(
  browser,
  origin,
  { size = SIZES.wide, theme = 'light', hash = '', expected = [], motion = 'no-preference' } = {},
) {
  const context = await browser.newContext({ viewport: size, colorScheme: theme, reducedMotion: motion })
  context.setDefaultTimeout(20_000)
  const requests = []
  const errors = []
  context.on('request', (request) => requests.push(request.url()))
  const page = await context.newPage()
  page.on(
    'console',
    (message) => message.type() === 'error' && errors.push(`${message.text()} (${message.location().url})`),
  )
  page.on('pageerror', (error) => errors.push(error.stack))
  await page.goto(`${origin}/${hash}`)
  page.end = async () => {
    await context.close()
    const elsewhere = requests.filter((url) => new URL(url).origin !== origin && !url.startsWith('data:'))
    assert.deepEqual(elsewhere, [], 'a request left the page’s origin')
    assert.ok(requests.length > 5, 'the requests were watched')
    const unexpected = errors.filter((error) => !expected.some((known) => known.test(error)))
    assert.deepEqual(unexpected, [], 'the console has errors')
  }
  return page
}

/** Keeps what the page looks like, for a person to look at. */
export async function keepScreenshot(page, name, { fullPage = true } = {}) {
  if (!SCREENSHOTS) return
  mkdirSync(SCREENSHOTS, { recursive: true })
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage, timeout: 30_000 })
}

/** The link of the picture between two. */
export const link = (page, from, to) => page.locator(`.link[data-from="${from}"][data-to="${to}"]`)

/** An actor's row in the picture. */
export const actor = (page, service, name) => page.locator(`[data-node="${service}"] [data-actor="${name}"]`)

/** Shows a tab by a click on it. */
export async function showTab(page, name) {
  await page.locator(`#tab-${name}`).click()
  await page.locator(`#panel-${name}`).waitFor()
}

/** Answers the dialog that asks a second time; returns what it said. */
export async function confirm(page, button = '#confirm-yes') {
  const dialog = page.locator('#confirm')
  await dialog.waitFor()
  const said = await dialog.innerText()
  await page.locator(button).click()
  return said
}
