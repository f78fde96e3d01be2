import { spawnSync } from 'node:child_process';
import path from 'node:path';
import t from 'tap';
import { settingNames, settingsTable } from '../../infra/config.js';
import { packageFolder, packageVersion } from '../../infra/package-folder.js';
import { catalogue } from '../../protocol/catalogue.js';
import { createProgram } from '../../scripts/program.js';
import { freePorts, temporaryFolder } from '../servers.js';

const cli = path.join(import.meta.dirname, '../../scripts/cli.js');

/** Runs the command line as a process of its own, without the settings of whoever runs the tests. */
const tidemark = (words: string[], env: Record<string, string> = {}, cwd = packageFolder) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...words], {
    encoding: 'utf8',
    cwd,
    env: { PATH: '/usr/bin:/bin', ...env },
  });
  return { code: status, stdout, stderr };
};

t.test("without words it is help, and the version is the package's", (t) => {
  const help = tidemark([]);
  t.equal(help.code, 0);
  t.match(help.stdout, /Usage: tidemark/);
  t.match(help.stdout, /Exit codes: 0 ok/);
  t.equal(tidemark(['--version']).stdout, `${packageVersion()}\n`);
  t.end();
});

t.test('every command has a description and help with an example', async (t) => {
  const { commands } = await createProgram();
  t.ok(commands.length > 10);
  for (const command of commands) {
    let help = '';
    command.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    command.outputHelp();
    t.match(help, /\nExamples?:\n {2}\$ /, command.name());
    t.not(command.description(), '', command.name());
    t.same(
      (await createProgram(command.name())).commands.map((one) => one.name()),
      [command.name()],
      'loaded alone by its name',
    );
  }
});

t.test('exit code 2: usage errors suggest what was meant', (t) => {
  const unknown = tidemark(['topolgy']);
  t.equal(unknown.code, 2);
  t.match(unknown.stderr, 'Did you mean topology?');
  t.equal(unknown.stdout, '');
  t.equal(tidemark(['config', '--nats-prt', '3']).code, 2);
  t.equal(tidemark(['topology', '--format', 'x']).code, 2);
  t.end();
});

t.test('exit code 3: a wrong setting says what, where, and what would be right', (t) => {
  const wrong = tidemark(['config'], { TIDEMARK_PART_EVERY: '30' });
  t.equal(wrong.code, 3);
  t.match(wrong.stderr, /TIDEMARK_PART_EVERY: "30" is not a duration/);
  t.end();
});

t.test('exit code 4: a server that is not there', async (t) => {
  const [port] = (await freePorts(1)) as [number];
  const away = tidemark(['start', 'buffer', '--nats', `nats://127.0.0.1:${port}`], {}, temporaryFolder(t));
  t.equal(away.code, 4);
  t.match(away.stderr, `no NATS server answers at 127.0.0.1:${port}`);
});

t.test('config shows every setting, its value and where it came from', (t) => {
  const { code, stdout } = tidemark(['config', '--json', '--nats', 'nats://me:secret@h:1', '--part-every', '1.5s'], {
    TIDEMARK_PARTITIONS: '8',
  });
  t.equal(code, 0);
  const all = JSON.parse(stdout) as Record<string, { value: unknown; from: string }>;
  t.same(
    Object.keys(all),
    settingNames.map((name) => settingsTable[name].flag),
  );
  t.match(all.partitions, { value: '8', from: 'TIDEMARK_PARTITIONS' });
  t.match(all['part-every'], { value: '1500ms', from: '--part-every' });
  t.match(all['raw-file-bytes-max'], { value: '64MiB', from: 'default' });
  t.match(all.nats, { value: 'nats://***@h:1' });
  t.notMatch(stdout, 'secret');
  t.match(tidemark(['config']).stdout, /^http-port +8080 +default +\S/m);
  t.end();
});

t.test('topology prints every message of the catalogue', (t) => {
  const json = JSON.parse(tidemark(['topology', '--json']).stdout) as Record<string, unknown>;
  t.same(Object.keys(json), Object.keys(catalogue));
  const markdown = tidemark(['topology', '--format', 'markdown']).stdout;
  for (const name of Object.keys(catalogue)) t.ok(markdown.includes(`| \`${name}\` |`), name);
  t.match(tidemark(['topology']).stdout, /^segment\.sealed +segment\.sealed\.<p> +SEGMENTS-<p> +buffer/m);
  t.end();
});
