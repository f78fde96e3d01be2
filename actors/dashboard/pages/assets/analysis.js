/** The data analysis page: what the link says is asked, shown, and followed while it is live. */
import { askAll } from './answers.js';
import { now } from './api.js';
import { createCharts } from './charts.js';
import { byId, fill, visible } from './element.js';
import { createExplainDialog } from './explain.js';
import { copyText, createExports } from './exports.js';
import { buildFrame, watchTheme } from './frame.js';
import { readLink, writeLink } from './link.js';
import { createLive } from './live.js';
import { createLiveRows } from './live-rows.js';
import { createNotices } from './notices.js';
import { drawnMax, drawnOf } from './palette.js';
import { fixed, instantOfWord, isMoving, resized, spanOf } from './range.js';
import { rangeForm } from './range-form.js';
import { createSummaryTable } from './summary-table.js';
import { showTerms } from './terms.js';
import { count, counted, length, sum } from './words.js';
import { clock, date, dateClock, minuteMs, offsetText, zoneName } from './zone.js';

/**
 * @typedef {import('./range.js').Span} Span
 * @typedef {import('./api.js').Summary} Summary
 */

/** A service that says nothing for so long is silent. */
const silentAfterMs = 3 * minuteMs;
/** Between two questions while it is live: ten times what the last one took, within these. */
const refreshMsMin = 1_000;
const refreshMsMax = 8_000;
/** A range that ends now moves on, also when nothing comes. */
const moveMs = 15_000;
/** How often it is asked again for an answer from the batch that was proved last. */
const asksForProofMax = 10;

let state = readLink(location.search);
/** @type {{ summary: Summary, span: Span } | undefined} */
let shown;
/** @type {Map<string, import('./api.js').KnownService>} */
let known = new Map();
/** @type {import('./api.js').KnownServices | undefined} */
let all;
/** @type {import('./api.js').Proof | undefined} */
let proof;
/** @type {{ position: string | undefined, etag: string } | undefined} of the link that was opened */
let link;
/** @type {AbortController | undefined} */
let asking;
let tookMs = 0;
let askedAt = 0;
let asksForProof = 0;
/** @type {number | undefined} */
let refreshTimer;

const root = document.documentElement;
const notices = createNotices(byId('notices'));
const explain = createExplainDialog(document.body);

/** @returns {Span | undefined} what is looked at: the zoom, if there is one */
const spanNow = () => spanOf(state.zoom ?? state, now(), state.zone);

/** @param {Partial<import('./link.js').LinkState>} change */
const go = (change) => {
  state = { ...state, position: undefined, etag: undefined, ...change };
  history.pushState(null, '', writeLink(state));
  arrive();
};

/** What the link says now is shown from scratch. */
const arrive = () => {
  link = state.etag === undefined ? undefined : { etag: state.etag, position: state.position };
  form.set(state);
  rows.setZone(state.zone);
  notices.set('changed', undefined);
  notices.set('copied', undefined);
  load(false);
};

const form = rangeForm(byId('range'), { asked: state, submit: 'Show', onAsk: (asked) => go({ ...asked, zoom: undefined }) });
const rows = createLiveRows(byId('rows'));
const exports = createExports(/** @type {HTMLElement} */ (byId('export').lastElementChild));
const charts = createCharts(byId('charts'), {
  onZoom: (span) => go({ zoom: fixed(span) }),
  onZoomOut: () => zoomOut(),
  onPeak: ({ service, at }, metric) => explain({ service, metric, at, zone: state.zone }),
});
const table = createSummaryTable(byId('summary'), {
  onSort: (sort) => {
    state = { ...state, sort };
    history.replaceState(null, '', writeLink(state));
    showTable();
  },
  onPeak: (service, metric, maxTime) => explain({ service, metric, at: Date.parse(maxTime), zone: state.zone }),
});
const live = createLive({
  onRows: (updated) => {
    rows.add(updated.rows);
    const span = shown?.span;
    const within =
      span !== undefined && updated.rows.some(({ time_stamp }) => Date.parse(time_stamp) >= span.from && Date.parse(time_stamp) < span.to);
    if (within || isMoving(state.zoom ?? state)) refreshSoon();
  },
  onProved: () => refreshSoon(),
  onReload: () => load(true),
  onState: ({ kind, text, behindMs }) => {
    const line = byId('live');
    if (line.textContent !== text) line.textContent = text;
    line.dataset.kind = kind;
    notices.set(
      'stale',
      kind === 'lost' && behindMs > 10_000 ? 'The live connection is lost: these numbers are not the newest.' : undefined,
      { tone: 'warn', actions: [{ text: 'Ask again', run: () => load(true) }] },
    );
  },
});

const zoomOut = () => {
  if (state.zoom !== undefined) go({ zoom: undefined });
};

/** Somebody is marking a part, reads a dialog or looks elsewhere: what is shown stays as it is. */
const isBusy = () => document.hidden || charts.dragging || asking !== undefined || document.querySelector('dialog[open]') !== null;

/** @param {number} [waitMsMin] */
const refreshSoon = (waitMsMin = 0) => {
  if (refreshTimer !== undefined || live.paused) return;
  refreshTimer = setTimeout(
    () => {
      refreshTimer = undefined;
      if (live.paused) return;
      if (isBusy()) refreshSoon(refreshMsMin);
      else load(true);
    },
    Math.max(waitMsMin, askedAt + Math.min(refreshMsMax, Math.max(refreshMsMin, 10 * tookMs)) - Date.now()),
  );
};

/** @param {boolean} quiet it goes on where it is: no skeletons, and live goes on */
const load = (quiet) => {
  const span = spanNow();
  asking?.abort();
  if (!quiet) clear();
  if (span === undefined) {
    asking = undefined;
    root.dataset.state = 'error';
    endWaiting();
    return notices.set('error', 'This range cannot be read: “from” has to be before “to”, each a time or now, now-6h, today, yesterday.', {
      tone: 'bad',
    });
  }
  if (!quiet) for (const kind of ['error', 'series']) notices.set(kind, undefined);
  showSpan(span);
  const life = new AbortController();
  asking = life;
  askedAt = Date.now();
  /** @type {import('./api.js').Series | undefined} */
  let series;
  void askAll(
    { span, services: state.services, zone: state.zone, after: quiet ? undefined : state.position, points: charts.points() },
    {
      onServices: (services) => {
        all = services;
        known = new Map(services.services.map((one) => [one.service, one]));
        form.setKnown([...known.keys()]);
        if (shown !== undefined) showSummary(shown);
      },
      onSummary: (summary) => {
        shown = { summary, span };
        notices.set('error', undefined);
        showSummary(shown);
        if (!quiet || !live.started) live.start(state.services, summary.terms.position);
      },
      onSeries: (answer) => {
        series = answer;
        notices.set('series', undefined);
        byId('charts').setAttribute('aria-busy', 'false');
        charts.draw({ series: answer, span, zone: state.zone });
        requestAnimationFrame(() => setTimeout(() => performance.mark('drawn'))); // when it is to be seen
      },
      onProof: (newest) => {
        proof = newest;
        showTerms(byId('terms'), { proof, ...(shown !== undefined && { terms: shown.summary.terms }) });
      },
      onError: (part, error) => {
        if (part === 'series') byId('charts').setAttribute('aria-busy', 'false');
        if (part === 'summary') byId('summary').setAttribute('aria-busy', 'false');
        if (part === 'summary' || part === 'series') {
          if (part === 'summary') root.dataset.state = 'error';
          const comes = part === 'summary' && error.status === 503; // nobody answers now: somebody starts, or is brought back
          if (comes) refreshSoon(refreshMsMin);
          notices.set(
            part === 'summary' ? 'error' : 'series',
            `${part === 'summary' ? (comes ? 'No answer yet' : 'No answer') : 'The charts cannot be drawn'}: ${error.message} (${error.code})${comes ? '. It is asked again by itself.' : ''}`,
            { tone: comes ? 'warn' : 'bad', actions: [{ text: 'Try again', run: () => load(quiet) }] },
          );
        }
      },
    },
    life.signal,
  ).then(() => {
    if (asking !== life) return;
    asking = undefined;
    endWaiting();
    tookMs = Date.now() - askedAt;
    followProof();
    if (root.dataset.state === 'loading') root.dataset.state = 'ready';
    if (series !== undefined) performance.mark('ready');
  });
};

/** What is not there now does not come: it failed, and a notice says why. */
const endWaiting = () => {
  for (const id of ['summary', 'charts']) byId(id).setAttribute('aria-busy', 'false');
};

/** Answers come from a batch just after it is proved; the proof may have been heard of before. */
const followProof = () => {
  const { batch } = shown?.summary.terms ?? {};
  const isBehind =
    proof !== undefined && batch !== undefined && proof.batch !== batch && (proof.differences === 0 || proof.repaired === true);
  asksForProof = isBehind ? asksForProof + 1 : 0;
  if (isBehind && asksForProof <= asksForProofMax) refreshSoon();
};

const clear = () => {
  live.stop();
  shown = undefined;
  root.dataset.state = 'loading';
  rows.clear();
  charts.clear();
  for (const id of ['summary', 'charts']) byId(id).setAttribute('aria-busy', 'true');
  fill(byId('summary'));
  notices.set('empty', undefined);
  notices.set('partial', undefined);
};

/** @param {Span} span */
const showSpan = ({ from, to }) => {
  const { zone, zoom } = state;
  const end = date(from, zone) === date(to, zone) ? clock(to, zone) : dateClock(to, zone);
  const offsets = [...new Set([offsetText(from, zone), offsetText(to, zone)])].join(' → ');
  byId('span').textContent = `${dateClock(from, zone)} – ${end}`;
  byId('span-length').textContent = `${length(to - from)} · ${zoneName(zone)}${zoneName(zone) === 'UTC' ? '' : ` (${offsets})`}`;
  byId('zoom-out').hidden = zoom === undefined;
};

/** @param {{ summary: Summary, span: Span }} answered */
const showSummary = ({ summary, span }) => {
  byId('summary').setAttribute('aria-busy', 'false');
  showTable();
  const { terms, services } = summary;
  showTerms(byId('terms'), { terms, proof });
  exports.set({ span, zone: state.zone, services: state.services, position: terms.position });
  noteLink(summary);
  const nothing = services.every(({ msg_num }) => msg_num === 0);
  notices.set('empty', nothing ? emptyText() : undefined, { actions: jumps(span) });
  notices.set(
    'partial',
    terms.missing > 0
      ? `Partial: ${counted(terms.missing, 'reading')} of these services that sources have counted ${terms.missing === 1 ? 'is' : 'are'} missing.`
      : undefined,
    { tone: 'warn' },
  );
  const others = services.length - drawnMax;
  byId('charts-note').textContent =
    others > 0 ? `The first ${drawnMax} of ${services.length} services are drawn; choose services to see others.` : '';
  root.dataset.state = nothing ? 'empty' : 'ready';
};

const showTable = () => {
  if (shown === undefined) return;
  const { services } = shown.summary;
  const live = shown.span.to > now() - silentAfterMs;
  const names = state.services.length > 0 ? state.services : services.map(({ service }) => service);
  table.show({
    services,
    zone: state.zone,
    sort: state.sort,
    colours: new Map(drawnOf(names).map((service, i) => [service, i])),
    silentBefore: live ? now() - silentAfterMs : undefined,
    known,
    now: now(),
  });
};

const emptyText = () => {
  const names =
    state.services.length === 0
      ? 'any service'
      : state.services.length === 1
        ? visible(state.services[0] ?? '')
        : `these ${state.services.length} services`;
  const { first, last } = extent();
  if (first === undefined || last === undefined)
    return all === undefined ? `No messages from ${names} in this range.` : `No messages from ${names} yet, at any time.`;
  return `No messages from ${names} in this range: first data ${dateClock(first, state.zone)}, newest ${dateClock(last, state.zone)}.`;
};

/** First and newest minute of the services asked for, ms. */
const extent = () => {
  const asked =
    state.services.length === 0 ? [...known.values()] : [...known.values()].filter(({ service }) => state.services.includes(service));
  const [first, last] = [asked.map((one) => Date.parse(one.first)), asked.map((one) => Date.parse(one.last))];
  return asked.length === 0 ? { first: undefined, last: undefined } : { first: Math.min(...first), last: Math.max(...last) };
};

/** @param {Span} span */
const jumps = (span) => {
  const { last } = extent();
  if (last === undefined) return [];
  const to = last + minuteMs;
  return [{ text: 'Go to the newest data', run: () => go({ ...fixed({ from: to - (span.to - span.from), to }), zoom: undefined }) }];
};

/** Says when the numbers are not those of the link; a link to fixed times holds what is shown. @param {Summary} summary */
const noteLink = ({ etag, terms: { position } }) => {
  const changed = link !== undefined && link.etag !== etag;
  const then =
    link?.position === undefined
      ? ''
      : ` It was made at ${count(sum(link.position.split(',').map(Number)))} readings in all; now there are ${count(sum(position))}.`;
  notices.set('changed', changed ? `These numbers have changed since this link was made.${then}` : undefined, { tone: 'warn' });
  if (isMoving(state.zoom ?? state)) return;
  state = { ...state, etag, position: position.join(',') };
  history.replaceState(null, '', writeLink(state));
};

/** Fixed times, and the answer they had. */
const copyLink = async () => {
  if (shown === undefined) return;
  const { summary, span } = shown;
  const range = state.zoom === undefined ? fixed(span) : fixed(spanOf(state, now(), state.zone) ?? span);
  const zoom = state.zoom === undefined ? undefined : fixed(span);
  const fixedState = {
    ...state,
    ...range,
    zoom,
    zone: zoneName(state.zone),
    etag: summary.etag,
    position: summary.terms.position.join(','),
  };
  const address = location.origin + location.pathname + writeLink(fixedState);
  const outcome = document.createElement('span');
  await copyText(address, outcome);
  notices.set(
    'copied',
    outcome.textContent === 'copied'
      ? 'Link copied: it has these times, and says so when the numbers change.'
      : `Copy this link: ${address}`,
  );
};

/** @param {number} factor @param {number} [shift] */
const resize = (factor, shift) => {
  const span = spanNow();
  if (span !== undefined)
    go(
      state.zoom === undefined && factor >= 1 ? { ...fixed(resized(span, factor, shift)) } : { zoom: fixed(resized(span, factor, shift)) },
    );
};

const pause = () => {
  live.pause(!live.paused);
  byId('pause').setAttribute('aria-pressed', String(live.paused));
  byId('pause').textContent = live.paused ? 'Go on' : 'Pause';
  if (!live.paused) load(true);
};

/** @type {[id: string, key: string, does: string, run: () => void][]} */
const deeds = [
  ['earlier', '[', 'earlier', () => resize(1, -0.5)],
  ['later', ']', 'later', () => resize(1, 0.5)],
  ['nearer', '+', 'zoom in', () => resize(0.5)],
  ['wider', '-', 'zoom out', () => resize(2)],
  ['refresh', 'r', 'ask again', () => load(true)],
  ['pause', 'p', 'pause, or go on', pause],
  ['copy', 'c', 'copy a link to these numbers', () => void copyLink()],
  ['zoom-out', '0', 'back to the whole range', zoomOut],
];
for (const [id, , , run] of deeds) byId(id).addEventListener('click', run);
buildFrame('analysis', [
  ...deeds.map(([, key, does, run]) => ({ key, does, run })),
  { key: '/', does: 'choose services', run: () => form.searchServices() },
  { key: 't', does: 'choose the time', run: () => byId('from').focus() },
]);
watchTheme(() => charts.redraw());
addEventListener('popstate', () => {
  state = readLink(location.search);
  arrive();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && isMoving(state)) refreshSoon();
});
setInterval(() => {
  if (isMoving(state.zoom ?? state)) refreshSoon();
}, moveMs);
if (instantOfWord(state.from, now(), state.zone) === undefined) state = { ...state, from: 'now-1h', to: 'now' };
arrive();
