// Range on GET: a part of a value, and everything that is passed over (RFC 9110, section 14).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, key64, MiB, random, Server, versionOf, Wire } from './support.mjs';

let server;
let client;
let put;
const value = '0123456789';
before(async () => {
  server = await Server.start();
  client = server.client;
  put = await client.put('/api/keys/ten', value, { 'Content-Type': 'text/plain' });
});
after(() => server?.stop());

const get = (range, more = {}) => client.get('/api/keys/ten', { Range: range, ...more });

describe('Range', () => {
  for (const [range, part] of [['0-0', '0'], ['0-9', value], ['2-4', '234'], ['7-', '789'], ['9-100', '9'], ['-1', '9'], ['-4', '6789'], ['-10', value], ['-11', value], ['0-', value]]) {
    it(`bytes=${range} is 206 with that part`, async () => {
      const got = await get(`bytes=${range}`);
      assert.equal(got.status, 206);
      assert.equal(got.text, part);
      const first = value.lastIndexOf(part);
      assert.equal(got.headers['content-range'], `bytes ${first}-${first + part.length - 1}/10`);
      assert.equal(got.headers['content-length'], `${part.length}`);
      assert.equal(got.headers['content-type'], 'text/plain');
      assert.equal(got.headers['accept-ranges'], 'bytes');
      assert.equal(versionOf(got), versionOf(put));
    });
  }

  for (const [range, part] of [['BYTES=2-4', '234'], [' bytes=2-4 ', '234'], ['bytes= 2-4 ,', '234'], ['bytes=,2-4', '234'], ['bytes=2-99999999999999999999', '23456789'], ['bytes=-99999999999999999999', value]]) {
    it(`'${range}' is one range all the same`, async () => {
      const got = await get(range);
      assert.deepEqual([got.status, got.text], [206, part]);
    });
  }

  for (const range of ['bytes=10-', 'bytes=10-11', 'bytes=-0', 'bytes=99999999999999999999-', 'bytes=18446744073709551615-18446744073709551615']) {
    it(`${range} is 416, with the size that there is, and the connection goes on`, async () => {
      const problem = assertProblem(await get(range), 416);
      assert.equal(problem.code, 'range_not_satisfiable');
      assert.equal((await get(range)).headers['content-range'], 'bytes */10');
    });
  }

  for (const range of ['bytes=0-1,4-5', 'bytes=4-2', 'bytes=', 'bytes=-', 'bytes=a-b', 'items=0-1', 'bytes', '0-1', 'bytes=1', 'bytes=0-1-2', 'bytes 0-1', 'bytes=0 - 1', 'bytes=+0-1', 'bytes=0-+1', 'bytes=0x0-1', 'bytes=0-1,2-3,4-5', 'bytes=-1,-2', 'bytes=--1', 'bytes=,', '']) {
    it(`${range} is passed over: 200 with all of it`, async () => {
      const got = await get(range);
      assert.deepEqual([got.status, got.text, got.headers['content-range'], got.headers['accept-ranges']], [200, value, undefined, 'bytes']);
    });
  }

  it('is told by Accept-Ranges, also where none is asked for', async () => {
    assert.equal((await client.get('/api/keys/ten')).headers['accept-ranges'], 'bytes');
    assert.equal((await client.request('HEAD', '/api/keys/ten')).headers['accept-ranges'], 'bytes');
  });

  it('means nothing to HEAD', async () => {
    for (const range of ['bytes=0-1', 'bytes=50-']) {
      const head = await client.request('HEAD', '/api/keys/ten', { headers: { Range: range } });
      assert.deepEqual([head.status, head.headers['content-length'], head.headers['content-range']], [200, '10', undefined]);
    }
  });

  it('of an empty value is 416, or all of nothing', async () => {
    await client.put('/api/keys/empty', '');
    assert.equal((await client.get('/api/keys/empty', { Range: 'bytes=0-' })).headers['content-range'], 'bytes */0');
    for (const range of ['bytes=0-0', 'bytes=-0', 'bytes=5-']) {
      const refused = await client.get('/api/keys/empty', { Range: range });
      assert.equal(assertProblem(refused, 416).code, 'range_not_satisfiable');
      assert.equal(refused.headers['content-range'], 'bytes */0', range);
    }
    const all = await client.get('/api/keys/empty', { Range: 'bytes=-5' });
    assert.deepEqual([all.status, all.body.length, all.headers['content-range']], [200, 0, undefined]);
  });

  it('of a key that is not there is 404; under a condition that fails, 304 and 412 come first', async () => {
    assertProblem(await client.get('/api/keys/absent', { Range: 'bytes=0-1' }), 404);
    assert.equal((await get('bytes=0-1', { 'If-None-Match': put.headers.etag })).status, 304);
    assert.equal((await get('bytes=50-', { 'If-Match': '"1000000"' })).status, 412);
    assert.equal((await get('bytes=0-1', { 'If-Match': put.headers.etag })).status, 206);
  });

  it('counts on the value, not on the type that is stored with it', async () => {
    await client.put('/api/keys/typed', value, { 'Content-Type': 'application/x-of-its-own; a=b' });
    const got = await client.get('/api/keys/typed', { Range: 'bytes=1-2' });
    assert.deepEqual([got.text, got.headers['content-range'], got.headers['content-type']], ['12', 'bytes 1-2/10', 'application/x-of-its-own; a=b']);
  });

  it('holds at ?key64=, too', async () => {
    const got = await client.get(`/api/keys?key64=${key64('ten')}`, { Range: 'bytes=-2' });
    assert.deepEqual([got.status, got.text], [206, '89']);
  });

  it('is of the bytes as they are stored, whatever coding is taken', async () => {
    const long = 'x'.repeat(100_000);
    await client.put('/api/keys/long', long, { 'Content-Type': 'text/plain' });
    const got = await client.get('/api/keys/long', { Range: 'bytes=5-99004', 'Accept-Encoding': 'gzip, identity;q=0' });
    assert.deepEqual([got.status, got.headers['content-encoding'], got.text], [206, undefined, long.slice(0, 99_000)]);
  });

  it('means nothing to a listing or a count', async () => {
    for (const query of ['prefix=ten', 'prefix=ten&count=true']) {
      const got = await client.get(`/api/keys?${query}`, { Range: 'bytes=0-1' });
      assert.deepEqual([got.status, got.headers['content-range'], got.headers['accept-ranges']], [200, undefined, undefined]);
      assert.ok(got.json);
    }
  });

  it('of a large value reads it in parts that joined are the whole', async () => {
    const large = random(5).bytes(3 * MiB + 17);
    const stored = await client.put('/api/keys/large', large);
    const parts = [];
    for (let at = 0; at < large.length; at += 700_000) {
      const part = await client.get('/api/keys/large', { Range: `bytes=${at}-${at + 699_999}`, 'If-Range': stored.headers.etag });
      assert.equal(part.status, 206);
      parts.push(part.body);
    }
    assert.ok(Buffer.concat(parts).equals(large));
  });

  it('given twice is 400', async () => {
    const wire = await Wire.open(server.port);
    wire.send('GET /api/keys/ten HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n');
    assertProblem(await wire.response(), 400);
    wire.close();
  });
});

describe('If-Range', () => {
  it('with the version at hand: the part', async () => {
    assert.equal((await get('bytes=0-1', { 'If-Range': put.headers.etag })).status, 206);
  });

  it('without a range says nothing', async () => {
    for (const tag of [put.headers.etag, '"1000000"']) {
      const got = await client.get('/api/keys/ten', { 'If-Range': tag });
      assert.deepEqual([got.status, got.text], [200, value]);
    }
  });

  it('follows the value: what was written since is sent whole', async () => {
    const first = await client.put('/api/keys/moving', 'first value');
    await client.put('/api/keys/moving', 'second value');
    const got = await client.get('/api/keys/moving', { Range: 'bytes=6-', 'If-Range': first.headers.etag });
    assert.deepEqual([got.status, got.text], [200, 'second value']);
  });

  it('with anything else: all of it', async () => {
    for (const tag of ['"1000000"', `W/${put.headers.etag}`, 'Sat, 21 Nov 2026 19:00:00 GMT', 'x', `${put.headers.etag}, "1"`, '*']) {
      const got = await get('bytes=0-1', { 'If-Range': tag });
      assert.deepEqual([got.status, got.text], [200, value], tag);
      assert.equal((await get('bytes=50-', { 'If-Range': tag })).status, 200, tag);
    }
  });
});
