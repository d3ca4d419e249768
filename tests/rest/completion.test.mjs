// What explains and completes the commands: the scripts for shells and the manual page, against what help says.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { binary, run, temporaryDirectory } from './support.mjs';

let commands; // [{ name, options: [{ name, value }] }], as help has them
const texts = {}; // of each shell
const said = async (...args) => {
  const { code, stdout, stderr } = await run(args);
  assert.deepEqual([code, stderr], [0, ''], args.join(' '));
  return stdout;
};
before(async () => {
  const names = [...(await said('help')).matchAll(/^ {2}([a-z][a-z -]*?) {2,}/gm)].map(([, name]) => name);
  commands = await Promise.all(names.map(async (name) => {
    const page = await said('help', ...name.split(' '));
    return { name, options: [...page.matchAll(/^ {2}--([a-z0-9-]+) ?(\S*) +\S/gm)].map(([, option, value]) => ({ option, value })) };
  }));
  assert.ok(commands.length > 25 && commands.find(({ name }) => name === 'delete').options.length > 15, 'help is read as it is');
  for (const shell of ['bash', 'zsh', 'fish']) texts[shell] = await said('completion', shell);
});

/** Whether a shell is there, to which the script can be shown. */
const has = (shell) => spawnSync(shell, ['-c', 'exit 0']).status === 0;
function parses(t, shell) {
  if (!has(shell)) return t.skip(`there is no ${shell} here`);
  const file = path.join(temporaryDirectory(), shell === 'zsh' ? '_velocity' : 'velocity');
  writeFileSync(file, texts[shell]);
  const { status, stderr } = spawnSync(shell, ['-n', file]);
  assert.deepEqual([status, stderr.toString()], [0, '']);
  return file;
}

describe('completion of bash', () => {
  /** What completes the last word; each line of the command line after `--` is one. */
  const script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _velocity; printf "%s\\n" "${COMPREPLY[@]}"';
  let file;
  before(() => writeFileSync((file = path.join(temporaryDirectory(), 'velocity')), texts.bash));
  const complete = (...words) => {
    const { status, stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', file, 'velocity', ...words]);
    assert.deepEqual([status, stderr.toString()], [0, ''], words.join(' '));
    return stdout.toString().split('\n').filter(Boolean);
  };

  it('is a script that bash reads', (t) => parses(t, 'bash'));

  it('knows each command and each option that help names', () => {
    const first = complete('');
    for (const { name, options } of commands) {
      const [word, second] = name.split(' ');
      assert.ok(first.includes(word), name);
      if (second) assert.deepEqual(complete(word, second), [second], name);
      assert.deepEqual(complete(...name.split(' '), '--').sort(), [...options.map(({ option }) => `--${option}`), '--help'].sort(), name);
    }
    for (const alias of ['server', 'create-user']) assert.ok(first.includes(alias), alias);
    assert.ok(complete('server', '--bi').includes('--bind'));
  });

  it('knows the values that there are to choose from', () => {
    assert.deepEqual(complete('import', '--format', ''), ['ndjson', 'csv', 'sqlite', 'redis']);
    assert.deepEqual(complete('export', '--format', ''), ['ndjson', 'csv', 'sqlite']);
    assert.deepEqual(complete('export', '--format', '=', 's'), ['sqlite']);
    assert.deepEqual(complete('export', '--format', '='), ['ndjson', 'csv', 'sqlite']);
    assert.deepEqual(complete('put', 'key', '--type', ''), ['json', 'text', 'bytes']);
    assert.deepEqual(complete('create-user', '--role', 'm'), ['monitor']);
    assert.deepEqual(complete('admin', 'create-token', '--role', 'w'), ['write']);
    assert.deepEqual(complete('benchmark', '--mode', 'p'), ['persistent']);
    assert.deepEqual(complete('completion', ''), ['bash', 'zsh', 'fish']);
    assert.ok(complete('help', 'sc').includes('scan'));
    assert.deepEqual(complete('help', 'conf'), ['configuration']);
  });

  it('leaves names of files to the shell, and offers nothing where nobody can know', () => {
    for (const words of [['get', '--output', ''], ['import', ''], ['db', 'verify', ''], ['get', ''], ['get', 'key', '--url', ''], ['nothing', ''], ['db', 'nothing', '']]) {
      assert.deepEqual(complete(...words), [], words.join(' '));
    }
    // compopt is of the shell while it completes: here it tells what it is asked for.
    const asked = (...words) => execFileSync('bash', ['-c', `compopt() { echo "compopt $*"; }; ${script}`, 'bash', file, 'velocity', ...words]).toString();
    for (const words of [['get', ''], ['get', '--url', '']]) assert.match(asked(...words), /^compopt \+o default$/m, words.join(' '));
    for (const words of [['get', '--output', ''], ['import', ''], ['db', 'verify', ''], ['batch', '']]) assert.doesNotMatch(asked(...words), /compopt/, words.join(' '));
  });

  it('runs nothing that is typed', () => {
    const directory = temporaryDirectory();
    const trap = path.join(directory, 'trap');
    for (const word of [`$(touch ${trap})`, `\`touch ${trap}\``, `'; touch ${trap}; '`, '*', '-$(exit 1)']) {
      for (const words of [[word], ['get', word], ['get', word, '--'], ['import', '--format', word], [word, '']]) complete(...words);
    }
    assert.throws(() => execFileSync('ls', [trap], { stdio: 'ignore' }));
  });
});

describe('completion of zsh', () => {
  it('is a script that zsh reads', (t) => parses(t, 'zsh'));

  it('loads in zsh, and offers what there is', (t) => {
    const file = parses(t, 'zsh');
    if (!file) return;
    const directory = path.dirname(file);
    mkdirSync(path.join(directory, 'home'));
    // The functions of the shell that complete are replaced by some that tell what they are asked for.
    const ask = (...words) => execFileSync('zsh', ['-f', '-c', `
      compdef() { :; }; compset() { :; }; _files() { print -r -- FILES; }; _describe() { print -rl -- \${(P)2}; }
      source ${file}; words=(velocity "$@"); CURRENT=$#words; PREFIX=$words[-1]; _velocity || true`, 'zsh', ...words]).toString().split('\n').filter(Boolean);
    assert.ok(ask('').some((entry) => entry === 'scan:list keys in their order'));
    assert.ok(ask('db', '').some((entry) => entry.startsWith('sst-dump:')));
    for (const { name, options } of commands) {
      const shown = ask(...name.split(' '), '--').map((entry) => entry.split(':')[0]);
      assert.deepEqual(shown.sort(), [...options.map(({ option }) => `--${option}`), '--help'].sort(), name);
    }
    assert.deepEqual(ask('import', '--format', ''), ['ndjson', 'csv', 'sqlite', 'redis']);
    assert.deepEqual(ask('import', '--format=c'), ['ndjson', 'csv', 'sqlite', 'redis']);
    assert.deepEqual(ask('get', '--output', ''), ['FILES']);
    assert.deepEqual(ask('import', ''), ['FILES']);
    assert.deepEqual(ask('get', ''), []);
  });

  it('names each option', () => {
    for (const { options } of commands) for (const { option } of options) assert.ok(texts.zsh.includes(` '--${option}'':'`), option);
  });
});

describe('completion of fish', () => {
  it('is a script that fish reads', (t) => parses(t, 'fish'));

  it('loads in fish, and offers what there is', (t) => {
    const file = parses(t, 'fish');
    if (!file) return;
    const home = temporaryDirectory();
    const ask = (line) => execFileSync('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', file, line], { env: { ...process.env, HOME: home } }).toString().split('\n').filter(Boolean).map((entry) => entry.split('\t')[0]);
    assert.ok(ask('velocity ').includes('scan') && !ask('velocity scan ').includes('get'));
    assert.ok(ask('velocity db ').includes('sst-dump'));
    for (const { name, options } of commands) {
      assert.deepEqual(ask(`velocity ${name} --`).sort(), [...options.map(({ option }) => `--${option}`), '--help'].sort(), name);
    }
    assert.deepEqual(ask('velocity import --format ').sort(), ['csv', 'ndjson', 'redis', 'sqlite']);
    assert.deepEqual(ask('velocity completion ').sort(), ['bash', 'fish', 'zsh']);
  });

  it('names each option, and what it takes', () => {
    for (const { name, options } of commands) {
      for (const { option, value } of options) {
        const takes = !value ? '' : /^(FILE|DIR)$/.test(value) ? ' -r -F' : /^[a-z]/.test(value) ? " -x -a '[a-z ]+'" : ' -x';
        assert.match(texts.fish, new RegExp(`^complete -c velocity -n '__velocity_in ${name}' -l ${option}${takes} -d '`, 'm'), `${name} --${option}`);
      }
    }
  });
});

it('completion of another shell is not known', async () => {
  for (const args of [['completion'], ['completion', 'csh'], ['completion', 'bash', 'zsh']]) assert.equal((await run(args)).code, 2);
});

describe('the manual page', () => {
  let page;
  before(async () => (page = await said('manual')));

  it('names each command and each option of it, exit codes and environment', () => {
    const sections = new Map(page.split(/^\.SS /m).slice(1).map((section) => [section.slice(0, section.indexOf('\n')).replaceAll('\\-', '-').replace(/ \\fI.*/, ''), section]));
    for (const { name, options } of commands) {
      assert.ok(sections.has(name), name);
      for (const { option, value } of options) {
        const line = `.B \\-\\-${option.replaceAll('-', '\\-')}${value ? `\\fR \\fI${value.replaceAll('-', '\\-')}\\fR` : ''}\n`;
        assert.ok(sections.get(name).includes(line), `${name} --${option}`);
      }
    }
    for (const code of [0, 1, 2, 3, 78]) assert.match(page, new RegExp(`^\\.TP\n\\.B ${code}\n`, 'm'));
    for (const variable of ['VELOCITY_URL', 'VELOCITY_TOKEN', 'VELOCITY_SECTION_KEY', 'VELOCITY_ADMIN_PASSWORD', 'XDG_CONFIG_HOME']) assert.ok(page.includes(`.B ${variable}`), variable);
    for (const line of page.split('\n')) assert.ok(!/^[.'](?!TH|SH|SS|TP|B|I|RI)/.test(line), line);
  });

  it('is read by man without a warning', (t) => {
    if (spawnSync('man', ['--version']).status !== 0) return t.skip('there is no man here');
    const file = path.join(temporaryDirectory(), 'velocity.1');
    writeFileSync(file, page);
    const { status, stdout, stderr } = spawnSync('man', ['-l', '--warnings', '-E', 'UTF-8', file], { env: { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8', PAGER: 'cat' } });
    assert.deepEqual([status, stderr.toString()], [0, '']);
    for (const word of ['EXIT STATUS', 'Bad configuration', '--output FILE', 'velocity server']) assert.ok(stdout.toString().includes(word), word);
  });
});
