/** Reads server-sent events by fetch: so heartbeats are seen too, and a stream that says nothing is known to be lost. */

/** @typedef {{ event: string, text: string, id: string | undefined }} StreamEvent */

/** The server has a heartbeat each 15 s. */
const silentMsMax = 40_000;

/**
 * Takes text as it comes, in any pieces, and gives whole events; a comment is an event without a name or text.
 * @param {(event: StreamEvent) => void} onEvent
 */
export const eventParser = (onEvent) => {
  let rest = '';
  /** @type {string[]} */
  let lines = [];
  let event = 'message';
  /** @type {string | undefined} */
  let id;
  const end = () => {
    if (lines.length > 0) onEvent({ event, text: lines.join('\n'), id });
    lines = [];
    event = 'message';
  };
  /** @param {string} line */
  const take = (line) => {
    if (line === '') return end();
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') lines.push(value);
    else if (name === 'event') event = value;
    else if (name === 'id') id = value;
  };
  /** @param {string} text */
  return (text) => {
    const whole = (rest + text).split(/\r\n|\n/);
    rest = whole.pop() ?? '';
    for (const line of whole) take(line);
  };
};

/**
 * Reads until it ends, is aborted or says nothing for too long.
 * @param {Response} response @param {AbortController} abort
 * @param {{ onEvent: (event: StreamEvent) => void, onSign: () => void }} listener onSign: anything came
 */
export const readEvents = async (response, abort, { onEvent, onSign }) => {
  const parse = eventParser(onEvent);
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body)
    .pipeThrough(/** @type {any} */ (new TextDecoderStream()))
    .getReader();
  let timer = setTimeout(() => abort.abort(), silentMsMax);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), silentMsMax);
      onSign();
      parse(/** @type {string} */ (value));
    }
  } finally {
    clearTimeout(timer);
  }
};
