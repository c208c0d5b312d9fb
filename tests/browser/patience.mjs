// Waiting for what comes about, never for so and so long.

import { setTimeout as sleep } from 'node:timers/promises'

/** Calls `attempt` until it neither throws nor answers something false, and returns the answer; gives up after `within` ms. */
export async function eventually(what, attempt, within = 10_000) {
  const end = Date.now() + within
  for (;;) {
    let last
    try {
      const answer = await attempt()
      if (answer) return answer
      last = answer
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${within} ms; the last was ${last}`, { cause: last })
    await sleep(20)
  }
}
