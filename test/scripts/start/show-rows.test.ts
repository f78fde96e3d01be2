import t from 'tap';
import type { ViewRow } from '../../../protocol/minute-row.js';
import { proofLine, showRows } from '../../../scripts/start/show-rows.js';

const row = (service: string, time: string, messages: number): ViewRow => ({
  service,
  time_stamp: `2026-11-24T${time}:00Z`,
  cpu: 50 * messages,
  ram: 20 * messages,
  disk: 10 * messages,
  max_cpu_time: `2026-11-24T${time}:07.000Z`,
  max_cpu: 99.5,
  max_ram_time: '',
  max_ram: 0,
  max_disk_time: '',
  max_disk: 0,
  msg_num: messages,
});

const screen = (isTTY: boolean) => {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => written.push(text), text: () => written.join('') };
};

t.test('the newest row of each service is shown, in means', (t) => {
  const plain = screen(false);
  const shown = showRows(plain);
  shown.update([row('web', '10:15', 4), row('db', '10:15', 2)]);
  shown.update([row('web', '10:16', 1), row('db', '10:14', 60)]);
  shown.close();
  t.match(plain.text(), /^db +10:15 +2 +50\.0 +20\.0 +10\.0 +99\.5 at 10:15:07$/m);
  t.match(plain.text(), /^web +10:16 +1 +50\.0/m);
  t.notMatch(plain.text(), '\u001b');
  t.end();
});

t.test('on a terminal it is drawn over, and what was said stays above', (t) => {
  const terminal = screen(true);
  const shown = showRows(terminal);
  shown.update([row('web', '10:15', 4)]);
  shown.say('first');
  shown.proved({ batch: '000001', rows: 57, records: 580, differences: 0 });
  shown.close();
  t.match(terminal.written[0], /^first\n$/);
  t.match(terminal.written[1], /^service/);
  t.ok(terminal.written[2]?.startsWith('\u001b[2A\u001b[Jbatch 000001 proved: 580 records in 57 rows'));
  t.end();
});

t.test('a name cannot steer the terminal', (t) => {
  const terminal = screen(true);
  const shown = showRows(terminal);
  shown.update([row('\u001b[2Jx\n\u202ey', '10:15', 4)]);
  shown.close();
  t.match(terminal.text(), /^\?\[2Jx\?\?y /m);
  t.end();
});

t.test('a difference is said with what to do', (t) => {
  t.match(proofLine({ batch: '000002', rows: 57, records: 580, differences: 3 }), /DIFFERS in 3 of 57 rows.*rebuild/);
  t.end();
});
