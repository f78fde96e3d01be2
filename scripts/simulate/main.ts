/** `npm run simulate -- --seeds N`: the real actors over a world in memory, with every fault, from a seed. */
import { parseArgs } from 'node:util';
import { exitCodes, UsageError } from '../../infra/errors.js';
import { type Rule, rules } from './rules.js';
import { type Outcome, runSeed } from './run.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    without: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

if (values.help) {
  say('npm run simulate -- [--seeds N] [--seed FIRST] [--trace] [--without RULE|all]\n');
  say('Runs the actors over a bus, files and a clock in memory, with crashes, pauses, lost answers and power cuts, and counts');
  say('by brute force. --without switches a rule off: then it must be found. Exit code 5 if a seed fails.\n');
  for (const [rule, meaning] of Object.entries(rules)) say(`  ${rule.padEnd(16)} ${meaning}`);
  process.exit(exitCodes.ok);
}

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

const run = async (without: Rule | undefined): Promise<Total> => {
  const total: Total = { seeds: 0, steps: 0, failed: new Map(), counts: {} };
  const first = Number(values.seed);
  for (let seed = first; seed < first + (values.trace ? 1 : Number(values.seeds)); seed++) {
    const outcome = await runSeed({ seed, without, ...(values.trace ? { say } : {}) });
    add(total, outcome);
    if (outcome.failure && without === undefined) say(`seed ${seed} fails at step ${outcome.steps}: ${outcome.failure.message}`);
    if (outcome.failure && values.trace) say(outcome.failure.message);
  }
  return total;
};

const kinds = ({ failed }: Total): string =>
  [...failed].map(([kind, seeds]) => `${kind} ${seeds.length} (${seeds.slice(0, 5).join(' ')})`).join('; ');
const failures = ({ failed }: Total): number => [...failed.values()].reduce((sum, seeds) => sum + seeds.length, 0);

if (values.without === undefined) {
  const total = await run(undefined);
  say(`${total.seeds} seeds, ${total.steps} steps, ${failures(total)} failed${failures(total) > 0 ? `: ${kinds(total)}` : ''}`);
  say(
    Object.entries(total.counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', '),
  );
  process.exit(failures(total) === 0 ? exitCodes.ok : exitCodes.promiseBroken);
}

if (values.without !== 'all' && !(values.without in rules)) throw new UsageError(`no rule ${values.without}: --help lists them`);
for (const rule of values.without === 'all' ? (Object.keys(rules) as Rule[]) : [values.without as Rule]) {
  const total = await run(rule);
  say(`${rule.padEnd(16)} ${String(Math.round((failures(total) / total.seeds) * 100)).padStart(3)} %  ${kinds(total) || 'not found'}`);
}
