/** The same numbers as a table: one row per service, sorted by any column; a peak's time leads to the message that set it. */
import { metrics } from './api.js';
import { element, fill, nameOf, visible } from './element.js';
import { count, duration, percent } from './words.js';
import { clock, dateClock, dayMs, dayStart } from './zone.js';

/**
 * @typedef {import('./api.js').ServiceSummary} ServiceSummary
 * @typedef {{ services: ServiceSummary[], zone: string, sort: string, colours: Map<string, number>, silentBefore: number | undefined, known: Map<string, import('./api.js').KnownService>, now: number }} Shown
 * @typedef {{ onSort: (sort: string) => void, onPeak: (service: string, metric: string, maxTime: string) => void }} TableEvents
 * @typedef {{ key: string, text: string, title?: string, value: (one: ServiceSummary) => string | number | null }} Column
 */

/** @type {readonly Column[]} */
const columns = [
  { key: 'service', text: 'Service', value: ({ service }) => service },
  { key: 'messages', text: 'Messages', value: ({ msg_num }) => msg_num },
  ...metrics.flatMap((metric) => [
    { key: `${metric}.mean`, text: 'mean', value: (/** @type {ServiceSummary} */ one) => one[metric].mean },
    { key: `${metric}.max`, text: 'max', value: (/** @type {ServiceSummary} */ one) => one[metric].max },
    { key: `${metric}.peak`, text: 'peak at', value: (/** @type {ServiceSummary} */ one) => one[metric].maxTime },
  ]),
  { key: 'missing', text: 'Missing', title: 'counted by its source, and not here', value: ({ missing }) => missing },
  { key: 'late', text: 'Late', title: 'came after the cut, though their minute was over by then', value: ({ late }) => late },
  { key: 'refused', text: 'Refused', value: ({ refused }) => refused },
  { key: 'last', text: 'Last heard', value: ({ last }) => last },
];

/** What is not there comes last, whichever way. @param {ServiceSummary[]} services @param {string} sort */
export const sorted = (services, sort) => {
  const descending = sort.startsWith('-');
  const column = columns.find(({ key }) => key === sort.replace(/^-/, '')) ?? columns[0];
  if (column === undefined) return services;
  const way = descending ? -1 : 1;
  return [...services].sort((a, b) => {
    const [left, right] = [column.value(a), column.value(b)];
    if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
    return (left < right ? -1 : left > right ? 1 : 0) * way;
  });
};

/** @param {HTMLElement} root @param {TableEvents} events */
export const createSummaryTable = (root, { onSort, onPeak }) => {
  /** @param {Column} column @param {string} sort @param {Record<string, unknown>} [more] */
  const head = ({ key, text, title }, sort, more = {}) => {
    const way = sort === key ? 'ascending' : sort === `-${key}` ? 'descending' : 'none';
    const next = way === 'descending' || (way === 'none' && key === 'service') ? key : `-${key}`;
    const metric = /^(cpu|ram|disk)\./.exec(key)?.[1];
    const sign = way === 'none' ? '' : way === 'ascending' ? ' ▲' : ' ▼';
    const button = element(
      'button',
      { type: 'button', title, 'data-key': key, onclick: () => onSort(next) },
      metric === undefined ? null : element('span', { class: 'visually-hidden' }, `${metric} `),
      text,
      element('span', { 'aria-hidden': 'true', class: 'way' }, sign),
    );
    return element('th', { scope: 'col', 'aria-sort': way, ...more }, button);
  };

  /** @param {ServiceSummary} one @param {Shown} shown */
  const lastCell = (one, { zone, silentBefore, known, now }) => {
    const last = one.last === null ? known.get(one.service)?.last : one.last;
    if (last === undefined || last === null) return element('td', {}, 'never');
    const at = Date.parse(last);
    const text = at < dayStart(now, zone) ? dateClock(at, zone) : clock(at, zone);
    if (silentBefore === undefined || at >= silentBefore) return element('td', {}, text);
    return element('td', { class: 'silent', title: `for ${duration(now - at)}` }, `silent since ${text}`);
  };

  /** @param {ServiceSummary} one @param {Shown} shown */
  const row = (one, shown) => {
    const place = shown.colours.get(one.service);
    const several = shown.services.some(
      ({ first, last }) => first !== null && last !== null && Date.parse(last) - Date.parse(first) > dayMs / 2,
    );
    return element(
      'tr',
      {},
      element(
        'th',
        { scope: 'row' },
        element('span', { class: place === undefined ? 'swatch none' : `swatch s${place + 1}` }),
        nameOf(one.service),
      ),
      element('td', {}, one.msg_num === 0 ? 'no messages' : count(one.msg_num)),
      ...metrics.flatMap((metric) => {
        const { mean, max, maxTime } = one[metric];
        const at = maxTime === null ? undefined : Date.parse(maxTime);
        return [
          element('td', { class: 'first' }, percent(mean)),
          element('td', {}, percent(max)),
          at === undefined || maxTime === null
            ? element('td', {}, '–')
            : element(
                'td',
                {},
                element(
                  'button',
                  {
                    type: 'button',
                    class: 'peak-time',
                    'data-key': `${metric} ${one.service}`,
                    title: `${dateClock(at, shown.zone, 'ms')}. Press for the raw message.`,
                    'aria-label': `peak of ${metric}, ${visible(one.service)}, at ${dateClock(at, shown.zone, 'ms')}: the raw message`,
                    onclick: () => onPeak(one.service, metric, maxTime),
                  },
                  several ? dateClock(at, shown.zone, 'second') : clock(at, shown.zone, 'second'),
                ),
              ),
        ];
      }),
      element('td', { class: one.missing > 0 ? 'first warn' : 'first' }, count(one.missing)),
      element('td', {}, count(one.late)),
      element('td', { class: one.refused > 0 ? 'warn' : '' }, count(one.refused)),
      lastCell(one, shown),
    );
  };

  return {
    /** @param {Shown} shown */
    show(shown) {
      const { sort } = shown;
      const focused =
        document.activeElement instanceof HTMLElement && root.contains(document.activeElement)
          ? document.activeElement.dataset.key
          : undefined;
      const [service, messages, ...others] = columns;
      const measured = others.slice(0, 9);
      if (service === undefined || messages === undefined) return;
      const scroller = root.querySelector('.scroll');
      const place = { left: scroller?.scrollLeft ?? 0, top: scroller?.scrollTop ?? 0 };
      fill(
        root,
        element(
          'div',
          { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of services', 'data-key': 'table' },
          element(
            'table',
            { class: 'summary' },
            element('caption', { class: 'visually-hidden' }, 'Mean, maximum and time of the maximum for each service in the range'),
            element('colgroup', {}, element('col', {}), element('col', {})),
            element(
              'thead',
              {},
              element(
                'tr',
                {},
                head(service, sort, { rowspan: 2 }),
                head(messages, sort, { rowspan: 2 }),
                ...metrics.map((metric) => element('th', { scope: 'colgroup', colspan: 3, class: 'group first' }, metric)),
                ...others.slice(9).map((column, i) => head(column, sort, { rowspan: 2, class: i === 0 && 'first' })),
              ),
              element('tr', {}, ...measured.map((column, i) => head(column, sort, { class: i % 3 === 0 && 'first' }))),
            ),
            element('tbody', {}, ...sorted(shown.services, sort).map((one) => row(one, shown))),
          ),
        ),
      );
      root.querySelector('.scroll')?.scrollTo(place);
      if (focused === undefined) return;
      const again = [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-key]'))].find(
        ({ dataset }) => dataset.key === focused,
      );
      again?.focus({ preventScroll: true });
    },
  };
};
