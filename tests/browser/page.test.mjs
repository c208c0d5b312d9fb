// The page by itself, on a gateway that is none: what a real one shows seldom, and what strangers may make of its content.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'

import { everyTextHasContrast, keyboardReachesEverything, nothingScrollsSideways } from './access.mjs'
import { SIZES, actor, confirm, keepScreenshot, link, openPage, showTab, startBrowser } from './browser.mjs'
import { Mock } from './mock.mjs'
import { eventually } from './patience.mjs'

let browser
let mock
before(async () => void (browser = await startBrowser()))
after(() => browser?.close())
afterEach(() => mock?.stop())

const TABS = ['timeline', 'follow', 'dead-letters', 'break']
const begin = async (options) => void (mock = await new Mock(options).start())
const text = (page, selector) => page.locator(selector).innerText()

test('nothing is carried out that strangers wrote, and nothing breaks of it', async () => {
  await begin({ scene: 'hostile' })
  for (const [name, size] of Object.entries(SIZES)) {
    const page = await openPage(browser, mock.origin, { size, hash: '#timeline' })
    await page.locator('.entry').first().waitFor()
    await eventually('the timeline is there', async () => (await page.locator('.entry').count()) >= 200)
    await page.locator('#timeline-more').press('Enter')
    await eventually('all of it', async () => (await page.locator('.entry').count()) === 1000, 20_000)
    await nothingScrollsSideways(page, `hostile timeline, ${name}`)

    await showTab(page, 'dead-letters')
    for (const letter of await page.locator('.letters summary').all()) await letter.click()
    assert.match(await page.locator('.letters pre').first().innerText(), /<script>/)
    await nothingScrollsSideways(page, `hostile letters, ${name}`)
    await keepScreenshot(page, `hostile-${name}`, { fullPage: false })
    const before = mock.requests.length
    await page.locator('.letters .card').nth(1).getByRole('button', { name: 'Replay' }).click()
    await nothingScrollsSideways(page, `hostile dialog, ${name}`)
    await page.keyboard.press('Escape')
    await page.locator('#confirm').waitFor({ state: 'hidden' })
    assert.ok(!mock.requests.slice(before).some((request) => request.startsWith('POST')), 'Escape confirms nothing')

    await page.evaluate(
      () => (location.hash = `#follow=${encodeURIComponent('<script>document.title="pwned"</script>')}`),
    )
    await eventually('it is followed', async () => (await page.locator('.follow .card').count()) === 2)
    await nothingScrollsSideways(page, `hostile ledger, ${name}`)
    await showTab(page, 'break')
    if (name === 'phone') await showTab(page, 'now')
    await page.locator('.actor').last().click()
    await nothingScrollsSideways(page, `hostile picture, ${name}`)

    assert.doesNotMatch(await page.title(), /pwned/)
    assert.deepEqual(
      await page.evaluate(() => [
        document.querySelectorAll('body script, main img').length,
        document.querySelectorAll('[onerror]').length,
      ]),
      [0, 0],
    )
    await page.end()
  }
})

test('the keyboard alone reaches every control, in every tab, with something unfolded', async () => {
  await begin()
  const page = await openPage(browser, mock.origin)
  await page.locator('.entry').first().waitFor()
  await page.locator('#tab-timeline').focus()
  for (const name of TABS) {
    if (name !== TABS[0]) await page.keyboard.press('ArrowRight')
    await page.locator(`#tab-${name}[aria-selected=true]`).waitFor()
    if (name === 'dead-letters') await page.locator('.letters summary').first().press('Enter')
    await keyboardReachesEverything(page, name)
    await page.locator(`#tab-${name}`).focus()
  }

  await page.locator('#level-button').press('Enter')
  await page.locator('#level-dialog').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('#level-dialog').waitFor({ state: 'hidden' })
  assert.equal(
    await page.evaluate(() => document.activeElement.id),
    'level-button',
    'the focus returns to where it was',
  )
  await page.end()
})

test('focus, selection and what is unfolded survive the snapshots', async () => {
  await begin()
  const page = await openPage(browser, mock.origin)
  const row = actor(page, 'users', 'repository')
  await row.locator('summary').press('Enter')
  await row.evaluate((node) => {
    node.dataset.same = 'yes'
    getSelection().selectAllChildren(node.querySelector('dd'))
  })
  const figures = () => text(page, '[data-node="users"] > header .figures')
  const first = await figures()

  await eventually('other numbers are shown', async () => (await figures()) !== first)

  assert.equal(await row.getAttribute('data-same'), 'yes')
  assert.ok(await row.evaluate((node) => node.open && node.contains(document.activeElement)))
  assert.equal(await page.evaluate(() => String(getSelection())), 'repository')
  await page.end()
})

test('a broken link is seen broken by colour, shape and word, is announced, and heals', async () => {
  await begin()
  const page = await openPage(browser, mock.origin)
  await eventually('it works', async () => /Everything works/.test(await text(page, '#verdict')))

  mock.scene('away')
  const wire = link(page, 'orders', 'broker')
  await page.locator('.link[data-from="orders"][data-to="broker"][data-link="down"]').waitFor()
  assert.match(await wire.innerText(), /broken\s+connection refused/)
  assert.ok(await wire.locator('.cut').isVisible())
  await eventually('it is said', async () =>
    /The broker is away, [\d,]+ events? waits?/.test(await text(page, '#verdict')),
  )
  await eventually('the actor counts down', async () =>
    /again in \d\.\d s/.test(await actor(page, 'orders', 'broker').innerText()),
  )
  await eventually('the entry counts up', async () =>
    /broker is away for \d+\.\d s, 3 attempts/.test(await text(page, '.timeline')),
  )
  assert.match(await page.locator('#announcer').textContent(), /link from orders to broker is broken/)

  mock.scene('calm')
  await page.locator('.link[data-from="orders"][data-to="broker"][data-link="up"]').waitFor()
  await eventually('it is said', async () =>
    /link from orders to broker works again/.test(await page.locator('#announcer').textContent()),
  )
  await eventually('no entry is open', async () => (await page.locator('.entry[data-open]').count()) === 0)
  await page.end()
})

test('a service that does not answer is shown so, with what was heard last', async () => {
  await begin({ scene: 'silent' })
  const page = await openPage(browser, mock.origin)
  const users = page.locator('[data-node="users"]')
  await eventually('it is said', async () =>
    /silent for \d+\.\d s: connection refused; last heard \d\d:\d\d:\d\d/.test(await users.innerText()),
  )

  assert.ok((await users.locator('.actor').count()) > 5)
  assert.match(await text(page, '#timeline-note'), /without users, not answering/)
  await page.end()
})

test('a gateway that goes is missed, and read again when it is back', async () => {
  await begin()
  const page = await openPage(browser, mock.origin, {
    expected: [/ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED/],
  })
  await eventually('it lives', async () => (await text(page, '#life')).includes('live'))
  const port = Number(new URL(mock.origin).port)

  await mock.stop()
  await eventually('it is missed', async () =>
    /does not answer this page\. What is shown is of \d\d:\d\d:\d\d\. Trying again/.test(await text(page, '#lost')),
  )
  await mock.start(port)

  await eventually(
    'it lives again',
    async () => (await text(page, '#life')).includes('live') && !(await page.locator('#lost').isVisible()),
  )
  await page.end()
})

test('dead letters that wait are seen without opening them, until none do', async () => {
  await begin()
  const page = await openPage(browser, mock.origin)
  const tab = page.locator('#tab-dead-letters')
  await eventually('they are counted', async () => (await text(page, '#verdict')).includes('3 dead letters wait'))
  assert.match(await text(page, '#verdict'), /Everything works; 3 dead letters wait/)
  assert.equal(await page.locator('#verdict').getAttribute('data-state'), 'odd')
  assert.match(await tab.innerText(), /^Dead letters\s*3$/)
  assert.equal(await page.title(), 'Warren')
  for (const [name, size] of Object.entries(SIZES)) {
    await page.setViewportSize(size)
    await nothingScrollsSideways(page, `dead letters that wait, ${name}`)
  }

  await tab.click()
  await page.locator('.letters .card').first().waitFor()
  // Somebody else, elsewhere.
  await fetch(`${mock.origin}/dead-letters/k2`, { method: 'DELETE', body: '{"confirm":true}' })
  await eventually('it is gone', async () => (await page.locator('.letters .card').count()) === 2)
  assert.match(await tab.innerText(), /2$/)

  await page.locator('#dead-letters-replay-all').click()
  await confirm(page)
  await eventually('none waits', async () => /^Everything works$/.test((await text(page, '#verdict .words')).trim()))
  assert.equal((await tab.innerText()).trim(), 'Dead letters')
  assert.match(await text(page, '#dead-letters-note'), /2 replayed, 0 left/, 'what came of it stays')
  await page.end()
})

test('a gateway that does not count dead letters says nothing of them', async () => {
  await begin({ counts: false })
  const page = await openPage(browser, mock.origin)
  await eventually('it works', async () => /^Everything works$/.test((await text(page, '#verdict .words')).trim()))
  assert.equal((await page.locator('#tab-dead-letters').innerText()).trim(), 'Dead letters')
  await page.end()
})

test('whatever cannot be taken back is asked twice, and Cancel has the focus', async () => {
  await begin()
  const page = await openPage(browser, mock.origin, { hash: '#dead-letters' })
  const changed = () => mock.requests.filter((request) => !request.startsWith('GET'))
  const first = page.locator('.letters .card').first()

  await first.getByRole('button', { name: 'Discard' }).click()
  assert.equal(await page.evaluate(() => document.activeElement.value), 'no')
  assert.match(
    await confirm(page, '#confirm button[value=no]'),
    /order\.created \(event 01a2054f-[^)]*\) is deleted and its effect never happens/,
  )
  await page.locator('#confirm').waitFor({ state: 'hidden' })
  assert.deepEqual(changed(), [])

  await first.getByRole('button', { name: 'Replay' }).click()
  assert.match(await confirm(page), /goes back to the queue users\.order-created/)
  await eventually('it is gone', async () => (await page.locator('.letters .card').count()) === 2)
  await page.locator('.letters .card').last().getByRole('button', { name: 'Discard' }).click()
  await confirm(page)
  await eventually('that too', async () => (await page.locator('.letters .card').count()) === 1)
  await page.locator('#dead-letters-replay-all').click()
  await confirm(page)
  await eventually('none is left', async () => /1 replayed, 0 left\. None/.test(await text(page, '#dead-letters-note')))

  assert.deepEqual(changed(), [
    'POST /dead-letters/k1/replay {"confirm":true}',
    'DELETE /dead-letters/k3 {"confirm":true}',
    'POST /dead-letters/replay {"confirm":true}',
  ])
  await page.end()
})

test('something is broken on purpose, and its receipt comes', async () => {
  await begin()
  const page = await openPage(browser, mock.origin, { hash: '#break' })
  const kind = page.locator('[data-kind="crashActor"]')
  await kind.locator('select[name=service]').selectOption('users')
  await kind.locator('select[name=actor]').selectOption('repository')
  await kind.getByRole('button').click()
  assert.match(await confirm(page), /The actor repository of users panics/)

  await eventually('it runs', async () => (await page.locator('.phases [aria-current]').count()) === 1)
  const receipt = page.locator('.receipt[data-number="3"]')
  await receipt.waitFor()
  assert.match((await receipt.innerText()).replaceAll(/\s+/g, ' '), /lost 0 doubled 0 .*clear/i)
  assert.ok(mock.requests.includes('POST /experiments {"kind":"crashActor","service":"users","actor":"repository"}'))
  await page.end()
})

test('without faults nothing of it is in the page', async () => {
  await begin({ faults: false })
  const page = await openPage(browser, mock.origin, { hash: '#break' })
  await page.locator('.entry').first().waitFor()

  assert.equal(await page.locator('#tab-break, #panel-break, .kinds').count(), 0)
  assert.ok(!mock.requests.some((request) => request === 'GET /experiments'))
  await page.end()
})

test('the log level is changed, and a mistake in it is said', async () => {
  await begin()
  const page = await openPage(browser, mock.origin, { expected: [/status of 400/] })
  await page.locator('#level-button').click()
  const level = page.locator('#level-form [name=level]')
  await eventually('the levels are shown', async () =>
    /orders\s+info,common::broker=debug/.test(await text(page, '#level-list')),
  )
  await level.fill('not a level')
  await level.press('Enter')
  await eventually('it is refused', async () =>
    /cannot read the level not a level/.test(await text(page, '#level-note')),
  )

  await level.fill('debug')
  await page.locator('#level-form [name=service]').selectOption('users')
  await level.press('Enter')
  await eventually('it is set', async () => /users\s+debug/.test(await text(page, '#level-list')))
  await page.end()
})

test('nobody who looks elsewhere is worked for', async () => {
  await begin()
  const page = await openPage(browser, mock.origin)
  await page.locator('.entry').first().waitFor()
  const hide = (hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { value, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }, hidden)

  await hide(true)
  await eventually('the stream is closed', async () => mock.viewers === 0)
  const asked = mock.requests.length
  await new Promise((resolve) => setTimeout(resolve, 700))
  assert.equal(mock.requests.length, asked)
  await hide(false)

  await eventually('it is opened again', async () => mock.viewers === 1 && (await text(page, '#life')).includes('live'))
  await page.end()
})

test('the filters of the timeline are the gateway’s', async () => {
  await begin()
  const page = await openPage(browser, mock.origin)
  await eventually('all are there', async () => (await page.locator('.entry').count()) === 8)
  await page.locator('#timeline-filter [name=kind]').selectOption('actor')
  await eventually('actors only', async () => (await page.locator('.entry').count()) === 1)
  await page.locator('#timeline-filter [name=text]').fill('no such thing')
  await eventually('none', async () => /^None among the newest 1,000 of each service/.test(await text(page, '#timeline-note')))
  await page.end()
})

test('every text stands out, nothing scrolls sideways, and pictures are kept of both themes and widths', async () => {
  await begin()
  for (const theme of ['light', 'dark']) {
    for (const [name, size] of Object.entries(SIZES)) {
      mock.scene('calm')
      const page = await openPage(browser, mock.origin, { theme, size, motion: 'reduce' })
      await page.locator('.entry, .actor').first().waitFor({ state: 'attached' })
      for (const scene of ['calm', 'away', 'silent', 'blocked']) {
        mock.scene(scene)
        await page
          .locator(
            `.link[data-from=orders][data-link=${{ calm: 'up', away: 'down', silent: 'down', blocked: 'degraded' }[scene]}]`,
          )
          .first()
          .waitFor({ state: 'attached' })
        for (const tab of [...(name === 'phone' ? ['now'] : []), ...TABS]) {
          if (scene !== 'calm' && tab !== 'timeline' && tab !== 'now') continue
          await showTab(page, tab)
          if (tab === 'follow') {
            await page.locator('#follow-form input').fill('o1')
            await page.keyboard.press('Enter')
            await page.locator('.steps').waitFor()
          }
          const what = `${scene}-${tab}-${name}-${theme}`
          await everyTextHasContrast(page, what)
          await nothingScrollsSideways(page, what)
          if (scene === 'calm' || tab === 'now' || name === 'wide') await keepScreenshot(page, `mock-${what}`)
        }
      }
      await page.end()
    }
  }
})

test('the theme is chosen by a button and kept', async () => {
  await begin()
  const page = await openPage(browser, mock.origin, { theme: 'light' })
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
  const light = await ground()
  await page.locator('#theme-button').click()
  await page.locator('#theme-button').click()
  const dark = await ground()
  await page.reload()

  assert.notEqual(dark, light)
  assert.equal(await ground(), dark)
  await page.end()
})

test('a token opens the console, and nothing is shown before', async () => {
  await begin({ token: 'correct horse' })
  const page = await openPage(browser, mock.origin, { expected: [/status of 401/] })
  await page.locator('#login').waitFor()
  assert.equal(await page.locator('.node').count(), 0)
  assert.equal(await page.evaluate(() => document.activeElement.name), 'token')

  await page.keyboard.type('wrong battery')
  await page.keyboard.press('Enter')
  await eventually('it is refused', async () => /not the token/.test(await text(page, '#login-wrong')))
  await everyTextHasContrast(page, 'login')
  await page.keyboard.type('correct horse')
  await page.keyboard.press('Enter')
  await page.locator('.node').first().waitFor()
  await page.locator('#login').waitFor({ state: 'hidden' })

  await page.locator('#logout-button').click()
  await page.locator('#login').waitFor()
  await page.end()
})
