/** Where an answer's numbers come from, and the last proof that they are right. */
import { element, fill } from './element.js';
import { count, counted, duration, sum } from './words.js';

/** @typedef {import('./api.js').Terms} Terms */
/** @typedef {import('./api.js').Proof} Proof */

/** @param {Proof} proof */
const askedAt = ({ requestedAt }) => (requestedAt === undefined ? Number.NaN : new Date(requestedAt).getTime());

/** @param {Proof} proof */
const agoText = (proof) => (Number.isNaN(askedAt(proof)) ? '' : `, asked for ${duration(Date.now() - askedAt(proof))} ago`);

/** @param {Proof} proof */
export const outcomeOf = ({ differences, repaired }) => {
  if (repaired) return 'rebuilt and counted twice';
  return differences === 0 ? 'no difference' : counted(differences, 'DIFFERENCE');
};

/** @param {Proof | undefined} proof */
export const comparedLine = (proof) =>
  proof === undefined
    ? 'The first batch runs a minute after the first start, and is proved before anything is answered from it.'
    : `${counted(proof.rows, 'row')} of ${counted(proof.records, 'reading')} compared in batch ${proof.batch}${agoText(proof)}`;

/** @param {Proof | undefined} proof */
export const provedLine = (proof) => (proof === undefined ? 'none yet' : `${outcomeOf(proof)}: ${comparedLine(proof)}`);

/** @param {string} name @param {string} value @param {string} [title] */
const term = (name, value, title) => element('div', { title }, element('dt', {}, name), element('dd', {}, value));

/** @param {readonly number[]} position */
const placeOf = (position) => `[${position.map(String).join(', ')}]`;

/**
 * @param {HTMLElement} footer
 * @param {{ terms?: Terms, proof?: Proof | undefined }} shown
 */
export const showTerms = (footer, { terms, proof }) => {
  if (terms === undefined) return fill(footer);
  const fromBatch = sum(terms.cut);
  fill(
    footer,
    element(
      'dl',
      { class: 'terms' },
      term('Batch', terms.batch ?? 'none yet'),
      term('Cut', placeOf(terms.cut), 'one offset per partition: what lies below it is answered from the batch view'),
      term('Position', placeOf(terms.position), 'one offset per partition: how far this answer has got'),
      term('Readings from batch', count(fromBatch), 'of all services: the sum of the cut'),
      term('from real time', count(sum(terms.position) - fromBatch), 'of all services: from the cut to the position'),
      term('Missing', count(terms.missing)),
      term('Refused', count(terms.refused)),
      term('Late', count(terms.late)),
      term('Last proof', provedLine(proof)),
    ),
  );
};
