/** A proxy before one server, for faults of the network alone. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

export interface TcpProxy {
  readonly port: number;
  /** Breaks every connection, and takes no new one. */
  cut(): void;
  /** Keeps every connection, takes new ones, and passes nothing on, as a server that hangs. */
  hold(): void;
  /** As in the beginning; what was held is passed on. */
  pass(): void;
}

export const startProxy = async (t: Test, to: number): Promise<TcpProxy> => {
  const open = new Set<Socket>();
  const held: (() => void)[] = [];
  let mode: 'pass' | 'hold' | 'cut' = 'pass';
  const forward = (from: Socket, into: Socket): void => {
    from.on('data', (chunk) => {
      if (mode === 'pass') into.write(chunk);
      else held.push(() => into.write(chunk));
    });
    from.once('close', () => {
      open.delete(from);
      into.destroy();
    });
    from.on('error', () => undefined);
  };
  const server = createServer((client) => {
    if (mode === 'cut') {
      client.destroy();
      return;
    }
    const behind = connect(to, '127.0.0.1');
    open.add(client).add(behind);
    forward(client, behind);
    forward(behind, client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    mode = 'cut';
    for (const socket of open) socket.destroy();
  };
  t.teardown(() => {
    cut();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    hold: () => {
      mode = 'hold';
    },
    pass: () => {
      mode = 'pass';
      for (const pass of held.splice(0)) pass();
    },
  };
};
