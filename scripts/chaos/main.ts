/** `npm run chaos -- --seed N --minutes M`: kills, pauses and restarts at random, and then counts. */
import { parseArgs } from 'node:util';
import { exitCodes } from '../../infra/errors.js';
import { freePort } from '../../infra/ports.js';
import { isClean, runChaos } from './run.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    instances: { type: 'string', default: '2' },
    rate: { type: 'string', default: '300' },
    'lease-ttl': { type: 'string', default: '1.5s' },
    stack: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(
    [
      'npm run chaos -- [--seed N] [--minutes M] [--instances N] [--rate MESSAGES/S] [--lease-ttl TIME] [--stack] [--keep]',
      '',
      'Starts a server and several instances of every actor in a temporary folder, publishes readings, kills, pauses and restarts the processes',
      '(nats-server too) at random from the seed, then lets everything arrive and compares what was acknowledged with the view, to the bit.',
      '--stack: with files in a real HDFS and leases in a real ZooKeeper, whose servers are struck too (needs Java and Maven).',
      '--lease-ttl: on a machine that has much else to do a process may not get its turn in 1.5 s.',
      '--keep leaves the folder. Exit code 5 if anything differs.',
      '',
    ].join('\n'),
  );
  process.exit(exitCodes.ok);
}

// Whatever was started ends with this process, and that only at its exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(exitCodes.failed));

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
process.stderr.write(`seed ${seed}\n`);
const report = await runChaos({
  seed,
  seconds: Number(values.minutes) * 60,
  instances: Number(values.instances),
  messagesPerSecond: Number(values.rate),
  leaseTtl: values['lease-ttl'],
  keep: values.keep,
  stack: values.stack,
  port: await freePort(),
  httpPort: await freePort(),
  say: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(isClean(report) ? exitCodes.ok : exitCodes.promiseBroken);
