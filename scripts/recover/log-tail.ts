/**
 * What the old store still has: records that were sealed, and maybe never uploaded. Each partition's lines become one more
 * file of raw lines; what is in the raw files too is a double of it.
 */
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { readLog } from '../../infra/bus/read-log.js';
import { credentialsFor } from '../../infra/bus/users.js';
import type { Settings } from '../../infra/config.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { decodeSegment } from '../../protocol/segment.js';
import { stagingName } from './change-over.js';
import { runOwnServer } from './own-server.js';
import type { RawFile } from './raw-runs.js';

export interface LogTail {
  readonly files: RawFile[];
  /** How many logs there are: 0 if there is no store. */
  readonly partitions: number;
}

/** Raw files go before it where the two say something else of an offset. */
const oldest = -1;

export const readLogTail = async (settings: Settings, tell: (line: string) => void): Promise<LogTail> => {
  const { data } = settings;
  if (!existsSync(path.join(data, 'nats', 'jetstream'))) return { files: [], partitions: 0 };
  const configuration = path.join(data, 'nats.conf');
  const before = await readFile(configuration).catch(() => undefined);
  let server: Awaited<ReturnType<typeof runOwnServer>>;
  try {
    server = await runOwnServer(settings);
  } catch (error) {
    if (!(error instanceof OutOfReachError)) throw error;
    tell(`the old store does not open, so what was sealed and not uploaded is lost: ${messageOf(error)}`);
    return { files: [], partitions: 0 };
  }
  try {
    const bus = await openBus({ nats: server.url, natsCreds: credentialsFor({ data }, 'operator') }, 'tidemark recover');
    try {
      return await copyLogs(bus, data);
    } finally {
      await bus.close();
    }
  } finally {
    await server.stop();
    if (before !== undefined) await writeFile(configuration, before); // with its own ports
  }
};

const copyLogs = async (bus: Bus, data: string): Promise<LogTail> => {
  const files: RawFile[] = [];
  let partitions = 0;
  for (const { name } of await bus.logs()) {
    const partition = Number(/^SEGMENTS-(\d+)$/.exec(name)?.[1] ?? -1);
    if (partition < 0) continue;
    partitions = Math.max(partitions, partition + 1);
    const file: RawFile = { path: `${stagingName}/tail/${partition}.ndjson`, partition, begun: oldest };
    if (await copyLog(bus, name, path.join(data, file.path))) files.push(file);
  }
  return { files, partitions };
};

/** @returns whether there was anything. */
const copyLog = async (bus: Bus, stream: string, file: string): Promise<boolean> => {
  const { last } = await bus.extent(stream);
  if (last === 0) return false;
  await mkdir(path.dirname(file), { recursive: true });
  const output = createWriteStream(file);
  for await (const { body } of readLog(bus, stream, { to: last, held: 64 })) {
    if (!output.write(decodeSegment(body).lines)) await once(output, 'drain');
  }
  output.end();
  await once(output, 'finish');
  return true;
};
