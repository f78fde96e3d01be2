/** What a user gets: the packed file, in an empty project, with its dependencies and nothing else of ours. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { packageFolder } from '../../infra/package-folder.js';
import { temporaryFolder } from '../servers.js';
import { typeCheck } from '../type-check.js';
import { publishAll, startSystem } from './system.js';

const run = promisify(execFile);
const at = Date.UTC(2026, 10, 23, 10, 15);

interface PackageFile {
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

/** Packs, and puts the content where an installation would, its dependencies beside it. @returns the project's folder */
const installPacked = async (t: Test): Promise<{ project: string; installed: string; packed: PackageFile }> => {
  const folder = temporaryFolder(t);
  // Without scripts: the code is compiled already, by whoever runs this test.
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--offline', '--json', '--pack-destination', folder], {
    cwd: packageFolder,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  const project = path.join(folder, 'project');
  const modules = path.join(project, 'node_modules');
  const installed = path.join(modules, 'tidemark');
  mkdirSync(path.join(modules, '.bin'), { recursive: true });
  mkdirSync(installed);
  await run('tar', ['xzf', path.join(folder, filename), '-C', installed, '--strip-components=1']);
  const packed = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8')) as PackageFile;
  const link = (name: string): void => {
    mkdirSync(path.dirname(path.join(modules, name)), { recursive: true });
    symlinkSync(path.join(packageFolder, 'node_modules', name), path.join(modules, name));
  };
  for (const name of Object.keys(packed.dependencies)) link(name);
  link('@types/node'); // of who writes TypeScript
  symlinkSync(path.join('..', 'tidemark', packed.bin.tidemark as string), path.join(modules, '.bin/tidemark'));
  chmodSync(path.join(installed, packed.bin.tidemark as string), 0o755); // as npm does
  writeFileSync(path.join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  return { project, installed, packed };
};

/** As the README shows it. */
const example = `import { query, subscribe } from 'tidemark';

const nats = process.argv[2] ?? 'nats://127.0.0.1:4222';
const { rows, terms } = await query({ nats, from: '2026-11-23', to: '2026-11-24', services: ['web'], step: 'hour' });
for (const row of rows) console.log(row.service, row.time_stamp, row.cpu / row.msg_num, row.max_cpu, row.max_cpu_time);

const changes = subscribe({ nats, services: ['web'], since: terms.position });
for await (const { position, rows } of changes) {
  console.log(position.join(','), rows.map(({ msg_num }): number => msg_num).join(' '));
  break; // ends the subscription
}
`;

const configuration = {
  compilerOptions: { strict: true, module: 'NodeNext', target: 'ES2023', types: ['node'] },
  include: ['example.ts'],
};

t.test('npm pack, installed: the command, typed query and subscribe on a running system', { timeout: 240_000 }, async (t) => {
  const { project, installed, packed } = await installPacked(t);
  const parts = readdirSync(path.join(installed, 'dist')).sort();
  t.same(parts, ['actors', 'infra', 'protocol', 'scripts'], 'no tests');
  for (const file of ['dist/actors/dashboard/pages/index.html', 'dist/infra/ops/grafana/dashboard.json', 'nats.conf', 'LICENSE']) {
    t.doesNotThrow(() => readFileSync(path.join(installed, file)), file);
  }

  writeFileSync(path.join(project, 'example.ts'), example);
  writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(configuration));
  t.equal(await typeCheck(project), undefined, 'the example type-checks');
  writeFileSync(path.join(project, 'wrong.ts'), "import { query } from 'tidemark';\nawait query({ from: 1 });\n");
  writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify({ ...configuration, include: ['wrong.ts'] }));
  t.match(await typeCheck(project), /wrong\.ts\(2,\d+\): error TS/, 'types are there');

  const system = await startSystem(t);
  const readings = [10, 30].map((cpu, i) => ({ service: 'web', host: 'h1', timestamp: at + i, cpu, ram: 2, disk: 3 }));
  await system.rows(await publishAll(system, readings));
  let isOver = false;
  const running = run(process.execPath, ['example.js', system.nats.url], { cwd: project, timeout: 120_000 }).finally(() => {
    isOver = true;
  });
  for (let i = 0; !isOver; i++)
    await publishAll(system, [{ service: 'web', host: 'h1', timestamp: at + 3_600_000 + i, cpu: 1, ram: 2, disk: 3 }]);
  const [row, ...others] = (await running).stdout.trim().split('\n');
  t.equal(row, 'web 2026-11-23T10:00:00Z 20 30 2026-11-23T10:15:00.001Z');
  t.match(others.at(-1), /^[\d,]+ \d+$/, 'a change');

  const tidemark = path.join(project, 'node_modules/.bin/tidemark');
  t.equal((await run(tidemark, ['--version'], { cwd: project })).stdout.trim(), packed.version);
  const asked = await run(tidemark, ['query', '--nats', system.nats.url, '--from', '2026-11-23', '--to', '2026-11-24', '--json'], {
    cwd: project,
  });
  t.match(JSON.parse(asked.stdout), { rows: [{ service: 'web', msg_num: 2, max_cpu: 30 }, {}] });
});
