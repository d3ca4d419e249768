// Keys that expire: ttl and expires_at, what shows of them, and what clears, keeps and changes an expiry.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, key64, Server, sleep, until, versionOf, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const FAR = '2100-01-01T00:00:00.000Z';
const expiry = (response) => response.headers['velocity-expires-at'];
const batch = async (ops) => {
  const response = await client.post('/api/batch', { ops });
  assert.equal(response.status, 200, response.text);
  return response.json.results;
};
/** Until the key is gone. */
const goes = (target) => until(`the end of ${target}`, async () => (await client.get(target)).status === 404);

describe('a PUT', () => {
  it('with a ttl lives so many seconds, and says until when', async () => {
    const before = Date.now();
    assert.equal((await client.put('/api/keys/ttl?ttl=100', 'v')).status, 204);
    const after = Date.now();
    const got = await client.get('/api/keys/ttl');
    assert.match(expiry(got), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    const at = Date.parse(expiry(got));
    assert.ok(at >= before + 100_000 && at <= after + 100_000, `${at - before}`);
    assert.equal(expiry(await client.request('HEAD', '/api/keys/ttl')), expiry(got));
    assert.equal(expiry(await client.get('/api/keys/ttl', { 'If-None-Match': got.headers.etag })), expiry(got));
  });

  it('with expires_at lives until then, in whatever offset it is given', async () => {
    for (const at of [FAR, '2100-01-01T00:00:00Z', '2100-01-01T02:30:00%2B02:30', '2099-12-31t23:00:00.0-01:00', '2100-01-01T00:00:00z', '2100-01-01T00:00:00-00:00', '2100-01-01T23:59:00%2B23:59', '2099-12-31T00:01:00-23:59', '2100-01-01T00:00:00.000999999Z', '2100-01-01T00:00:00.000000000Z']) {
      assert.equal((await client.put(`/api/keys/at?expires_at=${at}`, 'v')).status, 204, at);
      assert.equal(expiry(await client.get('/api/keys/at')), FAR, at);
    }
  });

  it('with expires_at has a fraction to the millisecond, cut off there', async () => {
    for (const [at, stands] of [['2100-02-28T12:00:00.5Z', '2100-02-28T12:00:00.500Z'], ['2104-02-29T12:00:00.0019Z', '2104-02-29T12:00:00.001Z'], ['2100-01-01T00:00:00.999999999Z', '2100-01-01T00:00:00.999Z'], ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z']]) {
      assert.equal((await client.put(`/api/keys/at?expires_at=${at}`, 'v')).status, 204, at);
      assert.equal(expiry(await client.get('/api/keys/at')), stands, at);
    }
  });

  it('is gone when its time has come: for GET, HEAD, listings, counts, batches and conditions', async () => {
    await client.put('/api/keys/short:1?ttl=100', 'v');
    assert.equal((await client.get('/api/keys/short:1')).text, 'v');
    const put = await client.put('/api/keys/short:1?ttl=1', 'v');
    await goes('/api/keys/short:1');
    assertProblem(await client.get('/api/keys/short:1'), 404);
    assert.equal((await client.request('HEAD', '/api/keys/short:1')).status, 404);
    assert.deepEqual((await client.get('/api/keys?prefix=short:')).json.items, []);
    assert.equal((await client.get('/api/keys?prefix=short:&count=true')).json.count, 0);
    assert.deepEqual(await batch([{ op: 'get', key: 'short:1' }]), [null]);
    assertProblem(await client.put('/api/keys/short:1', 'v', { 'If-Match': put.headers.etag }), 412);
    assert.equal((await client.put('/api/keys/short:1', 'v', { 'If-None-Match': '*' })).status, 201);
  });

  it('is gone for everything else that reads, folds, counts or changes', async () => {
    const put = async (ttl) => {
      for (const key of ['over/d/1', 'over/n', 'over/j']) await client.put(`/api/keys/${key}?ttl=${ttl}`, '7', { 'Content-Type': 'application/json' });
    };
    await put(100);
    assert.deepEqual((await client.get('/api/keys?prefix=over/&delimiter=/')).json.prefixes, ['over/d/']);
    await put(1);
    for (const key of ['over/d/1', 'over/n', 'over/j']) await goes(`/api/keys/${key}`);
    for (const query of ['prefix=over/&delimiter=/', 'prefix=over/&delimiter=/&reverse=true', 'prefix=over/&reverse=true&values=true']) {
      const { items, prefixes, complete } = (await client.get(`/api/keys?${query}`)).json;
      assert.deepEqual([items, prefixes, complete], [[], [], true], query);
    }
    assert.deepEqual((await client.get('/api/keys?start=over/&end=over0&count=true')).json, { count: 0, exact: true });
    assert.deepEqual((await client.delete('/api/keys?prefix=over/&dry_run=true')).json, { count: 0, exact: true });
    assert.equal((await client.get('/api/export?prefix=over/')).text, '');
    assertProblem(await client.get(`/api/keys?key64=${key64('over/n')}`, { Range: 'bytes=0-0' }), 404);
    assertProblem(await client.request('PATCH', '/api/keys/over/j', { body: '{"a":1}', headers: { 'Content-Type': 'application/merge-patch+json' } }), 404);
    assertProblem(await client.post('/api/batch', { if: [{ key: 'over/j', exists: true }], ops: [] }), 412);
    assertProblem(await client.delete('/api/keys/over/j', { 'If-Match': '*' }), 412);
    const [touched, counted] = await batch([{ op: 'touch', key: 'over/j', ttl: 100 }, { op: 'increment', key: 'over/n' }]);
    assert.deepEqual([touched, counted.value], [null, '1']);
    const got = await client.get('/api/keys/over/n');
    assert.deepEqual([got.text, expiry(got), got.headers['content-type']], ['1', undefined, 'text/plain; charset=utf-8'], 'nothing of the old one is left');
  });

  it('has a ttl that counts from when its value has come, however slowly that came', async () => {
    const wire = await Wire.midway(server.port, 'PUT /api/keys/slow?ttl=100', 1);
    await sleep(300);
    const sent = Date.now();
    wire.send('v');
    assert.equal((await wire.response()).status, 204);
    wire.close();
    const at = Date.parse(expiry(await client.get('/api/keys/slow')));
    assert.ok(at >= sent + 100_000, `${sent + 100_000 - at} ms too early`);
  });

  it('with a moment that has passed is done, and the key is gone at once', async () => {
    for (const at of ['2020-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '0001-01-01T00:00:00Z']) {
      await client.put('/api/keys/past', 'before');
      const put = await client.put(`/api/keys/past?expires_at=${at}`, 'v');
      assert.equal(put.status, 204, at);
      versionOf(put);
      assertProblem(await client.get('/api/keys/past'), 404, at);
    }
  });

  it('without an expiry clears one that was there', async () => {
    await client.put('/api/keys/clear?ttl=100', 'v');
    await client.put('/api/keys/clear', 'w');
    assert.equal(expiry(await client.get('/api/keys/clear')), undefined);
  });

  it('with conditions takes it along', async () => {
    const created = await client.put(`/api/keys/conditional?expires_at=${FAR}`, 'v', { 'If-None-Match': '*' });
    assert.equal(created.status, 201);
    assert.equal(expiry(await client.get('/api/keys/conditional')), FAR);
    const tags = `"1", ${created.headers.etag}`; // more than one: read first
    assert.equal((await client.put('/api/keys/conditional?ttl=50', 'v', { 'If-Match': tags })).status, 204);
    assert.notEqual(expiry(await client.get('/api/keys/conditional')), FAR);
  });

  it('at ?key64= takes it too', async () => {
    const key = key64(Buffer.from([0xff, 1]));
    assert.equal((await client.put(`/api/keys?key64=${key}&expires_at=${FAR}`, 'v')).status, 204);
    assert.equal((await client.put(`/api/keys?ttl=5&key64=${key}!`, 'v')).status, 400, 'a malformed key64');
    assert.equal(expiry(await client.get(`/api/keys?key64=${key}`)), FAR);
  });

  for (const query of [
    'ttl=0', 'ttl=-1', 'ttl=', 'ttl=1.5', 'ttl=1e3', 'ttl=01', 'ttl=+1', 'ttl=3155760001', 'ttl=18446744073709551616', 'ttl=a', 'ttl=5&ttl=5',
    `ttl=5&expires_at=${FAR}`, 'expires_at=', 'expires_at=4102444800', 'expires_at=2100-01-01', 'expires_at=2100-01-01T00:00:00', 'expires_at=2100-02-30T00:00:00Z',
    'expires_at=10000-01-01T00:00:00Z', 'expires_at=2100-02-29T00:00:00Z', 'expires_at=2100-01-01T24:00:00Z', 'expires_at=2100-06-30T23:59:60Z', 'expires_at=2100-01-01%2000:00:00Z', 'expires_at=2100-01-01T00:00:00.Z',
    'expires_at=2100-01-01T00:00:00%2B24:00', 'expires_at=2100-01-01T00:00:00%2B0100', 'expires_at=2100-01-01T00:00:00ZZ', 'expires_at=2100-01-01T00:00:00Z%00', 'ttl=5%00', 'ttl=%205', 'ttl=5%20', 'ttl=0x5', 'ttl=5s', 'ttl=-0', 'ttl=9223372036854775807', 'expires_at=2100-01-01T00:00:00+02:00', 'expires_at=never',
  ]) {
    it(`?${query} is 400, and nothing is done`, async () => {
      await client.put('/api/keys/wrong', 'kept');
      assertProblem(await client.put(`/api/keys/wrong?${query}`, 'changed'), 400);
      assert.equal((await client.get('/api/keys/wrong')).text, 'kept');
    });
  }

  it('with a wrong expiry is refused before its body is sent', async () => {
    for (const query of ['ttl=0', 'expires_at=never', `ttl=5&expires_at=${FAR}`]) {
      const wire = await Wire.open(server.port);
      wire.send(`PUT /api/keys/wrong?${query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n`);
      assertProblem(await wire.response(), 400, query);
      wire.close();
    }
  });

  it('may live for a hundred years', async () => {
    assert.equal((await client.put('/api/keys/long?ttl=3155760000', 'v')).status, 204);
    assert.ok(Date.parse(expiry(await client.get('/api/keys/long'))) > Date.now() + 3155759000000);
  });

  it('refuses a ttl where nothing is put', async () => {
    for (const method of ['GET', 'DELETE', 'HEAD']) assert.equal((await client.request(method, '/api/keys/long?ttl=5')).status, 400, method);
  });
});

describe('the same moment', () => {
  const moment = (items) => items.map(({ expires_at }) => expires_at);

  it('is taken by every way in, and shown by every way out', async () => {
    const offset = '2100-01-01T01:00:00%2B01:00';
    assert.equal((await client.put(`/api/keys/way:1?expires_at=${offset}`, 'v')).status, 204);
    assert.equal((await client.put(`/api/keys?key64=${key64('way:2')}&expires_at=${offset}`, 'v')).status, 204);
    await batch([{ op: 'put', key: 'way:3', text: 'v', expires_at: '2100-01-01T01:00:00+01:00' }, { op: 'put', key: 'way:4', text: 'v' }, { op: 'touch', key: 'way:4', expires_at: '2099-12-31T23:00:00-01:00' }]);
    const line = `${JSON.stringify({ key: 'way:5', text: 'v', expires_at: '2100-01-01T00:00:00.0Z' })}\n`;
    assert.equal((await client.request('POST', '/api/import', { body: line, headers: { 'Content-Type': 'application/x-ndjson' } })).json.imported, 1);
    const { id } = (await client.post('/api/transactions', { isolation: 'snapshot' })).json;
    const inside = client.with({ 'Velocity-Transaction': id });
    assert.equal((await inside.put(`/api/keys/way:6?expires_at=${offset}`, 'v')).status, 204);
    const written = await inside.post('/api/batch', { ops: [{ op: 'put', key: 'way:7', text: 'v', expires_at: FAR }, { op: 'put', key: 'way:8', text: 'v' }, { op: 'touch', key: 'way:8', expires_at: FAR }, { op: 'get', key: 'way:8' }] });
    assert.equal(written.json.results[3].expires_at, FAR);
    assert.deepEqual(moment((await inside.get('/api/keys?prefix=way:')).json.items), Array(8).fill(FAR), 'inside of the transaction');
    assert.equal((await client.request('POST', `/api/transactions/${id}/commit`)).status, 200);
    for (let i = 1; i <= 8; i++) {
      for (const method of ['GET', 'HEAD']) assert.equal(expiry(await client.request(method, `/api/keys/way:${i}`)), FAR, `${method} ${i}`);
    }
    const exported = (await client.get('/api/export?prefix=way:')).text.trimEnd().split('\n').map((text) => JSON.parse(text));
    const listed = (await client.get('/api/keys?prefix=way:')).json.items;
    const got = await batch(Array.from({ length: 8 }, (_, i) => ({ op: 'get', key: `way:${i + 1}` })));
    for (const items of [exported, listed, got]) assert.deepEqual(moment(items), Array(8).fill(FAR));
  });

  it('as a ttl is taken by PUT, put, touch, both inside of a transaction, and import', async () => {
    const { id } = (await client.post('/api/transactions', {})).json;
    const inside = client.with({ 'Velocity-Transaction': id });
    const before = Date.now();
    await client.put('/api/keys/ttl:1?ttl=1000', 'v');
    await batch([{ op: 'put', key: 'ttl:2', text: 'v', ttl: 1000 }, { op: 'put', key: 'ttl:3', text: 'v' }, { op: 'touch', key: 'ttl:3', ttl: 1000 }]);
    await inside.put('/api/keys/ttl:4?ttl=1000', 'v');
    await inside.post('/api/batch', { ops: [{ op: 'put', key: 'ttl:5', text: 'v', ttl: 1000 }, { op: 'put', key: 'ttl:6', text: 'v' }, { op: 'touch', key: 'ttl:6', ttl: 1000 }] });
    const ndjson = (body) => client.request('POST', '/api/import', { body, headers: { 'Content-Type': 'application/x-ndjson' } });
    assert.equal((await ndjson('{"key":"ttl:7","text":"v","ttl":1000}')).json.imported, 1);
    const after = Date.now();
    assert.equal((await client.request('POST', `/api/transactions/${id}/commit`)).status, 200);
    for (let i = 1; i <= 7; i++) {
      const at = Date.parse(expiry(await client.get(`/api/keys/ttl:${i}`)));
      assert.ok(at >= before + 1_000_000 && at <= after + 1_000_000, `${i}: ${at - before}`);
    }
    for (const wrong of ['"ttl":0', '"ttl":-5', '"ttl":"5"', '"ttl":1.5', '"ttl":5,"expires_at":"2100-01-01T00:00:00Z"']) {
      assert.equal(assertProblem(await ndjson(`\n{"key":"ttl:8","text":"v",${wrong}}`), 400).line, 2);
    }
    assertProblem(await client.get('/api/keys/ttl:8'), 404);
  });

  it('that has passed takes the key away by every way in', async () => {
    const past = '2020-01-01T00:00:00Z';
    const keys = Array.from({ length: 6 }, (_, i) => `gone:${i}`);
    await batch(keys.map((key) => ({ op: 'put', key, text: 'before' })));
    const { id } = (await client.post('/api/transactions', { isolation: 'snapshot' })).json;
    const inside = client.with({ 'Velocity-Transaction': id });
    await client.put(`/api/keys/gone:0?expires_at=${past}`, 'v');
    const results = await batch([{ op: 'put', key: 'gone:1', text: 'v', expires_at: past }, { op: 'get', key: 'gone:1' }, { op: 'touch', key: 'gone:2', expires_at: past }, { op: 'get', key: 'gone:2' }, { op: 'touch', key: 'gone:2', ttl: 100 }]);
    assert.deepEqual([results[1], results[3], results[4]], [null, null, null]);
    assert.equal((await inside.put(`/api/keys/gone:3?expires_at=${past}`, 'v')).status, 204);
    assert.equal((await inside.post('/api/batch', { ops: [{ op: 'touch', key: 'gone:4', expires_at: past }] })).status, 200);
    for (const key of ['gone:3', 'gone:4']) assertProblem(await inside.get(`/api/keys/${key}`), 404, key);
    assert.deepEqual((await inside.get('/api/keys?prefix=gone:&start=gone:3&count=true')).json, { count: 1, exact: true });
    assert.equal((await client.request('POST', `/api/transactions/${id}/commit`)).status, 200);
    assert.deepEqual((await client.get('/api/keys?prefix=gone:')).json.items.map(({ key }) => key), ['gone:5']);
    const created = await client.put('/api/keys/gone:3', 'anew', { 'If-None-Match': '*' });
    assert.equal(created.status, 201, 'it is absent for conditions');
  });
});

describe('an expiry', () => {
  it('stands in listings and in the gets of a batch', async () => {
    await client.put(`/api/keys/shown:1?expires_at=${FAR}`, 'v');
    await client.put('/api/keys/shown:2', 'v');
    for (const values of ['true', 'false']) {
      const { items } = (await client.get(`/api/keys?prefix=shown:&values=${values}`)).json;
      assert.equal(items[0].expires_at, FAR);
      assert.ok(!('expires_at' in items[1]));
    }
    const [one, two] = await batch([{ op: 'get', key: 'shown:1' }, { op: 'get', key: 'shown:2' }]);
    assert.equal(one.expires_at, FAR);
    assert.ok(!('expires_at' in two));
  });

  it('that comes while a transaction looks at one state does not change that state; under read_committed it does', async () => {
    const begin = async (isolation) => client.with({ 'Velocity-Transaction': (await client.post('/api/transactions', { isolation })).json.id });
    await client.put('/api/keys/state:1?ttl=3', 'v');
    const look = async (inside) => [(await inside.get('/api/keys/state:1')).status, (await inside.get('/api/keys?prefix=state:')).json.items.length, (await inside.get('/api/keys?prefix=state:&count=true')).json.count];
    const [serializable, snapshot, newest] = [await begin('serializable'), await begin('snapshot'), await begin('read_committed')];
    for (const inside of [serializable, snapshot, newest]) assert.deepEqual(await look(inside), [200, 1, 1]);
    await goes('/api/keys/state:1');
    for (const inside of [serializable, snapshot]) assert.deepEqual(await look(inside), [200, 1, 1]);
    assert.deepEqual(await look(newest), [404, 0, 0]);
    assert.deepEqual(await look(await begin('snapshot')), [404, 0, 0], 'for who begins now it is gone');
  });

  it('survives kill -9', async () => {
    await client.put(`/api/keys/durable?expires_at=${FAR}`, 'v');
    await client.put('/api/keys/durable-past?expires_at=2020-01-01T00:00:00Z', 'v');
    await server.kill();
    server = await server.again();
    client = server.client;
    assert.equal(expiry(await client.get('/api/keys/durable')), FAR);
    assertProblem(await client.get('/api/keys/durable-past'), 404);
  });
});

describe('in a batch', () => {
  it('a put takes ttl or expires_at, and the gets behind it see that', async () => {
    const results = await batch([
      { op: 'put', key: 'b:1', text: 'v', expires_at: FAR }, { op: 'get', key: 'b:1' }, { op: 'put', key: 'b:2', value: 1, ttl: 100 }, { op: 'put', key: 'b:1', text: 'w' },
      { op: 'get', key: 'b:1' },
    ]);
    assert.equal(results[1].expires_at, FAR);
    assert.ok(!('expires_at' in results[4]));
    assert.equal(expiry(await client.get('/api/keys/b:1')), undefined);
    assert.ok(Date.parse(expiry(await client.get('/api/keys/b:2'))) > Date.now() + 90_000);
  });

  it('without gets takes it too', async () => {
    await batch([{ op: 'put', key: 'b:async', text: 'v', expires_at: FAR }]);
    assert.equal(expiry(await client.get('/api/keys/b:async')), FAR);
  });

  it('a touch changes the expiry and nothing else, under a new version', async () => {
    const put = await client.put('/api/keys/touched', '{"a": 1.0}', { 'Content-Type': 'application/json; x=1' });
    const [result] = await batch([{ op: 'touch', key: 'touched', expires_at: FAR }]);
    const got = await client.get('/api/keys/touched');
    assert.deepEqual([got.text, got.headers['content-type'], expiry(got)], ['{"a": 1.0}', 'application/json; x=1', FAR]);
    assert.equal(String(versionOf(got)), result.version);
    assert.ok(versionOf(got) > versionOf(put));
    await batch([{ op: 'touch', key: 'touched', ttl: 100 }]);
    assert.ok(Date.parse(expiry(await client.get('/api/keys/touched'))) < Date.now() + 101_000);
    await batch([{ op: 'touch', key: 'touched' }]);
    assert.equal(expiry(await client.get('/api/keys/touched')), undefined, 'a touch without an expiry clears it');
    assert.equal((await client.get('/api/keys/touched')).text, '{"a": 1.0}');
  });

  it('a touch with a moment that has passed takes the key away', async () => {
    await client.put('/api/keys/touched-away', 'v');
    await batch([{ op: 'touch', key: 'touched-away', expires_at: '2020-01-01T00:00:00Z' }]);
    assertProblem(await client.get('/api/keys/touched-away'), 404);
  });

  it('a touch of a key that is not there is null, does nothing, and the rest is done', async () => {
    const results = await batch([{ op: 'touch', key: 'touched-not', ttl: 5 }, { op: 'put', key: 'touched-else', text: 'v' }, { op: 'delete', key: 'touched-else' }, { op: 'touch', key: 'touched-else' }]);
    assert.equal(results[0], null);
    assert.equal(results[3], null);
    assert.equal(BigInt(results[2].version), BigInt(results[1].version) + 1n);
    assertProblem(await client.get('/api/keys/touched-not'), 404);
  });

  it('a touch of a large value keeps all of it', async () => {
    const large = Buffer.alloc(1_000_000, 'large ');
    await client.put('/api/keys/touched-large', large);
    await batch([{ op: 'touch', key: 'touched-large', expires_at: FAR }]);
    const got = await client.get('/api/keys/touched-large');
    assert.ok(got.body.equals(large));
    assert.equal(expiry(got), FAR);
  });

  const invalid = {
    'a ttl of 0': { op: 'put', text: 'v', ttl: 0 },
    'a ttl in the past': { op: 'touch', ttl: -1 },
    'a ttl that is no integer': { op: 'put', text: 'v', ttl: 1.5 },
    'a ttl that is a string': { op: 'put', text: 'v', ttl: '5' },
    'a ttl too large': { op: 'touch', ttl: 3155760001 },
    'ttl and expires_at': { op: 'put', text: 'v', ttl: 5, expires_at: FAR },
    'an expires_at that is none': { op: 'touch', expires_at: 'tomorrow' },
    'an expires_at that is a number': { op: 'touch', expires_at: 4102444800 },
    'a ttl to get': { op: 'get', ttl: 5 },
    'a ttl to delete': { op: 'delete', ttl: 5 },
    'a ttl to increment': { op: 'increment', ttl: 5 },
    'a value to touch': { op: 'touch', text: 'v' },
    'a type to touch': { op: 'touch', type: 'text/plain' },
    'a by to touch': { op: 'touch', by: 1 },
  };
  for (const [what, op] of Object.entries(invalid)) {
    it(`${what} is 400 with its index, and nothing is done`, async () => {
      const response = await client.post('/api/batch', { ops: [{ op: 'put', key: 'b:invalid', text: 'v' }, { key: 'b:invalid', ...op }] });
      assert.equal(assertProblem(response, 400).index, 1);
      assertProblem(await client.get('/api/keys/b:invalid'), 404);
    });
  }
});
