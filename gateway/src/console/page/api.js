// Asking the gateway, always at the page's own origin.

/** What the gateway refused, in its words. */
export class Refusal extends Error {
  constructor(status, problem) {
    const said = problem?.detail ?? problem?.error ?? problem?.title
    super(said ? `${said}` : `the gateway answered ${status}`)
    this.status = status
  }
}

let onUnauthorized = () => {}

/** Calls `react` whenever the gateway asks who is there. */
export function whenUnauthorized(react) {
  onUnauthorized = react
}

/**
 * Asks, and returns the answer's JSON, or `null` where it has none.
 * Throws a `Refusal` for an answer that is none of success, and an `Error` where nobody answers.
 */
export async function ask(method, path, body) {
  const headers = { accept: 'application/json' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  let response
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(30_000),
    })
  } catch {
    throw new Error('the gateway does not answer')
  }
  const json = await response.json().catch(() => null)
  if (response.ok) return json
  if (response.status === 401 && path !== '/session') onUnauthorized()
  throw new Refusal(response.status, json)
}
