/** What the pages are made of: small, their own, typed, and without a way for a name to become markup. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { packageFolder } from '../../../../infra/package-folder.js';
import { temporaryFolder } from '../../../servers.js';
import { typeCheck } from '../../../type-check.js';
import { pagesFolder } from './page-modules.js';

const files = readdirSync(pagesFolder, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.\w+$/.test(name))
  .map((name) => ({ name, text: readFileSync(path.join(pagesFolder, name), 'utf8') }));
const uplot = path.join(packageFolder, 'node_modules/uplot/dist');
const bytesMax = 100_000;

t.test('all together they are below 100 KB gzipped, uPlot among them', (t) => {
  const uplotFiles = ['uPlot.esm.js', 'uPlot.min.css'].map((name) => readFileSync(path.join(uplot, name), 'utf8'));
  const bytes = [...files.map(({ text }) => text), ...uplotFiles].reduce((sum, text) => sum + gzipSync(text).length, 0);
  t.comment(`${bytes} bytes gzipped`);
  t.ok(bytes < bytesMax, `${bytes} bytes`);
  t.ok(files.length > 20, 'files are seen');
  t.end();
});

t.test('nothing comes from another host, and no markup is made of text', (t) => {
  const where = (pattern: RegExp): string[] => files.filter(({ text }) => pattern.test(text)).map(({ name }) => name);
  t.same(
    files.filter(({ name, text }) => !name.endsWith('.svg') && /(?:https?:)?\/\/[\w-]+\.\w/.test(text)).map(({ name }) => name),
    [],
    'other hosts',
  );
  t.same(
    where(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment/),
    [],
    'markup',
  );
  t.same(where(/<script(?![^>]*\bsrc=)[^>]*>|<style\b|\sstyle="|\son\w+="/), [], 'inline script or style');
  t.same(
    files.filter(({ name, text }) => /\.(?:js|css)$/.test(name) && text.split('\n').length > 401).map(({ name }) => name),
    [],
    'lines',
  );
  t.end();
});

t.test('each page names the style that there is, and each style is of some page', (t) => {
  const named = files.flatMap(({ name, text }) =>
    name.endsWith('.html') ? [...text.matchAll(/href="\/(assets\/style\/[\w-]+\.css)"/g)].map(([, file]) => file) : [],
  );
  const there = files.map(({ name }) => name).filter((name) => name.startsWith('assets/style/'));
  t.same([...new Set(named)].sort(), there.sort());
  t.end();
});

t.test('their types are right', async (t) => {
  const folder = temporaryFolder(t);
  const declared = "declare module '*/uPlot.esm.js' {\n  import uPlot from 'uplot';\n  export default uPlot;\n}\n";
  writeFileSync(path.join(folder, 'uplot.d.ts'), declared);
  const options = {
    target: 'ES2023',
    module: 'ESNext',
    moduleResolution: 'Bundler',
    lib: ['ES2023', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'],
    types: [],
    paths: { uplot: [path.join(uplot, 'uPlot.d.ts')] },
    checkJs: true,
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    skipLibCheck: true,
  };
  const project = path.join(folder, 'tsconfig.json');
  writeFileSync(project, JSON.stringify({ compilerOptions: options, include: [`${pagesFolder}/assets/*.js`, './uplot.d.ts'] }));
  t.equal(await typeCheck(project), undefined);
});
