/** The form of both pages: presets, two date pickers, the zone, the services. It says what is asked; the page does it. */
import { now } from './api.js';
import { element, fill, nameOf } from './element.js';
import { instantOfWord, iso, presets } from './range.js';
import { clock, fromField, isZone, offsetText, toField, zoneName } from './zone.js';

/** @typedef {{ from: string, to: string, zone: string, services: string[] }} Asked */

const servicesShownMax = 300;

/** @param {HTMLSelectElement} select */
const addZones = (select) => {
  const names = Intl.supportedValuesOf('timeZone').filter((name) => name !== 'UTC');
  select.append(
    element('option', { value: 'UTC' }, 'UTC'),
    element('option', { value: 'local' }, `Local (${zoneName('local')})`),
    element('optgroup', { label: 'Named' }, ...names.map((name) => element('option', { value: name }, name.replaceAll('_', ' ')))),
  );
};

/**
 * @param {HTMLElement} form
 * @param {{ asked: Asked, onAsk: (asked: Asked) => void, submit: string }} options
 */
export const rangeForm = (form, { asked, onAsk, submit }) => {
  let current = { ...asked };
  /** @type {string[]} */
  let known = [];
  const from = element('input', { type: 'datetime-local', id: 'from', name: 'from', required: true, max: '9999-12-31T23:59' });
  const to = element('input', { type: 'datetime-local', id: 'to', name: 'to', required: true, max: '9999-12-31T23:59' });
  const fromHint = element('small', { id: 'from-hint' });
  const toHint = element('small', { id: 'to-hint' });
  from.setAttribute('aria-describedby', 'from-hint');
  to.setAttribute('aria-describedby', 'to-hint');
  const zone = element('select', { id: 'zone', name: 'zone' });
  addZones(zone);
  const wrong = element('p', { class: 'notice bad', role: 'alert', hidden: true });
  const search = element('input', {
    type: 'search',
    id: 'service-search',
    placeholder: 'search',
    'aria-label': 'Search services',
    autocomplete: 'off',
  });
  const list = element('ul', { class: 'checks' });
  const chosen = element('span');
  const picker = element(
    'details',
    { class: 'menu services' },
    element('summary', {}, chosen),
    element('div', {}, search, element('button', { type: 'button', onclick: () => choose([]) }, 'All services'), list),
  );

  const presetButtons = presets.map((preset) =>
    element('button', { type: 'button', onclick: () => ask({ ...current, from: preset.from, to: preset.to }) }, preset.label),
  );

  /** What a picker shows in the zone chosen; a range word stays one until its picker is touched. */
  const showTimes = () => {
    for (const [field, word] of /** @type {const} */ ([
      [from, current.from],
      [to, current.to],
    ])) {
      const at = instantOfWord(word, now(), current.zone);
      field.value = at === undefined ? '' : toField(at, current.zone);
    }
    hint();
  };

  /** Which clock a picker means: on the day when it is set back, an hour comes twice, and the first is meant. */
  const hint = () => {
    for (const [field, hintOf] of /** @type {const} */ ([
      [from, fromHint],
      [to, toHint],
    ])) {
      const at = fromField(field.value, current.zone);
      if (at === undefined) hintOf.textContent = '';
      else if (toField(at, current.zone) === field.value.slice(0, 16)) hintOf.textContent = offsetText(at, current.zone);
      else hintOf.textContent = `is skipped by the clocks: ${clock(at, current.zone)} ${offsetText(at, current.zone)}`;
    }
  };

  const showPreset = () => {
    presetButtons.forEach((button, i) => {
      button.setAttribute('aria-pressed', String(presets[i]?.from === current.from && presets[i]?.to === current.to));
    });
  };

  const showServices = () => {
    const { services } = current;
    const [only] = services;
    if (services.length === 1 && only !== undefined) fill(chosen, 'Service: ', nameOf(only));
    else fill(chosen, services.length === 0 ? 'All services' : `${services.length} services`);
    const wanted = search.value.toLowerCase();
    const names = [...new Set([...services, ...known])].filter((name) => name.toLowerCase().includes(wanted));
    fill(
      list,
      ...names.slice(0, servicesShownMax).map((name) => {
        const box = element('input', { type: 'checkbox', onchange: () => toggle(name, box.checked) });
        box.checked = services.includes(name);
        return element('li', {}, element('label', { class: 'check' }, box, nameOf(name)));
      }),
      names.length === 0 && element('li', { class: 'quiet' }, known.length === 0 ? 'no services yet' : 'none has this in its name'),
      names.length > servicesShownMax && element('li', { class: 'quiet' }, `and ${names.length - servicesShownMax} others: search`),
    );
  };

  /** @param {string[]} services */
  const choose = (services) => {
    current = { ...current, services };
    showServices();
  };

  /** @param {string} name @param {boolean} on */
  const toggle = (name, on) => {
    current = { ...current, services: on ? [...current.services, name] : current.services.filter((one) => one !== name) };
    const [only] = current.services;
    if (current.services.length === 1 && only !== undefined) fill(chosen, 'Service: ', nameOf(only));
    else fill(chosen, current.services.length === 0 ? 'All services' : `${current.services.length} services`);
  };

  /** @param {Asked} next */
  const ask = (next) => {
    const start = instantOfWord(next.from, now(), next.zone);
    const end = instantOfWord(next.to, now(), next.zone);
    wrong.hidden = start !== undefined && end !== undefined && start < end;
    if (!wrong.hidden) {
      wrong.textContent = start === undefined || end === undefined ? 'A date is missing.' : '“From” has to be before “to”.';
      return;
    }
    picker.open = false;
    set(next);
    onAsk(next);
  };

  /** @param {Asked} next */
  const set = (next) => {
    current = { from: next.from, to: next.to, zone: next.zone, services: next.services };
    zone.value = isZone(next.zone) ? next.zone : 'UTC';
    if (zone.value === '') {
      zone.append(element('option', { value: next.zone }, next.zone));
      zone.value = next.zone;
    }
    showTimes();
    showPreset();
    showServices();
  };

  for (const [field, end] of /** @type {const} */ ([
    [from, 'from'],
    [to, 'to'],
  ])) {
    field.addEventListener('input', () => {
      const at = fromField(field.value, current.zone);
      current = { ...current, [end]: at === undefined ? '' : iso(at) };
      showPreset();
      hint();
    });
  }
  zone.addEventListener('change', () => {
    current = { ...current, zone: zone.value };
    showTimes();
    if (!form.classList.contains('tall')) ask(current);
  });
  search.addEventListener('input', showServices);
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') event.preventDefault();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    ask(current);
  });

  fill(
    form,
    element('div', { class: 'presets', role: 'group', 'aria-label': 'Presets' }, ...presetButtons),
    element('div', { class: 'field' }, element('label', { for: 'from' }, 'From'), from, fromHint),
    element('div', { class: 'field' }, element('label', { for: 'to' }, 'To'), to, toHint),
    element('div', { class: 'field zone' }, element('label', { for: 'zone' }, 'Time zone'), zone),
    element('div', { class: 'field' }, element('span', { class: 'label' }, 'Services'), picker),
    element('button', { class: 'primary', type: 'submit' }, submit),
    wrong,
  );
  set(asked);
  return {
    set,
    /** @param {readonly string[]} names */
    setKnown(names) {
      known = [...names];
      showServices();
    },
    searchServices() {
      picker.open = true;
      search.focus();
    },
  };
};
