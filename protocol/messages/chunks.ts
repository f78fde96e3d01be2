/** Answers and updates that pass 512 KiB come in numbered chunks of one position; they count when the last is there. */
export const chunkHeader = 'Tidemark-Chunk'; // "1/4"
export const chunkBytesMax = 512 * 1024;
/** On an empty message before the first chunk: the answer is being made. Only to who asked for that (view.asked's `progress`). */
export const workingHeader = 'Tidemark-Working';

export const formatChunk = (index: number, total: number): string => `${index + 1}/${total}`;

/** @returns undefined for anything that is not i/n with 1 <= i <= n. */
export const parseChunk = (text: string): { index: number; total: number } | undefined => {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  if (match === null) return undefined;
  const index = Number(match[1]) - 1;
  const total = Number(match[2]);
  return index >= 0 && index < total ? { index, total } : undefined;
};

/** Items into groups whose JSON stays below the bound; always at least one group, so that an empty answer is one too. */
export const groupBySize = <T>(items: readonly T[], sizeOf: (item: T) => number, bytesMax = chunkBytesMax - 16_384): T[][] => {
  const groups: T[][] = [];
  let group: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = sizeOf(item) + 1;
    if (group.length > 0 && bytes + size > bytesMax) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
    group.push(item);
    bytes += size;
  }
  groups.push(group);
  return groups;
};
