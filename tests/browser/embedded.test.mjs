// The console of the whole system, on the embedded broker.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { keyboardReachesEverything, nothingScrollsSideways } from './access.mjs'
import { SIZES, confirm, keepScreenshot, openPage, showTab, startBrowser } from './browser.mjs'
import { eventually } from './patience.mjs'
import { theBrokerIsKilled, theTreeIsShown } from './stories.mjs'
import { System } from './system.mjs'

let browser
let system
before(async () => {
  browser = await startBrowser()
  system = await System.start({ broker: 'embedded', env: { DEMO_FAULTS: 'true' } })
})
after(async () => {
  await browser?.close()
  await system?.stop()
})

test('the tree is shown, and the broker is seen to be killed and to come back', async (t) => {
  const page = await openPage(browser, system.console)
  await theTreeIsShown(page)
  await theBrokerIsKilled(t, page, system)
  await page.end()
})

test('an order is followed from the request to its effect', async () => {
  const page = await openPage(browser, system.console)
  const order = await system.placeOrder()
  await showTab(page, 'follow')
  await page.locator('#follow-form input').fill(order.id)
  await page.keyboard.press('Enter')

  const steps = async () =>
    (await page.locator('.follow .card').first().locator('.step').allInnerTexts()).map((step) => step.trim())
  const whole = ['accepted', 'committed', 'published', 'confirmed', 'delivered', 'applied', 'acked']
  await eventually('every step is there', async () => {
    const there = await steps()
    const missing = whole.filter((step) => !there.includes(step))
    if (missing.length) throw new Error(`${missing} missing in ${there}`)
    return true
  })
  assert.match(
    await page.locator('.follow .card').innerText(),
    /order\.created[^]*orders \(pid \d+\)[^]*users \(pid \d+\)[^]*broker, generation \d/,
  )
  await keepScreenshot(page, 'followed')
  const hash = new URL(page.url()).hash
  assert.equal(hash, `#follow=${order.id}`)

  const again = await openPage(browser, system.console, { hash })
  await again.locator('.steps li').first().waitFor()
  await again.end()
  await page.end()
})

test('a panic button gives one entry in the timeline and a right receipt', async () => {
  const page = await openPage(browser, system.console, { hash: '#break' })
  const kind = page.locator('.kinds [data-kind="crashActor"]')
  await kind.locator('select[name=service]').selectOption('users')
  await kind.locator('select[name=actor]').selectOption('repository')
  await kind.getByRole('button').click()
  await confirm(page)
  await eventually('it is seen to run', async () => page.locator('.running').isVisible())

  const receipt = page.locator('.receipt').first()
  await receipt.waitFor({ timeout: 40_000 })
  const fact = async (name) => receipt.locator(`[data-fact="${name}"] dd`).innerText()
  assert.equal(await fact('lost'), '0')
  assert.equal(await fact('doubled'), '0')
  assert.match(await receipt.locator('.verdict').innerText(), /clear/i)
  assert.doesNotMatch(await receipt.locator('.verdict').innerText(), /not clear/i)
  assert.ok(Number((await fact('accepted in all')).replaceAll(',', '')) > 0)
  await keepScreenshot(page, 'receipt')

  await showTab(page, 'timeline')
  await page.locator('#timeline-filter [name=service]').selectOption('users')
  await page.locator('#timeline-filter [name=kind]').selectOption('actor')
  await page.locator('#timeline-filter [name=text]').fill('repository')
  await eventually('one entry', async () => (await page.locator('.entry').count()) === 1)
  assert.match(await page.locator('.entry').innerText(), /repository restarted, back after/)
  await page.end()
})

test('the keyboard alone reaches every control of the real thing', async () => {
  const page = await openPage(browser, system.console)
  await page.locator('.entry').first().waitFor()
  for (const tab of ['timeline', 'follow', 'dead-letters', 'break']) {
    await showTab(page, tab)
    await keyboardReachesEverything(page, tab)
  }
  await page.end()
})

test('it fits a phone and a desk, in both themes', async () => {
  for (const theme of ['light', 'dark']) {
    for (const [name, size] of Object.entries(SIZES)) {
      const page = await openPage(browser, system.console, { theme, size })
      await page.locator('.actor').first().waitFor()
      await nothingScrollsSideways(page, `${name} ${theme}`)
      await keepScreenshot(page, `system-${size.width}-${theme}`)
      await showTab(page, 'timeline')
      await page.locator('.entry').first().waitFor()
      await nothingScrollsSideways(page, `timeline ${name} ${theme}`)
      await keepScreenshot(page, `system-timeline-${size.width}-${theme}`)
      await page.end()
    }
  }
})
