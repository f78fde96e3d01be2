/** Building the page: text goes in as text, never as markup, so a name that came in a message can only be read. */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [props] attributes; `on…` are listeners, `class`, true for an attribute alone, false or undefined for none
 * @param {...Child} children strings become text
 * @returns {HTMLElementTagNameMap[K]}
 */
export const element = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter(isThere));
  return node;
};

/** @param {Child} child @returns {child is Node | string} */
const isThere = (child) => child !== null && child !== undefined && child !== false;

/** @param {Element} node @param {...Child} children */
export const fill = (node, ...children) => node.replaceChildren(...children.filter(isThere));

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** A name from a message: whatever direction its letters run in, what stands beside it stays in its place. @param {string} text */
export const nameOf = (text) => element('bdi', { class: 'name', title: text }, visible(text));

/**
 * Control characters, what turns the direction of text and what cannot be seen are shown as a sign, so that two names cannot look
 * alike by them; but for the two that letters and emojis are joined with.
 * @param {string} text
 */
export const visible = (text) =>
  text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu, (one) => (one === '\u200c' || one === '\u200d' ? one : '\u{fffd}'));

/** @param {string} text @param {string} [kind] */
export const notice = (text, kind = 'plain') => element('p', { class: `notice ${kind}` }, text);
