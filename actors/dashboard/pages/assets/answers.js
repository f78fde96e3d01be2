/** What the analysis page asks for: summary, series, services, proof, each on its own, so that one that fails takes no other along. */
import { AskError, ask } from './api.js';
import { drawnOf } from './palette.js';
import { fixed } from './range.js';
import { zoneName } from './zone.js';

/**
 * @typedef {import('./range.js').Span} Span
 * @typedef {{ span: Span, services: string[], zone: string, after: string | undefined, points: number }} Question
 * @typedef {{ onServices: (known: import('./api.js').KnownServices) => void, onSummary: (summary: import('./api.js').Summary) => void, onSeries: (series: import('./api.js').Series) => void, onProof: (proof: import('./api.js').Proof | undefined) => void, onError: (part: 'summary' | 'series' | 'services' | 'proof', error: AskError) => void }} Parts
 */

/**
 * Resolves when everything is there, or failed; of an aborted question nothing more is heard.
 * @param {Question} question @param {Parts} parts @param {AbortSignal} signal
 */
export const askAll = async ({ span, services, zone, after, points }, parts, signal) => {
  const range = { ...fixed(span), service: services };
  /**
   * @template T
   * @param {'summary' | 'series' | 'services' | 'proof'} part @param {Promise<T>} asked @param {(answer: T) => void} take
   * @returns {Promise<T | undefined>}
   */
  const part = async (part, asked, take) => {
    try {
      const answer = await asked;
      if (signal.aborted) return undefined;
      take(answer);
      return answer;
    } catch (error) {
      if (signal.aborted) return undefined;
      parts.onError(part, error instanceof AskError ? error : new AskError(String(error), { code: 'E_PAGE' }));
      return undefined;
    }
  };
  /** @param {string[]} drawn */
  const series = (drawn) =>
    part('series', ask('series', { ...range, service: drawn, zone: zoneName(zone), points }, signal), parts.onSeries);
  const known = part('services', ask('services', {}, signal), parts.onServices);
  const summary = part('summary', ask('summary', { ...range, after }, signal), parts.onSummary);
  // Without a choice, those are drawn that are in the answer.
  const drawn =
    services.length > 0
      ? series(drawnOf(services))
      : summary.then((answer) => answer && series(drawnOf(answer.services.map(({ service }) => service))));
  const proof = part('proof', ask('proofs', { limit: 1 }, signal), (/** @type {{ proofs: import('./api.js').Proof[] }} */ { proofs }) =>
    parts.onProof(proofs[0]),
  );
  await Promise.all([known, summary, drawn, proof]);
};
