// GET /api/export: everything there is at one moment, whatever happens meanwhile and however much it is.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, Events, FREED_IS_GONE, keyPath, key64, KiB, listAll, MiB, random, Server, Stream, until, versionOf } from './support.mjs';

const linesOf = (response) => {
  assert.equal(response.status, 200, response.text.slice(0, 300));
  assert.ok(response.text === '' || response.text.endsWith('\n'));
  return response.text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
};
const statsOf = async (client) => (await client.get('/api/stats')).json;

async function put(client, key, value, type) {
  const response = await client.put(keyPath(key), value, type ? { 'Content-Type': type } : {});
  assert.equal(response.status, 204, response.text);
  return versionOf(response);
}

describe('an export', () => {
  let server;
  let client;
  before(async () => {
    server = await Server.start();
    client = server.client;
    const ops = Array.from({ length: 3_000 }, (_, i) => ({ op: 'put', key: `k:${String(i).padStart(5, '0')}`, text: `value ${i} ${'x'.repeat(i % 200)}` }));
    assert.equal((await client.post('/api/batch', { ops })).status, 200);
    await client.delete(keyPath('k:00007'));
  });
  after(() => server?.stop());

  it('is what a listing with values shows, a line each, and names its version', async () => {
    const listed = await listAll(client, { values: 'true', limit: '1000' });
    const response = await client.get('/api/export');
    assert.equal(response.headers['content-type'], 'application/x-ndjson');
    assert.equal(response.headers['transfer-encoding'], 'chunked');
    assert.deepEqual(linesOf(response), listed.items);
    assert.equal(BigInt(response.headers['velocity-version']), listed.versions[0]);
  });

  it('takes a range', async () => {
    const keys = async (query) => linesOf(await client.get(`/api/export?${query}`)).map(({ key }) => key);
    assert.deepEqual(await keys('prefix=k:0000'), ['k:00000', 'k:00001', 'k:00002', 'k:00003', 'k:00004', 'k:00005', 'k:00006', 'k:00008', 'k:00009']);
    assert.deepEqual(await keys('start=k:02998'), ['k:02998', 'k:02999']);
    assert.deepEqual(await keys('end=k:00001'), ['k:00000']);
    assert.deepEqual(await keys('prefix=k:0000&start=k:00003&end=k:00005'), ['k:00003', 'k:00004']);
    assert.deepEqual(await keys('prefix=nothing'), []);
    assert.deepEqual(await keys('prefix=&start=&end=k:00001'), ['k:00000'], 'an empty bound is none');
  });

  it('refuses what makes no sense', async () => {
    assert.equal(assertProblem(await client.get('/api/export?limit=1'), 400).code, 'unknown_parameter');
    assert.equal(assertProblem(await client.get(`/api/export?start=${'x'.repeat(16 * KiB + 1)}`), 400).code, 'invalid_parameter');
    assert.equal(assertProblem(await client.get('/api/databases/none/export'), 404).code, 'database_not_found');
    assertProblem(await client.delete('/api/export'), 405);
  });

  it('has values whole, whatever their size and kind', async () => {
    assert.equal((await client.post('/api/databases', { name: 'large' })).status, 201);
    const dice = random(7);
    const values = [
      ['base64', dice.bytes(3 * MiB + 1), 'application/octet-stream'],
      ['escapes', '"\\\u0001é€😀'.repeat(150_000), 'text/plain; charset=utf-8'],
      ['json', JSON.stringify({ a: 'ü'.repeat(MiB), big: [1.5, null] }), 'application/json'],
      ['lines', JSON.stringify({ a: 'x'.repeat(100 * KiB) }, null, 2), 'application/json'],
      ['other', `${'€'.repeat(40_000)}`, 'text/x-other; charset=utf-8'],
      ['small', '{"a":\n1}', 'application/json'],
      ['zero', '', 'text/plain; charset=utf-8'],
    ];
    for (let size = 32 * KiB - 2; size <= 32 * KiB + 2; size++) values.push([`zz-edge-${size}`, dice.bytes(size), 'application/octet-stream']);
    for (const [key, value, type] of values) assert.equal((await client.put(`/api/databases/large/keys/${key}`, value, { 'Content-Type': type })).status, 204);
    const lines = linesOf(await client.get('/api/databases/large/export'));
    assert.deepEqual(lines.map(({ key }) => key), values.map(([key]) => key));
    lines.forEach((line, i) => {
      const [key, value, type] = values[i];
      assert.deepEqual([line.type, line.size], [type, Buffer.byteLength(value)], key);
      const shown = line.base64 !== undefined ? Buffer.from(line.base64, 'base64') : Buffer.from(line.text ?? JSON.stringify(line.value));
      assert.ok(shown.equals(Buffer.from(value)), key);
    });
    const by = Object.fromEntries(lines.map((line) => [line.key, line]));
    assert.ok('value' in by.json && 'text' in by.lines && 'text' in by.small && 'text' in by.escapes && 'base64' in by.base64);
  });

  it('shows keys that are not UTF-8 as key64', async () => {
    const key = Buffer.from([0x7a, 0xff]);
    await client.put(`/api/keys?key64=${key64(key)}`, 'x');
    assert.equal(linesOf(await client.get('/api/export?prefix=z'))[0].key64, key64(key));
    await client.delete(`/api/keys?key64=${key64(key)}`);
  });
});

describe('an export is of one moment', () => {
  it('whatever is written while it is read, and a watch goes on from there without a gap', async () => {
    const server = await Server.start({ config: { database: { durability: 'os', memtable_bytes: 256 * KiB }, server: { watch_heartbeat_seconds: 1 } } });
    const { client } = server;
    const KEYS = 500;
    const keyOf = (i) => `g:${String(i).padStart(4, '0')}`;
    for (let i = 0; i < KEYS; i++) await put(client, keyOf(i), `0 ${'x'.repeat(8_000)}`, 'text/plain; charset=utf-8');
    let writing = true;
    let writes = 0;
    const writers = Array.from({ length: 4 }, async (_, w) => {
      const dice = random(w + 1);
      for (; writing; writes++) {
        const key = keyOf(dice.below(KEYS));
        if (dice.chance(0.1)) await client.delete(keyPath(key));
        else await put(client, key, `${w} ${writes} ${'x'.repeat(dice.below(8_000))}`, 'text/plain; charset=utf-8');
      }
    });
    /** Until so many writes more were answered. */
    const more = (count, before = writes) => until(`${count} writes more`, () => writes >= before + count);
    await more(50);
    const dump = await Stream.open(server.port, '/api/export?prefix=g:');
    const version = BigInt(dump.headers['velocity-version']);
    const first = await dump.next();
    await more(100); // in which nobody reads
    const lines = Buffer.concat([first, await dump.rest()]).toString().split('\n').slice(0, -1).map((line) => JSON.parse(line));
    const state = new Map(lines.map((line) => [line.key, line]));
    assert.equal(state.size, lines.length);
    for (const line of lines) assert.ok(BigInt(line.version) <= version, 'nothing is of a later moment');
    const events = await Events.open(server.port, `/api/watch?prefix=g:&since=${version}`);
    await more(50);
    writing = false;
    await Promise.all(writers);
    const last = await put(client, 'g:end', 'x');
    for (;;) {
      const { id, event, data } = await events.event();
      assert.ok(BigInt(id) > version);
      if (event === 'put') state.set(data.key, data);
      else state.delete(data.key);
      if (BigInt(id) === last) break;
    }
    events.close();
    const now = (await listAll(client, { prefix: 'g:', values: 'true', limit: '1000' })).items;
    assert.deepEqual([...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1)), now);
    await server.stop();
  });
});

describe('who may export what', () => {
  it('is clipped to the scope, and ends with the rights', async () => {
    const { server, nobody, admin } = await serverWithAdmin({ config: { database: { durability: 'os' } } });
    const limited = await addUser(admin, nobody, 'limited', { role: 'read', prefixes: ['a:', 'c:'] });
    for (const key of ['a', 'a:1', 'a:2', 'b:1', 'c:1', 'd']) await admin.put(keyPath(key), key);
    const keys = async (query) => linesOf(await limited.get(`/api/export${query}`)).map(({ key }) => key);
    assert.deepEqual(await keys(''), ['a:1', 'a:2', 'c:1']);
    assert.deepEqual(await keys('?prefix=b'), []);
    assert.deepEqual(await keys('?start=a:2'), ['a:2', 'c:1']);
    for (let i = 0; i < 40; i++) await admin.put(keyPath(`a:large:${i}`), Buffer.alloc(MiB, 'x'));
    const { id, client } = await addToken(admin, {});
    const dump = await Stream.open(server.port, '/api/export', { headers: client.own });
    await dump.next();
    await admin.delete(`/api/tokens/${id}`);
    await assert.rejects(dump.rest(), /aborted|ECONNRESET/, 'it is cut, and not as if that were all');
    await server.stop();
  });
});

describe('an export that can\'t go on', () => {
  let server;
  let client;
  before(async () => {
    server = await Server.start({ config: { server: { request_deadline_seconds: 2 }, database: { durability: 'os' } } });
    client = server.client;
    for (let i = 0; i < 60; i++) await put(client, `f:${i}`, Buffer.alloc(MiB, 'x'));
  });

  it('gives back its view when its client leaves', async () => {
    const dump = await Stream.open(server.port, '/api/export');
    await dump.next();
    assert.ok((await statsOf(client)).databases.default.snapshots >= 1);
    dump.close();
    await until('its view to be given back', async () => (await statsOf(client)).databases.default.snapshots === 0);
    await until('its place among the streams to be free', async () => (await statsOf(client)).server.streams.open === 0);
  });

  it('is cut off where its client does not read', async () => {
    const dump = await Stream.open(server.port, '/api/export');
    await until('its end', async () => (await statsOf(client)).server.streams.open === 0);
    await assert.rejects(dump.rest(), /aborted|ECONNRESET/);
  });

  it('has no last chunk when the server ends', async () => {
    const dump = await Stream.open(server.port, '/api/export');
    await dump.next();
    await server.stop();
    await assert.rejects(dump.rest(), /aborted|ECONNRESET/);
  });
});

describe('a large export', () => {
  const SIZE_MB = Number(process.env.EXPORT_MB ?? 1024);

  it(`of ${SIZE_MB} MB needs little memory`, async (t) => {
    const config = { database: { durability: 'os', memtable_bytes: 4 * MiB, total_memtable_bytes: 16 * MiB, cache_bytes: 8 * MiB, change_history_bytes: 0 } };
    let server = await Server.start({ config, env: FREED_IS_GONE });
    const text = random(1).bytes(96 * KiB).toString('base64').slice(0, 128 * KiB); // some of it compresses, most does not
    const valueOf = (i) => `${i}|`.padEnd(16, '.') + text.slice(i % 1000) + text.slice(0, i % 1000);
    const count = SIZE_MB * 8;
    const sum = createHash('sha256');
    for (let from = 0; from < count; from += 16) {
      const some = Array.from({ length: 16 }, (_, i) => from + i);
      await Promise.all(some.map((i) => put(server.client, `x:${String(i).padStart(8, '0')}`, valueOf(i), 'text/plain; charset=utf-8')));
      for (const i of some) sum.update(valueOf(i));
    }
    await server.stop();
    server = await server.again({ config, env: FREED_IS_GONE });
    const memory = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024;
    const began = Date.now();
    const dump = await Stream.open(server.port, '/api/export');
    const found = createHash('sha256');
    let lines = 0;
    let bytes = 0;
    let left = '';
    for (let part = await dump.next(60_000); part !== null; part = await dump.next(60_000)) {
      bytes += part.length;
      const pieces = (left + part.toString('latin1')).split('\n');
      left = pieces.pop();
      for (const line of pieces) {
        found.update(JSON.parse(line).text);
        lines += 1;
      }
    }
    const seconds = (Date.now() - began) / 1000;
    t.diagnostic(`${(bytes / MiB).toFixed(0)} MiB in ${seconds.toFixed(1)} s; at most ${memory('VmHWM').toFixed(0)} MiB of memory`);
    assert.deepEqual([lines, left, found.digest('hex')], [count, '', sum.digest('hex')]);
    assert.ok(memory('VmHWM') < 100, `${memory('VmHWM')} MiB`);
    await server.stop();
  });
});
