// Databases by name: made, used, limited and dropped while the others serve.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, MiB, random, Server, temporaryDirectory, until, versionOf, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start({ config: { database: { max_databases: 6 } } });
  client = server.client;
});
after(() => server?.stop());

const names = async (who = client) => (await who.get('/api/databases')).json.databases.map(({ name }) => name);

describe('a database', () => {
  it('is made, used beside the others, looked at and dropped', async () => {
    const made = await client.post('/api/databases', { name: 'orders' });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.location, '/api/databases/orders');
    const { created_at: at, ...rest } = made.json;
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    assert.deepEqual([rest.name, rest.status, rest.max_disk_bytes, rest.limit_is_default, rest.read_only], ['orders', 'open', null, true, false]);
    assert.equal(rest.levels.length, 7);
    assert.deepEqual(await names(), ['default', 'orders']);
    assert.equal((await client.put('/api/databases/orders/keys/a', 'orders')).status, 204);
    assert.equal((await client.put('/api/keys/a', 'default')).status, 204);
    assert.equal((await client.get('/api/databases/orders/keys/a')).text, 'orders');
    assert.equal((await client.get('/api/databases/default/keys/a')).text, 'default');
    assert.deepEqual((await client.get('/api/databases/orders/keys')).json.items.map(({ key }) => key), ['a']);
    const batch = await client.post('/api/databases/orders/batch', { ops: [{ op: 'put', key: 'b', text: '2' }, { op: 'get', key: 'a' }] });
    assert.equal(batch.json.results[1].text, 'orders');
    const shown = (await client.get('/api/databases/orders')).json;
    assert.equal(shown.keys_estimate, 2);
    assert.ok(shown.size_bytes > 0);
    assert.equal((await client.delete('/api/databases/orders')).status, 204);
    for (const response of [await client.get('/api/databases/orders'), await client.get('/api/databases/orders/keys/a'),
      await client.put('/api/databases/orders/keys/a', 'x'), await client.delete('/api/databases/orders'), await client.patch('/api/databases/orders', {})]) {
      assert.equal(assertProblem(response, 404).code, 'database_not_found');
    }
    assert.equal((await client.get('/api/keys/a')).text, 'default');
  });

  it('that is there is not made again', async () => {
    await client.post('/api/databases', { name: 'twice' });
    await client.put('/api/databases/twice/keys/a', 'x');
    for (const name of ['twice', 'default']) assert.equal(assertProblem(await client.post('/api/databases', { name }), 409).code, 'name_taken');
    assert.equal((await client.get('/api/databases/twice/keys/a')).text, 'x');
    await client.delete('/api/databases/twice');
  });

  it('has a name that can be one', async () => {
    for (const name of ['', 'A', '-a', '_a', 'a.b', 'a/b', '..', 'ä', 'a'.repeat(64), 7, null]) {
      assert.equal(assertProblem(await client.post('/api/databases', { name }), 400, `${name}`).code, 'invalid_body');
    }
    for (const name of ['A', '..', 'a%2Fb', 'a'.repeat(64), '%00']) {
      const { status } = await client.get(`/api/databases/${name}`);
      assert.ok(status === 404 || status === 400, `${name}: ${status}`);
      assertProblem(await client.get(`/api/databases/${name}/keys/a`), 404, name);
    }
    assert.deepEqual(await names(), ['default']);
  });

  it('is one of max_databases at most', async () => {
    const made = [];
    for (let i = 0; i < 5; i++) made.push((await client.post('/api/databases', { name: `n${i}` })).status);
    assert.deepEqual(made, [201, 201, 201, 201, 201]);
    assert.equal(assertProblem(await client.post('/api/databases', { name: 'n5' }), 409).code, 'too_many');
    for (let i = 0; i < 5; i++) await client.delete(`/api/databases/n${i}`);
    assert.equal((await client.post('/api/databases', { name: 'n5' })).status, 201);
    await client.delete('/api/databases/n5');
  });

  it('called default is always there', async () => {
    assert.equal(assertProblem(await client.delete('/api/databases/default'), 409).code, 'conflict');
    assert.equal((await client.get('/api/databases/default')).json.status, 'open');
  });

  it('never repeats a version under its name', async () => {
    await client.post('/api/databases', { name: 'again' });
    const first = versionOf(await client.put('/api/databases/again/keys/a', '1'));
    await client.delete('/api/databases/again');
    await client.post('/api/databases', { name: 'again' });
    assertProblem(await client.get('/api/databases/again/keys/a'), 404);
    const second = versionOf(await client.put('/api/databases/again/keys/a', '1'));
    assert.ok(second > first, `${first}, then ${second}`);
    await client.delete('/api/databases/again');
  });

  it('can be any method of its path, and no other', async () => {
    const refused = await client.request('PUT', '/api/databases/default', { body: '' });
    assertProblem(refused, 405);
    assert.deepEqual(refused.headers.allow.split(', ').sort(), ['DELETE', 'GET', 'PATCH']);
    assertProblem(await client.get('/api/databases?verbose=true'), 400);
    assertProblem(await client.get('/api/databases/default?verbose=true'), 400);
  });

  it('in use is not dropped under who uses it, and goes on', async () => {
    await client.post('/api/databases', { name: 'busy' });
    const wire = await Wire.midway(server.port, 'PUT /api/databases/busy/keys/a', 4);
    wire.send('va');
    const began = performance.now();
    const dropped = client.delete('/api/databases/busy');
    const meanwhile = await until('that nobody new gets in', async () => {
      const response = await client.get('/api/databases/busy/keys/a');
      return response.status !== 404 && response; // there is no such key yet
    });
    assert.equal(assertProblem(meanwhile, 503).code, 'overloaded');
    assert.ok(meanwhile.headers['retry-after']);
    assert.equal(assertProblem(await dropped, 409).code, 'database_in_use');
    assert.ok(performance.now() - began > 5_000, 'it was waited for');
    wire.send('l1');
    assert.equal((await wire.response()).status, 204);
    wire.close();
    assert.equal((await client.get('/api/databases/busy/keys/a')).text, 'val1');
    assert.equal((await client.delete('/api/databases/busy')).status, 204);
  });
});

describe('a limit', () => {
  it('is set, changed, taken away and the default again', async () => {
    const made = await client.post('/api/databases', { name: 'small', max_disk_bytes: 64 * MiB });
    assert.deepEqual([made.status, made.json.max_disk_bytes, made.json.limit_is_default], [201, 64 * MiB, false]);
    const change = async (limit) => {
      const { status, json } = await client.patch('/api/databases/small', { max_disk_bytes: limit });
      assert.equal(status, 200);
      return [json.max_disk_bytes, json.limit_is_default];
    };
    assert.deepEqual(await change(128 * MiB), [128 * MiB, false]);
    assert.deepEqual(await change(null), [null, false]);
    assert.deepEqual(await change('default'), [null, true]);
    assert.deepEqual((await client.patch('/api/databases/small', {})).json.limit_is_default, true, 'nothing changes nothing');
    for (const limit of [0, -1, 1.5, 1, MiB, '64 MiB', 1e300, [], true]) {
      assert.equal(assertProblem(await client.patch('/api/databases/small', { max_disk_bytes: limit }), 400, `${limit}`).code, 'invalid_body');
    }
    await client.delete('/api/databases/small');
  });

  it('that is reached is 507 for writes to that database, and only to that one', async () => {
    await client.post('/api/databases', { name: 'full', max_disk_bytes: 32 * MiB });
    let status = 204;
    for (let i = 0; i < 100 && status === 204; i++) {
      ({ status } = await client.put(`/api/databases/full/keys/${i}`, Buffer.from(Array.from({ length: MiB }, (_, k) => (k * 2654435761 + i * 40503) >> 11 & 255))));
    }
    assert.equal(status, 507);
    const bytes = random(1).bytes(MiB); // which do not compress
    assert.match(assertProblem(await client.put('/api/databases/full/keys/x', bytes), 507).detail, /its files take \d+ bytes and may take \d+/);
    assert.equal((await client.put('/api/keys/not-full', 'x')).status, 204);
    assert.equal((await client.get('/api/databases/full/keys/0')).status, 200);
    assert.equal((await client.delete('/api/databases/full/keys/0')).status, 204);
    await client.delete('/api/databases/full');
  });
});

describe('databases', () => {
  it('and their limits outlive the server', async () => {
    const first = await Server.start();
    await first.client.post('/api/databases', { name: 'kept', max_disk_bytes: 40 * MiB });
    await first.client.post('/api/databases', { name: 'dropped' });
    await first.client.put('/api/databases/kept/keys/a', 'x');
    await first.client.delete('/api/databases/dropped');
    await first.kill();
    const again = await first.again();
    assert.deepEqual(await names(again.client), ['default', 'kept']);
    assert.equal((await again.client.get('/api/databases/kept')).json.max_disk_bytes, 40 * MiB);
    assert.equal((await again.client.get('/api/databases/kept/keys/a')).text, 'x');
    await again.stop();
  });

  it('made while the server runs are encrypted with its key, like those that were there', async () => {
    const key = path.join(temporaryDirectory(), 'key');
    writeFileSync(key, `${'5a'.repeat(32)}\n`, { mode: 0o600 });
    const config = { database: { encryption_key_file: key } };
    const first = await Server.start({ config });
    for (const name of ['one', 'two']) {
      assert.equal((await first.client.post('/api/databases', { name })).status, 201);
      assert.equal((await first.client.put(`/api/databases/${name}/keys/a`, name)).status, 204);
    }
    await first.stop();
    const again = await first.again({ config });
    for (const name of ['one', 'two']) assert.equal((await again.client.get(`/api/databases/${name}/keys/a`)).text, name);
    await again.stop();
  });

  it('outside of a scope are not there', async () => {
    const { server: own, nobody, admin } = await serverWithAdmin();
    for (const name of ['a', 'b']) await admin.post('/api/databases', { name });
    const reader = await addUser(admin, nobody, 'reader', { role: 'read', databases: ['a', 'c'] });
    assert.deepEqual(await names(reader), ['a']);
    assert.equal((await reader.get('/api/databases/a')).status, 200);
    for (const name of ['b', 'default', 'nowhere']) assert.equal(assertProblem(await reader.get(`/api/databases/${name}`), 404, name).code, 'database_not_found');
    assertProblem(await reader.post('/api/databases', { name: 'c' }), 403);
    assertProblem(await reader.delete('/api/databases/a'), 403);
    await own.stop();
  });
});
