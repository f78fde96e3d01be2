/** A storage whose durable operations are timed: for the metrics. */
import type { Storage } from '../storage/storage.js';

/** By what they mean; each ends when its bytes are on disk. */
const timed: ReadonlySet<string> = new Set(['append', 'create', 'adopt', 'replace']);

type Method = (...given: unknown[]) => unknown;

export const timedStorage = (storage: Storage, took: (operation: string, seconds: number) => void): Storage =>
  new Proxy(storage, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (typeof name !== 'string' || !timed.has(name)) return (value as Method).bind(target);
      return async (...given: unknown[]) => {
        const since = performance.now();
        try {
          return await (value as Method).apply(target, given);
        } finally {
          took(name, (performance.now() - since) / 1_000);
        }
      };
    },
  });
