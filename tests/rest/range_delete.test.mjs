// DELETE /api/keys with bounds: a range goes in one step, and nobody loses everything by a variable that was not set.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, escapeAll, key64, listAll, Server } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const KEYS = ['a', 'a:1', 'a:2', 'a:3', 'b', 'b:1', 'c'];
const fill = async (by = client, keys = KEYS) => {
  const response = await by.post('/api/batch', { ops: keys.map((key) => ({ op: 'put', key, text: 'v' })) });
  assert.equal(response.status, 200, response.text);
};
const keys = async (by = client) => (await listAll(by, { limit: '10000' })).items.map(({ key }) => key);
const del = (query, by = client) => by.delete(`/api/keys?${query}`);

describe('a range delete', () => {
  for (const [query, left] of [
    ['prefix=a:', ['a', 'b', 'b:1', 'c']], ['prefix=a', ['b', 'b:1', 'c']], ['prefix=z', KEYS], ['start=a:2&end=b', ['a', 'a:1', 'b', 'b:1', 'c']], ['start=b', ['a', 'a:1', 'a:2', 'a:3']],
    ['end=b', ['b', 'b:1', 'c']], ['prefix=a:&start=a:2', ['a', 'a:1', 'b', 'b:1', 'c']], ['prefix=a:&end=a:2', ['a', 'a:2', 'a:3', 'b', 'b:1', 'c']], ['all=true', []],
    ['prefix=a:&all=false', ['a', 'b', 'b:1', 'c']],
  ]) {
    it(`of ${query} leaves ${left}`, async () => {
      await fill();
      const dry = await del(`${query}&dry_run=true`);
      assert.deepEqual([dry.status, dry.json], [200, { count: KEYS.length - left.length, exact: true }]);
      assert.deepEqual(await keys(), KEYS, 'a dry run does nothing');
      const deleted = await del(`${query}&dry_run=false`);
      assert.equal(deleted.status, 204, deleted.text);
      assert.match(deleted.headers['velocity-version'], /^\d+$/);
      assert.deepEqual(await keys(), left);
      assert.equal((await client.get('/api/keys?limit=1')).json.version, deleted.headers['velocity-version']);
    });
  }

  it('takes any bytes: of a prefix of 0xff, of a bound with a NUL', async () => {
    const named = [[0xff], [0xff, 0xff], [0xff, 0xff, 0], [0xff, 0xfe], [1, 0], [1, 0, 0], [1]].map((bytes) => Buffer.from(bytes));
    for (const [query, left] of [[`prefix=${escapeAll([0xff, 0xff])}`, [0, 3, 4, 5, 6]], ['prefix=%ff', [4, 5, 6]], ['start=%01%00&end=%01%00%00', [0, 1, 2, 3, 5, 6]], ['prefix=%01%00', [0, 1, 2, 3, 6]]]) {
      for (const key of named) assert.equal((await client.put(`/api/keys?key64=${key64(key)}`, 'v')).status, 204);
      assert.equal((await del(query)).status, 204);
      const there = await Promise.all(named.map(async (key) => (await client.get(`/api/keys?key64=${key64(key)}`)).status === 200));
      assert.deepEqual(there.flatMap((is, i) => (is ? [i] : [])), left, query);
    }
  });

  it('is one step, however much it takes: no listing shows half of it', async () => {
    const many = Array.from({ length: 3000 }, (_, i) => `many:${String(i).padStart(5, '0')}`);
    await fill(client, many);
    let writing = true;
    const writer = (async () => {
      for (let round = 0; round < 12; round++) {
        assert.equal((await del('prefix=many:')).status, 204);
        await fill(client, many);
      }
      writing = false;
    })();
    const seen = new Set();
    while (writing) seen.add((await client.get('/api/keys?prefix=many:&limit=10000')).json.items.length);
    await writer;
    assert.ok([...seen].every((count) => count === 0 || count === many.length), `${[...seen]}`);
  });

  it('spares what is put after it, and survives kill -9', async () => {
    await fill();
    assert.equal((await del('prefix=a')).status, 204);
    await client.put('/api/keys/a:2', 'again');
    await server.kill();
    server = await server.again();
    client = server.client;
    assert.deepEqual((await keys()).filter((key) => KEYS.includes(key)), ['a:2', 'b', 'b:1', 'c']);
  });

  it('is of its database alone', async () => {
    await client.post('/api/databases', { name: 'other' });
    await fill();
    await client.put('/api/databases/other/keys/a:1', 'v');
    assert.equal((await client.delete('/api/databases/other/keys?all=true')).status, 204);
    assert.equal((await client.get('/api/databases/other/keys?count=true')).json.count, 0);
    assert.ok((await keys()).includes('a:1'));
    assertProblem(await client.delete('/api/databases/not-there/keys?all=true'), 404);
  });

  for (const query of [
    '', 'prefix=', 'start=', 'end=', 'start=a&end=', 'start=&end=b', 'prefix=a&start=', 'all=false', 'all=', 'all=yes', 'all=true&prefix=a', 'all=true&start=a', 'all=true&all=true',
    'dry_run=true', 'dry_run=1&prefix=a', 'prefix', 'start&end', 'all', 'all=TRUE', 'all=1', 'all=true&dry_run=', 'all=true&dry_run=yes', 'prefix=a&all=true&dry_run=true', 'Prefix=a', 'prefix=a&force=true', 'prefix=a&limit=5', 'prefix=a&prefix=b', 'start=b&end=a', 'start=a&end=a', 'prefix=b&end=a', 'prefix=a&start=b', `prefix=a&key64=${key64('a')}`,
    `all=true&key64=${key64('a')}`, 'key64=', 'key64=!', `prefix=${'k'.repeat(16385)}`, 'prefix=%zz',
  ]) {
    it(`?${query.slice(0, 60)} is 400, and nothing is done`, async () => {
      await fill();
      assertProblem(await del(query), 400);
      assert.deepEqual((await keys()).filter((key) => KEYS.includes(key)), KEYS);
    });
  }

  for (const headers of [{ 'If-Match': '"1"' }, { 'If-Match': '*' }, { 'If-None-Match': '*' }]) {
    it(`under ${JSON.stringify(headers)}, which only one key can satisfy, is 400, and nothing is done`, async () => {
      await fill();
      for (const query of ['prefix=a', 'all=true', 'prefix=a&dry_run=true']) assert.equal(assertProblem(await client.delete(`/api/keys?${query}`, headers), 400).code, 'invalid_header');
      assert.deepEqual((await keys()).filter((key) => KEYS.includes(key)), KEYS);
    });
  }

  it('with key64 alone is the delete of one key, as ever', async () => {
    await fill();
    assert.equal((await del(`key64=${key64('a:1')}`)).status, 204);
    assertProblem(await client.delete(`/api/keys?key64=${key64('a:2')}`, { 'If-Match': '"1"' }), 412);
    assert.deepEqual((await keys()).filter((key) => KEYS.includes(key)), KEYS.filter((key) => key !== 'a:1'));
  });
});

describe('a range delete of somebody with a scope', () => {
  let people;
  let scoped;
  before(async () => {
    people = await serverWithAdmin({ config: { security: { audit_level: 'writes' } } });
    scoped = await addUser(people.admin, people.nobody, 'scoped', { role: 'write', prefixes: ['a:', 'b:'] });
  });
  after(() => people?.server.stop());

  it('may lie wholly inside of one of its prefixes', async () => {
    for (const [query, left] of [['prefix=a:', ['a', 'b', 'b:1', 'c']], ['prefix=a:1', KEYS.filter((key) => key !== 'a:1')], ['start=a:2&end=a:3', KEYS.filter((key) => key !== 'a:2')], ['start=a:&end=a;', ['a', 'b', 'b:1', 'c']]]) {
      await fill(people.admin);
      assert.equal((await del(`${query}&dry_run=true`, scoped)).json.count, KEYS.length - left.length);
      assert.equal((await del(query, scoped)).status, 204, query);
      assert.deepEqual(await keys(people.admin), left, query);
    }
  });

  it('is 403 beyond it, and nothing is done: not even counted', async () => {
    await fill(people.admin);
    for (const query of ['prefix=a', 'prefix=c', 'all=true', 'start=a:', 'end=b:', 'start=a:1&end=b:2', 'start=a:1&end=a;;', 'start=a&end=a:2']) {
      assert.equal(assertProblem(await del(query, scoped), 403, query).code, 'out_of_scope');
      assert.equal(assertProblem(await del(`${query}&dry_run=true`, scoped), 403, query).code, 'out_of_scope');
    }
    assert.deepEqual(await keys(people.admin), KEYS);
  });

  it('stands in the audit log under a name of its own, with what it took', async () => {
    await fill(people.admin);
    await del('prefix=a:', people.admin);
    await del(`key64=${key64('c')}`, people.admin);
    await del('all=true', people.admin);
    const rows = (await people.admin.get('/api/audit?action=delete_range&user=ada&limit=2')).json.rows;
    assert.deepEqual(rows.map(({ key, detail, status }) => [key, detail, status]), [[null, 'every key', 204], ['a:', 'every key with this prefix', 204]]);
    const [single] = (await people.admin.get('/api/audit?action=delete&user=ada&limit=1')).json.rows;
    assert.deepEqual([single.key, single.status], ['c', 204]);
  });
});
