import t from 'tap';
import { formatRecovered } from '../../../scripts/commands/recover.js';
import type { RecoverReport } from '../../../scripts/recover/recover.js';

const whole: RecoverReport = {
  partitions: 2,
  position: [1_200, 34],
  batch: '000002',
  records: 1_234,
  rows: 57,
  sources: 3,
  read: { files: 4, bytes: 300_000, lines: 1_300 },
  dropped: { doubles: 65, conflicts: 0, copies: 1, torn: 1, unreadable: 0 },
  lost: 0,
  holes: [],
  damaged: 0,
  renumbered: false,
  missing: { web: 2, '': 5 },
  old: null,
  seconds: 3.21,
};

t.test('the report for people says what was made, and then what is not as it should be', (t) => {
  const text = formatRecovered(whole);
  t.match(text, /^recovered: 1,234 records in 57 rows, batch 000002, proved, 3\.2 s\n/);
  t.match(text, 'dropped: 65 doubles, 1 repeated reading, 1 torn last line');
  t.match(text, 'position  1200,34, 2 partitions; offsets are what they were');
  t.match(text, '7 readings of theirs refused before, or lost');
  t.match(text, /the old data is gone\n$/);
  t.notMatch(text, /lost {6}|conflicts|damaged/);
  const holes = Array.from({ length: 7 }, (_, i) => ({ partition: 1, from: i * 10, to: i * 10 + 4 }));
  const damaged = formatRecovered({
    ...whole,
    dropped: { ...whole.dropped, conflicts: 3, unreadable: 1 },
    lost: 28,
    holes,
    damaged: 8,
    renumbered: true,
    old: '/srv/data/before-recover-20261124T101500Z',
  });
  t.match(damaged, 'offsets are new');
  t.match(damaged, '3 lines said something else of an offset');
  t.match(damaged, '1 line could not be read');
  t.match(damaged, /28 offsets no raw file has: \[0, 4\) of partition 1, .*\[40, 44\) of partition 1, …\n/);
  t.match(damaged, '8 of them were in the batch view before');
  t.match(damaged, /the old data is in \/srv\/data\/before-recover-20261124T101500Z: remove it when it is not needed\n$/);
  t.match(formatRecovered({ ...whole, batch: null, records: 0 }), /^recovered: 0 records in 57 rows, no batch, /);
  t.end();
});
