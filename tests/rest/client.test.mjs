// The program as a client of a server: get, put, delete, scan, batch.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { begin, commandsAt } from './command.mjs';
import { addUser, PASSWORD, serverWithAdmin } from './people.mjs';
import { key64, keyPath, MiB, Server, temporaryDirectory } from './support.mjs';

let server;
let url;
before(async () => {
  server = await Server.start();
  url = `http://127.0.0.1:${server.port}`;
});
after(() => server?.stop());

const { client, good, fails } = commandsAt(() => url);

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
    await fails(['put', 't5', 'x', '--type', ''], 2, /--type/);
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

  it('take keys that look like options only behind "--", and say so of others', async () => {
    await fails(['get', '--not-an-option'], 2, /does not know --not-an-option/);
    await good(['put', '--key64', key64('--not-an-option'), 'dashes']);
    assert.equal(await good(['get', '--', '--not-an-option']), 'dashes');
    await good(['delete', '--', '--not-an-option']);
    await fails(['get', '--', '--not-an-option'], 3, /--not-an-option.*key_not_found/);
  });

  it('take keys in base64url, which name the same keys', async () => {
    const key = Buffer.from([0, 0xff, 0x0a, 0x2f]);
    await good(['put', '--key64', key64(key), 'odd', '--type', 'bytes']);
    assert.equal((await server.client.get(`/api/keys?key64=${key64(key)}`)).text, 'odd');
    const item = JSON.parse(await good(['get', '--key64', key64(key), '--json']));
    assert.deepEqual([item.key64, item.text, item.type], [key64(key), 'odd', 'application/octet-stream']);
    await fails(['get', 'word', '--key64', key64(key)], 2, /no key beside --key64/);
    await good(['delete', '--key64', key64(key)]);
    await fails(['get', '--key64', key64(key)], 3, /key_not_found/);
  });

  it('let values expire, and say when', async () => {
    const expiry = async (key) => (await server.client.get(keyPath(key))).headers['velocity-expires-at'];
    const began = Date.now();
    await good(['put', 'ttl', 'x', '--ttl', '3600']);
    assert.ok(Math.abs(Date.parse(await expiry('ttl')) - began - 3_600_000) < 60_000);
    await good(['put', 'ttl', 'x', '--expires-at', '2100-01-31T12:00:00Z']);
    assert.equal(await expiry('ttl'), '2100-01-31T12:00:00.000Z');
    assert.equal(JSON.parse(await good(['get', 'ttl', '--json'])).expires_at, '2100-01-31T12:00:00.000Z');
    await good(['put', 'ttl', 'x']);
    assert.equal(await expiry('ttl'), undefined, 'without one an expiry is cleared');
    await fails(['put', 'ttl', 'x', '--ttl', '0'], 1, /ttl/);
    await fails(['put', 'ttl', 'x', '--ttl', 'soon'], 1, /ttl/);
    await fails(['put', 'ttl', 'x', '--expires-at', 'tomorrow'], 1, /expires_at/);
  });

  it('store all of a file that does not say how large it is', async () => {
    const version = readFileSync('/proc/version'); // whose size is told as 0
    await good(['put', 'proc', '--file', '/proc/version']);
    assert.deepEqual((await client(['get', 'proc'])).stdout, version);
  });

  it('show with --json an item whose text is many megabytes of escapes', async () => {
    const text = '\u0001'.repeat(4 * MiB);
    await server.client.put('/api/keys/controls', text, { 'Content-Type': 'text/plain' });
    assert.equal(JSON.parse(await good(['get', 'controls', '--json'])).text, text);
    const { results } = JSON.parse(await good(['batch'], { input: '{"ops":[{"op":"get","key":"controls"}]}' }));
    assert.equal(results[0].text, text);
  });

  it('show with --json no control character, and the same JSON', async () => {
    const evil = 'e\u009b2J\u007f\u0085é©\tz';
    const name = `evil:${evil}`;
    const text = JSON.stringify({ [evil]: evil });
    assert.match(text, /\u009b.*\u007f/u, 'they stand in JSON as they are');
    await server.client.put(`/api/keys/${encodeURIComponent(name)}`, text, { 'Content-Type': 'application/json' });
    const shows = async (words, options) => {
      const shown = await good(words, options);
      assert.doesNotMatch(shown, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/u, words[0]);
      return JSON.parse(shown);
    };
    assert.deepEqual((await shows(['get', name, '--json'])).value, { [evil]: evil });
    assert.deepEqual((await shows(['scan', 'evil:', '--json', '--values'])).value, { [evil]: evil });
    assert.deepEqual(await shows(['scan', 'evil:', '--json', '--delimiter', 'z']), { prefix: name });
    assert.equal((await shows(['batch'], { input: JSON.stringify({ ops: [{ op: 'get', key: name }] }) })).results[0].key, name);
    assert.doesNotMatch(await good(['scan', 'evil:', '--values']), /[\u007f-\u009f]/u);
    /* An answer comes in pieces: whichever byte they end with. */
    for (const before of ['', '-']) {
      const long = before + '\u009b\u0101'.repeat(MiB / 4);
      await server.client.put('/api/keys/pieces', long, { 'Content-Type': 'text/plain' });
      assert.equal((await shows(['batch'], { input: '{"ops":[{"op":"get","key":"pieces"}]}' })).results[0].text, long);
    }
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

  it('to a file keep its permissions, go where a link leads, and go into what is no file as it stands', async () => {
    const directory = temporaryDirectory();
    const [file, link, pipe] = ['file', 'link', 'pipe'].map((name) => path.join(directory, name));
    await good(['put', 'o', 'new']);
    writeFileSync(file, 'old');
    chmodSync(file, 0o600);
    symlinkSync(file, link);
    await good(['get', 'o', '--output', link]);
    assert.equal(readFileSync(file, 'utf8'), 'new');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(lstatSync(link).isSymbolicLink());
    execFileSync('mkfifo', [pipe]);
    const [got] = await Promise.all([begin([pipe], { shell: 'exec cat "$2"' }).ended, good(['get', 'o', '--output', pipe])]);
    assert.equal(got.stdout.toString(), 'new');
    assert.ok(lstatSync(pipe).isFIFO());
    await fails(['get', 'o', '--output', directory], 1, /directory/);
    // As /dev/stdout is, which a test must not risk.
    const own = path.join(directory, 'own');
    symlinkSync('/proc/self/fd/1', own);
    assert.equal(await good(['get', 'o', '--output', own], { shell: '"$@" | cat' }), 'new');
    symlinkSync('nowhere', path.join(directory, 'dangling'));
    await fails(['get', 'o', '--output', path.join(directory, 'dangling')], 1, /No such file/);
    assert.deepEqual(readdirSync(directory).filter((name) => lstatSync(path.join(directory, name)).isSymbolicLink()), ['dangling', 'link', 'own']);
  });

  it('only where the conditions hold', async () => {
    const { version } = JSON.parse(await good(['put', 'c', '1', '--json', '--create']));
    assert.match(version, /^\d+$|^$/);
    await fails(['put', 'c', '2', '--create'], 1, new RegExp(`the key is there already \\(HTTP 412 precondition_failed, current_version ${version}\\)`));
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

  it('count with --dry-run the keys of a range, and never delete a key that is named', async () => {
    for (const key of ['dry:1', 'dry:2', 'dry:3']) await good(['put', key, 'x']);
    assert.equal(await good(['delete', '--prefix', 'dry:', '--dry-run']), '3\n');
    await fails(['delete', 'dry:1', '--dry-run'], 2, /--dry-run/);
    assert.equal(await good(['get', 'dry:1']), 'x');
    await fails(['delete', '--prefix', 'dry:'], 2, /--yes/);
    await fails(['delete', '--prefix', 'dry:', '--if-version', '1', '--yes'], 2, /--if-version/);
    await fails(['delete', 'dry:1', '--prefix', 'dry:', '--yes'], 2, /not both/);
    await fails(['delete', '--prefix', '', '--yes'], 1, /a bound is empty/);
    assert.match(JSON.parse(await good(['delete', '--prefix', 'dry:', '--yes', '--json'])).version, /^\d+$/);
    assert.equal(await good(['scan', 'dry:']), '');
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

  it('has each item in a line, whatever stands in its JSON', async () => {
    const value = { a: [1, 2], 'b\n': 'c\r\n' };
    await server.client.put('/api/keys/pretty', JSON.stringify(value, null, 2).replaceAll('\n', '\r\n'), { 'Content-Type': 'application/json' });
    const [line, ...more] = (await good(['scan', 'pretty', '--json', '--values'])).trimEnd().split('\n');
    assert.deepEqual([JSON.parse(line).value, more], [value, []]);
    const [shown, ...others] = (await good(['scan', 'pretty', '--values'])).trimEnd().split('\n');
    assert.deepEqual([JSON.parse(shown.slice('pretty\t'.length)), others], [value, []]);
  });

  it('shows values whole, and says of those that do not come along', async () => {
    const bytes = Buffer.alloc(MiB, 0xff);
    await server.client.put('/api/keys/whole:1', bytes);
    assert.equal(await good(['scan', 'whole:', '--values']), `whole:1\t${bytes.toString('base64')}\n`);
    await server.client.put('/api/keys/whole:2', Buffer.alloc(MiB + 1));
    await server.client.put('/api/keys/whole:3', '', { 'Content-Type': 'text/plain' });
    const { code, stdout, stderr } = await client(['scan', '--values', '--start', 'whole:2', '--end', 'whole:4']);
    assert.deepEqual([code, stdout.toString()], [0, 'whole:2\nwhole:3\t\n']);
    assert.match(stderr, /^velocity: 1 values are larger/);
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

  it('folds in the order of the keys\' bytes, whatever is shown of them', async () => {
    const keys = ['order:a ', 'order:a\tz/1', 'order:a\u007f', 'order:a\u0080/1', 'order:a\u00bf', 'order:b/1', 'order:c'].map((key) => Buffer.from(key));
    keys.push(Buffer.from('order:\xf0\xff', 'latin1'), Buffer.from('order:\xf1\xff/1', 'latin1'), Buffer.from('order:\xf2\xff', 'latin1'));
    const ops = keys.map((key) => ({ op: 'put', key64: key.toString('base64url'), text: 'x' }));
    assert.equal((await server.client.post('/api/batch', { ops })).status, 200);
    const rows = async (args) => (await good(['scan', 'order:', '--delimiter', '/', '--json', ...args])).trimEnd().split('\n').map((line) => {
      const { key, key64, prefix, prefix64 } = JSON.parse(line);
      return Buffer.from(key64 ?? prefix64 ?? key ?? prefix, key64 ?? prefix64 ? 'base64url' : 'utf8').toString('hex');
    });
    const folded = keys.sort(Buffer.compare).map((key) => key.toString('hex').replace(/2f31$/, '2f'));
    assert.deepEqual(await rows([]), folded);
    assert.deepEqual(await rows(['--reverse']), folded.reverse());
    const shown = (await good(['scan', 'order:a', '--delimiter', '/'])).trimEnd().split('\n').map((line) => line.split('\t')[0]);
    assert.deepEqual(shown, ['order:a z/', 'order:a ', 'order:a ', 'order:a  /', 'order:a\u00bf']);
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
    assert.equal(JSON.parse(await good(['batch', '--json'], { input: batch })).results[1].text, '1');
    const file = path.join(temporaryDirectory(), 'batch.json');
    writeFileSync(file, batch);
    assert.equal(JSON.parse(await good(['batch', file])).results.length, 2);
    await fails(['batch'], 1, /not JSON.*nothing was sent/, { input: '{"ops":' });
    await fails(['batch'], 1, /invalid_operation/, { input: '{"ops":[{"op":"fly"}]}' });
    await fails(['batch', '/not/there'], 1, /can't read/);
  });

  it('that is refused has one line that says which part of it, and exit code 1', async () => {
    const version = JSON.parse(await good(['batch'], { input: '{"ops":[{"op":"put","key":"b:1","text":"x"}]}' })).version;
    const conditional = (wanted) => JSON.stringify({ if: [{ key: 'b:1', exists: true }, { key: 'b:1', version: wanted }], ops: [{ op: 'put', key: 'b:2', text: 'y' }] });
    await good(['batch'], { input: conditional(version) });
    const standing = JSON.parse(await good(['get', 'b:1', '--json'])).version;
    await fails(['batch'], 1, new RegExp(`\\(HTTP 412 precondition_failed, index 1, key b:1, current_version ${standing}\\)`), { input: conditional('1') });
    await fails(['batch', '--json'], 1, /\(HTTP 409 conflict, index 0, key b:1\)/, { input: '{"ops":[{"op":"increment","key":"b:1"}]}' });
    await fails(['batch'], 1, /\(HTTP 400 invalid_operation, index 1\)/, { input: '{"ops":[{"op":"put","key":"b:3","text":"z"},{"op":"put","key":""}]}' });
    await fails(['get', 'b:3'], 3, /key_not_found/);
    await fails(['batch'], 1, /not JSON.*at byte 0/, { input: '' });
    await fails(['batch', '/tmp'], 1, /can't read \/tmp/);
    await fails(['batch', 'a', 'b'], 2, /one file/);
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
    await fails(['get', 'found', '--url', ''], 2, /--url/, { at: null, env: { VELOCITY_URL: url } });
    assert.equal(await good(['get', 'found', '--data-dir', server.dataDir], { at: null, env: { VELOCITY_URL: '' } }), 'yes');
    await fails(['get', 'found', '--data-dir', server.dataDir], 1, /can't reach/, { at: null, env: { VELOCITY_URL: 'http://127.0.0.1:1' } });
    await fails(['get', 'found'], 2, /VELOCITY_URL/, { at: null, env: { VELOCITY_URL: 'here' } });
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
    assert.equal(await good(['get', 'k', '--token-file', file], { at, env: { VELOCITY_TOKEN: 'vt_wrong' } }), 'v', 'the file comes first');
    await fails(['get', 'k'], 1, /the token is wrong/, { at, env: { VELOCITY_TOKEN: 'vt_wrong' } });
    for (const mode of [0o640, 0o604, 0o660, 0o620]) {
      chmodSync(file, mode);
      await fails(['get', 'k', '--token-file', file], 1, /open to others .*chmod 600/, { at });
    }
    await fails(['get', 'k', '--token-file', `${file}.none`], 1, /there is no file/, { at });
    assert.equal(await good(['get', 'k', '--login', 'ada', '--password-stdin'], { at, input: `${PASSWORD}\n` }), 'v');
    await good(['put', 'p', '--login', 'ada', '--password-stdin'], { at, input: `${PASSWORD}\nthe value` });
    assert.equal(await good(['get', 'p', '--login', 'ada', '--password-stdin'], { at, input: `${PASSWORD}\n` }), 'the value', 'what comes behind the line');
    await fails(['get', 'k', '--login', 'ada', '--password-stdin'], 1, /the password is wrong/, { at, input: 'not it, sorry\n' });
    await guarded.stop();
  });
});
