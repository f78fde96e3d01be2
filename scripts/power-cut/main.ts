/** `npm run power-cut -- --cuts N`: cuts the power under load, and counts what was acknowledged. */
import { parseArgs } from 'node:util';
import { exitCodes } from '../../infra/errors.js';
import { whyNoLoopDisk } from './loop-disk.js';
import { type PowerCutReport, runPowerCuts, type Scope } from './run.js';

const { values } = parseArgs({
  options: {
    cuts: { type: 'string', default: '10' },
    seed: { type: 'string' },
    rate: { type: 'string', default: '100' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const cutsPerSystem = 25;

const help = `npm run power-cut -- [--cuts N] [--seed N] [--rate MESSAGES/S]

Puts nats-server's store, and in every other system the raw data and the views too, on an ext4 in a file, stops the processes at a
random moment under load, and goes on from a copy of that file, as after a power cut: what was not synced is gone. In the end everything that was acknowledged
must be in the view, to the bit. Takes root and loop devices (Linux). Exit code 5 if anything differs.
`;

const isClean = ({ comparison, files, shrunk }: PowerCutReport): boolean =>
  comparison.missing + comparison.extra + files.missing + files.extra + shrunk === 0;

const main = async (): Promise<number> => {
  if (values.help) {
    process.stdout.write(help);
    return exitCodes.ok;
  }
  const why = whyNoLoopDisk();
  if (why !== undefined) {
    process.stderr.write(`no power can be cut here: ${why}\n`);
    return exitCodes.outOfReach;
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  say(`seed ${seed}`);
  let allClean = true;
  for (let done = 0, round = 0; done < Number(values.cuts); round++) {
    const cuts = Math.min(cutsPerSystem, Number(values.cuts) - done);
    const scope: Scope = round % 2 === 0 ? 'server' : 'everything';
    const report = await runPowerCuts({ seed: seed + round, cuts, scope, messagesPerSecond: Number(values.rate), say });
    process.stdout.write(`${JSON.stringify(report)}\n`);
    allClean &&= isClean(report);
    done += cuts;
  }
  return allClean ? exitCodes.ok : exitCodes.promiseBroken;
};

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(exitCodes.failed)); // unmounts
process.exitCode = await main();
