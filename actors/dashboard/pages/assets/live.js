/** The live connection: rows as they change, whether it is there, and how far behind what is shown has fallen. */
import { addressOf, open } from './api.js';
import { readEvents } from './event-stream.js';
import { duration } from './words.js';

/**
 * @typedef {{ service: string, position: number[], batch: string | null, rows: import('./api.js').MinuteRow[] }} Updated
 * @typedef {{ onRows: (updated: Updated) => void, onProved: () => void, onReload: () => void, onState: (state: LiveState) => void }} LiveEvents
 * @typedef {{ kind: 'connecting' | 'live' | 'paused' | 'lost', text: string, behindMs: number }} LiveState
 */

const retryMsFirst = 1_000;
const retryMsMax = 15_000;

/** @param {LiveEvents} events */
export const createLive = (events) => {
  /** @type {AbortController | undefined} */
  let running;
  /** @type {string[]} */
  let services = [];
  let position = '';
  let paused = false;
  let connected = false;
  let seenAt = Date.now();
  let heldBack = 0;
  let pausedAt = 0;

  const state = () => {
    const behindMs = Date.now() - (paused ? pausedAt : seenAt);
    /** @type {LiveState} */
    let shown = { kind: 'live', text: 'live', behindMs: 0 };
    if (paused)
      shown = {
        kind: 'paused',
        text: `paused, ${duration(behindMs)} behind${heldBack === 0 ? '' : `, ${heldBack} updates wait`}`,
        behindMs,
      };
    else if (!connected && behindMs < 3_000) shown = { kind: 'connecting', text: 'connecting …', behindMs };
    else if (!connected) shown = { kind: 'lost', text: `not live: ${duration(behindMs)} behind, connecting again …`, behindMs };
    events.onState(shown);
  };

  /** @param {import('./event-stream.js').StreamEvent} event */
  const take = ({ event, text, id }) => {
    if (id !== undefined) position = id;
    if (event === 'reload') {
      position = '';
      events.onReload();
    } else if (paused) heldBack += 1;
    else if (event === 'view') events.onRows(JSON.parse(text));
    else if (event === 'proved') events.onProved();
  };

  /** @param {AbortController} life */
  const follow = async (life) => {
    let retryMs = retryMsFirst;
    while (!life.signal.aborted) {
      const attempt = new AbortController();
      const stop = () => attempt.abort();
      life.signal.addEventListener('abort', stop);
      try {
        const response = await open(addressOf('events', { service: services, since: position === '' ? undefined : position }), {
          signal: attempt.signal,
          headers: { accept: 'text/event-stream' },
        });
        connected = true;
        seenAt = Date.now();
        retryMs = retryMsFirst;
        state();
        await readEvents(response, attempt, {
          onEvent: take,
          onSign: () => {
            seenAt = Date.now();
          },
        });
      } catch {
        // It is asked again below; what is shown says meanwhile how far behind it is.
      }
      life.signal.removeEventListener('abort', stop);
      attempt.abort();
      if (life.signal.aborted) return;
      connected = false;
      state();
      await new Promise((resolve) => {
        setTimeout(resolve, retryMs);
      });
      retryMs = Math.min(retryMsMax, retryMs * 2);
    }
  };

  setInterval(state, 1_000);

  return {
    /** From a position on, for some services; what ran before ends. @param {string[]} wanted @param {readonly number[]} from */
    start(wanted, from) {
      running?.abort();
      running = new AbortController();
      services = wanted;
      position = from.join(',');
      connected = false;
      seenAt = Date.now();
      void follow(running);
      state();
    },
    stop() {
      running?.abort();
      running = undefined;
    },
    get started() {
      return running !== undefined;
    },
    get paused() {
      return paused;
    },
    /** @param {boolean} on */
    pause(on) {
      paused = on;
      pausedAt = Date.now();
      heldBack = 0;
      state();
    },
  };
};
