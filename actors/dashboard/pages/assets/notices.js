/** What the page has to say: one line for each kind, and none for ever. */
import { element, fill } from './element.js';

/** @param {HTMLElement} root */
export const createNotices = (root) => {
  /** @type {Map<string, HTMLElement>} */
  const shown = new Map();
  const show = () => fill(root, ...shown.values());
  return {
    /**
     * @param {string} kind what it replaces
     * @param {string | undefined} text undefined: nothing to say any more
     * @param {{ tone?: 'plain' | 'warn' | 'bad', actions?: { text: string, run: () => void }[] }} [more]
     */
    set(kind, text, { tone = 'plain', actions = [] } = {}) {
      if (text === undefined) {
        if (!shown.delete(kind)) return;
      } else {
        if (shown.get(kind)?.dataset.text === text) return;
        shown.set(
          kind,
          element(
            'div',
            { class: `notice ${tone}`, 'data-kind': kind, 'data-text': text },
            element('span', {}, text),
            ...actions.map((action) => element('button', { type: 'button', onclick: action.run }, action.text)),
          ),
        );
      }
      show();
    },
  };
};
