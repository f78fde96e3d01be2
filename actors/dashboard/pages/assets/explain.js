/** The raw messages behind a minute: those that set its peaks first, byte for byte as they came. */
import { ask } from './api.js';
import { element, fill, nameOf, notice, visible } from './element.js';
import { iso } from './range.js';
import { count, counted, percent } from './words.js';
import { clock, dateClock, minuteMs, offsetText } from './zone.js';

/** @typedef {import('./api.js').Explained} Explained */
/** @typedef {import('./api.js').RawMessage} RawMessage */

const limit = 100;

/** @param {RawMessage} message @param {string} zone */
const peakMessage = (message, zone) =>
  element(
    'article',
    { class: 'raw' },
    element(
      'p',
      {},
      element('strong', {}, `set the peak of ${message.peaks.join(' and ')}`),
      element(
        'span',
        { class: 'quiet' },
        ` · partition ${message.partition}, offset ${count(message.offset)} · received ${dateClock(Date.parse(message.received), zone, 'ms')}`,
      ),
      message.agent !== undefined && element('span', { class: 'quiet' }, ` · source ${visible(message.agent)}, its reading ${message.n}`),
    ),
    element('pre', { tabindex: '0', 'aria-label': 'the raw message' }, message.line),
  );

/** @param {RawMessage} message @param {string} zone */
const row = (message, zone) =>
  element(
    'tr',
    {},
    element('td', {}, clock(Date.parse(message.timestamp), zone, 'ms')),
    element('td', {}, percent(message.cpu)),
    element('td', {}, percent(message.ram)),
    element('td', {}, percent(message.disk)),
    element('td', {}, `${message.partition}: ${count(message.offset)}`),
    element('td', { class: 'line' }, element('code', {}, message.line)),
  );

/** The message that set the peak which was pressed comes first. @param {Explained} explained @param {string} metric @param {string} zone */
const content = ({ row: { msg_num }, messages, total, truncated }, metric, zone) => {
  const peaks = messages
    .filter((message) => message.peaks.length > 0)
    .sort((a, b) => Number(b.peaks.includes(metric)) - Number(a.peaks.includes(metric)));
  return [
    element(
      'p',
      { class: 'quiet' },
      `${counted(msg_num, 'message')} in this minute${truncated ? `; the first ${count(messages.length)} of ${count(total)} are shown` : ''}.`,
    ),
    ...peaks.map((message) => peakMessage(message, zone)),
    element(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'All messages of the minute' },
      element(
        'table',
        {},
        element('caption', { class: 'visually-hidden' }, 'All messages of the minute'),
        element(
          'thead',
          {},
          element(
            'tr',
            {},
            ...['Time', 'cpu', 'ram', 'disk', 'Partition: offset', 'Raw'].map((text) => element('th', { scope: 'col' }, text)),
          ),
        ),
        element('tbody', {}, ...messages.map((message) => row(message, zone))),
      ),
    ),
  ];
};

/** @param {HTMLElement} parent */
export const createExplainDialog = (parent) => {
  const body = element('div', { class: 'explained', 'aria-live': 'polite' });
  const title = element('h2', { id: 'explain-title' });
  const dialog = element(
    'dialog',
    { 'aria-labelledby': 'explain-title', class: 'explain' },
    element('form', { method: 'dialog', class: 'close' }, element('button', { 'aria-label': 'Close' }, '×')),
    title,
    body,
  );
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  parent.append(dialog);

  /** @param {{ service: string, metric: string, at: number, zone: string }} peak at: ms */
  return async ({ service, metric, at, zone }) => {
    const minute = Math.floor(at / minuteMs) * minuteMs;
    fill(title, `${metric} peak of `, nameOf(service), ` at ${dateClock(at, zone, 'ms')} ${offsetText(at, zone)}`);
    fill(body, element('p', { class: 'quiet' }, 'looking for the raw messages …'));
    dialog.showModal();
    try {
      const explained = /** @type {Explained} */ (await ask('explain', { service, minute: iso(minute), limit }));
      fill(body, ...content(explained, metric, zone));
    } catch (error) {
      fill(body, notice(`The raw messages could not be read: ${/** @type {Error} */ (error).message}`, 'bad'));
    }
  };
};
