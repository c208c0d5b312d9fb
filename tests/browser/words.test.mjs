// What the page says, without a browser.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { bytes, cause, count, duration, rate, sentence } from '../../gateway/src/console/page/words.js'

test('a duration is said in the unit that fits it', () => {
  const said = [
    [0, '0 ms'],
    [0.12, '120 µs'],
    [1.63, '1.6 ms'],
    [36, '36 ms'],
    [999, '999 ms'],
    [12_400, '12.4 s'],
    [59_949, '59.9 s'],
    [60_000, '1 min'],
    [200_000, '3 min 20 s'],
    [7_500_000, '2 h 5 min'],
    [273_600_000, '3 d 4 h'],
    [undefined, '?'],
  ]

  for (const [ms, words] of said) assert.equal(duration(ms), words)
})

test('an outage of the broker is one sentence', () => {
  const incident = {
    kind: 'link',
    subject: 'broker',
    cause: 'connection reset',
    endedAt: '2026-11-22T13:00:27.400Z',
    attempts: 1,
    waited: 318,
    drainedMs: 300,
  }

  assert.equal(sentence(incident, 12_400), 'broker away 12.4 s, 318 events waited, drained in 300 ms')
  assert.equal(
    sentence({ ...incident, endedAt: null, waited: null, drainedMs: null, attempts: 3 }, 800),
    'broker is away for 0.8 s, 3 attempts',
  )
})

test('every kind of incident has its sentence, and one that nobody knows too', () => {
  const closed = { subject: 'repository', cause: 'because', endedAt: 'then', attempts: 1, generation: 2 }
  const said = ['actor', 'blocked', 'breaker', 'ejection', 'process', 'operator', 'comet'].map((kind) =>
    sentence({ ...closed, kind }, 36),
  )

  assert.deepEqual(said, [
    'repository restarted, back after 36 ms, generation 2 ended',
    'repository blocked publishers for 36 ms',
    'breaker opened: repository, for 36 ms',
    'not ready, left alone: repository, for 36 ms',
    'process of repository ended, serving again after 36 ms',
    'repository: because',
    'comet of repository, 36 ms',
  ])
})

test('how long a process was away is not said where nobody knows when it ended', () => {
  const ended = { kind: 'process', subject: 'orders', cause: 'ended without having stopped', attempts: 1 }
  const closed = { ...ended, at: '2026-11-22T13:00:27.400Z', endedAt: '2026-11-22T13:00:27.400Z', durationMs: null }

  assert.equal(sentence(closed, closed.durationMs), 'process of orders ended, nobody knows for how long it was away')
})

test('numbers are said as people say them', () => {
  assert.deepEqual(
    [count(1, 'event'), count(1204, 'event'), count(0, 'entry', 'entries')],
    ['1 event', '1,204 events', '0 entries'],
  )
  assert.deepEqual([rate(0), rate(null), rate(3.25), rate(1234.4)], ['0/s', '0/s', '3.3/s', '1,234/s'])
  assert.deepEqual([bytes(1), bytes(2048), bytes(1_572_864)], ['1 byte', '2.0 KiB', '1.5 MiB'])
  assert.deepEqual(
    [cause({ kind: 'lost', message: 'reset' }), cause({ kind: 'stopped' }), cause(null)],
    ['lost: reset', 'stopped', ''],
  )
})
