#!/usr/bin/env node
import { keepYoungHeapSmall } from './heap-bounds.js';
/** The package's `bin`. */
import { runProgram } from './program.js';

// Whoever reads our output may have had enough of it (`tidemark query … | head`).
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

if (process.argv[2] === 'start') keepYoungHeapSmall(); // it is there for months, and only watches others

const code = await runProgram(process.argv.slice(2));
// A pipe takes what was written bit by bit; only then the end.
await new Promise((resolve) => process.stdout.write('', resolve));
process.exit(code);
