// gzip for lists, where the client takes it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { assertProblem, Server, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
  const ops = Array.from({ length: 500 }, (_, i) => ({ op: 'put', key: `list:${String(i).padStart(4, '0')}`, text: 'a value that is much like the others' }));
  assert.equal((await client.post('/api/batch', { ops })).status, 200);
});
after(() => server?.stop());

const LARGE = '/api/keys?prefix=list:&limit=500&values=true';
const SMALL = '/api/keys?prefix=list:0001';
const get = (target, encoding) => client.get(target, encoding === undefined ? {} : { 'Accept-Encoding': encoding });

describe('a long list', () => {
  it('is gzip where that is taken, and the same document', async () => {
    const plain = await get(LARGE);
    assert.equal(plain.headers['content-encoding'], undefined);
    for (const encoding of ['gzip', 'deflate, gzip;q=0.5, br', '*', 'GZIP', 'identity;q=0, gzip', 'x-gzip', 'gzip ; q=0.001', 'gzip;Q=1.000', '*;q=0.5', 'gzip;q=0.5, identity;q=0.5', '*;q=0, gzip', 'identity;q=0, *', ',,gzip,']) {
      const packed = await get(LARGE, encoding);
      assert.equal(packed.headers['content-encoding'], 'gzip', encoding);
      assert.equal(packed.headers['content-type'], 'application/json');
      assert.equal(packed.headers['content-length'], `${packed.body.length}`);
      assert.ok(packed.body.length < plain.body.length / 3, `${packed.body.length} of ${plain.body.length} bytes`);
      assert.equal(gunzipSync(packed.body).toString(), plain.text);
    }
  });

  it('is plain where it is not taken', async () => {
    for (const encoding of [undefined, '', 'identity', 'br', 'gzip;q=0', 'gzip;q=0.000', '*;q=0', 'gzip;q=0.1, identity', 'gzip;q=x', 'gzip;q=0, *', 'gzip;q=0, *;q=1', 'identity;q=0', 'identity;q=0, gzip;q=0', 'identity;q=0, *;q=0', 'gzip;q=1.5', 'gzip;q=1.001', 'gzip;q=0.0001', 'gzip;q=', 'gzip;q=-1', 'gzip;x=1', 'gzipped', 'x-gzip;q=0']) {
      const plain = await get(LARGE, encoding);
      assert.equal(plain.headers['content-encoding'], undefined, encoding);
      assert.equal(plain.json.items.length, 500);
    }
  });

  it('says that it varies, either way', async () => {
    for (const encoding of [undefined, 'gzip']) assert.match((await get(LARGE, encoding)).headers.vary, /\bAccept-Encoding\b/);
  });

  it('has the same header fields for HEAD', async () => {
    for (const encoding of ['gzip', 'identity', 'gzip, identity;q=0', undefined]) {
      const answered = await get(LARGE, encoding);
      const head = await client.request('HEAD', LARGE, { headers: encoding === undefined ? {} : { 'Accept-Encoding': encoding } });
      assert.equal(head.body.length, 0);
      for (const name of ['content-length', 'content-encoding', 'content-type', 'vary']) assert.equal(head.headers[name], answered.headers[name], name);
    }
  });

  it('has no entity tag, so that none can stand for both forms of it; and If-None-Match says nothing to it', async () => {
    for (const encoding of ['gzip', 'identity']) {
      const first = await get(LARGE, encoding);
      assert.equal(first.headers.etag, undefined);
      const again = await client.get(LARGE, { 'Accept-Encoding': encoding, 'If-None-Match': `*` });
      assert.deepEqual([again.status, again.body.length], [200, first.body.length]);
    }
  });

  it('in a transaction is gzip, too', async () => {
    const { id } = (await client.post('/api/transactions', {})).json;
    const packed = await client.get(LARGE, { 'Accept-Encoding': 'gzip', 'Velocity-Transaction': id });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(JSON.parse(gunzipSync(packed.body)).items.length, 500);
    assert.equal((await client.delete(`/api/transactions/${id}`)).status, 204);
  });

  it('goes on over pages', async () => {
    let cursor = '';
    let items = 0;
    do {
      const page = JSON.parse(gunzipSync((await get(`/api/keys?prefix=list:&limit=120${cursor && `&cursor=${cursor}`}`, 'gzip')).body));
      items += page.items.length;
      cursor = page.cursor;
    } while (cursor);
    assert.equal(items, 500);
  });

  it('asked for in two header lines is the same as in one', async () => {
    const wire = await Wire.open(server.port);
    wire.send(`GET ${LARGE} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br\r\nAccept-Encoding: gzip\r\n\r\n`);
    assert.equal((await wire.response()).headers['content-encoding'], 'gzip');
    wire.close();
  });

  it('of the audit log is gzip, too', async () => {
    const audited = await Server.start({ config: { security: { audit_level: 'all' } } });
    try {
      for (let i = 0; i < 30; i++) await audited.client.put(`/api/keys/${i}`, 'v');
      const packed = await audited.client.get('/api/audit?limit=30', { 'Accept-Encoding': 'gzip' });
      assert.equal(packed.headers['content-encoding'], 'gzip');
      assert.equal(JSON.parse(gunzipSync(packed.body)).rows.length, 30);
    } finally {
      await audited.stop();
    }
  });
});

describe('what is short, a value, or an error', () => {
  it('is plain', async () => {
    assert.equal((await get(SMALL, 'gzip')).json.items.length, 1);
    await client.put('/api/keys/value', 'x'.repeat(100_000));
    assert.equal((await get('/api/keys/value', 'gzip')).text.length, 100_000);
    const value = await get('/api/keys/value', 'gzip, identity;q=0');
    assert.deepEqual([value.status, value.headers['content-encoding'], value.headers.vary], [200, undefined, undefined], 'a value is kept and given as it came');
    assert.equal((await get('/api/keys/value', 'gzip')).headers.etag, (await get('/api/keys/value')).headers.etag);
    assertProblem(await get('/api/keys?limit=0', 'gzip'), 400);
    assertProblem(await get('/api/keys?limit=0', 'gzip, identity;q=0'), 400);
    assert.equal((await get('/api/keys?count=true', 'gzip')).headers['content-encoding'], undefined);
  });

  it('but for a short list where nothing else is taken', async () => {
    const packed = await get(SMALL, 'gzip, identity;q=0');
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(JSON.parse(gunzipSync(packed.body)).items.length, 1);
  });
});
