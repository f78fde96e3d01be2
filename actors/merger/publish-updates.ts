/** view.updated, the leading merger's: the rows that changed, service by service, each of one position. */
import type { Env } from '../../infra/actor/env.js';
import type { Output } from '../../infra/actor/output.js';
import { messageOf } from '../../infra/errors.js';
import { chunkHeader, formatChunk } from '../../protocol/messages/chunks.js';
import { encodeName } from '../../protocol/name-code.js';
import { isNotAsStored, type MergerState } from './state.js';
import { updateOf } from './updated-rows.js';

const unansweredMax = 256;

/** Never two such works at once. While a part in the view is not what was stored, changes wait: nothing is said of it. */
export const publishUpdates = (state: MergerState): Output[] => {
  if (state.isUpdating || state.broken || state.view.changes.isEmpty) return [];
  const changes = state.view.changes.take();
  if (!state.leads) return [];
  state.isUpdating = true;
  return [
    {
      do: 'work',
      what: 'publish changed rows',
      beside: true,
      run: async (env) => {
        const published: Promise<number>[] = [];
        for (const [service, minutes] of changes) {
          const bodies = await bodiesOf(state, service, minutes, env);
          bodies.forEach((body, i) => {
            const publishing = env.bus.publish(
              `view.updated.${encodeName(service)}`,
              body,
              bodies.length === 1 ? {} : { headers: { [chunkHeader]: formatChunk(i, bodies.length) } },
            );
            publishing.catch(() => undefined); // it is looked at below, maybe only when the next service's files were read
            published.push(publishing);
          });
          if (published.length >= unansweredMax) await Promise.all(published.splice(0));
        }
        await Promise.all(published);
        return [{ do: 'note', name: 'updated', value: changes.size }];
      },
    },
  ];
};

/** Of a service whose batch file is not what was stored nothing is said, until another batch view is taken over. */
const bodiesOf = async (state: MergerState, service: string, minutes: readonly number[], { log }: Env): Promise<readonly string[]> => {
  const { unsaid } = state;
  try {
    if (!unsaid.has(service)) return (await updateOf(state.view, state.months, service, minutes)).bodies;
  } catch (error) {
    if (!isNotAsStored(error)) throw error;
    log.error({ service, reason: messageOf(error) }, 'batch file is not what was stored: run tidemark rebuild');
  }
  for (const minute of minutes) unsaid.add(service, minute);
  return [];
};

/** After a swap: what could not be said is tried again. */
export const sayUnsaid = ({ unsaid, view }: MergerState): void => {
  for (const [service, minutes] of unsaid.take()) for (const minute of minutes) view.changes.add(service, minute);
};
