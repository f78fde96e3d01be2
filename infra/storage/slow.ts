/** A storage that is slow, for tests alone: every operation waits before it begins. */
import { setTimeout as sleep } from 'node:timers/promises';
import { slowStorageMs } from '../config.js';
import type { Storage } from './storage.js';

type Method = (...given: unknown[]) => unknown;

export const slowStorage = (storage: Storage, delayMs: number): Storage => {
  const stream: Storage['stream'] = async function* (...given) {
    await sleep(delayMs);
    yield* storage.stream(...given);
  };
  return new Proxy(storage, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'stream') return stream;
      if (typeof value !== 'function') return value;
      return async (...given: unknown[]) => {
        await sleep(delayMs);
        return (value as Method).apply(target, given);
      };
    },
  });
};

/** As TIDEMARK_SLOW_STORAGE says; without it the storage as it is. */
export const slowIfWanted = (storage: Storage): Storage => {
  const delayMs = slowStorageMs();
  return delayMs > 0 ? slowStorage(storage, delayMs) : storage;
};
