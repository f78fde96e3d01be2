/** The link is the state: whoever opens it sees what was seen, or is told that the numbers have changed since. */
import { isZone } from './zone.js';

/**
 * @typedef {object} LinkState
 * @property {string} from a word of range.js
 * @property {string} to
 * @property {string} zone `UTC`, `local` or an IANA name
 * @property {string[]} services none: all
 * @property {{ from: string, to: string } | undefined} zoom
 * @property {string} sort a column; with a - before it, the highest first
 * @property {string | undefined} position of the answer that the link was made of
 * @property {string | undefined} etag of that answer
 */

const servicesMax = 200;

/** @param {string} search @returns {LinkState} */
export const readLink = (search) => {
  const asked = new URLSearchParams(search);
  const zone = asked.get('zone') ?? 'UTC';
  const zoom = (asked.get('zoom') ?? '').split('..');
  return {
    from: asked.get('from') ?? 'now-1h',
    to: asked.get('to') ?? 'now',
    zone: isZone(zone) ? zone : 'UTC',
    services: [...new Set(asked.getAll('service'))].slice(0, servicesMax),
    zoom: zoom.length === 2 ? { from: /** @type {string} */ (zoom[0]), to: /** @type {string} */ (zoom[1]) } : undefined,
    sort: asked.get('sort') ?? 'service',
    position: asked.get('position') ?? undefined,
    etag: asked.get('etag') ?? undefined,
  };
};

/** @param {LinkState} state */
export const writeLink = ({ from, to, zone, services, zoom, sort, position, etag }) => {
  const link = new URLSearchParams({ from, to, zone });
  for (const service of services) link.append('service', service);
  if (zoom !== undefined) link.set('zoom', `${zoom.from}..${zoom.to}`);
  if (sort !== 'service') link.set('sort', sort);
  if (position !== undefined) link.set('position', position);
  if (etag !== undefined) link.set('etag', etag);
  // What every link has stays readable.
  return `?${link.toString().replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%2C', ',')}`;
};
