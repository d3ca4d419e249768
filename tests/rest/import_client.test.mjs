// velocity import and export: what comes of each format, what is skipped and why, and that an import that was cut
// anywhere and gone on with brings the same as one that was not.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { begin } from './command.mjs';
import { fake } from './fake.mjs';
import { binary, cleanEnvironment, KiB, MiB, PATIENCE_MS, random, run, Server, temporaryDirectory, until, within } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start({ config: { database: { durability: 'os', max_databases: 40 } } });
  client = server.client;
});
after(() => server?.stop());

const folder = temporaryDirectory();
let files = 0;
/** A file with these bytes; in a folder of its own, for what stands beside it. */
function fileOf(bytes, name = 'rows') {
  const own = path.join(folder, String((files += 1)));
  mkdirSync(own);
  writeFileSync(path.join(own, name), bytes);
  return path.join(own, name);
}
const urlOf = (port) => `http://127.0.0.1:${port}`;
const command = (words, { port = server.port } = {}) => run([words[0], '--url', urlOf(port), ...words.slice(1)]);
/** Imports and answers the counts. */
async function good(words, options) {
  const { code, stdout, stderr } = await command(['import', '--json', ...words], options);
  assert.equal(code, 0, stderr);
  return { ...JSON.parse(stdout), stderr };
}
async function fails(words, code, pattern, options) {
  const end = await command(['import', '--json', ...words], options);
  assert.equal(end.code, code, end.stderr);
  assert.match(end.stderr, pattern);
  return end.stdout ? { ...JSON.parse(end.stdout), stderr: end.stderr } : { stderr: end.stderr };
}
/** All items of a database, or of a prefix, without what an import does not keep. */
async function itemsOf(database, prefix = '') {
  const { status, text } = await client.get(`/api/databases/${database}/export?prefix=${encodeURIComponent(prefix)}`);
  assert.equal(status, 200, text);
  return text.split('\n').slice(0, -1).map((line) => JSON.parse(line)).map(({ version, ...item }) => item);
}
async function database(name) {
  const made = await client.post('/api/databases', { name });
  assert.equal(made.status, 201, made.text);
  return name;
}
const ndjson = (items) => items.map((item) => `${typeof item === 'string' ? item : JSON.stringify(item)}\n`).join('');

/** Strings of a Redis dump, without a checksum. */
function rdb(pairs, { version = '0011' } = {}) {
  const length = (n) => (n < 64 ? Buffer.from([n]) : Buffer.from([0x40 | (n >> 8), n & 255]));
  const text = (value) => [length(Buffer.byteLength(value)), Buffer.from(value)];
  return Buffer.concat([Buffer.from(`REDIS${version}`), ...pairs.flatMap(([key, value]) => [Buffer.from([0]), ...text(key), ...text(value)]), Buffer.from([0xff]), Buffer.alloc(8)]);
}

describe('an import', () => {
  it('of NDJSON brings back what an export wrote, byte for byte', async () => {
    await database('from');
    const later = new Date(Date.now() + 3_600_000).toISOString();
    const dice = random(5);
    const items = [{ key: 'a', value: { n: [1, 2.5, null] } }, { key64: 'AP8', base64: 'AAEC/w==' }, { key: 'html', text: '<p>ä', type: 'text/html' }, { key: 'later', text: 'x', expires_at: later },
      { key: 'large', base64: dice.bytes(2 * MiB).toString('base64') }, { key: 'lines', text: '{"a":\n1}', type: 'application/json' }];
    assert.equal((await good([fileOf(ndjson(items)), '--database', 'from'])).imported, items.length);
    const dump = path.join(folder, 'all.ndjson');
    const { code, stderr } = await command(['export', '--database', 'from', '--output', dump]);
    assert.equal(code, 0, stderr);
    await database('to');
    assert.deepEqual(await good([dump, '--database', 'to']).then(({ stderr: said, ...counts }) => ({ ...counts, said })), { imported: items.length, expired: 0, skipped: 0, said: '' });
    assert.deepEqual(await itemsOf('to'), await itemsOf('from'));
    assert.ok(!existsSync(`${dump}.import-state`), 'it is done');
  });

  it('of CSV takes a column as the key, and the others as an object or one as the value', async () => {
    await database('csv');
    const file = fileOf('\ufeff"id","name, full",note\r\n1,"Ada ""A"" L","two\nlines"\r\n2,Bob,\r\n3,too,many,fields\r\n', 'people.csv');
    const { stderr, ...counts } = await good([file, '--format', 'csv', '--key-column', 'id', '--prefix', 'person:', '--database', 'csv']);
    assert.deepEqual(counts, { imported: 2, expired: 0, skipped: 1 });
    assert.match(stderr, /row 3 is skipped: record 3 has 4 fields, the head 3/);
    assert.deepEqual((await itemsOf('csv')).map(({ key, value }) => [key, value]), [['person:1', { 'name, full': 'Ada "A" L', note: 'two\nlines' }], ['person:2', { 'name, full': 'Bob', note: '' }]]);
    await good([file, '--format', 'csv', '--value-column', 'note', '--database', 'csv']);
    assert.equal((await client.get('/api/databases/csv/keys/1')).text, 'two\nlines');
  });

  it('of SQLite takes the table that an export wrote', async () => {
    await database('table');
    const items = [{ key: 'a', text: 'one' }, { key: 'b', value: { x: 1 } }, { key: 'c', base64: '/w==' }];
    await good([fileOf(ndjson(items)), '--database', 'table']);
    const file = path.join(folder, 'items.db');
    assert.equal((await command(['export', '--database', 'table', '--format', 'sqlite', '--output', file])).code, 0);
    await database('table2');
    assert.equal((await good([file, '--format', 'sqlite', '--table', 'items', '--key-column', 'key', '--value-column', 'value', '--database', 'table2'])).imported, 3);
    for (const [key, value] of [['a', 'one'], ['b', '{"x":1}'], ['c', Buffer.from([255])]]) {
      assert.deepEqual((await client.get(`/api/databases/table2/keys/${key}`)).body, Buffer.from(value), key);
    }
    await good([file, '--format', 'sqlite', '--table', 'items', '--prefix', 'o:', '--database', 'table2']);
    assert.equal((await client.get('/api/databases/table2/keys/o:b')).json.value, '{"x":1}');
  });

  it('of a dump of Redis that is damaged has the rows before the damage, and says where it is', async () => {
    await database('cutdump');
    const whole = rdb(Array.from({ length: 100 }, (_, i) => [`r:${i}`, `value ${i}`]));
    const { imported, stderr } = await fails([fileOf(whole.subarray(0, 600), 'dump.rdb'), '--format', 'redis', '--database', 'cutdump'], 1, /damaged at byte \d+: it ends in the middle/);
    const items = await itemsOf('cutdump');
    assert.ok(imported > 20 && items.length === imported, `${imported}`);
    assert.match(stderr, new RegExp(`it stopped behind row ${imported}; --resume goes on there`));
    await fails([fileOf(rdb([], { version: '0099' })), '--format', 'redis'], 1, /version 99/);
  });

  it('has the format that its source is called by, as an export has, unless --format says otherwise', async () => {
    await database('named');
    await database('again');
    await good([fileOf(ndjson([{ key: 'a', text: 'one' }]), 'rows.txt'), '--database', 'named']);
    for (const [name, begins] of [['all.csv', 'key,type,version'], ['all.SQLite3', 'SQLite format 3'], ['all.db', 'SQLite format 3'], ['all', '{"key"'], ['all.rdb', '{"key"']]) {
      const file = path.join(folder, name);
      assert.equal((await command(['export', '--database', 'named', '--output', file])).code, 0);
      assert.ok(readFileSync(file).toString().startsWith(begins), name);
    }
    await good([path.join(folder, 'all.csv'), '--value-column', 'value', '--prefix', 'csv:', '--database', 'again']);
    await good([path.join(folder, 'all.db'), '--table', 'items', '--value-column', 'value', '--prefix', 'db:', '--database', 'again']);
    await good([fileOf(rdb([['r', 'two']]), 'dump.rdb'), '--prefix', 'rdb:', '--database', 'again']);
    await good([path.join(folder, 'all.rdb'), '--format', 'ndjson', '--database', 'again']);
    assert.deepEqual((await itemsOf('again')).map(({ key, text }) => [key, text]), [['a', 'one'], ['csv:a', 'one'], ['db:a', 'one'], ['rdb:r', 'two']]);
    await fails(['redis://127.0.0.1:1'], 1, /Redis can't be reached at 127\.0\.0\.1:1/);
  });

  it('refuses what it would pass over', async () => {
    const file = fileOf('');
    await fails([file, '--prefix', 'x:'], 2, /--prefix is nothing for ndjson/);
    await fails([file, '--format', 'csv', '--match', 'x'], 2, /--match is nothing for csv/);
    await fails([file, '--format', 'redis', '--match', 'x'], 2, /--match is nothing for a dump/);
    await fails(['redis://127.0.0.1:1', '--format', 'redis', '--redis-database', '1'], 2, /--redis-database is nothing for redis/);
    await fails([file, '--format', 'xml'], 2, /ndjson, csv, sqlite or redis/);
    await fails([file, file], 2, /one source/);
    await fails([path.join(folder, 'none')], 1, /No such file/);
    const empty = path.dirname(fileOf(''));
    await fails([empty], 1, /is a folder: name a file/);
    assert.ok(!existsSync(`${empty}.import-state`));
    await fails([file, '--format', 'sqlite'], 1, /--table/);
    await fails([fileOf('a,b\n'), '--format', 'csv', '--key-column', 'id'], 1, /no column has the name that --key-column says/);
    await fails(['-', '--format', 'redis'], 1, /standard input: a dump is read from a file: name it/);
  });
});

describe('what an import skips', () => {
  const report = (file) => readFileSync(file, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));

  it('is told with its row, key and reason, and the rest is stored', async () => {
    await database('skips');
    const lines = [{ key: 's:1', text: 'x' }, 'no json', { key: 's:3', text: 'x', colour: 1 }, '', { key: 's:4', text: 'x' }, { key: 's:5' }, { key: 's:6', text: 'x', expires_at: '2001-01-01T00:00:00Z' }, '{"key64":"AP8"}', { key: 's:8', text: 'x' }];
    const file = fileOf(ndjson(lines));
    const { stderr, ...counts } = await good([file, '--report', `${file}.report`, '--database', 'skips']);
    assert.deepEqual(counts, { imported: 3, expired: 1, skipped: 4 });
    assert.deepEqual((await itemsOf('skips')).map(({ key }) => key), ['s:1', 's:4', 's:8']);
    const skipped = report(`${file}.report`);
    assert.deepEqual(skipped.map(({ row, key, key64 }) => [row, key ?? key64]), [[2, undefined], [3, 's:3'], [5, 's:5'], [7, 'AP8']]);
    for (const { reason } of skipped) assert.ok(reason.length > 10, reason);
    assert.equal(stderr.trim().split('\n').length, 4, stderr);
    assert.match(stderr, /row 3, s:3 is skipped: a member is not known here/);
  });

  it('is told to the end where the report can not be written, and then it is said why', async () => {
    const { stderr, ...counts } = await fails([fileOf(ndjson(['no json', { key: 'full', text: 'x' }])), '--report', '/dev/full'], 1, /can't write \/dev\/full: No space left on device/);
    assert.deepEqual(counts, { imported: 1, expired: 0, skipped: 1 });
  });

  it('may be all of it, which is a failure: each row is told, and none is sent again and again', async () => {
    const rows = 1_000;
    const file = fileOf(ndjson(Array.from({ length: rows }, (_, i) => ({ key: `bad:${i}`, pad: 'x'.repeat(2_000) }))));
    const way = await proxy(Infinity);
    const { stderr, ...counts } = await fails([file, '--report', `${file}.report`], 1, /none of its rows could be taken: is --format right\?/, { port: way.port });
    way.close();
    assert.deepEqual(counts, { imported: 0, expired: 0, skipped: rows });
    assert.deepEqual(report(`${file}.report`).map(({ row, key }) => [row, key]), Array.from({ length: rows }, (_, i) => [i + 1, `bad:${i}`]));
    assert.equal(stderr.trim().split('\n').length, 12, stderr);
    assert.ok(way.passed() < 40 * MiB, `${way.passed()} bytes, of 2 MB of rows`);
  });

  it('is a row that is larger than the server takes', async () => {
    const small = await Server.start({ config: { server: { max_value_bytes: 64 * KiB } } });
    const file = fileOf(ndjson([{ key: 'a', text: 'x' }, { key: 'b', text: 'x'.repeat(64 * KiB + 1) }, { key: 'c', text: 'x'.repeat(2 * MiB) }, { key: 'd', text: 'x' }]));
    const { stderr, ...counts } = await good([file], { port: small.port });
    assert.deepEqual(counts, { imported: 2, expired: 0, skipped: 2 });
    assert.match(stderr, /row 2, b is skipped: .*max_value_bytes/);
    assert.match(stderr, /row 3, c is skipped: at most \d+ bytes/);
    await small.stop();
  });
});

describe('an import that the server can\'t take to its end', () => {
  it('says how far it came, and goes on there', async () => {
    const made = await client.post('/api/databases', { name: 'narrow', max_disk_bytes: 32 * MiB });
    assert.equal(made.status, 201);
    const dice = random(9);
    const items = Array.from({ length: 600 }, (_, i) => ({ key: `n:${String(i).padStart(3, '0')}`, base64: dice.bytes(100 * KiB).toString('base64') }));
    const file = fileOf(ndjson(items));
    const first = await fails([file, '--database', 'narrow'], 1, /\(HTTP 507 no_space\)/);
    assert.ok(first.imported > 50 && first.imported < 600, `${first.imported}`);
    assert.match(first.stderr, new RegExp(`it stopped behind row ${first.imported}; --resume goes on there`));
    assert.equal((await itemsOf('narrow')).length, first.imported);
    await fails([file, '--database', 'narrow', '--resume', '--format', 'csv'], 1, /import of ndjson/);
    assert.equal((await client.patch('/api/databases/narrow', { max_disk_bytes: null })).status, 200);
    const { stderr, ...counts } = await good([file, '--database', 'narrow', '--resume']);
    assert.deepEqual(counts, { imported: 600, expired: 0, skipped: 0 });
    assert.deepEqual((await itemsOf('narrow')).map(({ key, base64 }) => ({ key, base64 })), items);
    await client.delete('/api/databases/narrow');
  });

  it('does not begin where it can not keep how far it is, and leaves nothing there', async () => {
    const file = fileOf(ndjson([{ key: 'never', text: 'x' }]));
    const { code, stderr } = await begin(['import', '--url', urlOf(server.port), file], { shell: 'trap "" XFSZ; ulimit -f 0; "$@"' }).ended;
    assert.equal(code, 1);
    assert.match(stderr, /^velocity: can't write .*import-state: File too large\n$/);
    assert.deepEqual(readdirSync(path.dirname(file)), [path.basename(file)]);
    assert.equal((await client.get('/api/keys/never')).status, 404);
  });

  it('does not go on in another file, or in one that is shorter', async () => {
    await client.post('/api/databases', { name: 'other', max_disk_bytes: 32 * MiB });
    const dice = random(11);
    const file = fileOf(ndjson(Array.from({ length: 400 }, (_, i) => ({ key: `${i}`, base64: dice.bytes(100 * KiB + dice.below(100)).toString('base64') }))));
    await fails([file, '--database', 'other'], 1, /no_space/);
    const bytes = readFileSync(file);
    writeFileSync(file, Buffer.concat([Buffer.from(' '), bytes]));
    await fails([file, '--database', 'other', '--resume'], 1, /not the file that was left/);
    writeFileSync(file, bytes.subarray(0, 1000));
    await fails([file, '--database', 'other', '--resume'], 1, /not the file that was left/);
    await client.delete('/api/databases/other');
  });
});

/** Passes on what comes, up to `bytes` from the client; then it calls `cut` and ends all connections. */
async function proxy(bytes, cut) {
  let left = bytes;
  let passed = 0;
  const sockets = new Set();
  const listener = net.createServer((near) => {
    const far = net.connect(server.port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => (near.destroy(), far.destroy(), sockets.delete(socket)));
    }
    far.pipe(near);
    near.on('data', (data) => {
      const some = data.subarray(0, left);
      left -= some.length;
      passed += some.length;
      if (some.length) far.write(some);
      if (some.length === data.length) return;
      cut();
      for (const socket of sockets) socket.destroy();
    });
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return { port: listener.address().port, mend: () => (left = Infinity), passed: () => passed, close: () => (listener.close(), sockets.forEach((socket) => socket.destroy())) };
}

/** The client, killed once `bytes` of what it sends have gone through; or its end, where it sends less. */
async function killedAfter(bytes, words) {
  let child;
  const way = await proxy(bytes, () => child.kill('SIGKILL'));
  child = spawn(binary, ['import', '--url', urlOf(way.port), ...words], { env: cleanEnvironment(), stdio: 'ignore' });
  const end = await within(60_000, 'the end of the import', new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code))));
  way.close();
  return end;
}

describe('an import that is cut and gone on with', () => {
  const ROWS = 10_050; // two whole parts and a rest
  const pairs = Array.from({ length: ROWS }, (_, i) => [`k:${String((i * 7919) % ROWS).padStart(5, '0')}`, `value ${i}`]);
  const table = path.join(folder, 'cut.db');
  const formats = {
    ndjson: () => [fileOf(ndjson(pairs.map(([key, text], i) => (i % 997 === 5 ? 'no json' : { key, text }))))],
    csv: () => [fileOf(`k,v\n${pairs.map(([key, text], i) => (i % 997 === 5 ? key : `${key},"${text}\n"`)).join('\n')}`), '--format', 'csv', '--value-column', 'v'],
    rdb: () => [fileOf(rdb(pairs)), '--format', 'redis'],
    sqlite: () => [fileOf(readFileSync(table)), '--format', 'sqlite', '--table', 'items', '--value-column', 'value'],
  };
  before(async () => {
    await database('cutsource');
    await good([fileOf(ndjson(pairs.map(([key, text]) => ({ key, text })))), '--database', 'cutsource']);
    assert.equal((await command(['export', '--database', 'cutsource', '--format', 'sqlite', '--output', table])).code, 0);
  });

  for (const format of Object.keys(formats)) {
    it(`(${format}) brings the same as one that was not, and counts the same`, async () => {
      await database(`once-${format}`);
      const { stderr, ...counts } = await good([...formats[format](), '--database', `once-${format}`]);
      const expected = await itemsOf(`once-${format}`);
      assert.equal(counts.imported, expected.length);
      const sent = 60 * ROWS; // about
      const dice = random(format.length);
      for (const place of [0, 300, 0.1, 0.35, 0.49, 0.5, 0.75, 0.95]) {
        const bytes = place < 1 ? Math.floor(sent * place) + dice.below(2_000) : place;
        const name = await database(`cut-${format}`);
        const words = [...formats[format](), '--database', name];
        const end = await killedAfter(bytes, words);
        assert.ok(end === 'SIGKILL' || (end === 0 && place > 0.7), `${bytes}: ${end}`);
        if (end !== 0) {
          assert.ok(existsSync(`${words[0]}.import-state`));
          const { stderr: said, ...after } = await good([...words, '--resume']);
          assert.deepEqual(after, counts, `${bytes}`);
        }
        assert.deepEqual(await itemsOf(name), expected, `${bytes}`);
        await client.delete(`/api/databases/${name}`);
      }
    });
  }

  it('at every byte of what it sends', async () => {
    const words = (k) => [fileOf(ndjson([{ key: `b${k}:1`, text: 'one' }, { key: `b${k}:2`, value: { ä: [1, 2] } }, { key: `b${k}:3`, base64: '/w==' }]))];
    let end;
    let k = 0;
    const one = async (bytes) => {
      const file = words(bytes);
      const killed = await killedAfter(bytes, file);
      if (killed !== 0) assert.equal((await good([...file, '--resume'])).imported, 3);
      const items = await itemsOf('default', `b${bytes}:`);
      assert.deepEqual(items.map(({ key, value, text, base64 }) => [key.split(':')[1], value ?? text ?? base64]), [['1', 'one'], ['2', { ä: [1, 2] }], ['3', '/w==']], `${bytes}`);
      return killed;
    };
    // Up to where it sends no more than that, and so ends by itself.
    for (; end !== 0; k += 8) for (const killed of await Promise.all(Array.from({ length: 8 }, (_, i) => one(k + i)))) end = killed;
    assert.ok(k > 200 && k < 800, `${k}`);
  });

  it('goes on by itself where only the connection broke', async () => {
    await database('broken');
    const way = await proxy(200_000, () => setTimeout(() => way.mend(), 100));
    const { stderr, ...counts } = await good([...formats.ndjson(), '--database', 'broken'], { port: way.port });
    way.close();
    assert.match(stderr, /trying again/);
    assert.deepEqual([counts.imported, (await itemsOf('broken')).length], [ROWS - counts.skipped, ROWS - counts.skipped]);
    assert.equal(counts.skipped, 11);
  });

  it('goes on by itself where a server was silent for --timeout', async () => {
    const replies = [() => {}, (response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"imported":1,"expired":0,"version":"1"}')];
    const silent = await fake((_, response) => replies.shift()(response));
    const began = performance.now();
    const { code, stderr } = await run(['import', '--url', silent.url, '--timeout', '3', fileOf(ndjson([{ key: 'k', text: 'x' }]))]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /trying again/);
    assert.ok(performance.now() - began < PATIENCE_MS, 'it waited for the usual time, 60 s');
  });
});

describe('an export', () => {
  it('of CSV has a record for each item', async () => {
    await database('tocsv');
    await good([fileOf(ndjson([{ key: 'a,b', text: 'x "y"\nz' }, { key64: 'AP8', base64: '/w==' }, { key: 'j', value: { a: 1 } }])), '--database', 'tocsv']);
    const { code, stdout } = await command(['export', '--database', 'tocsv', '--format', 'csv']);
    assert.equal(code, 0);
    const lines = stdout.split('\r\n');
    assert.equal(lines[0], 'key,type,version,expires_at,encoding,value');
    assert.match(lines[1], /^AP8,application\/octet-stream,\d+,,base64 key64,\/w==$/);
    assert.match(lines[2], /^"a,b",text\/plain; charset=utf-8,\d+,,text,"x ""y""\nz"$/);
    assert.match(lines[3], /^j,application\/json,\d+,,json,"\{""a"":1\}"$/);
    assert.deepEqual(lines.slice(4), ['']);
  });

  it('to a file keeps its permissions, goes where a link leads, and into what is no file as it stands', async () => {
    const own = temporaryDirectory();
    const file = path.join(own, 'kept');
    writeFileSync(file, 'before');
    chmodSync(file, 0o640);
    symlinkSync('kept', path.join(own, 'link'));
    for (const format of ['ndjson', 'csv', 'sqlite']) {
      assert.equal((await command(['export', '--format', format, '--database', 'tocsv', '--output', path.join(own, 'link')])).code, 0);
      assert.deepEqual([statSync(file).mode & 0o7777, readdirSync(own).sort()], [0o640, ['kept', 'link']]);
      assert.match(readFileSync(file, 'latin1'), { ndjson: /^\{"key64":"AP8"/, csv: /^key,type/, sqlite: /^SQLite format 3/ }[format]);
    }
    const pipe = path.join(own, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const [got, { code }] = await Promise.all([begin([pipe], { shell: 'exec cat "$2"' }).ended, command(['export', '--database', 'tocsv', '--output', pipe])]);
    assert.deepEqual([code, got.stdout.toString().split('\n').length], [0, 4]);
    const refused = await begin(['export', '--url', urlOf(server.port), '--format', 'sqlite', '--output', '/dev/null']).ended;
    assert.deepEqual([refused.code, refused.stderr], [2, 'velocity: a SQLite database goes to a file: name one with --output\n']);
  });

  it('shows its progress on a terminal, but not where its rows show', async () => {
    const onTerminal = (words) => run(['-qec', `'${binary}' export --url ${urlOf(server.port)} --database tocsv ${words}`, '/dev/null'], { command: 'script' });
    assert.match((await onTerminal(`--output ${path.join(folder, 'shown')}`)).stdout, /\u001b\[K1 rows, \d+ a second/);
    const { code, stdout } = await onTerminal('');
    assert.equal(code, 0);
    assert.deepEqual(stdout.trimEnd().split('\r\n').map((line) => Object.keys(JSON.parse(line))[0]), ['key64', 'key', 'key']);
  });

  it('is gone when a signal ends the program, and what stood there stays', async () => {
    const line = '{"key":"k","version":"1","type":"text/plain","size":1,"text":"x"}\n';
    const stuck = await fake((_, response) => response.writeHead(200, { 'Content-Type': 'application/x-ndjson' }).write(line));
    for (const format of ['ndjson', 'sqlite']) {
      for (const signal of ['SIGINT', 'SIGTERM']) {
        const own = temporaryDirectory();
        writeFileSync(path.join(own, 'all'), 'before');
        const { child, ended } = begin(['export', '--url', stuck.url, '--format', format, '--output', path.join(own, 'all')]);
        await until('the part', () => readdirSync(own).length === 2);
        child.kill(signal);
        const end = await ended;
        assert.deepEqual([end.signal, readdirSync(own)], [signal, ['all']]);
        assert.equal(readFileSync(path.join(own, 'all'), 'utf8'), 'before');
      }
    }
  });

  it('that fails leaves no file', async () => {
    const file = path.join(folder, 'never.ndjson');
    const { code } = await command(['export', '--database', 'none', '--output', file]);
    assert.equal(code, 3);
    assert.ok(!existsSync(file));
    assert.equal((await command(['export', '--format', 'sqlite'])).code, 2);
  });
});
