/** A bound on how long something may take. */

/** What it gives, if it does so within `msMax`. @throws what `late` makes; the work itself goes on, and may fail unheard. */
export const within = async <T>(work: Promise<T>, msMax: number, late: () => Error): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), Math.max(0, msMax));
  });
  work.catch(() => undefined); // it may fail after nobody waits for it any more
  try {
    return await Promise.race([work, timeUp]);
  } finally {
    clearTimeout(timer);
  }
};
