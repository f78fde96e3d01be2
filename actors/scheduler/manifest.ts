/** Writing a batch's manifest, and clearing what mappers handed to reducers. */
import type { Env } from '../../infra/actor/env.js';
import { FileExistsError, FileMissingError, messageOf, PromiseError } from '../../infra/errors.js';
import type { StoredFile } from '../../infra/storage/storage.js';
import type { Manifest, MonthFile, ViewProved } from '../../protocol/messages/batch.js';
import { readManifest, readServiceListing } from '../../protocol/messages/readers.js';
import { type Position, samePosition, sumPosition } from '../../protocol/range.js';
import { sha256Of } from '../../protocol/sha256.js';
import type { OpenBatch } from './state.js';

/** Reads a file that a message names. @throws PromiseError if it is not what was named */
export const readNamed = async ({ storage }: Pick<Env, 'storage'>, file: StoredFile): Promise<Buffer> => {
  const bytes = await storage.read(file.path);
  if (bytes.byteLength !== file.bytes || sha256Of(bytes) !== file.sha256) {
    throw new PromiseError(
      `${file.path} is not what was stored: ${bytes.byteLength} bytes, sha256 ${sha256Of(bytes)}; ` +
        `named were ${file.bytes} bytes, sha256 ${file.sha256}`,
    );
  }
  return bytes;
};

/**
 * The manifest that a batch.ready or view.proved names. @throws PromiseError if it is of another batch or cut, or if the
 * records of its files do not sum to the offsets in its cut (S6)
 */
export const loadManifestOf = async (
  env: Pick<Env, 'storage'>,
  named: { readonly batch: string; readonly cut: Position; readonly manifest: StoredFile },
): Promise<Manifest> => {
  const { path } = named.manifest;
  const manifest = readManifest(await readNamed(env, named.manifest));
  const { batch, cut, files } = manifest;
  if (batch !== named.batch || !samePosition(cut, named.cut)) {
    throw new PromiseError(
      `${path} is of batch ${batch} with the cut ${cut.join(',')}; ` + `named was batch ${named.batch} with the cut ${named.cut.join(',')}`,
    );
  }
  const records = files.reduce((sum, { msg_num }) => sum + msg_num, 0);
  if (records !== sumPosition(cut)) {
    throw new PromiseError(`${path}: msg_num over its files sums to ${records}, the offsets in its cut to ${sumPosition(cut)}`);
  }
  return manifest;
};

/** The manifest that all begin from. @throws PromiseError with what to do, for without it nothing can go on */
export const loadProved = async (env: Pick<Env, 'storage'>, proved: ViewProved): Promise<Manifest> => {
  try {
    return await loadManifestOf(env, proved);
  } catch (error) {
    if (!(error instanceof PromiseError || error instanceof FileMissingError)) throw error;
    throw new PromiseError(
      `the manifest of the newest proved batch: ${messageOf(error)}. ` +
        'Put a whole copy in its place: views/batch/latest.json is one if its sha256 is the one named',
      { cause: error },
    );
  }
};

const byServiceAndMonth = (a: MonthFile, b: MonthFile): number =>
  a.service < b.service ? -1 : a.service > b.service ? 1 : a.month < b.month ? -1 : 1;

export const writeManifest = async (
  env: Pick<Env, 'storage'>,
  { draft, index }: Pick<OpenBatch, 'draft' | 'index'>,
  listings: readonly StoredFile[],
): Promise<{ manifest: StoredFile; rows: number }> => {
  const files: MonthFile[] = [];
  for (const listing of listings) files.push(...readServiceListing(await readNamed(env, listing)).files);
  files.sort(byServiceAndMonth);
  const { batch, base, cut, requestedAt, ...rest } = draft;
  const content = Buffer.from(`${JSON.stringify({ batch, base, cut, requestedAt, files, ...rest } satisfies Manifest, null, 1)}\n`);
  const path = `views/batch/${batch}.json`;
  if (index) await createSame(env, index.path, index.content);
  await createSame(env, path, content);
  return {
    manifest: { path, bytes: content.byteLength, sha256: sha256Of(content) },
    rows: files.reduce((sum, file) => sum + file.rows, 0),
  };
};

/** Creates a file, or finds the same one there (S3). @throws PromiseError when it is another */
const createSame = async ({ storage }: Pick<Env, 'storage'>, path: string, content: Buffer): Promise<void> => {
  try {
    await storage.create(path, content);
  } catch (error) {
    if (!(error instanceof FileExistsError)) throw error;
    if (!content.equals(await storage.read(path))) throw new PromiseError(`${path} is there already, with other content`, { cause: error });
  }
};
