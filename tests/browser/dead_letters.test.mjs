// A poisoned event is listed, replayed once its cause is gone, and applied once.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { confirm, keepScreenshot, openPage, require, startBrowser } from './browser.mjs'
import { eventually } from './patience.mjs'
import { System } from './system.mjs'

const amqplib = require('amqplib')

// u1 is nobody until the system is started with its demo data.
const WITHOUT_ADA = { DEMO_DATA: 'false', BROKER_RETRY_DELAYS_MS: '100,200' }
const WITH_ADA = { DEMO_DATA: 'true', BROKER_RETRY_DELAYS_MS: '100,200' }

let browser
let system
before(async () => {
  browser = await startBrowser()
  system = await System.start({ broker: 'embedded', env: WITHOUT_ADA })
})
after(async () => {
  await browser?.close()
  await system?.stop()
})

async function publish(messageId) {
  const connection = await amqplib.connect(system.amqpUrl)
  const channel = await connection.createConfirmChannel()
  const body = JSON.stringify({ id: 'o1', userId: 'u1', items: ['<b>book</b>'], status: 'created' })
  channel.publish('events', 'order.created', Buffer.from(body), {
    messageId,
    type: 'order.created',
    persistent: true,
    headers: { 'x-tenant': 't1' },
  })
  await channel.waitForConfirms()
  await connection.close()
}

test('an event for an unknown user dies in sight, and is replayed when the user is there, and applied once', async () => {
  // The gateway goes away meanwhile.
  const page = await openPage(browser, system.console, {
    hash: '#dead-letters',
    expected: [/ERR_\w+/, /status of 50[0-9]/],
  })
  await eventually('none at first', async () => /None/.test(await page.locator('#dead-letters-note').innerText()))
  await publish('poison-1')
  const letter = page.locator('.letters .card')
  await eventually('it is listed by itself', async () => (await letter.count()) === 1)
  await letter.locator('summary').click()
  const said = await letter.innerText()
  for (const part of [
    /order\.created/,
    /no such user/,
    /3 attempts/,
    /poison-1/,
    /users\.order-created/,
    /<b>book<\/b>/,
    /x-tenant\s+t1/,
  ])
    assert.match(said, part)
  await keepScreenshot(page, 'dead-letter')

  await letter.getByRole('button', { name: 'Replay' }).click()
  await confirm(page)
  await eventually('too early, so it dies once more', async () =>
    /1 replayed, 0 left/.test(await page.locator('#dead-letters-note').innerText()),
  )
  await eventually('it is back', async () => (await letter.count()) === 1)

  await system.down()
  await page.locator('#lost').waitFor()
  await system.up(WITH_ADA)
  await eventually(
    'the page has found the system again',
    async () => (await page.locator('#life').innerText()).includes('live'),
    20_000,
  )
  await eventually('all is linked', async () => /Everything works/.test(await page.locator('#verdict').innerText()))
  assert.equal((await system.user('u1')).orderCount, 0)

  await page.locator('#dead-letters-refresh').click()
  await eventually('it is still there', async () => (await letter.count()) === 1)
  await page.locator('#dead-letters-replay-all').click()
  assert.match(await confirm(page), /1 dead letter goes back/)
  await eventually('none is left', async () => (await letter.count()) === 0)
  await eventually('it is applied', async () => (await system.user('u1')).orderCount === 1)

  await page.evaluate(() => (location.hash = '#follow=poison-1'))
  await eventually('its way is told', async () =>
    (await page.locator('.follow .step').allInnerTexts()).includes('applied'),
  )
  const steps = await page.locator('.follow .step').allInnerTexts()
  assert.equal(steps.filter((step) => step === 'applied').length, 1)
  assert.ok(steps.includes('dead letter') && steps.includes('not yet'), `${steps}`)
  // The same event again, as its publisher sent it, changes nothing.
  await publish('poison-1')
  await eventually('it is seen before', async () => {
    await page.locator('#follow-form').getByRole('button').click()
    return (await page.locator('.follow .step').allInnerTexts()).includes('seen before')
  })
  assert.equal((await system.user('u1')).orderCount, 1)
  await keepScreenshot(page, 'replayed')
  await page.end()
})
