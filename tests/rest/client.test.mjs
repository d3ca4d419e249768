// The program as a client: get, put, delete, scan, batch, and what completes and explains the commands.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { binary, cleanEnvironment, MiB, run, Server, temporaryDirectory, within } from './support.mjs';

let server;
let url;
before(async () => {
  server = await Server.start();
  url = `http://127.0.0.1:${server.port}`;
});
after(() => server?.stop());

/** Runs a command on the server, with these bytes on standard input: { code, stdout (a Buffer), stderr }. */
function client(args, { input = '', env = {}, at = url, cwd = temporaryDirectory() } = {}) {
  const child = spawn(binary, [args[0], ...(at ? ['--url', at] : []), ...args.slice(1)], { cwd, env: cleanEnvironment(env) });
  const out = [];
  let stderr = '';
  child.stdout.on('data', (data) => out.push(data));
  child.stderr.on('data', (data) => (stderr += data));
  child.stdin.on('error', () => {}); // it may end without reading all
  child.stdin.end(input);
  const end = new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out), stderr })));
  return within(30_000, args.join(' '), end);
}

const good = async (args, options) => {
  const end = await client(args, options);
  assert.equal(end.code, 0, `${args.join(' ')}: ${end.stderr}`);
  return end.stdout.toString();
};

/** One line on standard error that matches, nothing on standard output. */
async function fails(args, code, pattern, options) {
  const end = await client(args, options);
  assert.equal(end.code, code, `${args.join(' ')}: ${end.stderr}`);
  assert.match(end.stderr, /^velocity: [^\n]+\n$/);
  assert.match(end.stderr, pattern);
  assert.equal(end.stdout.length, 0);
}

describe('put and get', () => {
  it('of a word, of standard input and of a file give back the same bytes', async () => {
    await good(['put', 'word', 'hello']);
    assert.equal(await good(['get', 'word']), 'hello');
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await good(['put', 'bytes'], { input: bytes });
    assert.deepEqual((await client(['get', 'bytes'])).stdout, bytes);
    const file = path.join(temporaryDirectory(), 'in');
    writeFileSync(file, bytes);
    await good(['put', 'file', '--file', file]);
    assert.deepEqual((await client(['get', 'file'])).stdout, bytes);
    await good(['put', 'empty', '']);
    assert.equal(await good(['get', 'empty']), '');
  });

  it('keep the type: text of words, bytes of files, and what --type says', async () => {
    const type = async (key) => (await server.client.get(`/api/keys/${key}`)).headers['content-type'];
    await good(['put', 't1', 'x']);
    await good(['put', 't2'], { input: 'x' });
    await good(['put', 't3', '{"a":1}', '--type', 'json']);
    await good(['put', 't4', '<p>', '--type', 'text/html']);
    assert.deepEqual(await Promise.all(['t1', 't2', 't3', 't4'].map(type)), ['text/plain; charset=utf-8', 'application/octet-stream', 'application/json', 'text/html']);
    await fails(['put', 't5', '{"a":', '--type', 'json'], 1, /value_not_json/);
    await fails(['put', 't5', 'x', '--type', 'a\r\nX: y'], 2, /--type/);
    await fails(['get', 't5'], 3, /key_not_found/);
  });

  it('take any key, also one that no word can be', async () => {
    for (const key of ['a b', 'ä/ö?x=1&y#z%2F', '../..//', '--', '--json', '+']) {
      await good(['put', '--', key, `v:${key}`]);
      assert.equal(await good(['get', '--', key]), `v:${key}`);
    }
    await good(['put', '--key64', 'AP8', 'odd']);
    assert.equal(await good(['get', '--key64', 'AP8']), 'odd');
    await fails(['get', ''], 2, /at least one byte/);
    await fails(['get', '--key64', '!'], 1, /invalid_key/);
  });

  it('of values of many megabytes stream, to a file that appears when it is whole', async () => {
    const directory = temporaryDirectory();
    const [from, to] = ['from', 'to'].map((name) => path.join(directory, name));
    const bytes = Buffer.alloc(40 * MiB, 'velocity ');
    writeFileSync(from, bytes);
    await good(['put', 'large', '--file', from]);
    await good(['get', 'large', '--output', to]);
    assert.ok(readFileSync(to).equals(bytes));
    assert.equal(statSync(to).mode & 0o777, 0o666 & ~process.umask());
    await fails(['get', 'not there', '--output', path.join(directory, 'none')], 3, /not there/);
    assert.deepEqual(execFileSync('ls', [directory]).toString(), 'from\nto\n', 'nothing is left behind');
    await fails(['get', 'large', '--output', path.join(directory, 'no/where')], 1, /can't write/);
  });

  it('only where the conditions hold', async () => {
    const { version } = JSON.parse(await good(['put', 'c', '1', '--json', '--create']));
    assert.match(version, /^\d+$|^$/);
    await fails(['put', 'c', '2', '--create'], 1, /precondition_failed/);
    await good(['put', 'c', '2', '--if-exists']);
    const now = JSON.parse(await good(['get', 'c', '--json']));
    assert.deepEqual([now.key, now.text, now.type, now.size], ['c', '2', 'text/plain; charset=utf-8', 1]);
    await fails(['put', 'c', '3', '--if-version', '1'], 1, /precondition_failed/);
    await good(['put', 'c', '3', '--if-version', now.version]);
    await fails(['put', 'c', '4', '--create', '--if-exists'], 2, /one may be given/);
    await fails(['put', 'c', '4', '--if-version', 'x'], 2, /--if-version/);
    await fails(['delete', 'c', '--if-version', now.version], 1, /precondition_failed/);
    await good(['delete', 'c']);
    await fails(['get', 'c', '--json'], 3, /nothing is stored/);
  });

  it('in another database, which --database names', async () => {
    await server.client.post('/api/databases', { name: 'shop' });
    await good(['put', 'k', 'there', '--database', 'shop']);
    assert.equal(await good(['get', 'k', '--database', 'shop']), 'there');
    await fails(['get', 'k'], 3, /key_not_found/);
    await fails(['get', 'k', '--database', 'nowhere'], 3, /database_not_found/);
  });

  it('say what is wrong with the words', async () => {
    await fails(['get'], 2, /one key/);
    await fails(['get', 'a', 'b'], 2, /one key/);
    await fails(['put', 'a', 'b', 'c'], 2, /one key/);
    await fails(['put', 'a', 'b', '--file', 'f'], 2, /not both/);
    await fails(['put', 'a', '--file', '/not/there'], 1, /can't read \/not\/there/);
    await fails(['put', 'a', '--file', '/tmp'], 1, /can't read \/tmp/);
    await fails(['get', 'a', '--json', '--output', 'f'], 2, /not both/);
  });
});

describe('scan', () => {
  const keys = Array.from({ length: 2500 }, (_, i) => `scan:${String(i).padStart(5, '0')}`);
  before(async () => {
    for (let at = 0; at < keys.length; at += 500) {
      await server.client.post('/api/batch', { ops: keys.slice(at, at + 500).map((key, i) => ({ op: 'put', key, text: `${at + i}` })) });
    }
  });

  it('lists all pages, in order and backwards, up to a limit', async () => {
    const lines = async (args) => (await good(['scan', ...args])).trimEnd().split('\n');
    const names = async (args) => (await lines(args)).map((line) => line.split('\t')[0]);
    assert.deepEqual(await names(['scan:']), keys);
    assert.deepEqual(await names(['scan:', '--reverse', '--limit', '3']), keys.slice(-3).reverse());
    assert.deepEqual(await names(['--start', keys[1200], '--end', keys[1203]]), keys.slice(1200, 1203));
    assert.deepEqual(await lines(['scan:', '--values', '--limit', '2']), [`${keys[0]}\t0`, `${keys[1]}\t1`]);
    const [line] = await lines(['scan:', '--limit', '1']);
    assert.match(line, /^scan:00000\t\d+\t1\ttext\/plain; charset=utf-8$/);
    assert.equal(await good(['scan', 'nothing:']), '');
  });

  it('as NDJSON is items', async () => {
    const items = (await good(['scan', 'scan:', '--json', '--values', '--limit', '1500'])).trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(items.map(({ key }) => key), keys.slice(0, 1500));
    assert.equal(items[1499].text, '1499');
  });

  it('shows no control character of a key', async () => {
    await server.client.put('/api/keys/esc%1B%5B2Japed', 'a\nb\u001b[2J');
    const shown = await good(['scan', 'esc', '--values']);
    assert.ok(!shown.includes('\u001b') && shown.split('\n').length === 2, JSON.stringify(shown));
  });

  it('folds keys behind a delimiter, also those that are not UTF-8', async () => {
    const puts = ['plain', 'sub/1', 'sub/2', 'tail'].map((name) => ({ op: 'put', key: `fold:${name}`, text: 'x' }));
    const odd = Buffer.from('fold:\xff/1', 'latin1').toString('base64url');
    assert.equal((await server.client.post('/api/batch', { ops: [...puts, { op: 'put', key64: odd, text: 'x' }] })).status, 200);
    const folded = Buffer.from('fold:\xff/', 'latin1').toString('base64url');
    const names = async (args) => (await good(['scan', 'fold:', '--delimiter', '/', ...args])).trimEnd().split('\n').map((line) => line.split('\t')[0]);
    assert.deepEqual((await names([])).sort(), ['fold:plain', 'fold:sub/', 'fold:tail', folded].sort());
    assert.deepEqual((await names(['--end', 'fold:u', '--reverse'])), ['fold:tail', 'fold:sub/', 'fold:plain']);
    const lines = (await names(['--json'])).map((line) => JSON.parse(line));
    assert.deepEqual(lines.filter(({ key }) => !key).map(({ prefix, prefix64 }) => prefix ?? prefix64).sort(), ['fold:sub/', folded].sort());
  });

  it('says what is wrong', async () => {
    await fails(['scan', 'a', 'b'], 2, /one prefix/);
    await fails(['scan', '--limit', '0'], 2, /--limit/);
    await fails(['scan', '--end', 'a', '--database', 'UP'], 3, /database_not_found/);
  });
});

describe('batch', () => {
  it('comes from a file or standard input, and answers as the interface does', async () => {
    const batch = JSON.stringify({ ops: [{ op: 'put', key: 'b', text: '1' }, { op: 'get', key: 'b' }] });
    const { results } = JSON.parse(await good(['batch'], { input: batch }));
    assert.equal(results[1].text, '1');
    const file = path.join(temporaryDirectory(), 'batch.json');
    writeFileSync(file, batch);
    assert.equal(JSON.parse(await good(['batch', file])).results.length, 2);
    await fails(['batch'], 1, /not JSON.*nothing was sent/, { input: '{"ops":' });
    await fails(['batch'], 1, /invalid_operation/, { input: '{"ops":[{"op":"fly"}]}' });
    await fails(['batch', '/not/there'], 1, /can't read/);
  });
});

describe('a client', () => {
  it('finds the server that runs over the data directory, or by VELOCITY_URL', async () => {
    await good(['put', 'found', 'yes']);
    assert.equal(await good(['get', 'found', '--data-dir', server.dataDir], { at: null }), 'yes');
    assert.equal(await good(['get', 'found'], { at: null, env: { VELOCITY_URL: url } }), 'yes');
    await fails(['get', 'found', '--data-dir', temporaryDirectory()], 1, /no server runs/, { at: null });
    await fails(['get', 'found'], 1, /can't reach/, { at: 'http://127.0.0.1:1' });
    await fails(['get', 'found'], 2, /https:\/\//, { at: 'ftp://x' });
  });

  it('shows its token, from the environment or a file, and says when one is needed', async () => {
    const { server: guarded, nobody, admin } = await serverWithAdmin();
    const at = `http://127.0.0.1:${guarded.port}`;
    await fails(['get', 'k'], 1, /log in with --login/, { at });
    const { token } = (await admin.post('/api/tokens', { name: 'cli', role: 'write' })).json;
    const file = path.join(temporaryDirectory(), 'token');
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    await good(['put', 'k', 'v', '--token-file', file], { at });
    assert.equal(await good(['get', 'k'], { at, env: { VELOCITY_TOKEN: token } }), 'v');
    await addUser(admin, nobody, 'reader', { role: 'read' });
    const { token: weak } = (await admin.post('/api/tokens', { name: 'weak', role: 'read' })).json;
    await fails(['put', 'k', 'w'], 1, /forbidden/, { at, env: { VELOCITY_TOKEN: weak } });
    await guarded.stop();
  });
});

describe('completion', () => {
  const complete = (words) => {
    const script = `eval "$('${binary}' completion bash)"; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _velocity; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', script]).toString().split('\n').filter(Boolean);
  };

  it('of bash knows commands, groups and options', () => {
    const first = complete(['velocity', '']);
    for (const word of ['server', 'db', 'admin', 'get', 'scan', 'help']) assert.ok(first.includes(word), word);
    assert.deepEqual(complete(['velocity', 'sc']), ['scan']);
    assert.deepEqual(complete(['velocity', 'db', 've']), ['verify']);
    assert.ok(complete(['velocity', 'admin', '']).includes('create-user'));
    assert.deepEqual(complete(['velocity', 'get', '--out']), ['--output']);
    assert.deepEqual(complete(['velocity', 'get', 'key', '--out']), ['--output']);
    assert.deepEqual(complete(['velocity', 'db', 'server', '--bi']), ['--bind']);
    assert.deepEqual(complete(['velocity', 'server', '--bi']), ['--bind']);
    assert.deepEqual(complete(['velocity', 'get', '--output', '']), [], 'files are the shell\'s own');
  });

  it('of the others names each option, and another shell is not known', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { code, stdout } = await run(['completion', shell]);
      assert.equal(code, 0);
      for (const word of ['create-user', 'token-file', 'expires-at']) assert.ok(stdout.includes(word), `${shell}: ${word}`);
    }
    for (const args of [['completion'], ['completion', 'csh']]) assert.equal((await run(args)).code, 2);
  });
});

describe('the manual page', () => {
  it('names each command and option that help names', async () => {
    const { code, stdout } = await run(['manual']);
    assert.equal(code, 0);
    assert.match(stdout, /^\.TH VELOCITY 1 /);
    const { stdout: help } = await run(['help']);
    for (const [, name] of help.matchAll(/^ {2}([a-z][a-z -]*?) {2,}/gm)) assert.ok(stdout.includes(`.SS ${name.replaceAll('-', '\\-')}`), name);
    for (const line of stdout.split('\n')) assert.ok(!/^\.(?!TH|SH|SS|TP|B|I|BR|RI)/.test(line), line);
  });
});
