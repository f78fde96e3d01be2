/** Reads a log in order, from its beginning to a sequence. */
import type { Bus, LogMessage, LogStart } from './bus.js';

export interface ReadLogOptions {
  readonly filter?: string;
  readonly start?: LogStart;
  /** The last sequence that is wanted. */
  readonly to: number;
  readonly held?: number;
}

/** @throws RetryableError when the connection is lost */
export async function* readLog(
  bus: Bus,
  stream: string,
  { filter, start = 'first', to, held = 256 }: ReadLogOptions,
): AsyncGenerator<LogMessage> {
  const reader = await bus.read(stream, { start, held, ...(filter === undefined ? {} : { filter }) });
  try {
    for (;;) {
      const messages = reader.take(held);
      if (messages.length === 0 && reader.pending === 0) return; // the filter's last lies below `to`
      if (messages.length === 0) await reader.ready();
      for (const message of messages) {
        if (message.sequence > to) return;
        yield message;
        if (message.sequence === to) return;
      }
    }
  } finally {
    await reader.close();
  }
}
