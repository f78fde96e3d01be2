/**
 * A message that arrives in pieces is gathered in memory of its own size. The client would gather it in a buffer that doubles:
 * for a segment of 1 MB it clears, fills and drops 3.6 MB, and each 10 to 60 MB of that make V8 collect its whole heap. Of
 * uploaders and windowers that took a third of the time, and a seventh of the readings of a machine that was busy with them.
 */
import { DenoBuffer, Parser } from '@nats-io/nats-core/internal';

const { parse } = Parser.prototype;

const withRoom = (gathered: DenoBuffer, bytes: number): DenoBuffer => {
  const whole = new DenoBuffer(Buffer.allocUnsafeSlow(bytes).buffer);
  whole.truncate(0);
  whole.write(gathered.bytes({ copy: false }));
  return whole;
};

/** For all connections of this process. */
export const gatherInPlace = (): void => {
  Parser.prototype.parse = function (this: Parser, piece: Uint8Array): void {
    parse.call(this, piece);
    const { msgBuf, ma } = this;
    if (msgBuf !== undefined && msgBuf.capacity < ma.size) this.msgBuf = withRoom(msgBuf, ma.size);
  };
};
