/** Habits that a machine can check. What a line here says is what style the code keeps; a new exception needs a reason here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { buffer } from '../actors/buffer.js';
import { merger } from '../actors/merger.js';
import { scheduler } from '../actors/scheduler.js';
import { uploader } from '../actors/uploader.js';
import { windower } from '../actors/windower.js';
import { packageFolder } from '../infra/package-folder.js';
import { catalogue, type MessageEntry, topologyTable } from '../protocol/catalogue.js';
import { numberedPromises, renderReadme } from '../scripts/readme.js';

interface SourceFile {
  /** From the top, with `/`. */
  readonly name: string;
  readonly text: string;
  /** Without comments and the content of strings. */
  readonly code: string;
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[];
}

const codeOf = (text: string): string =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ''))
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")
    .replace(/(^|\s)\/\/.*$/gm, '');

const importsOf = (name: string, text: string): SourceFile['imports'] => {
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)'|\bimport\('([^']+)'\)/gm);
  return [...statements].map(([, type, from, dynamic]) => {
    const target = from ?? dynamic ?? '';
    return {
      typeOnly: type !== undefined,
      from: target.startsWith('.') ? path.posix.join(path.posix.dirname(name), target) : target,
    };
  });
};

const filesBelow = (folder: string): string[] =>
  readdirSync(path.join(packageFolder, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesBelow(name);
    return name.endsWith('.ts') ? [name] : [];
  });

const read = (name: string): SourceFile => {
  const text = readFileSync(path.join(packageFolder, name), 'utf8');
  return { name, text, code: codeOf(text), imports: importsOf(name, text) };
};

const sources = ['protocol', 'actors', 'infra', 'scripts'].flatMap(filesBelow).map(read);
const tests = filesBelow('test').map(read);
const all = [...sources, ...tests];

const namesWhere = (files: readonly SourceFile[], holds: (file: SourceFile) => boolean): string[] =>
  files.filter(holds).map(({ name }) => name);

t.test('imports point one way: scripts, then actors, infra, protocol', (t) => {
  const order = ['protocol', 'infra', 'actors', 'scripts', 'test'];
  const layer = (name: string): number => order.indexOf(name.split('/')[0] ?? '');
  const wrong = all.flatMap(({ name, imports }) =>
    imports.filter(({ from }) => layer(from) > layer(name)).map(({ from }) => `${name} imports ${from}`),
  );
  t.same(wrong, []);
  t.ok(
    sources.some(({ imports }) => imports.some(({ from }) => from.startsWith('protocol/'))),
    'imports are seen',
  );
  t.end();
});

t.test('protocol has no I/O: nothing but typebox, hashes and bytes', (t) => {
  const allowed = new Set(['typebox', 'typebox/compile', 'node:crypto', 'node:buffer']);
  const wrong = sources
    .filter(({ name }) => name.startsWith('protocol/'))
    .flatMap(({ name, imports }) =>
      imports.filter(({ from }) => !from.startsWith('protocol/') && !allowed.has(from)).map(({ from }) => `${name} imports ${from}`),
    );
  t.same(wrong, []);
  t.end();
});

t.test('a client library is imported in its folder of infra only', (t) => {
  const homes: Record<string, string[]> = {
    '@nats-io/': ['infra/bus/', 'infra/client/', 'infra/coordination/'],
    '@duckdb/': ['infra/sql/'],
    systeminformation: ['infra/probe/'],
    webhdfs: ['infra/storage/'],
    'node-zookeeper-client': ['infra/coordination/'],
    commander: ['scripts/'],
    'cli-progress': ['scripts/'],
    pino: ['infra/log.ts'],
    'prom-client': ['infra/ops/'],
    fastify: ['actors/dashboard/'], // the actor that is an HTTP server; nothing else here speaks to it
    '@fastify/': ['actors/dashboard/'],
  };
  const wrong = sources.flatMap(({ name, imports }) =>
    imports
      .filter(({ from, typeOnly }) => {
        const library = Object.keys(homes).find((one) => from === one || from.startsWith(one));
        return !typeOnly && library !== undefined && !homes[library]?.some((home) => name.startsWith(home));
      })
      .map(({ from }) => `${name} imports ${from}`),
  );
  t.same(wrong, []);
  t.end();
});

t.test('verify counts on its own: nothing of the actors, not the algebra', (t) => {
  const verify = sources.filter(({ name }) => name.startsWith('scripts/verify/'));
  const wrong = verify.flatMap(({ name, imports }) =>
    imports
      .filter(({ from }) => from.startsWith('actors/') || from.startsWith('infra/actor/') || /^protocol\/minute-row/.test(from))
      .filter(({ typeOnly }) => !typeOnly)
      .map(({ from }) => `${name} imports ${from}`),
  );
  t.same(wrong, []);
  t.end();
});

t.test('the environment is read in infra/config.ts only', (t) => {
  t.same(
    namesWhere(sources, ({ code }) => /\bprocess\.env\b/.test(code)),
    ['infra/config.ts'],
  );
  t.end();
});

t.test('no any, no bare Error, no file past 400 lines', (t) => {
  t.same(
    namesWhere(all, ({ code }) => /(?::|\bas|<|\|)\s*any\b|\bany\[\]/.test(code)),
    [],
    'any',
  );
  t.same(
    namesWhere(sources, ({ code }) => /\bnew Error\(/.test(code)),
    [],
    'bare Error',
  );
  t.same(
    namesWhere(all, ({ text }) => text.split('\n').length > 401),
    [],
    'lines',
  );
  t.end();
});

t.test('names say what a thing is', (t) => {
  const wrong = namesWhere(all, ({ name }) => /(?:^|[/-])(?:utils?|helpers?|managers?|data|info|common|misc)\.(?:test\.)?ts$/.test(name));
  t.same(wrong, []);
  t.end();
});

t.test('every numbered promise is named by a test', (t) => {
  const promises = numberedPromises();
  t.same(
    promises.filter(({ tests }) => tests.length === 0).map(({ number, file }) => `${number} of ${file}`),
    [],
  );
  t.ok(promises.length > 50, 'promises are seen');
  t.ok(
    promises.some(({ number }) => number === 'B12'),
    'of two digits too',
  );
  t.end();
});

t.test('the catalogue names as senders exactly those actors that declare it', (t) => {
  const entries: [string, MessageEntry][] = Object.entries(catalogue);
  for (const { name, produces } of [buffer, uploader, windower, scheduler, merger]) {
    const listed = entries.filter(([, { senders }]) => senders.includes(name)).map(([message]) => message);
    t.same([...produces].sort(), listed.sort(), name);
  }
  t.end();
});

t.test("every file of messages/ is in the catalogue's imports, or a part of one", (t) => {
  const used = new Set(
    sources.filter(({ name }) => name.startsWith('protocol/')).flatMap(({ imports }) => imports.map(({ from }) => from)),
  );
  const unused = sources
    .map(({ name }) => name)
    .filter((name) => name.startsWith('protocol/messages/'))
    .filter(
      (name) =>
        !used.has(name.replace(/\.ts$/, '.js')) &&
        !all.some(({ imports }) => imports.some(({ from }) => from === name.replace(/\.ts$/, '.js'))),
    );
  t.same(unused, []);
  t.end();
});

t.test("the README's tables of messages, settings and promises are the code's", (t) => {
  const written = readFileSync(path.join(packageFolder, 'README.md'), 'utf8');
  t.equal(written, renderReadme(written), 'print them with `npm run readme`');
  t.ok(written.includes(topologyTable()), 'as `npx tidemark topology --format markdown` does');
  t.throws(() => renderReadme('# another'), { code: 'E_PROMISE' });
  t.end();
});

t.test('what the README and the decisions link to is there', (t) => {
  const pages = ['README.md', ...readdirSync(path.join(packageFolder, 'protocol/decisions')).map((name) => `protocol/decisions/${name}`)];
  const links = pages.flatMap((page) => {
    const text = readFileSync(path.join(packageFolder, page), 'utf8');
    return [...text.matchAll(/\]\((?!https?:|#)([^)\s]+)\)/g)].map(([, to]) => path.posix.join(path.posix.dirname(page), to as string));
  });
  t.ok(links.length > 50, 'links are seen');
  t.same(
    links.filter((to) => !existsSync(path.join(packageFolder, to))),
    [],
  );
  t.end();
});
