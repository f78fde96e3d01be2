/** `npm run simulate -- --seeds N`: the real actors over a world in memory, with every fault, from a seed. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { exitCodes, UsageError } from '../../infra/errors.js';
import { type Rule, rules } from './rules.js';
import { type Outcome, runSeed } from './run.js';
import { serveSeeds, shareOut } from './shared-out.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    processes: { type: 'string', default: String(availableParallelism()) },
    trace: { type: 'boolean', default: false },
    without: { type: 'string' },
    worker: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const help = `npm run simulate -- [--seeds N] [--seed FIRST] [--minutes M] [--processes N] [--trace] [--without RULE|all]

Runs the actors over a bus, files and a clock in memory, with crashes, pauses, lost answers and power cuts, and counts by brute
force. --trace shows one seed step by step, --minutes begins no seed after so long, --without switches a rule off: then it must
be found. Exit code 5 if a seed fails. Example: npm run simulate -- --seeds 1000

Rules:
${Object.entries(rules)
  .map(([rule, meaning]) => `  ${rule.padEnd(16)} ${meaning}`)
  .join('\n')}`;

interface Total {
  seeds: number;
  steps: number;
  readonly failed: Map<string, number[]>;
  readonly counts: Record<string, number>;
}

const add = (total: Total, { seed, steps, failure, counts }: Outcome): void => {
  total.seeds += 1;
  total.steps += steps;
  for (const [name, count] of Object.entries(counts)) total.counts[name] = (total.counts[name] ?? 0) + count;
  if (failure) total.failed.set(failure.kind, [...(total.failed.get(failure.kind) ?? []), seed]);
};

const kinds = ({ failed }: Total): string =>
  [...failed].map(([kind, seeds]) => `${kind} ${seeds.length} (${seeds.slice(0, 5).join(' ')})`).join('; ');
const failures = ({ failed }: Total): number => [...failed.values()].reduce((sum, seeds) => sum + seeds.length, 0);
const summary = (total: Total): string =>
  `${total.seeds} seeds, ${total.steps} steps, ${failures(total)} failed${failures(total) > 0 ? `: ${kinds(total)}` : ''}`;

const progressEveryMs = 60_000;

const run = async (without: Rule | undefined): Promise<Total> => {
  const total: Total = { seeds: 0, steps: 0, failed: new Map(), counts: {} };
  const until = values.minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + Number(values.minutes) * 60_000;
  let saidAt = performance.now();
  const outcomes = shareOut({
    first: Number(values.seed),
    seeds: Number(values.seeds),
    processes: Number(values.processes),
    without,
    goesOn: () => performance.now() < until,
  });
  for await (const outcome of outcomes) {
    add(total, outcome);
    if (without !== undefined) continue;
    if (outcome.failure) say(`seed ${outcome.seed} fails at step ${outcome.steps}: ${outcome.failure.message.split('\n')[0]}`);
    if (performance.now() - saidAt < progressEveryMs) continue;
    saidAt = performance.now();
    process.stderr.write(`${summary(total)}\n`);
  }
  return total;
};

const trace = async (without: Rule | undefined): Promise<number> => {
  const { steps, failure } = await runSeed({ seed: Number(values.seed), without, say });
  say(failure === undefined ? `clean after ${steps} steps` : `fails at step ${steps}: ${failure.message}`);
  return failure === undefined ? exitCodes.ok : exitCodes.promiseBroken;
};

const rulesOf = (without: string): Rule[] => {
  if (without === 'all') return Object.keys(rules) as Rule[];
  if (!(without in rules)) throw new UsageError(`no rule ${without}: --help lists them`);
  return [without as Rule];
};

const main = async (): Promise<number> => {
  const without = values.without === undefined ? undefined : rulesOf(values.without);
  if (values.help) say(help);
  else if (values.trace) return trace(without?.[0]);
  else if (without === undefined) {
    const total = await run(undefined);
    say(summary(total));
    say(
      Object.entries(total.counts)
        .map(([name, count]) => `${name} ${count}`)
        .join(', '),
    );
    return failures(total) === 0 ? exitCodes.ok : exitCodes.promiseBroken;
  } else {
    for (const rule of without) {
      const total = await run(rule);
      const share = Math.round((failures(total) / total.seeds) * 100);
      say(`${rule.padEnd(16)} ${String(share).padStart(3)} %  ${kinds(total) || 'not found'}`);
    }
  }
  return exitCodes.ok;
};

if (values.worker) serveSeeds();
else process.exitCode = await main();
