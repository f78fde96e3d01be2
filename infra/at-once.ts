/** Work on many things, some at a time. */

/** Lets at most so many works run; who comes later waits for its turn. */
export const turns = (most: number): (<R>(work: () => Promise<R>) => Promise<R>) => {
  let free = most;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
};

/**
 * Does `work` on each, at most `most` at a time. @returns what they gave, in the order of the things
 * @throws a failure, when all that had begun have ended; nothing more is begun after it
 */
export const atOnce = async <T, R>(things: readonly T[], most: number, work: (thing: T) => Promise<R>): Promise<R[]> => {
  const turn = turns(most);
  let failure: { error: unknown } | undefined;
  const all = things.map((thing) =>
    turn(async () => {
      if (failure !== undefined) throw failure.error;
      try {
        return await work(thing);
      } catch (error) {
        failure ??= { error };
        throw error;
      }
    }),
  );
  await Promise.allSettled(all);
  return await Promise.all(all);
};

/**
 * The things in their order, each when its `work` is done; that of up to `most` behind it is under way meanwhile. What `work` throws
 * is passed over: whoever gets the thing does the work himself, and hears it.
 */
export async function* ahead<T>(things: AsyncIterable<T>, most: number, work: (thing: T) => Promise<unknown>): AsyncGenerator<T> {
  const begun: { thing: T; work: Promise<unknown> }[] = [];
  for await (const thing of things) {
    begun.push({ thing, work: work(thing).catch(() => undefined) });
    if (begun.length > most) yield await first(begun);
  }
  while (begun.length > 0) yield await first(begun);
}

const first = async <T>(begun: { thing: T; work: Promise<unknown> }[]): Promise<T> => {
  const { thing, work } = begun.shift() as { thing: T; work: Promise<unknown> };
  await work;
  return thing;
};
