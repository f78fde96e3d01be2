import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findRunning } from '../../infra/bus/nats-server.js';
import { type Position, sumPosition } from '../../protocol/range.js';
import { offsetOf } from '../../scripts/recover/raw-line.js';
import { runnableActors } from '../../scripts/run-actors.js';
import { until } from '../until.js';
import { bruteForce, compareRows } from './brute-force.js';
import { readingsOf } from './guarded.js';
import { linesOf, type Recoverable, sendLines, startRecoverable } from './recovering.js';
import { runCli } from './run-cli.js';
import { publishAll, type Reading } from './system.js';

const cli = path.join(import.meta.dirname, '../../scripts/cli.js');

const most = (a: Position, b: Position): Position =>
  Array.from({ length: Math.max(a.length, b.length) }, (_, p) => Math.max(a[p] ?? 0, b[p] ?? 0));

/** A service of its own, every tenth line refused. */
const gateway = Array.from({ length: 300 }, (_, i): Reading | undefined =>
  i % 10 === 9 ? undefined : { service: 'gate', host: 'g1', timestamp: Date.UTC(2026, 10, 2, 0, i % 7), cpu: i % 50, ram: 1.25, disk: 99 },
);
const gatewayLines = gateway.map((reading) => (reading === undefined ? '{"service":"gate"' : JSON.stringify(reading)));
const gatewayReadings = gateway.filter((reading) => reading !== undefined);

/** A system with a batch and readings beyond it; everything that was published, and how to publish it again. */
const loaded = async (t: Test, flags: Readonly<Record<string, string>>) => {
  const one = await startRecoverable(t, flags);
  const rounds: Reading[][] = [readingsOf(1, 1_500)];
  const publish = async (from = 0): Promise<Position> => {
    let position: Position = [];
    for (let i = from; i < rounds.length; i++)
      position = most(position, await publishAll(one.system, rounds[i] as Reading[], { agent: `round${i}` }));
    const { partition, offset } = await sendLines(one.system, 'metrics.gate', 'gateway', gatewayLines);
    return most(position, Object.assign([], { [partition]: offset }));
  };
  await publish();
  await one.batch();
  rounds.push(readingsOf(2, 700));
  return {
    one,
    publish,
    rounds,
    position: await publish(),
    isRight: async (t: Test, what: string, after: Position): Promise<void> => {
      const { rows, terms } = await one.rows(after);
      t.same(compareRows(rows, bruteForce([...rounds.flat(), ...gatewayReadings])), [], what);
      t.equal(sumPosition(terms.position), rounds.flat().length + gatewayReadings.length, `${what}: nothing twice`);
    },
  };
};

/** Each record's line once; of two partitions they may have the same offset. */
const distinctLines = async ({ data, rawFiles }: Recoverable): Promise<string[]> => {
  const files = await rawFiles();
  const of = async (partition: number): Promise<string[]> => [
    ...new Set(
      await linesOf(
        data,
        files.filter((file) => file.includes(`/${partition}-`)),
      ),
    ),
  ];
  return [...(await of(0)), ...(await of(1))];
};

/** A torn last line, a doubled range behind it in a file of its own, and what a stale owner wrote: at a file's end and in a new file. */
const damageTails = async ({ data, rawFiles }: Recoverable): Promise<void> => {
  const files = await rawFiles();
  const [first, second] = [files[0] as string, files.at(-1) as string];
  const lines = async (file: string): Promise<string[]> => (await readFile(path.join(data, file), 'utf8')).split('\n').slice(0, -1);
  const ofFirst = await lines(first);
  await appendFile(path.join(data, first), `${ofFirst.slice(0, 20).join('\n')}\n${(ofFirst.at(-1) as string).slice(0, 60)}`);
  const ofSecond = await lines(second);
  await writeFile(path.join(data, second.replace(/-[0-9a-f]+\.ndjson$/, '-5ta1e000.ndjson')), `${ofSecond.slice(-30).join('\n')}\n`);
  await appendFile(path.join(data, second), (ofSecond[3] as string).slice(0, -1));
};

t.test('K1: from the raw files alone, with damaged tails and an empty store: the same views to the bit, and all goes on', async (t) => {
  const { one, position, publish, isRight } = await loaded(t, { partitions: '2' });
  await isRight(t, 'before', position);
  await one.lose();
  const lines = await linesOf(one.data, await one.rawFiles());
  const doubles = lines.length - new Set(lines).size; // an uploader that lost its lease leaves some by itself
  await damageTails(one);
  const report = await one.recover();
  t.match(report, { partitions: 2, position, renumbered: false, lost: 0, damaged: 0, old: null, missing: { '': 29 } }); // the last one left no hole
  t.match(report.dropped, { doubles: 50 + doubles, conflicts: 0, copies: 0, torn: 2, unreadable: 0 });
  t.same(await linesOf(one.data, await one.rawFiles()), [...new Set(lines)], 'the raw files hold the same lines');
  await one.nats.start();
  await one.start();
  await isRight(t, 'after', position);
  t.equal((await one.rows()).terms.missing, 29, 'what had been refused counts as missing');
  t.equal((await one.verify()).differences, 0);
  const again = await publish();
  t.same(again, position, 'whoever sends everything again adds nothing');
  await isRight(t, 'after everything was sent again', again);
  await until(async () => ((await one.rows()).terms.missing === 0 ? true : undefined)); // what had been refused is known again
  const more = readingsOf(3, 200);
  const reached = most(position, await publishAll(one.system, more));
  t.match(await one.batch(), { differences: 0 }, 'the next batch');
  await one.stop();
  await one.nats.restart();
  await one.start();
  t.equal(sumPosition((await one.rows(reached)).terms.position), sumPosition(position) + more.length, 'after a restart');
  t.equal((await one.verify()).differences, 0);
});

t.test('K1: offsets that no raw file has: every record that is there stays, and what was lost is taken when it comes again', async (t) => {
  const { one, position, publish, isRight } = await loaded(t, { partitions: '2' });
  await one.batch();
  await one.lose();
  const files = (await one.rawFiles()).filter((file) => /\/0-\d+-/.test(file));
  const [first] = files as [string];
  const offsets = (await readFile(path.join(one.data, first), 'utf8')).split('\n').slice(10, 35).map(offsetOf);
  for (const file of files) {
    const lines = (await readFile(path.join(one.data, file), 'utf8')).split('\n');
    await writeFile(path.join(one.data, file), lines.filter((line) => !offsets.includes(offsetOf(line))).join('\n'));
  }
  const left = (await distinctLines(one)).map((line) => line.slice(line.indexOf(',')));
  const report = await one.recover();
  t.match(report, { lost: 25, damaged: 25, renumbered: true, records: sumPosition(position) - 25 });
  t.match(report.old, /before-recover-/, 'the old data stays');
  t.same((await linesOf(one.data, await one.rawFiles(), true)).sort(), left.sort(), 'every record that was there is there');
  await one.nats.start();
  await one.start();
  t.equal(sumPosition((await one.rows(report.position)).terms.position), sumPosition(position) - 25);
  await isRight(t, 'after everything was sent again', await publish());
  t.match(await one.batch(), { differences: 0 });
  t.equal((await one.verify()).differences, 0);
});

t.test('K1: another number of partitions, and a store that has what was not uploaded: new logs and offsets, the same rows', async (t) => {
  const { one, rounds, publish, isRight } = await loaded(t, { partitions: '2' });
  await one.stop();
  await one.start(
    2,
    runnableActors.filter((name) => name !== 'uploader' && name !== 'dashboard'),
  );
  rounds.push(readingsOf(3, 400));
  const position = await publish();
  await one.lose(true);
  await damageTails(one);
  const report = await one.recover({ partitions: 5, keepsOld: true });
  t.match(report, { partitions: 5, renumbered: true, lost: 0, records: sumPosition(position) });
  t.ok(report.position.filter((to) => to > 0).length > 2, `all over: ${report.position}`);
  t.ok(report.old !== null && existsSync(path.join(report.old, 'nats')), 'the old data stays if it is to');
  await one.nats.start();
  await one.start(5);
  await isRight(t, 'after', report.position);
  t.same(await publish(), report.position, 'whoever sends everything again adds nothing');
  t.match(await one.batch(), null, 'the batch view has it all');
  await isRight(t, 'after everything was sent again', report.position);
  t.equal((await one.verify()).differences, 0);
});

t.test('K5: nothing is done while somebody works on the data, or into a history; one that was killed is run again', async (t) => {
  const { one, position, isRight } = await loaded(t, { partitions: '2' });
  await t.rejects(one.recover(), { code: 'E_OUT_OF_REACH', message: /pid \d+ on .*stop all actors first/ });
  await t.rejects(one.recover({ nats: one.nats.url }), { code: 'E_OUT_OF_REACH', message: /pid \d+ on .*stop all actors first/ });
  await one.stop();
  await t.rejects(one.recover(), { code: 'E_OUT_OF_REACH', message: /has a history already/ });
  await one.lose();
  const lines = await linesOf(one.data, await one.rawFiles());
  const words = ['recover', '--data', one.data, '--json'];
  const killed = spawn(process.execPath, [cli, ...words], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const end = once(killed, 'close');
  const staging = path.join(one.data, 'recovering');
  await until(() => (existsSync(path.join(staging, 'raw')) || killed.exitCode !== null ? true : undefined));
  killed.kill('SIGKILL');
  await end;
  t.teardown(async () => {
    const running = await findRunning(staging);
    if (running !== undefined) process.kill(running.pid, 'SIGKILL');
  });
  t.same(await linesOf(one.data, await one.rawFiles()), lines, 'the old data is as it was');
  const { code, stdout, stderr } = await runCli(words);
  t.equal(code, 0, stderr);
  t.match(JSON.parse(stdout), { position, partitions: 2, renumbered: false, lost: 0, old: null });
  t.notOk(existsSync(staging));
  await one.nats.start();
  await one.start();
  await isRight(t, 'after', position);
  t.equal((await one.verify()).differences, 0);

  await one.lose();
  await one.nats.start();
  t.match(await one.recover(), { position, renumbered: false }, 'joined to the server, whose store is new');
  await one.start();
  await isRight(t, 'after another', position);
  t.equal((await one.verify()).differences, 0);
});
