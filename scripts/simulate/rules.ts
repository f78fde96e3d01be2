/**
 * Rules that can be switched off here, each alone: then the simulation must find records lost, counted twice or stuck. The
 * actors know nothing of it: what they are given, or what they give back, is bent.
 */
import { lastOf, openPart } from '../../actors/merger/realtime-reader.js';
import type { MergerState } from '../../actors/merger/state.js';
import { lateBeforeOf, type PartitionView } from '../../actors/merger/view-state.js';
import type { FoldDefinition, Input } from '../../infra/actor/fold.js';
import type { Output } from '../../infra/actor/output.js';
import type { LogMessage } from '../../infra/bus/bus.js';
import { readRangeAssigned, readRealtimeUpdated } from '../../protocol/messages/readers.js';
import { fromTuple, type RowTuple } from '../../protocol/messages/row-tuple.js';
import type { SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { isEmptyLine } from '../../protocol/reading.js';
import { chainHeader, decodeSegment, encodeSegment, nextChain } from '../../protocol/segment.js';

/** Name of the switch to what is done instead. */
export const rules = {
  F1: 'the expected sequence is read again just before publishing',
  F2: 'after a publish without an answer it is published again with a fetched sequence',
  F3: 'no expected sequence',
  F4: 'SEGMENTS is read before STORED',
  F5: 'an owner goes on over a new connection, where its readers were',
  B1: 'acknowledged before its segment is sealed',
  'B1 snapshot': 'a snapshot is stored before its segment is sealed',
  B2: 'copies are not acknowledged again',
  B3: 'a source heeds whatever names its agent',
  B4: 'segments do not name what they took without a record',
  B5: 'SEGMENTS is purged without regard to the snapshot',
  'B6 not said': 'a source that gave readings up does not say so',
  B7: 'a source that forgot its count keeps its agent',
  B8: 'an empty line takes no n',
  B9: 'where only copies and refused readings come the position does not move',
  'B10 sequence': 'METRICS is resumed by sequence, whatever is there',
  'B10 all': 'METRICS is resumed from the beginning',
  'B11 least': 'METRICS is purged below the least place of all partitions',
  'B11 through': 'METRICS is purged up to and with the noted message',
  'B11 guard': 'METRICS is purged though the noted message is another',
  'U1 stuck': 'raw files have no writer in their names',
  'U1 overwritten': 'raw files have no writer in their names and are replaced',
  U2: 'bytes that no commit names are trimmed',
  U3: 'after a failed append the file is appended to again',
  W1: 'every update that ends further on is applied, whatever it follows',
  'W2 late file': 'part.stored does not wait for its file',
  'W2 orphan': 'parts that nobody names are removed, whatever their range',
  W3: 'SEGMENTS is purged with the segments at which the last commit and part end',
  S1: 'batch.requested and batch.ready are fenced each by itself',
  S2: 'tasks are the commits that begin at or above the cut',
  S3: 'a missing input is passed over and an output that exists is replaced, also when the batch is not open any more',
  S4: 'files of batches are removed as soon as the newest ready batch does not name them',
  'M1 poll': 'one reader asks several mergers in turn without its position',
} as const;

export type Rule = keyof typeof rules;

const withoutRecordless = (head: SegmentHead, lines: Uint8Array): SegmentHead => {
  const recorded = new Set(
    Buffer.from(lines)
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { subject, agent, n } = JSON.parse(line) as { subject?: string; agent?: string; n?: number };
        return `${subject} ${agent} ${n}`;
      }),
  );
  const taken = head.taken.map(({ subject, agent, ranges }) => ({
    subject,
    agent,
    ranges: ranges
      .flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i))
      .filter((n) => recorded.has(`${subject} ${agent} ${n}`))
      .map((n): [number, number] => [n, n + 1]),
  }));
  return { ...head, taken: taken.filter(({ ranges }) => ranges.length > 0) };
};

const isTell = (output: Output): boolean => output.do === 'tell' && output.message === 'reading.sealed';
const isSegment = (output: Output): boolean => output.do === 'publish' && output.message === 'segment.sealed';

const bendBuffer = (rule: Rule, outputs: readonly Output[], state: { chain: string }, chain: { value: string }): readonly Output[] => {
  switch (rule) {
    case 'B1':
      return [...outputs.filter(isTell), ...outputs.filter((output) => !isTell(output))];
    case 'B1 snapshot': {
      const stores = (output: Output): boolean => output.do === 'work' && output.what === 'store the table of sources';
      return outputs.some(isSegment) ? [...outputs.filter(stores), ...outputs.filter((output) => !stores(output))] : outputs;
    }
    case 'B2':
      return outputs.some(isSegment) ? outputs : outputs.filter((output) => !isTell(output));
    case 'B4':
      return outputs.map((output) => {
        if (output.do !== 'publish' || output.message !== 'segment.sealed') return output;
        const { head, lines, numbers } = decodeSegment(output.body as Uint8Array);
        const body = encodeSegment(withoutRecordless(head, lines), lines, [...numbers]);
        chain.value = nextChain(chain.value, body);
        state.chain = chain.value;
        return { ...output, body, headers: { [chainHeader]: chain.value } };
      });
    default:
      return outputs;
  }
};

const bendScheduler = (rule: Rule, outputs: readonly Output[], from: readonly number[]): readonly Output[] =>
  rule !== 'S2'
    ? outputs
    : outputs.map((output) => {
        if (output.do !== 'publish' || output.message !== 'range.assigned') return output;
        const task = readRangeAssigned(output.body as Uint8Array);
        return {
          ...output,
          body: JSON.stringify({
            ...task,
            inputs: task.inputs.filter(({ partition, from: lowest }) => lowest !== from[partition] || lowest === 0),
          }),
        };
      });

const isEmptyMessage = ({ body, hasHeaders }: LogMessage): boolean => hasHeaders && isEmptyLine(body);

const bendInput = (rule: Rule, input: Input): Input | undefined => {
  if (rule === 'B9' && input.kind === 'tick' && (input.tick === 'position' || input.tick === 'snapshot')) return undefined;
  if (rule === 'B8' && input.kind === 'messages')
    return { ...input, messages: input.messages.filter((message) => !isEmptyMessage(message)) };
  return input;
};

/** W1 switched off: the rows of an update count wherever it begins. */
const applyAnyhow = ({ view }: MergerState, messages: readonly LogMessage[]): void => {
  for (const { body } of messages) {
    const update = readRealtimeUpdated(body);
    const { chain } = view.partitions[update.partition] as PartitionView;
    let open = lastOf(chain);
    if (update.to <= open.to) continue;
    if (update.from !== open.from) {
      open = openPart(open.to, lateBeforeOf(view.batch));
      chain.push(open);
    }
    for (const { service, minute, row } of update.rows.map((tuple) => fromTuple(tuple as RowTuple))) open.rows.set(service, minute, row);
    open.to = update.to;
  }
};

/** A fold with a rule switched off. */
export const bend = <State>(fold: FoldDefinition<State>, rule: Rule | undefined): FoldDefinition<State> => {
  if (rule === undefined) return fold;
  const chain = { value: '' };
  return {
    ...fold,
    begin: async (env, partition) => {
      const beginning = await fold.begin(env, partition);
      if (fold.name === 'buffer') chain.value = (beginning.state as { chain: string }).chain;
      return beginning;
    },
    step: (state, input, env) => {
      if (rule === 'W1' && input.kind === 'messages' && input.log === 'realtime') {
        applyAnyhow(state as MergerState, input.messages);
        return [state, []];
      }
      const given = fold.name === 'buffer' ? bendInput(rule, input) : input;
      if (given === undefined) return [state, []];
      const [next, outputs] = fold.step(state, given, env);
      if (fold.name === 'buffer') return [next, bendBuffer(rule, outputs, next as { chain: string }, chain)];
      if (fold.name === 'scheduler') return [next, bendScheduler(rule, outputs, (next as { base: { cut: number[] } }).base.cut)];
      return [next, outputs];
    },
  };
};
