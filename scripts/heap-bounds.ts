/** How far V8 lets the heap of this process grow before it collects. */
import { setFlagsFromString } from 'node:v8';

/**
 * From here on the young heap stays as small as it is: it grows to 32 MiB while modules load, and is given back only by who
 * goes on allocating. 35 MiB less for a process that loads, and then waits.
 */
export const keepYoungHeapSmall = (): void => setFlagsFromString('--semi-space-growth-factor=1');

/** V8's own way, for who parses: a reading's objects are young and gone. */
const letYoungHeapGrow = (): void => setFlagsFromString('--semi-space-growth-factor=2');

/**
 * Percent of what lives. Messages lie outside of the heap, but count towards the bound that starts a collection of all of it, and
 * with V8's own (10 to 26 MiB beyond 22) the layers' process collected four times a second under full load, for a fourth of its CPU.
 */
const oldGrowthPercent = 200;

/** For a process whose actors have it to themselves. */
export const letHeapGrow = (parses: boolean): void => {
  setFlagsFromString(`--heap-growing-percent=${oldGrowthPercent}`);
  if (parses) letYoungHeapGrow();
};
