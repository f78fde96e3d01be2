/** Home: what is there, what is running, and that it was proved. */
import { ask, now } from './api.js';
import { byId, element, fill, nameOf, visible } from './element.js';
import { buildFrame } from './frame.js';
import { readLink, writeLink } from './link.js';
import { createNotices } from './notices.js';
import { rangeForm } from './range-form.js';
import { comparedLine, outcomeOf } from './terms.js';
import { count, counted, duration, sum } from './words.js';
import { date, dateClock, minuteMs } from './zone.js';

/**
 * @typedef {import('./api.js').ActorShown} ActorShown
 * @typedef {import('./api.js').KnownServices} KnownServices
 */

const askEveryMs = 5_000;
/** While there is nothing yet, or nobody answers: whoever has just started it looks at this page. */
const askSoonMs = 1_000;
const silentAfterMs = 3 * minuteMs;
const servicesShownMax = 12;

const state = readLink(location.search);
const notices = createNotices(byId('notices'));
const form = rangeForm(byId('range'), {
  asked: state,
  submit: 'Show',
  onAsk: (asked) => location.assign(`/analysis${writeLink({ ...state, ...asked, zoom: undefined, position: undefined, etag: undefined })}`),
});

/** @param {string} caption @param {string[]} heads @param {HTMLTableRowElement[]} rows */
const tableOf = (caption, heads, rows) =>
  element(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    element(
      'table',
      {},
      element('caption', { class: 'visually-hidden' }, caption),
      element('thead', {}, element('tr', {}, ...heads.map((text) => element('th', { scope: 'col' }, text)))),
      element('tbody', {}, ...rows),
    ),
  );

/** @param {{ proofs: import('./api.js').Proof[], oldest?: string | null }} answer */
const showProof = ({ proofs: [newest], oldest }) => {
  const whole = newest !== undefined && newest.differences === 0;
  fill(
    byId('proved'),
    element(
      'p',
      { class: newest === undefined ? 'big' : whole ? 'big good' : 'big bad' },
      newest === undefined ? 'not yet' : outcomeOf(newest),
    ),
    element('p', { class: 'quiet' }, comparedLine(newest)),
    typeof oldest === 'string' &&
      element('p', { class: 'quiet' }, `The oldest proof of a date is of ${duration(now() - Date.parse(oldest))} ago.`),
  );
};

/** @param {KnownServices} answer */
const showServices = ({ services, first, last }) => {
  isFilled = services.length > 0;
  form.setKnown(services.map(({ service }) => service));
  if (byId('services').querySelector('a:focus') !== null) return; // the focus stays where it is
  if (first === null || last === null || services.length === 0) {
    return fill(
      byId('services'),
      element('p', {}, 'No readings yet: they show here as they arrive.'),
      element(
        'p',
        { class: 'quiet' },
        'To send some: ',
        element('code', {}, 'npx tidemark agent --service web'),
        ' or ',
        element('code', {}, 'npx tidemark demo'),
      ),
    );
  }
  /** @param {import('./api.js').KnownService} one */
  const row = ({ service, first, last }) => {
    const at = Date.parse(last);
    const silent = at < now() - silentAfterMs;
    const href = `/analysis${writeLink({ ...state, services: [service], ...(silent ? { from: new Date(at - 60 * minuteMs).toISOString(), to: new Date(at + minuteMs).toISOString() } : {}) })}`;
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, element('a', { href }, nameOf(service))),
      element('td', {}, date(Date.parse(first), state.zone)),
      element('td', { class: silent && 'silent' }, silent ? `silent since ${dateClock(at, state.zone)} (${duration(now() - at)})` : 'now'),
    );
  };
  const newest = [...services].sort((a, b) => (a.last < b.last ? 1 : a.last > b.last ? -1 : a.service < b.service ? -1 : 1));
  fill(
    byId('services'),
    element(
      'dl',
      { class: 'facts' },
      element('div', {}, element('dt', {}, 'First data'), element('dd', {}, `${dateClock(Date.parse(first), state.zone)} ${state.zone}`)),
      element('div', {}, element('dt', {}, 'Newest data'), element('dd', {}, `${dateClock(Date.parse(last), state.zone)} ${state.zone}`)),
      element('div', {}, element('dt', {}, 'Services'), element('dd', {}, count(services.length))),
    ),
    tableOf('Services', ['Service', 'Since', 'Last heard'], newest.slice(0, servicesShownMax).map(row)),
    services.length > servicesShownMax &&
      element('p', { class: 'quiet' }, `and ${counted(services.length - servicesShownMax, 'other')}: choose them in the form`),
  );
};

/** @param {ActorShown[]} actors */
const byName = (actors) => {
  /** @type {Map<string, ActorShown[]>} */
  const groups = new Map();
  for (const actor of actors) groups.set(actor.actor, [...(groups.get(actor.actor) ?? []), actor]);
  return [...groups];
};

/** @param {import('./api.js').Status} status */
const showStatus = ({ actors, problems = [], position, cut, batch, refused, missing }) => {
  const starts = batch === null && position !== null && sum(position) === 0; // nothing was ever counted: who is missing comes
  const said = problems.map(visible).join(' · ');
  notices.set('problems', said === '' ? undefined : starts ? `It starts: ${said} yet.` : said, { tone: starts ? 'plain' : 'bad' });
  /** @param {[string, ActorShown[]]} group */
  const row = ([name, group]) => {
    const states = [...new Set(group.map(({ state }) => state))];
    const lags = group.flatMap(({ lag }) => (lag === undefined ? [] : [lag]));
    const behind = sum(lags.map(({ records }) => records));
    const bad = states.some((one) => one === 'gone' || one === 'failed');
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, visible(name)),
      element('td', {}, count(group.length)),
      element('td', { class: bad && 'bad' }, states.map(visible).join(', ')),
      element(
        'td',
        {},
        lags.length === 0
          ? ''
          : behind === 0
            ? 'nothing'
            : `${count(behind)}, ${Math.max(...lags.map(({ seconds }) => seconds)).toFixed(1)} s`,
      ),
    );
  };
  fill(
    byId('actors'),
    tableOf('Actors', ['Actor', 'Instances', 'State', 'Waiting'], byName(actors).map(row)),
    element(
      'dl',
      { class: 'facts' },
      element('div', {}, element('dt', {}, 'Readings'), element('dd', {}, position === null ? 'not known' : count(sum(position)))),
      element(
        'div',
        {},
        element('dt', {}, 'from batch'),
        element('dd', {}, cut === null ? 'not known' : `${count(sum(cut))}${batch === null ? '' : ` (${visible(batch)})`}`),
      ),
      element(
        'div',
        {},
        element('dt', {}, 'Refused'),
        element('dd', {}, refused === null ? 'not known' : count(sum(Object.values(refused)))),
      ),
      element(
        'div',
        {},
        element('dt', {}, 'Missing'),
        element('dd', {}, missing === null ? 'not known' : count(sum(Object.values(missing)))),
      ),
    ),
  );
};

/**
 * @template T
 * @param {string} path @param {string} id @param {(answer: T) => void} show
 * @returns {Promise<boolean>}
 */
const part = async (path, id, show) => {
  try {
    show(await ask(path, path === 'proofs' ? { limit: 1 } : {}));
    return true;
  } catch (error) {
    const { message, status } = /** @type {import('./api.js').AskError} */ (error);
    const said = status === 503 ? 'No answer yet: it is asked again each second.' : message;
    if (byId(id).childElementCount === 0) fill(byId(id), element('p', { class: 'quiet' }, said));
    return false;
  } finally {
    byId(id).setAttribute('aria-busy', 'false');
  }
};

let answeredAt = Date.now();
let isFilled = false;
const askAgain = async () => {
  if (document.hidden) return;
  const outcomes = await Promise.all([
    part('services', 'services', showServices),
    part('proofs', 'proved', showProof),
    part('status', 'actors', showStatus),
  ]);
  document.documentElement.dataset.state = outcomes.every(Boolean) ? 'ready' : 'error';
  if (!outcomes.every(Boolean)) isFilled = false;
  if (outcomes.some(Boolean)) answeredAt = Date.now();
  notices.set(
    'stale',
    outcomes.some(Boolean) ? undefined : `The server does not answer: this is ${duration(Date.now() - answeredAt)} old.`,
    { tone: 'warn' },
  );
};

const keepAsking = async () => {
  await askAgain();
  performance.mark('ready');
  setTimeout(() => void keepAsking(), isFilled ? askEveryMs : askSoonMs);
};

buildFrame('home', [
  { key: 'r', does: 'ask again', run: () => void askAgain() },
  { key: '/', does: 'choose services', run: () => form.searchServices() },
  { key: 't', does: 'choose the time', run: () => byId('from').focus() },
]);
void keepAsking();
