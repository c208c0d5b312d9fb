// What those need who do not see well, or have no mouse.

import assert from 'node:assert/strict'

const CONTROLS = 'a[href], button, input, select, textarea, summary, [tabindex]'

/** Goes through the page by the Tab key alone, and fails where that does not reach every control that can be used, or ends in a trap. */
export async function keyboardReachesEverything(page, what) {
  await page.evaluate(() => {
    document.activeElement?.blur()
    window.scrollTo(0, 0)
    window.reached = new Set()
  })
  // It begins where the focus was, and has gone round when it is at the same control again.
  for (let step = 0; step < 300; step += 1) {
    await page.keyboard.press('Tab')
    const isRound = await page.evaluate(() => {
      const { activeElement } = document
      if (activeElement === document.body) return false
      const known = window.reached.has(activeElement)
      window.reached.add(activeElement)
      return known
    })
    if (isRound) break
  }
  const { missed, reached, unseen } = await page.evaluate((controls) => {
    const usable = [...document.querySelectorAll(controls)].filter(
      (node) =>
        (node.tabIndex >= 0 || !node.matches('[role=tab], h2, #tabs')) &&
        !node.disabled &&
        node.checkVisibility({ visibilityProperty: true }) &&
        !node.closest('dialog:not([open])'),
    )
    const says = (node) =>
      `${node.tagName.toLowerCase()} ${(node.getAttribute('aria-label') ?? node.textContent ?? '').trim().slice(0, 60)}`
    return {
      missed: usable.filter((node) => !window.reached.has(node)).map(says),
      reached: window.reached.size,
      unseen: usable.length === 0,
    }
  }, CONTROLS)
  assert.ok(!unseen && reached > 5, `${what}: only ${reached} controls were reached`)
  assert.deepEqual(missed, [], `${what}: Tab does not reach these`)
  return reached
}

/** Fails where a text stands out from its ground by less than WCAG's AA asks for: 4.5 to 1. */
export async function everyTextHasContrast(page, what) {
  const weak = await page.evaluate(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
    const parse = (color) => {
      canvas.clearRect(0, 0, 1, 1)
      canvas.fillStyle = color
      canvas.fillRect(0, 0, 1, 1)
      return [...canvas.getImageData(0, 0, 1, 1).data].map((part, index) => (index < 3 ? part : part / 255))
    }
    const over = (top, under) =>
      top
        .slice(0, 3)
        .map((part, index) => part * top[3] + under[index] * (1 - top[3]))
        .concat(1)
    const groundOf = (node) => {
      const layers = []
      for (let each = node; each; each = each.parentElement) layers.push(parse(getComputedStyle(each).backgroundColor))
      return layers.reverse().reduce((ground, layer) => over(layer, ground), [255, 255, 255, 1])
    }
    const light = (color) => {
      const [red, green, blue] = color
        .slice(0, 3)
        .map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4))
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
    const found = new Set()
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement
      if (
        !walker.currentNode.data.trim() ||
        !node.checkVisibility({ opacityProperty: true }) ||
        node.closest('script, noscript, .unseen, .skip')
      )
        continue
      let opacity = 1
      for (let each = node; each; each = each.parentElement) opacity *= Number(getComputedStyle(each).opacity)
      const ground = groundOf(node)
      const color = parse(getComputedStyle(node).color)
      const [text, back] = [light(over([...color.slice(0, 3), color[3] * opacity], ground)), light(ground)]
      const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05)
      const isOff = node.closest('[aria-disabled=true], :disabled')
      if (contrast < 4.5 && !isOff)
        found.add(
          `${contrast.toFixed(2)}: ${node.tagName.toLowerCase()}.${node.className} ${walker.currentNode.data.trim().slice(0, 40)}`,
        )
    }
    return [...found]
  })
  assert.deepEqual(weak, [], `${what}: too little contrast`)
}

/** Fails where the page is wider than its window. */
export async function nothingScrollsSideways(page, what) {
  const [page_, window_] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ])
  assert.ok(page_ <= window_, `${what}: ${page_} pixels wide in a window of ${window_}`)
}
