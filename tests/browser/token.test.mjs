// With ADMIN_TOKEN set, the console asks for it, and the real gateway's cookie opens it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { openPage, startBrowser } from './browser.mjs'
import { eventually } from './patience.mjs'
import { System } from './system.mjs'

const TOKEN = 'correct horse battery staple'

let browser
let system
before(async () => {
  browser = await startBrowser()
  system = await System.start({ broker: 'embedded', env: { ADMIN_TOKEN: TOKEN } })
})
after(async () => {
  await browser?.close()
  await system?.stop()
})

test('the login form opens the console, and nothing else does', async () => {
  const page = await openPage(browser, system.console, { expected: [/status of 401/] })
  await page.locator('#login-form').waitFor()
  assert.equal(await page.locator('.node').count(), 0)
  await page.keyboard.type('guessed')
  await page.keyboard.press('Enter')
  await eventually('it is refused', async () => /not the token/.test(await page.locator('#login-wrong').innerText()))

  await page.keyboard.type(TOKEN)
  await page.keyboard.press('Enter')
  await eventually('all is shown', async () => /Everything works/.test(await page.locator('#verdict').innerText()))
  await page.reload()
  await page.locator('.node').first().waitFor()
  assert.equal(await page.locator('#tab-break').count(), 0, 'nothing is broken without DEMO_FAULTS')

  await page.locator('#logout-button').click()
  await page.locator('#login-form').waitFor()
  await page.end()
})
