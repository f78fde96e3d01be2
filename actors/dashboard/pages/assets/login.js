/** Where to go after the token was right; nowhere but on this server. */
import { byId } from './element.js';

const asked = new URLSearchParams(location.search);
const next = asked.get('next') ?? '/';
const target = new URL(next, location.origin);
if (next.startsWith('/') && target.origin === location.origin) {
  /** @type {HTMLInputElement} */ (byId('next')).value = target.pathname + target.search;
}
byId('wrong').hidden = !asked.has('wrong');
