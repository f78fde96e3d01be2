/**
 * The README's tables, printed from the code: messages, settings, promises with their tests. `npm run readme` puts them
 * between their markers; a habit test says when they are not what the code says any more.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { settingNames, settingsTable } from '../infra/config.js';
import { PromiseError } from '../infra/errors.js';
import { packageFolder } from '../infra/package-folder.js';
import { topologyTable } from '../protocol/catalogue.js';

/** A numbered promise, as the head of a file gives it. */
export interface NumberedPromise {
  readonly number: string;
  readonly text: string;
  /** From the top, with `/`. */
  readonly file: string;
  /** Files whose tests name it. */
  readonly tests: readonly string[];
}

/** The .ts files below some folders, from the top, with `/`. */
export const sourceFiles = (folders: readonly string[]): string[] =>
  folders.flatMap((folder) =>
    readdirSync(path.join(packageFolder, folder), { withFileTypes: true }).flatMap((entry) => {
      const name = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return sourceFiles([name]);
      return name.endsWith('.ts') ? [name] : [];
    }),
  );

const read = (name: string): string => readFileSync(path.join(packageFolder, name), 'utf8');

/** ` * B1  text`, or ` * B10 text`, and the lines below it that are indented. */
const promiseLine = /^ \* ([A-Z]\d(?= {2})|[A-Z]\d\d(?= )) +(\S.*(?:\n \* {4,}\S.*)*)/gm;

/** The promises that the titles of a file's tests name. */
const namedIn = (text: string): Set<string> => {
  const titles = [...text.matchAll(/\.test\(\s*(['"`])((?:\\.|(?!\1).)*)/gs)].map(([, , title]) => title ?? '');
  return new Set(titles.flatMap((title) => title.match(/\b[A-Z]\d{1,2}\b/g) ?? []));
};

export const numberedPromises = (): NumberedPromise[] => {
  const tests = sourceFiles(['test']).map((name) => ({ name, named: namedIn(read(name)) }));
  return sourceFiles(['actors', 'infra', 'scripts', 'protocol']).flatMap((file) =>
    [...read(file).matchAll(promiseLine)].map(([, number = '', text = '']) => ({
      number,
      file,
      text: text.replace(/\n \* +/g, ' '),
      tests: tests.filter(({ named }) => named.has(number)).map(({ name }) => name),
    })),
  );
};

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(escapeBar).join(' | ')} |`).join('\n');

const escapeBar = (cell: string): string => cell.replaceAll('|', '\\|');

const settingsMarkdown = (): string =>
  table(
    ['setting', 'default', 'meaning'],
    settingNames.map((name) => {
      const { flag, placeholder, default: byDefault, meaning } = settingsTable[name];
      return [`\`--${flag} ${placeholder}\``, byDefault === undefined ? '' : `\`${byDefault}\``, meaning];
    }),
  );

const link = (file: string): string => `[${path.posix.basename(file).replace(/\.ts$/, '')}](${file})`;

const inOrder = (a: NumberedPromise, b: NumberedPromise): number =>
  a.number.charCodeAt(0) - b.number.charCodeAt(0) || Number(a.number.slice(1)) - Number(b.number.slice(1));

const promisesMarkdown = (): string =>
  table(
    ['', 'promise', 'of', 'shown by'],
    [...numberedPromises()].sort(inOrder).map(({ number, text, file, tests }) => [number, text, link(file), tests.map(link).join(', ')]),
  );

const sections: Readonly<Record<string, () => string>> = {
  messages: topologyTable,
  settings: settingsMarkdown,
  promises: promisesMarkdown,
};

/** The README's text with each table as the code has it. @throws PromiseError when a table's place is gone */
export const renderReadme = (text: string): string =>
  Object.entries(sections).reduce((before, [name, print]) => {
    const place = new RegExp(`(<!-- ${name}: npm run readme -->\\n)[\\s\\S]*?(<!-- end of ${name} -->)`);
    if (!place.test(before)) throw new PromiseError(`README.md has no place for ${name}: put <!-- ${name}: npm run readme --> back`);
    return before.replace(place, (_, start: string, end: string) => `${start}\n${print()}\n\n${end}`);
  }, text);

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const file = path.join(packageFolder, 'README.md');
  writeFileSync(file, renderReadme(readFileSync(file, 'utf8')));
}
