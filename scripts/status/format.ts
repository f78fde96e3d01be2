/** Status for people: what is wrong comes first. */
import { formatBytes } from '../../infra/config.js';
import { groupBy } from '../../protocol/group-by.js';
import { columns } from '../table.js';
import { formatNumbers } from './problems.js';
import type { ActorShown, Status } from './status.js';

const whole = (number: number): string => number.toLocaleString('en');

const sumOf = (position: readonly number[] | null): string =>
  position === null ? 'not known' : whole(position.reduce((sum, offset) => sum + offset, 0));

const size = (bytes: number): string => {
  if (bytes < 2 ** 20) return formatBytes(Math.ceil(bytes / 2 ** 10) * 2 ** 10);
  return bytes % 2 ** 30 === 0 ? formatBytes(bytes) : formatBytes(Math.round(bytes / 2 ** 20) * 2 ** 20);
};

const ago = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h ago` : `${Math.round(seconds / 86_400)} days ago`;
};

/** Names come from anywhere: nothing in one may steer a terminal. */
const plain = (text: string): string => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').slice(0, 120);

const lagText = ({ actor, lag, state }: ActorShown): string => {
  if (lag === undefined) return state === 'gone' ? '?' : '';
  if (lag.records === 0) return 'nothing';
  return `${whole(lag.records)} ${actor === 'buffer' ? 'messages' : 'records'}, ${lag.seconds.toFixed(1)} s`;
};

const countsText = (counts: Readonly<Record<string, number>> | null): string => {
  if (counts === null) return 'not known';
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  if (entries.length === 0) return 'none';
  const shown = entries.slice(0, 5).map(([name, count]) => `${whole(count)} ${plain(name) || '(no service)'}`);
  return shown.join(', ') + (entries.length > 5 ? `, and ${entries.length - 5} others` : '');
};

const provedText = ({ proved, batch, cut, at }: Status): string => {
  if (proved === null) return cut === null ? 'not known' : 'none proved yet';
  const differing = `${whole(proved.differences)} DIFFERENCES, ${batch ?? 'no batch'} stays`;
  const outcome = proved.repaired ? 'rebuilt and counted twice' : proved.differences === 0 ? 'no difference' : differing;
  const oldest = proved.oldest === null ? '' : `; oldest proof ${ago(at - Date.parse(proved.oldest))}`;
  return `${proved.batch}, asked for ${ago(at - proved.at)}, ${outcome}${oldest}`;
};

const memoryText = ({ memory }: Status): string => {
  const { pssBytes, rssBytes, processes } = memory;
  if (pssBytes === null || rssBytes === null) return 'not known on this system';
  return `${size(pssBytes)} in ${processes.length} process${processes.length === 1 ? '' : 'es'} here (PSS; RSS ${size(rssBytes)})`;
};

/** The partitions' logs as one, by the fullest of them. */
const streamsText = ({ streams }: Status): string => {
  if (streams === null) return 'not known';
  const fillOf = ({ bytes, bytesMax }: { bytes: number; bytesMax: number }): number => (bytesMax > 0 ? bytes / bytesMax : 0);
  const groups = groupBy(streams, ({ name }) => name.replace(/-\d+$/, '-*'));
  return [...groups]
    .map(([name, group]) => {
      const fullest = group.reduce((a, b) => (fillOf(b) > fillOf(a) ? b : a));
      const { bytes, bytesMax } = fullest;
      return `${name} ${bytesMax > 0 ? `${Math.round(100 * fillOf(fullest))} %` : size(bytes)}`;
    })
    .join(', ');
};

export const formatStatus = (status: Status): string => {
  const { problems, actors } = status;
  const head = problems.length === 0 ? 'all is well' : `${problems.length === 1 ? '1 problem' : `${problems.length} problems`}`;
  const list = problems.map((problem) => `  ! ${plain(problem)}\n`).join('');
  const rows = actors.map((one) => [
    one.actor,
    one.state,
    String(one.pid),
    one.actor === 'nats-server' ? '' : one.instance,
    formatNumbers(one.partitions),
    lagText(one),
    one.perSecond === undefined ? '' : whole(one.perSecond),
    one.opsPort === undefined ? '' : String(one.opsPort),
  ]);
  return [
    `${new Date(status.at).toISOString().slice(0, 19)}Z  ${head}\n${list}\n`,
    rows.length === 0 ? '' : `${columns([['actor', 'state', 'pid', 'instance', 'partitions', 'behind', 'per s', 'ops'], ...rows])}\n`,
    columns([
      ['records', `${sumOf(status.position)} in the view, ${sumOf(status.committed)} committed, ${sumOf(status.sealed)} sealed`],
      ['position', status.position?.join(',') ?? 'not known'],
      ['cut', status.cut?.join(',') ?? 'not known'],
      ['batch', provedText(status)],
      ['refused', countsText(status.refused)],
      ['missing', countsText(status.missing)],
      ['full', streamsText(status)],
      ['memory', memoryText(status)],
      ['pages', actors.flatMap(({ address }) => address ?? []).join(', ') || 'none'],
    ]),
  ].join('');
};
