/** Where this package lies: the folder of nats.conf, above this file both as source and compiled. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const above = (folder: string): string | undefined => {
  if (existsSync(path.join(folder, 'nats.conf')) && existsSync(path.join(folder, 'package.json'))) return folder;
  return path.dirname(folder) === folder ? undefined : above(path.dirname(folder));
};

/** Compiled to somewhere else (while developing), it is where the process was started. */
export const packageFolder = above(path.dirname(fileURLToPath(import.meta.url))) ?? process.cwd();

export const packageVersion = (): string => {
  const content = JSON.parse(readFileSync(path.join(packageFolder, 'package.json'), 'utf8')) as { version: string };
  return content.version;
};
