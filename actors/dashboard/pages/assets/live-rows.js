/** The newest minute rows, the newest above; a row that changes keeps its place, a new one slides in. */
import { element, fill, nameOf } from './element.js';
import { count, percent } from './words.js';
import { clock } from './zone.js';

/** @typedef {import('./api.js').MinuteRow} MinuteRow */

const rowsMax = 12;

/** @param {HTMLElement} root */
export const createLiveRows = (root) => {
  /** @type {Map<string, MinuteRow>} */
  const rows = new Map();
  let zone = 'UTC';
  const body = element('tbody');

  /** @param {MinuteRow} row */
  const cells = ({ service, time_stamp, cpu, ram, disk, max_cpu, max_ram, max_disk, msg_num }) => [
    element('td', {}, clock(Date.parse(time_stamp), zone)),
    element('th', { scope: 'row' }, nameOf(service)),
    element('td', {}, count(msg_num)),
    ...[
      [cpu, max_cpu],
      [ram, max_ram],
      [disk, max_disk],
    ].map(([total = 0, max]) => element('td', {}, `${percent(total / msg_num)} · ${percent(max)}`)),
  ];

  /** @param {MinuteRow} row */
  const keyOf = ({ service, time_stamp }) => `${time_stamp} ${service}`;

  const trim = () => {
    const keys = [...rows.keys()].sort().reverse();
    for (const key of keys.slice(rowsMax)) rows.delete(key);
    return keys.slice(0, rowsMax);
  };

  /** @param {ReadonlySet<string>} fresh @param {ReadonlySet<string>} changed */
  const show = (fresh, changed) => {
    const keys = trim();
    fill(
      body,
      ...keys.map((key) =>
        element(
          'tr',
          { class: fresh.has(key) ? 'fresh' : changed.has(key) && 'changed' },
          ...cells(/** @type {MinuteRow} */ (rows.get(key))),
        ),
      ),
    );
    table.hidden = keys.length === 0;
    waiting.hidden = keys.length > 0;
  };

  const waiting = element('p', { class: 'quiet' }, 'No new rows yet: they come in here as readings arrive.');
  const table = element(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of the newest rows', hidden: true },
    element(
      'table',
      { class: 'rows' },
      element('caption', { class: 'visually-hidden' }, 'Newest minute rows'),
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          ...['Minute', 'Service', 'Messages', 'cpu mean · max', 'ram mean · max', 'disk mean · max'].map((text) =>
            element('th', { scope: 'col' }, text),
          ),
        ),
      ),
      body,
    ),
  );
  root.append(waiting, table);

  return {
    /** @param {readonly MinuteRow[]} updated */
    add(updated) {
      const fresh = new Set();
      const changed = new Set();
      for (const row of updated) {
        (rows.has(keyOf(row)) ? changed : fresh).add(keyOf(row));
        rows.set(keyOf(row), row);
      }
      show(fresh, changed);
    },
    /** @param {string} next */
    setZone(next) {
      zone = next;
      show(new Set(), new Set());
    },
    clear() {
      rows.clear();
      show(new Set(), new Set());
    },
  };
};
