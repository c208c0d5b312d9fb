// RabbitMQ is killed, and the console shows it.

import { after, before, test } from 'node:test'

import { openPage, startBrowser } from './browser.mjs'
import { theBrokerIsKilled, theTreeIsShown } from './stories.mjs'
import { System } from './system.mjs'

let browser
let system
before(async () => {
  browser = await startBrowser()
  system = await System.start({ broker: 'rabbitmq' })
})
after(async () => {
  await browser?.close()
  await system?.stop()
})

test('the tree is shown, and RabbitMQ is seen to be killed and to come back', async (t) => {
  const page = await openPage(browser, system.console)
  await theTreeIsShown(page)
  await theBrokerIsKilled(t, page, system)
  await page.end()
})
