/** V8's young heap, which grows to 32 MiB while modules load and is given back only by who goes on allocating. */
import { setFlagsFromString } from 'node:v8';

/** From here on it stays as small as it is: 35 MiB less for a process that loads, and then waits. */
export const keepYoungHeapSmall = (): void => setFlagsFromString('--semi-space-growth-factor=1');

/** V8's own way: for who parses. */
export const letYoungHeapGrow = (): void => setFlagsFromString('--semi-space-growth-factor=2');
