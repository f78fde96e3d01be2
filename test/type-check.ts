/** The compiler, for tests. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { packageFolder } from '../infra/package-folder.js';

const run = promisify(execFile);
const compiler = path.join(packageFolder, 'node_modules/ts7/bin/tsc');

/** Compiles a project, as its tsconfig.json says. @returns what the compiler said; undefined: nothing is wrong */
export const typeCheck = async (project: string): Promise<string | undefined> => {
  try {
    await run(process.execPath, [compiler, '-p', project]);
    return undefined;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return `${stdout}${stderr}`;
  }
};
