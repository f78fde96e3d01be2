/** The agents of `start` (the machine, nats-server, Tidemark's own processes, and another program), and of `tidemark agent`. */
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { startAgent } from '../../actors/agent.js';
import type { NatsSettings } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { openSource } from '../../infra/client/source.js';
import type { Settings } from '../../infra/config.js';
import type { Log } from '../../infra/log.js';
import type { Probe } from '../../infra/probe/probe.js';
import { busiestProgram, machineProbe, programProbe } from '../../infra/probe/systeminformation.js';

interface Measuring {
  readonly services: string[];
  /** Measures no more; waits, with a bound, until all is sealed. */
  readonly stop: () => Promise<void>;
}

const measure = async (
  probes: readonly [string, Promise<Probe>][],
  settings: NatsSettings,
  everyMs: number,
  log: Log,
): Promise<Measuring> => {
  const connection = await connectSource(settings, 'tidemark agent');
  const source = (subject: string, agent: string) =>
    openSource({
      connection,
      subject,
      agent,
      onShrunk: (before, after) => log.error({ subject, agent, before, after }, 'the log has lost its tail: sealed readings are gone'),
    });
  const agents = await Promise.all(
    probes.map(async ([service, probe]) => startAgent({ service, host: hostname(), everyMs, probe: await probe, source })),
  );
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

export const startAgents = async (options: AgentsOptions): Promise<Measuring> => {
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
  return measure(probes, settings, options.everyMs, log);
};

/** Measures one service until `signal`: the whole machine, or the processes of `program`. */
export const measureOne = async ({
  service,
  program,
  settings,
  everyMs,
  log,
  signal,
}: {
  service: string;
  program: string | undefined;
  settings: NatsSettings & { data: string };
  everyMs: number;
  log: Log;
  signal: AbortSignal;
}): Promise<void> => {
  const diskPath = (await stat(settings.data).catch(() => undefined)) === undefined ? process.cwd() : settings.data;
  const probe = program === undefined ? machineProbe({ diskPath }) : programProbe({ name: program }, { diskPath });
  const { stop } = await measure([[service, probe]], settings, everyMs, log);
  if (!signal.aborted) await once(signal, 'abort');
  await stop();
};
