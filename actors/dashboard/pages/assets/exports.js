/** Taking the numbers along: CSV, JSON and Parquet of this range, and the same question for a shell. */
import { addressOf } from './api.js';
import { element, fill } from './element.js';
import { fixed } from './range.js';
import { zoneName } from './zone.js';

const formats = /** @type {const} */ (['csv', 'json', 'parquet']);

/** @param {HTMLElement} menu */
export const createExports = (menu) => {
  const step = element(
    'select',
    { id: 'export-step' },
    ...['minute', 'hour', 'day', 'range'].map((one) => element('option', { value: one }, one === 'range' ? 'one row' : `by ${one}`)),
  );
  const links = formats.map((format) =>
    element('a', { class: 'button', download: '', 'data-format': format }, format === 'parquet' ? 'Parquet' : format.toUpperCase()),
  );
  const curl = element('code', { id: 'curl', tabindex: '0' });
  const copied = element('span', { role: 'status', class: 'quiet' });
  const copy = element('button', { type: 'button', onclick: () => void copyText(curl.textContent ?? '', copied) }, 'Copy');
  /** @type {{ span: import('./range.js').Span, zone: string, services: string[], position: readonly number[] } | undefined} */
  let shown;

  const show = () => {
    if (shown === undefined) return;
    const { span, zone, services, position } = shown;
    const question = { ...fixed(span), service: services, step: step.value, zone: zoneName(zone), after: position.join(',') };
    links.forEach((link, i) => {
      link.href = addressOf('views', { ...question, format: formats[i] });
    });
    // Percent-encoded, the address holds no quote.
    const address = location.origin + addressOf('views', { ...question, format: 'json' });
    const token = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname) ? '' : ' -H "Authorization: Bearer $TIDEMARK_TOKEN"';
    curl.textContent = `curl -sS${token} '${address}'`;
  };
  step.addEventListener('change', show);
  fill(
    menu,
    element('div', { class: 'field' }, element('label', { for: 'export-step' }, 'Rows'), step),
    element('div', { class: 'formats' }, ...links),
    element('p', { class: 'label' }, 'curl for this'),
    element('div', { class: 'curl' }, curl, copy),
    copied,
  );
  return {
    /** @param {{ span: import('./range.js').Span, zone: string, services: string[], position: readonly number[] }} next */
    set(next) {
      shown = next;
      show();
    },
  };
};

/** @param {string} text @param {HTMLElement} outcome */
export const copyText = async (text, outcome) => {
  try {
    await navigator.clipboard.writeText(text);
    outcome.textContent = 'copied';
  } catch {
    outcome.textContent = 'this browser does not let a page copy: select the text';
  }
};
