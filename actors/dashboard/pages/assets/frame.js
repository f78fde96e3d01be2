/** What every page has: the head with the way to the others, light or dark, and the keys. */
import { byId, element, fill } from './element.js';

/** @typedef {{ key: string, does: string, run: () => void }} Key */

/** @param {string} name @returns {string | null} */
const remembered = (name) => {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
};

/** @param {string} name @param {string} value */
const remember = (name, value) => {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Storage is switched off: it holds until the page is left.
  }
};

export const isDark = () => {
  const { theme } = document.documentElement.dataset;
  return theme === undefined ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark';
};

/** Calls when the colours change, by the button or by the system. @param {() => void} onChange */
export const watchTheme = (onChange) => {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', onChange);
  addEventListener('themechange', onChange);
};

const changeTheme = () => {
  const theme = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  remember('theme', theme);
  dispatchEvent(new Event('themechange'));
};

/** @param {EventTarget | null} target */
const isTyping = (target) =>
  target instanceof HTMLElement && target.matches('input:not([type=checkbox]), select, textarea, [contenteditable]');

/** @param {readonly Key[]} keys */
const helpDialog = (keys) => {
  const switchKeys = element('input', {
    type: 'checkbox',
    id: 'keys-on',
    onchange: (/** @type {Event} */ event) => remember('keys', /** @type {HTMLInputElement} */ (event.target).checked ? 'on' : 'off'),
  });
  switchKeys.checked = remembered('keys') !== 'off';
  const list = element('dl', { class: 'keys' });
  for (const { key, does } of keys) list.append(element('dt', {}, element('kbd', {}, key)), element('dd', {}, does));
  const dialog = element(
    'dialog',
    { 'aria-labelledby': 'help-title', class: 'small' },
    element('h2', { id: 'help-title' }, 'Keys'),
    list,
    element('label', { class: 'check' }, switchKeys, ' Single keys are on'),
    element('form', { method: 'dialog' }, element('button', { class: 'primary' }, 'Close')),
  );
  document.body.append(dialog);
  return dialog;
};

/**
 * @param {'home' | 'analysis'} page
 * @param {readonly Key[]} pageKeys
 */
export const buildFrame = (page, pageKeys) => {
  /** @type {Key[]} */
  const keys = [
    ...pageKeys,
    { key: 'd', does: 'dark or light', run: changeTheme },
    { key: '?', does: 'these keys', run: () => dialog.showModal() },
  ];
  const dialog = helpDialog(keys);
  /** @param {string} href @param {string} text @param {boolean} here */
  const way = (href, text, here) => element('a', { href, 'aria-current': here && 'page' }, text);
  fill(
    byId('frame'),
    element('a', { class: 'brand', href: '/' }, element('img', { src: '/assets/favicon.svg', alt: '', width: 22, height: 22 }), 'Tidemark'),
    element(
      'nav',
      { 'aria-label': 'Pages' },
      way('/', 'Home', page === 'home'),
      way('/analysis', 'Data analysis', page === 'analysis'),
      way('/docs', 'API', false),
    ),
    element(
      'div',
      { class: 'corner' },
      element('button', { type: 'button', id: 'theme', title: 'Dark or light ( d )', onclick: changeTheme }, 'Dark / light'),
      element('button', { type: 'button', id: 'help', title: 'Keys ( ? )', 'aria-label': 'Keys', onclick: () => dialog.showModal() }, '?'),
    ),
  );
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return;
    if (remembered('keys') === 'off') return;
    const key = keys.find((one) => one.key === event.key);
    if (key === undefined) return;
    event.preventDefault();
    key.run();
  });
  closeMenus();
};

/** A menu closes when something else is pressed, and with Escape, which gives the focus back. */
const closeMenus = () => {
  const menus = () => /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll('details.menu[open]'));
  addEventListener('pointerdown', ({ target }) => {
    for (const menu of menus()) if (!menu.contains(/** @type {Node} */ (target))) menu.open = false;
  });
  addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape') return;
    for (const menu of menus()) {
      menu.open = false;
      menu.querySelector('summary')?.focus();
    }
  });
};
