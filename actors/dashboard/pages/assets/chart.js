/** One chart: mean and maximum of a metric for some services, each service's peak marked; drag to zoom, double click to go back out. */
import { alignedValues } from './align.js';
import { element, fill, nameOf, visible } from './element.js';
import { ticksOf, tickTexts } from './ticks.js';
import uPlot from './uplot/uPlot.esm.js';
import { percent, percentNumber } from './words.js';
import { clock, dateClock, dayMs } from './zone.js';

/**
 * @typedef {'cpu' | 'ram' | 'disk'} Metric
 * @typedef {import('./api.js').ServiceSeries} ServiceSeries
 * @typedef {{ service: string, at: number, value: number, colour: string, bucket: number }} Peak at: ms; bucket: where the line has its point, seconds
 * @typedef {{ services: ServiceSeries[], times: number[], span: import('./range.js').Span, zone: string, bucketMinutes: number, colours: string[], text: string, grid: string }} Drawing
 * @typedef {{ onZoom: (span: import('./range.js').Span) => void, onZoomOut: () => void, onPeak: (peak: Peak, metric: Metric) => void }} ChartEvents
 */

const heightPx = 190;

/** The next round number. @param {number} value */
const roundUp = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value) ?? 10);
};

/** The highest reading of each service in what is drawn. @param {Drawing} drawing @param {Metric} metric @returns {Peak[]} */
export const peaksOf = ({ services, colours }, metric) =>
  services.flatMap(({ service, time, [metric]: { max, maxTime } }, i) => {
    let highest = -1;
    max.forEach((value, k) => {
      if (highest === -1 || value > /** @type {number} */ (max[highest])) highest = k;
    });
    const at = maxTime[highest];
    const value = max[highest];
    return at === undefined || value === undefined
      ? []
      : [{ service, at: Date.parse(at), value, colour: colours[i] ?? '', bucket: time[highest] ?? Date.parse(at) / 1000 }];
  });

export class Chart {
  /** @type {uPlot | undefined} */
  #plot;
  /** @type {Drawing | undefined} */
  #drawing;
  /** @type {Peak[]} */
  #peaks = [];
  /** @type {HTMLElement[]} */
  #marks = [];
  /** @type {{ mean: HTMLElement, max: HTMLElement }[]} */
  #readouts = [];
  #dragging = false;

  /** @param {HTMLElement} root @param {Metric} metric @param {ChartEvents} events */
  constructor(root, metric, events) {
    this.metric = metric;
    this.events = events;
    this.readout = element('ul', { class: 'readout' });
    this.time = element('span', { class: 'at' });
    this.words = element('p', { class: 'visually-hidden', id: `${metric}-words` });
    this.canvas = element('div', { class: 'canvas' });
    root.append(
      element(
        'figure',
        { class: 'chart', 'aria-describedby': `${metric}-words`, 'aria-labelledby': `${metric}-title` },
        element(
          'figcaption',
          {},
          element('h3', { id: `${metric}-title` }, metric, element('span', { class: 'unit' }, ' %')),
          this.readout,
          this.time,
        ),
        this.words,
        this.canvas,
      ),
    );
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#width(), height: heightPx })).observe(this.canvas);
    addEventListener('mouseup', () => {
      this.#dragging = false;
    });
  }

  /** While somebody marks a part of it, nothing is drawn anew. */
  get dragging() {
    return this.#dragging;
  }

  #width() {
    return Math.max(200, Math.floor(this.canvas.clientWidth));
  }

  /** @param {Drawing} drawing */
  draw(drawing) {
    const before = this.#drawing;
    this.#drawing = drawing;
    this.#peaks = peaksOf(drawing, this.metric);
    const values = /** @type {uPlot.AlignedData} */ ([drawing.times, ...alignedValues(drawing.services, this.metric, drawing.times)]);
    /** @param {Drawing} one */
    const looks = ({ services, colours, text }) => JSON.stringify([services.map(({ service }) => service), colours, text]);
    if (this.#plot === undefined || before === undefined || looks(before) !== looks(drawing)) {
      this.#plot?.destroy();
      this.#buildReadout(drawing);
      this.#plot = new uPlot(this.#options(drawing), values, this.canvas);
      this.#plot.over.addEventListener('mousedown', () => {
        this.#dragging = true;
      });
    } else this.#plot.setData(values);
    this.#buildMarks();
    this.#placeMarks();
    this.#showValues(null);
    this.#describe();
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#drawing = undefined;
    fill(this.readout);
  }

  /** @param {Drawing} drawing @returns {uPlot.Options} */
  #options({ services, colours, text, grid }) {
    const drawing = () => /** @type {Drawing} */ (this.#drawing);
    const lines = services.flatMap((_, i) => [
      { stroke: colours[i] ?? text, width: 1.75, points: { size: 4, fill: colours[i] ?? text } },
      { stroke: colours[i] ?? text, width: 1, dash: [2, 3], points: { size: 3, fill: colours[i] ?? text } },
    ]);
    const axis = {
      stroke: text,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1, size: 4 },
      font: '11px system-ui, sans-serif',
    };
    const [only] = colours;
    return {
      width: this.#width(),
      height: heightPx,
      padding: [14, 22, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 4 },
        points: { size: 7 },
        sync: { key: 'tidemark', filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave' } },
        bind: {
          dblclick: () => () => {
            this.events.onZoomOut();
            return null;
          },
        },
      },
      scales: {
        x: { time: true, range: () => [drawing().span.from / 1000, drawing().span.to / 1000] },
        y: { range: (_, __, highest) => [0, highest > 0 ? roundUp(highest * 1.02) : 1] },
      },
      axes: [
        {
          ...axis,
          size: 40,
          splits: (plot) => ticksOf(drawing().span.from, drawing().span.to, drawing().zone, plot.width / 90).map((ms) => ms / 1000),
          values: (_, splits) =>
            tickTexts(
              splits.map((seconds) => seconds * 1000),
              drawing().zone,
            ),
        },
        { ...axis, size: 48, space: 32, values: (_, splits) => splits.map((value) => String(value)) },
      ],
      series: [{}, ...lines],
      ...(services.length === 1 &&
        only !== undefined && { bands: [{ series: [2, 1], fill: only.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)') }] }),
      hooks: {
        setCursor: [(plot) => this.#showValues(plot.cursor.idx ?? null)],
        setSelect: [(plot) => this.#zoom(plot)],
        draw: [() => this.#placeMarks()],
      },
    };
  }

  /** @param {uPlot} plot */
  #zoom(plot) {
    const { left, width } = plot.select;
    if (width === 0) return;
    this.#dragging = false;
    const [from, to] = [left, left + width].map((px) => Math.round(plot.posToVal(px, 'x') / 60) * 60_000);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (from !== undefined && to !== undefined) this.events.onZoom({ from, to: Math.max(to, from + 60_000) });
  }

  /** @param {Drawing} drawing */
  #buildReadout({ services, colours }) {
    this.#readouts = [];
    fill(
      this.readout,
      ...services.map(({ service }, i) => {
        const swatch = element('span', { class: 'swatch' });
        swatch.style.background = colours[i] ?? '';
        const mean = element('span', { class: 'number' });
        const max = element('span', { class: 'number' });
        this.#readouts.push({ mean, max });
        return element('li', {}, swatch, nameOf(service), ' mean ', mean, ' max ', max);
      }),
    );
  }

  /** At the cursor; without one, of the whole of what is drawn. @param {number | null} index */
  #showValues(index) {
    const { services, times, zone, span, bucketMinutes } = /** @type {Drawing} */ (this.#drawing);
    const at = index === null ? undefined : times[index];
    this.time.textContent =
      at === undefined
        ? ''
        : (span.to - span.from > dayMs ? dateClock : clock)(at * 1000, zone, 'minute') +
          (bucketMinutes > 1 ? ` + ${bucketMinutes} min` : '');
    services.forEach(({ time, msg_num, [this.metric]: { mean, max } }, i) => {
      const readout = this.#readouts[i];
      if (readout === undefined) return;
      const k = at === undefined ? -1 : time.indexOf(at);
      if (at !== undefined) {
        readout.mean.textContent = percent(mean[k]);
        readout.max.textContent = percent(max[k]);
        return;
      }
      const messages = msg_num.reduce((total, n) => total + n, 0);
      readout.mean.textContent = percent(
        messages === 0 ? null : mean.reduce((total, one, j) => total + one * /** @type {number} */ (msg_num[j]), 0) / messages,
      );
      readout.max.textContent = percent(this.#peaks.find(({ service }) => service === services[i]?.service)?.value);
    });
  }

  #buildMarks() {
    const { zone } = /** @type {Drawing} */ (this.#drawing);
    // Of equals the earliest: labels side by side would cover each other.
    const [highest] = [...this.#peaks].sort((a, b) => b.value - a.value || a.at - b.at);
    for (const mark of this.#marks) mark.remove();
    this.#marks = this.#peaks.map((peak) => {
      const time = clock(peak.at, zone, 'second');
      const words = `${percentNumber(peak.value)} % · ${time}`;
      const label = `${words}, peak of ${this.metric}, ${visible(peak.service)}, ${dateClock(peak.at, zone, 'ms')}`;
      const mark = element(
        'button',
        {
          type: 'button',
          class: peak === highest ? 'peak highest' : 'peak',
          'aria-label': label,
          title: `${label}. Press for the raw message.`,
          onclick: () => this.events.onPeak(peak, this.metric),
        },
        element('span', { 'aria-hidden': 'true' }, words),
      );
      mark.style.color = peak.colour;
      for (const type of ['mousedown', 'dblclick']) mark.addEventListener(type, (event) => event.stopPropagation());
      return mark;
    });
    this.#plot?.over.append(...this.#marks);
  }

  /** On the line, which has its points where the minutes begin. */
  #placeMarks() {
    const plot = this.#plot;
    if (plot === undefined) return;
    const width = plot.over.clientWidth;
    this.#peaks.forEach((peak, i) => {
      const mark = this.#marks[i];
      if (mark === undefined) return;
      const left = plot.valToPos(peak.bucket, 'x');
      mark.style.left = `${left}px`;
      mark.style.top = `${plot.valToPos(peak.value, 'y')}px`;
      mark.classList.toggle('leftward', left > width - 140);
    });
  }

  #describe() {
    const { zone, services } = /** @type {Drawing} */ (this.#drawing);
    const peaks = this.#peaks.map(({ service, value, at }) => `${visible(service)} ${percent(value)} at ${dateClock(at, zone, 'second')}`);
    this.words.textContent = `${this.metric} in percent, mean and maximum of ${services.length} services. Peaks: ${peaks.join('; ') || 'none'}. The table above has the same numbers.`;
  }
}
