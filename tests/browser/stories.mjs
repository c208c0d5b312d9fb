// The story that is told on both brokers.

import assert from 'node:assert/strict'

import { actor, keepScreenshot, link } from './browser.mjs'
import { eventually } from './patience.mjs'
import { killBroker } from './system.mjs'

// Processes are asked twice a second, so a link that is cut at once is shown within two questions.
// A second is promised; the rest is for a machine that does other things as well.
const BROKEN_WITHIN_MS = 3000

/** Fails unless the picture shows all parts, and in each its actors at work. */
export async function theTreeIsShown(page) {
  const expected = {
    gateway: ['upstream-health', 'auth-keys', 'proxy-0'],
    users: ['repository', 'consumer:users.order-created', 'broker', 'relay'],
    orders: ['repository', 'consumer:orders.user-created', 'customers', 'broker', 'relay'],
  }
  for (const [service, names] of Object.entries(expected)) {
    for (const name of names) {
      await eventually(`${name} of ${service} runs`, async () =>
        /running/.test(await actor(page, service, name).innerText()),
      )
    }
  }
  await eventually('all works', async () => /Everything works/.test(await page.locator('#verdict').innerText()))
  assert.match(await page.locator('[data-node="broker"]').innerText(), /connected/)
  for (const [from, to] of [
    ['gateway', 'users'],
    ['gateway', 'orders'],
    ['orders', 'users'],
    ['orders', 'broker'],
    ['broker', 'users'],
  ]) {
    assert.equal(await link(page, from, to).getAttribute('data-link'), 'up', `${from} to ${to}`)
  }
}

/** Kills the broker with signal 9 and looks on, on the page, until all is well again. */
export async function theBrokerIsKilled(t, page, system) {
  // Looked at in the page itself, at every frame: a question from outside takes longer than what is measured.
  await page.evaluate(() => {
    const seen = (window.seen = {})
    const look = () => {
      const note = (what) => (seen[what] ??= Date.now())
      if (document.querySelector('.link[data-from="orders"][data-to="broker"]')?.dataset.link === 'down') note('broken')
      for (const service of ['users', 'orders']) {
        const broker = document.querySelector(`[data-node="${service}"] [data-actor="broker"]`)
        if (/again in \d/.test(broker?.querySelector('.state').textContent)) note(`${service} backs off`)
      }
      requestAnimationFrame(look)
    }
    look()
  })

  const { killed, release } = await killBroker(system)
  try {
    const seen = await eventually('the link is broken and both BrokerActors back off', async () => {
      const seen = await page.evaluate(() => window.seen)
      return Object.keys(seen).length === 3 && seen
    })
    for (const [what, at] of Object.entries(seen))
      t.diagnostic(`${system.broker}: ${what} ${at - killed} ms after the kill`)
    // That they back off may take as long as `eventually` waits: the first attempts follow one another at once.
    const broken = seen.broken - killed
    assert.ok(broken < BROKEN_WITHIN_MS, `the link is shown broken ${broken} ms after the kill`)
    assert.match(await page.locator('#verdict').innerText(), /The broker is away/)
    await keepScreenshot(page, `${system.broker}-killed`)
    const order = await system.placeOrder()
    assert.ok(order.id, 'orders are accepted without a broker')
    await eventually('the event is seen to wait', async () =>
      /\d waiting/.test(await page.locator('[data-node="orders"]').innerText()),
    )
  } finally {
    await release()
  }

  const healed = async () => {
    const states = await Promise.all(
      [
        ['orders', 'broker'],
        ['broker', 'users'],
      ].map(([from, to]) => link(page, from, to).getAttribute('data-link')),
    )
    return (
      states.every((state) => state === 'up') && /Everything works/.test(await page.locator('#verdict').innerText())
    )
  }
  await eventually('it heals', healed, 60_000)
  t.diagnostic(`${system.broker}: healed ${Date.now() - killed} ms after the kill`)
  const told = async () =>
    (await page.locator('.entry[data-kind="link"]:not([data-open]) .sentence').allInnerTexts()).join('\n')
  await eventually(
    'the timeline tells it, in one entry of each service',
    async () => ((await told()).match(/broker away [\d.]+ m?s/g) ?? []).length === 2,
  )
  assert.match(await told(), /\d events? waited/)
}
