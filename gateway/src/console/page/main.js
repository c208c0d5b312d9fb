// Starts the page, and passes each snapshot to whoever shows a part of it.

import { announce, announceChanges } from './announce.js'
import { counting, heard } from './clock.js'
import { deadLettersHear, startDeadLetters } from './dead_letters.js'
import { byId, setHidden, setText } from './dom.js'
import { experimentsHear, experimentsHearReceipt } from './experiments.js'
import { startFollow } from './follow.js'
import { startLevel } from './level.js'
import { showPicture } from './picture.js'
import { startSession } from './session.js'
import { follow, resume, stop } from './stream.js'
import { startTabs } from './tabs.js'
import { startTimeline, timelineHears } from './timeline.js'
import { showVerdict } from './verdict.js'
import { clockTime } from './words.js'

let started = false
let last = null

function state(snapshot) {
  heard(snapshot.at)
  last = snapshot
  const isFirst = !started
  if (isFirst) start()
  setHidden(byId('console'), false)
  setHidden(byId('level-button'), false)
  showPicture(snapshot)
  showVerdict(snapshot)
  announceChanges(snapshot)
  timelineHears(snapshot)
  deadLettersHear(snapshot)
  experimentsHear(snapshot)
  if (isFirst) startTabs()
}

/** With the first snapshot, so that nobody asks before it is known that asking is allowed. */
function start() {
  started = true
  startTimeline()
  startFollow()
  startDeadLetters()
  startLevel()
}

const LIFE = {
  live: ['●', 'live'],
  lost: ['✕', 'disconnected'],
  paused: ['○', 'paused'],
}

let life = 'connecting'

function showLife(now) {
  const [symbol, words] = LIFE[now.life]
  const place = byId('life')
  place.dataset.life = now.life
  setText(place.querySelector('.symbol'), symbol)
  setText(place.querySelector('.words'), words)
  document.body.dataset.life = now.life

  const isLost = now.life === 'lost'
  setHidden(byId('lost'), !isLost)
  counting(byId('lost'), isLost ? () => setText(byId('lost'), lostSince(now.retryAt)) : null)
  if (isLost && life !== 'lost') announce('The gateway does not answer this page.')
  if (now.life === 'live' && life === 'lost') announce('The gateway answers again.')
  life = now.life
}

function lostSince(retryAt) {
  const left = (retryAt - Date.now()) / 1000
  const again = left > 0 ? `Trying again in ${left.toFixed(1)} s.` : 'Trying again…'
  const shown = last ? ` What is shown is of ${clockTime(last.at)}.` : ''
  return `The gateway does not answer this page.${shown} ${again}`
}

startSession({ opened: resume, closed: stop })
follow({ state, life: showLife, receipt: experimentsHearReceipt })
