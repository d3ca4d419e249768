// /livez, /readyz, /healthz and /api/stats: figures that are real or null.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { basic, bearer, serverWithAdmin } from './people.mjs';
import { assertProblem, keyPath, Server, until, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

describe('health', () => {
  for (const target of ['/livez', '/readyz', '/readyz?verbose', '/healthz']) {
    it(`${target} is 200 of a server that runs`, async () => {
      assert.equal((await client.get(target)).status, 200);
      const head = await client.request('HEAD', target);
      assert.equal(head.status, 200);
      assert.equal(head.body.length, 0);
    });
  }

  it('/readyz?verbose says more than /readyz', async () => {
    assert.ok((await client.get('/readyz?verbose')).body.length > (await client.get('/readyz')).body.length);
  });

  it('is told to who shows what is wrong, out of date or banned, but for what not everyone may know', async () => {
    const { server: own, nobody } = await serverWithAdmin({ config: { security: { max_auth_failures: 2 } } });
    const wrong = [bearer('vt_ended'), basic('ada', 'a guess'), { Authorization: 'nonsense' }, { Cookie: `velocity_${own.port}=vs_ended` }];
    for (const headers of [...wrong, ...wrong, ...wrong]) {
      for (const target of ['/livez', '/readyz', '/healthz']) {
        assert.equal((await nobody.get(target, headers)).status, 200, target);
        assert.equal((await nobody.request('HEAD', target, { headers })).status, 200, target);
      }
    }
    assert.equal((await nobody.get('/readyz?verbose', basic('ada'))).json.databases.default, 'ok', 'and none of it was a guess');
    for (const headers of wrong.slice(0, 2)) assertProblem(await nobody.get('/readyz?verbose', headers), 401);
    await until('a ban', async () => (await nobody.get('/readyz?verbose', bearer('vt_ended'))).status === 429);
    for (const target of ['/livez', '/readyz']) assert.equal((await nobody.get(target, bearer('vt_ended'))).status, 200, target);
    await own.stop();
  });

  it('takes no other parameters', async () => {
    assertProblem(await client.get('/livez?x=1'), 400);
  });

  it('/livez is answered while other work waits', async () => {
    const values = Array.from({ length: 40 }, (_, i) => client.put(`/api/keys/busy:${i}`, Buffer.alloc(100_000, 'x')));
    await Promise.all(values);
    const live = await Wire.open(server.port);
    const listings = await Promise.all(Array.from({ length: 40 }, () => Wire.open(server.port)));
    for (const wire of listings) wire.socket.once('data', () => wire.socket.pause()); // its beginning is enough
    const answered = () => listings.filter((wire) => wire.buffer.length > 0).length;
    // At once: what comes is seen in the order in which it came, however late we look.
    for (const wire of listings) wire.send('GET /api/keys?prefix=busy:&values=true&limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    live.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await live.response()).status, 200);
    assert.ok(answered() < 20, `/livez waited for ${answered()} of 40 listings that had come before it`);
    for (const wire of [live, ...listings]) wire.close();
  });
});

describe('/api/stats', () => {
  const stats = async () => {
    const response = await client.get('/api/stats');
    assert.equal(response.status, 200);
    assert.match(response.headers['content-type'], /^application\/json\b/);
    return response.json;
  };
  /** All numbers of a document by their path. */
  const numbers = (value, at = '', into = new Map()) => {
    if (typeof value === 'number') into.set(at, value);
    else if (value && typeof value === 'object') for (const [name, child] of Object.entries(value)) numbers(child, at ? `${at}.${name}` : name, into);
    return into;
  };

  it('holds numbers that can be true: finite, not negative, ratios within 1', async () => {
    const all = numbers(await stats());
    assert.ok(all.size >= 20, `${all.size} figures`);
    for (const [name, value] of all) {
      assert.ok(Number.isFinite(value) && value >= 0, `${name} = ${value}`);
      if (/rate$|ratio$/.test(name)) assert.ok(value <= 1 || /compression|amplification/.test(name), `${name} = ${value}`);
    }
  });

  it('moves with what is done', async () => {
    const earlier = numbers(await stats());
    for (let i = 0; i < 50; i++) await client.put(`/api/keys/stats:${i}`, 'x'.repeat(1000));
    for (let i = 0; i < 70; i++) await client.get(`/api/keys/stats:${i % 50}`);
    const later = numbers(await stats());
    const grown = (pattern, by) => [...later].filter(([name, value]) => pattern.test(name) && value - (earlier.get(name) ?? 0) >= by).map(([name]) => name);
    assert.ok(grown(/put|write/i, 50).length > 0, 'some figure counts the 50 writes');
    assert.ok(grown(/get|read/i, 70).length > 0, 'some figure counts the 70 reads');
    assert.ok(grown(/bytes/i, 50_000).length > 0, 'some figure counts the bytes');
    assert.ok(grown(/uptime/i, 0).length > 0, 'the uptime is there');
    for (const [name, value] of later) {
      if (/(requests|puts|gets|deletes|writes|reads|total)$/.test(name)) assert.ok(value >= (earlier.get(name) ?? 0), `${name} went back`);
    }
  });

  it('counts an error as an error', async () => {
    const count = async () => JSON.stringify((await stats()).server);
    const earlier = await count();
    for (let i = 0; i < 5; i++) await client.get(keyPath('not-there-at-all'));
    assert.notEqual(await count(), earlier);
  });

  it('takes no parameters', async () => {
    assertProblem(await client.get('/api/stats?pretty=1'), 400);
  });
});
