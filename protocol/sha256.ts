/** The one hash that files, byte ranges and chains are named with. */
import { createHash } from 'node:crypto';

/** Hex. */
export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
