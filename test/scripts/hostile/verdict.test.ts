import t from 'tap';
import { encodeName, parseSubject } from '../../../protocol/name-code.js';
import { isEmptyLine, isRefusal, readLine, splitLines } from '../../../protocol/reading.js';
import { randomOf } from '../../../scripts/chaos/random.js';
import { differencesOf, Expected, linesOf } from '../../../scripts/hostile/expected.js';
import { hostileFile, hostileMessages, nextLine } from '../../../scripts/hostile/messages.js';
import { hostileNames } from '../../../scripts/hostile/names.js';
import { codeOf, verdictOf } from '../../../scripts/hostile/verdict.js';

const now = Date.UTC(2026, 10, 23, 10, 15);

t.test('the independent count finds in every line what was broken in it on purpose', (t) => {
  const random = randomOf(1);
  const reasons = new Set<string>();
  let accepted = 0;
  for (let i = 0; i < 60_000; i++) {
    const identity = i % 2 === 0 ? { agent: `a${i}`, n: i + 1 } : undefined;
    const isHost = i % 3 === 0;
    const names = { service: isHost ? hostileNames[i % 7] : undefined, host: isHost ? 'h.1' : undefined };
    const { bytes, reason } = nextLine(random, now, { kind: isHost ? 'host' : 'gateway', ...names }, identity);
    const subject = isHost ? `metrics.${codeOf(names.service as string)}.${codeOf('h.1')}` : 'metrics.gate';
    const verdict = verdictOf(bytes, { subject, received: now });
    const found = verdict.kind === 'refused' ? verdict.reason : verdict.kind === 'accepted' ? undefined : 'empty';
    if (found !== reason) t.fail(`${bytes}: ${found}, broken was ${reason}`);
    if (reason === undefined) accepted += 1;
    else reasons.add(reason);
  }
  t.ok(accepted > 50_000, `${accepted} good lines`);
  t.ok(reasons.size >= 45, `${reasons.size} reasons`);
  t.end();
});

t.test('the buffer reads every hostile line as the independent count does', (t) => {
  let lines = 0;
  for (const seed of [1, 2, Date.now()]) {
    t.comment(`seed ${seed}`);
    for (const { subject, header, body } of hostileMessages({
      random: randomOf(seed),
      readings: 20_000,
      now,
      run: 'r',
    })) {
      t.same(splitLines(body).map(String), linesOf(body).map(String));
      for (const [i, line] of linesOf(body).entries()) {
        lines += 1;
        const identity = header && { agent: header.agent, n: header.n + i };
        const verdict = verdictOf(line, { subject, header: identity, received: now });
        if (verdict.kind === 'empty' || isEmptyLine(line)) {
          if (!isEmptyLine(line) || verdict.kind !== 'empty') t.fail(`empty or not: ${line}`);
          continue;
        }
        const read = readLine(line, { subject: parseSubject(subject), received: now, ...identity });
        const theirs = isRefusal(read)
          ? ['refused', read.reason, read.service, read.agent, read.n]
          : ['accepted', read.service, read.at, read.cpu, read.ram, read.disk, read.agent, read.n];
        const { kind, service } = verdict;
        const ours = kind === 'refused' ? [kind, verdict.reason, service] : [kind, service, verdict.at, ...verdict.values];
        const both = [...ours, verdict.identity?.agent, verdict.identity?.n];
        if (JSON.stringify(theirs) !== JSON.stringify(both)) t.fail(`${subject} ${line}: ${theirs.join(' ')}, counted ${both.join(' ')}`);
      }
    }
  }
  t.ok(lines > 60_000, `${lines} lines`);
  t.end();
});

t.test('names have the codes that the design says', (t) => {
  t.same(hostileNames.map(codeOf), hostileNames.map(encodeName));
  t.equal(new Set(hostileNames.map(codeOf)).size, hostileNames.length, 'each its own');
  t.ok(hostileNames.every((name) => Buffer.byteLength(name) <= 200));
  t.end();
});

t.test('the same seed gives the same messages and file, and counts copies once', (t) => {
  const options = () => ({ random: randomOf(7), readings: 10_000, now, run: 'r' });
  const all = [...hostileMessages(options())];
  t.same(all, [...hostileMessages(options())]);
  t.same([...hostileFile(options())], [...hostileFile(options())]);
  const [once, twice] = [new Expected(), new Expected()];
  const sure = all.filter(({ header }) => header !== undefined);
  for (const message of sure) once.add(message, now);
  for (const message of [...sure, ...sure]) twice.add(message, now);
  t.ok(once.accepted > 100 && once.copies > 10, `${once.accepted} accepted, ${once.copies} copies`);
  t.ok(twice.copies > once.copies * 2);
  t.same([twice.accepted, twice.refused, twice.missing], [once.accepted, once.refused, once.missing]);
  t.end();
});

t.test('a row too many, one too few, one that differs and one that is there twice are differences', (t) => {
  const expected = new Expected();
  const line = (service: string, cpu: number) => Buffer.from(JSON.stringify({ service, timestamp: now, cpu, ram: 1, disk: 2 }));
  for (const [service, cpu] of [
    ['a', 1],
    ['a', 5],
    ['b', 2],
  ] as const)
    expected.addLine(line(service, cpu), 'metrics.g', undefined, now);
  const minute = Math.floor(now / 60_000) * 60_000;
  const a = ['a', minute, '6000000', 2_000_000, 4_000_000, 5_000_000, now, 1_000_000, now, 2_000_000, now, 2];
  const b = ['b', minute, 2_000_000, 1_000_000, 2_000_000, 2_000_000, now, 1_000_000, now, 2_000_000, now, 1];
  t.equal(differencesOf([a, b], expected).differences, 0);
  t.equal(differencesOf([a, b, b], expected).differences, 1);
  t.equal(differencesOf([a], expected).differences, 1);
  t.equal(differencesOf([a, b, ['c', ...b.slice(1)]], expected).differences, 1);
  t.equal(differencesOf([a, b.with(2, 2_000_001)], expected).differences, 1);
  t.end();
});
