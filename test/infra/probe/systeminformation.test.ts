import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import type { Probe, Sample } from '../../../infra/probe/probe.js';
import { busiestProgram, machineProbe, programProbe } from '../../../infra/probe/systeminformation.js';

const diskPath = tmpdir();

/** A process that uses one core as much as it can, until the test ends. */
const busyProcess = async (t: Test): Promise<number> => {
  const child = spawn(
    process.execPath,
    [
      '-e',
      'console.log(1); process.on("disconnect", () => process.exit()); setInterval(() => { const end = Date.now() + 30; while (Date.now() < end); }, 30)',
    ],
    { stdio: ['ignore', 'pipe', 'ignore', 'ipc'] },
  );
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout as NodeJS.EventEmitter, 'data');
  return child.pid as number;
};

/** Samples until one fits: the first ones may be too soon after the look before. */
const sampleUntil = async (probe: Probe, fits: (sample: Sample) => boolean): Promise<Sample> => {
  for (;;) {
    const sample = await probe.sample();
    if (sample !== undefined && fits(sample)) return sample;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

t.test('the machine: three percentages', async (t) => {
  const probe = await machineProbe({ diskPath });
  t.equal(await probe.sample(), undefined, 'nothing right after the first, for that one is dropped');
  const sample = await sampleUntil(probe, () => true);
  for (const value of [sample.cpu, sample.ram, sample.disk]) t.ok(value >= 0 && value <= 100, `${value}`);
  t.ok(sample.ram > 0);
  t.strictSame(await probe.sample(), sample, 'asked again at once it has no other answer');
});

t.test("a program by its processes' ids", async (t) => {
  const pid = await busyProcess(t);
  const probe = await programProbe({ pids: () => [pid] }, { diskPath });
  const sample = await sampleUntil(probe, ({ cpu }) => cpu > 10);
  t.ok(sample.cpu < 150, `${sample.cpu} percent of one core`);
  t.ok(sample.ram > 0 && sample.ram < 100);
});

t.test('a program by its name, without those that are measured elsewhere', async (t) => {
  const pid = await busyProcess(t);
  const probe = await programProbe({ name: 'node', exceptPids: () => [process.pid] }, { diskPath });
  t.ok((await sampleUntil(probe, ({ cpu }) => cpu > 10)).ram > 0);
  t.not(await busiestProgram([], 100), undefined);
  t.ok(pid);
});

t.test('a program that does not run, and a disk that is not there, say nothing', async (t) => {
  const nobody = await programProbe({ name: 'no program has this name' }, { diskPath });
  const noDisk = await programProbe({ pids: () => [process.pid] }, { diskPath: '/no/such/folder' });
  await new Promise((resolve) => setTimeout(resolve, 250)); // past the time in which there is no answer in any case
  t.equal(await nobody.sample(), undefined);
  t.equal(await noDisk.sample(), undefined);
});
