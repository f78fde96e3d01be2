/** The agents of `start`: the machine, nats-server, Tidemark's own processes, and the busiest other program or a named one. */
import { hostname } from 'node:os';
import { startAgent } from '../../actors/agent.js';
import { openSource } from '../../infra/client/source.js';
import { openSourceConnection } from '../../infra/client/source-connection.js';
import type { Settings } from '../../infra/config.js';
import type { Log } from '../../infra/log.js';
import type { Probe } from '../../infra/probe/probe.js';
import { busiestProgram, machineProbe, programProbe } from '../../infra/probe/systeminformation.js';

export interface AgentsOptions {
  /** `nats` is the server to publish to. */
  readonly settings: Settings & { readonly nats: string };
  /** Of the nats-server that we run; without it, it is looked for by its name. */
  readonly natsPid: (() => number) | undefined;
  readonly ownPids: () => readonly number[];
  /** The fourth service; without it the busiest program that is none of the others. */
  readonly program: string | undefined;
  readonly everyMs: number;
  readonly log: Log;
}

const ownServices = ['machine', 'nats-server', 'tidemark'];

/** @returns the services that are measured, and how to stop measuring: what is sealed by then is counted. */
export const startAgents = async (options: AgentsOptions): Promise<{ services: string[]; stop: () => Promise<void> }> => {
  const { settings, natsPid, ownPids, log } = options;
  const diskPath = settings.data;
  const others = () => [...ownPids(), ...(natsPid === undefined ? [] : [natsPid()])];
  const program = options.program ?? (await busiestProgram(others()));
  const probes: [string, Promise<Probe>][] = [
    ['machine', machineProbe({ diskPath })],
    ['nats-server', programProbe(natsPid === undefined ? { name: 'nats-server' } : { pids: () => [natsPid()] }, { diskPath })],
    ['tidemark', programProbe({ pids: ownPids }, { diskPath })],
  ];
  if (program !== undefined) {
    const service = ownServices.includes(program) ? `other ${program}` : program;
    probes.push([service, programProbe({ name: program, exceptPids: others }, { diskPath })]);
  }
  const connection = await openSourceConnection(settings, 'tidemark agents');
  const source = (subject: string, agent: string) => openSource({
    connection, subject, agent,
    onShrunk: (before, after) => log.error({ subject, agent, before, after }, 'the log has lost its tail: sealed readings are gone'),
  });
  const agents = await Promise.all(probes.map(async ([service, probe]) =>
    startAgent({ service, host: hostname(), everyMs: options.everyMs, probe: await probe, source })));
  return {
    services: probes.map(([service]) => service),
    stop: async () => {
      const left = await Promise.all(agents.map((agent) => agent.stop()));
      const unsealed = left.reduce((sum, one) => sum + one.unsealed, 0);
      if (unsealed > 0) log.warn({ unsealed }, 'stopped with readings that were not sealed');
      await connection.close();
    },
  };
};
