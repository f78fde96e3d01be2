/**
 * Memory in which bytes are gathered for an upload, used again by the next ones: what waits keeps no message alive, and what
 * was uploaded leaves nothing to collect (V8 lets up to 64 MiB of old buffers lie before it does).
 */

/** Of hundreds of dates at once each has little. */
const bytesMin = 4 * 1024;
/** One is gathered in while another is uploaded. */
const spareMax = 2;
/** After a backlog or a day with many dates a large one is not kept for little. */
const wasteMax = 4;

export class Slabs {
  readonly #spare: Buffer[] = [];

  /** With `length` bytes of it in use: that one, or a larger one that begins with them and replaces it. */
  withRoom(slab: Buffer | undefined, length: number, bytes: number): Buffer {
    if (slab !== undefined && length + bytes <= slab.byteLength) return slab;
    const spare = slab === undefined ? this.#spare.findIndex(({ byteLength }) => byteLength >= bytes) : -1;
    if (spare >= 0) return this.#spare.splice(spare, 1)[0] as Buffer;
    const larger = Buffer.allocUnsafeSlow(Math.max(bytesMin, 2 * length, length + bytes));
    slab?.copy(larger, 0, 0, length);
    return larger;
  }

  /** Nobody reads it any more. */
  giveBack(slab: Buffer, length: number): void {
    if (this.#spare.length < spareMax && slab.byteLength <= Math.max(bytesMin, wasteMax * length)) this.#spare.push(slab);
  }
}
