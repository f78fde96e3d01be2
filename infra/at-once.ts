/** Work on many things, some at a time. */

/**
 * Does `work` on each, at most `most` at a time. @returns what they gave, in the order of the things
 * @throws the first failure, when all that had begun have ended; nothing more is begun after it
 */
export const atOnce = async <T, R>(things: readonly T[], most: number, work: (thing: T) => Promise<R>): Promise<R[]> => {
  const given = new Array<R>(things.length);
  let failure: { error: unknown } | undefined;
  let next = 0;
  const go = async (): Promise<void> => {
    while (failure === undefined && next < things.length) {
      const i = next++;
      try {
        given[i] = await work(things[i] as T);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, things.length) }, go));
  if (failure !== undefined) throw failure.error;
  return given;
};
