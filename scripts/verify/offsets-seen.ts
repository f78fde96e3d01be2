/** Which offsets of a partition were seen: a bit each, in pages that come when they are needed. */
const pageBits = 1 << 20;

export class OffsetsSeen {
  readonly #pages = new Map<number, Uint8Array>();

  /** @returns whether it was seen before. */
  add(offset: number): boolean {
    const number = Math.floor(offset / pageBits);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(pageBits / 8);
      this.#pages.set(number, page);
    }
    const bit = offset % pageBits;
    const mask = 1 << (bit & 7);
    const was = page[bit >> 3] as number;
    page[bit >> 3] = was | mask;
    return (was & mask) !== 0;
  }

  /** The ranges of [0, to) that were not seen, in order; `[from, to)` each. */
  *holes(to: number): Iterable<[number, number]> {
    let from = -1;
    for (let offset = 0; offset < to; offset++) {
      const page = this.#pages.get(Math.floor(offset / pageBits));
      const bit = offset % pageBits;
      const byte = page?.[bit >> 3] ?? 0;
      if (byte === 0xff && (bit & 7) === 0 && offset + 8 <= to && from === -1) {
        offset += 7;
        continue;
      }
      const isSeen = (byte & (1 << (bit & 7))) !== 0;
      if (!isSeen && from === -1) from = offset;
      if (isSeen && from !== -1) {
        yield [from, offset];
        from = -1;
      }
    }
    if (from !== -1) yield [from, to];
  }
}
