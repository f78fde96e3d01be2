/** The three charts, one time axis. */

import { timesOf } from './align.js';
import { metrics } from './api.js';
import { Chart } from './chart.js';
import { readPalette } from './palette.js';

/** @typedef {import('./api.js').Series} Series */
/** @typedef {{ series: Series, span: import('./range.js').Span, zone: string }} Shown */

/** @param {HTMLElement} root @param {import('./chart.js').ChartEvents} events */
export const createCharts = (root, events) => {
  const charts = metrics.map((metric) => new Chart(root, metric, events));
  /** @type {Shown | undefined} */
  let shown;

  /** @param {Shown} next */
  const draw = (next) => {
    shown = next;
    const { series, span, zone } = next;
    const { services, text, grid } = readPalette();
    const times = timesOf(series.services, series.bucketMinutes * 60);
    const drawing = { services: series.services, times, span, zone, bucketMinutes: series.bucketMinutes, colours: services, text, grid };
    for (const chart of charts) chart.draw(drawing);
  };

  return {
    draw,
    /** In the colours of now. */
    redraw() {
      if (shown !== undefined) draw(shown);
    },
    clear() {
      shown = undefined;
      for (const chart of charts) chart.clear();
    },
    get dragging() {
      return charts.some(({ dragging }) => dragging);
    },
    /** How many points a line can show. */
    points: () => Math.min(2_000, Math.max(200, Math.floor(root.clientWidth - 60))),
  };
};
