// What somebody tries who should not be able to: go on after they were thrown out, fill what belongs to all, lie about
// who they are.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { addToken, addUser, basic, bearer, logIn, OTHER_PASSWORD, PASSWORD, serverWithAdmin } from './people.mjs';
import { assertProblem, KiB, MiB, Server, until, Wire } from './support.mjs';

const rows = async (admin, query = 'limit=1000') => (await admin.get(`/api/audit?${query}`)).json.rows;
/** So many requests on one connection: their statuses. */
const many = async (server, count, request) => {
  const wire = await Wire.open(server.port);
  const statuses = [];
  for (let i = 0; i < count; i++) {
    wire.send(request);
    statuses.push((await wire.response()).status);
  }
  wire.close();
  return statuses;
};
const message = (line, headers, body) =>
  [line, 'Host: localhost', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), `Content-Length: ${body.length}`, '', body].join('\r\n');

describe('whose rights end while their request is still coming', () => {
  /** Sends all but the last byte of a request that was let in, runs `meanwhile`, sends that byte: the response. */
  const interrupted = async (server, line, headers, body, meanwhile) => {
    const wire = await Wire.midway(server.port, line, body.length, headers);
    wire.send(body.slice(0, -1));
    await meanwhile();
    wire.send(body.slice(-1));
    const response = await wire.response();
    wire.close();
    return response;
  };
  const newUser = JSON.stringify({ name: 'mallory', password: PASSWORD, role: 'admin' });
  const makesUser = (server, headers, meanwhile) =>
    interrupted(server, 'POST /api/users', { 'Content-Type': 'application/json', ...headers }, newUser, meanwhile);

  it('does nothing with a token that was revoked, a session that was ended, a password that was changed', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    const { id, token } = await addToken(admin);
    const session = await logIn(nobody, 'ada');
    const sessionId = (await nobody.get('/api/whoami', bearer(session))).json.id;
    for (const name of ['bob', 'carol']) await addUser(admin, nobody, name, { role: 'admin' });
    const attempts = [
      [bearer(token), () => admin.delete(`/api/tokens/${id}`)],
      [bearer(session), () => admin.delete(`/api/sessions/${sessionId}`)],
      [basic('bob'), () => admin.patch('/api/users/bob', { password: OTHER_PASSWORD })],
      [basic('bob', OTHER_PASSWORD), () => admin.patch('/api/users/bob', { role: 'read' })],
      [basic('carol'), () => admin.delete('/api/users/carol')],
    ];
    for (const [headers, meanwhile] of attempts) {
      const response = await makesUser(server, headers, meanwhile);
      assertProblem(response, response.status === 403 ? 403 : 401, meanwhile.toString());
      assertProblem(await admin.get('/api/users/mallory'), 404, meanwhile.toString());
    }
    await server.stop();
  });

  it('and who was admin because there was no user is nobody once there is one', async () => {
    const server = await Server.start();
    const response = await makesUser(server, {}, () => server.client.post('/api/users', { name: 'ada', password: PASSWORD }));
    assertProblem(response, 401);
    assertProblem(await server.client.get('/api/users/mallory', basic('ada')), 404);
    await server.stop();
  });

  it('but what changes for others does not matter', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    const { id } = await addToken(admin);
    await addUser(admin, nobody, 'bob');
    for (const headers of [bearer(await logIn(nobody, 'ada')), basic('ada')]) {
      const response = await interrupted(server, 'PUT /api/keys/a', headers, 'value', async () => {
        await admin.delete(`/api/tokens/${id}`);
        await admin.delete('/api/users/bob');
      });
      assert.equal(response.status, 204, response.text);
    }
    await server.stop();
  });
});

describe('the audit log is not filled by strangers', () => {
  it('with credentials that are none: they count like wrong ones, and are banned', async () => {
    for (const field of ['x', 'Bearer', 'Basic !', `Basic ${Buffer.from('no colon').toString('base64')}`]) {
      const { server, admin } = await serverWithAdmin({ config: { security: { max_auth_failures: 2 } } });
      const statuses = await many(server, 60, `GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${field}\r\n\r\n`);
      assert.ok(statuses.includes(429), `${field}: ${new Set(statuses)}`);
      assert.ok((await rows(admin, 'action=login&limit=1000')).filter(({ status }) => status === 401).length <= 20, field);
      await server.stop();
    }
  });

  it('with logins that are none, or of who is banned', async () => {
    const { server, admin } = await serverWithAdmin({ config: { security: { max_auth_failures: 2 } } });
    const before = (await rows(admin, 'action=login&limit=1000')).length;
    const json = { 'Content-Type': 'application/json' };
    await many(server, 40, message('POST /api/sessions HTTP/1.1', json, '{}'));
    await many(server, 40, message('POST /api/sessions HTTP/1.1', {}, '{}'));
    await many(server, 40, message('POST /api/sessions HTTP/1.1', json, JSON.stringify({ username: 'ada', password: 'a guess' })));
    const after = await rows(admin, 'action=login&limit=1000');
    assert.equal(after.length - before, 2, 'the two wrong passwords');
    await server.stop();
  });

  it('nor beyond the rate limit by who asks for what is not theirs', async () => {
    const { server, nobody, admin } = await serverWithAdmin({ config: { server: { rate_limit_per_second: 20 } } });
    await addUser(admin, nobody, 'bob', { role: 'read' });
    const request = `GET /api/users HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic('bob').Authorization}\r\n\r\n`;
    const wire = await Wire.open(server.port);
    wire.send(request.repeat(100)); // in one piece: faster than the limit on any machine
    const statuses = [];
    for (let i = 0; i < 100; i++) statuses.push((await wire.response()).status);
    wire.close();
    assert.ok(statuses.includes(403) && statuses.includes(429), `${[...new Set(statuses)]}`);
    await server.stop();
  });
});

describe('the audit log', () => {
  /** The rows that count what has none, which the end of the server writes: of each user or address, how many. */
  const leftOut = async (server) => {
    await server.stop();
    const again = await server.again();
    const found = await rows(again.client.with(basic('ada')), 'action=audit.refusals&limit=1000');
    await again.stop();
    return found.map(({ user, address, detail }) => [user ?? address, Number(/^events=(\d+) from_ms=\d+ to_ms=\d+$/.exec(detail)[1])]);
  };

  it('is not filled by who has no rate limit and goes on with what is not theirs: the rest is counted', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    await addUser(admin, nobody, 'bob', { role: 'read' });
    await many(server, 500, `GET /api/users HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic('bob').Authorization}\r\n\r\n`);
    const { length } = await rows(admin, 'user=bob&action=users&limit=1000');
    assert.ok(length >= 60 && length < 200, `${length} of 500`);
    assert.deepEqual(await leftOut(server), [['bob', 500 - length]]);
  });

  it('is not filled by strangers where nobody is banned, by their logins or by another site\'s pages', async () => {
    const { server, admin } = await serverWithAdmin({ config: { security: { max_auth_failures: 0 } } });
    await many(server, 300, 'GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nonsense\r\n\r\n');
    await many(server, 300, 'DELETE /api/keys/a HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n');
    const found = (await rows(admin, 'limit=1000')).filter(({ user, address }) => !user && address === '127.0.0.1');
    assert.ok(found.length >= 60 && found.length < 200, `${found.length} of 600`);
    const [[who, count]] = await leftOut(server);
    assert.deepEqual([who, count], ['127.0.0.1', 600 - found.filter(({ status }) => status >= 400).length]);
  });

  it('has requests that a browser sent for another site\'s page, and those without their CSRF token', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    assertProblem(await nobody.delete('/api/keys/a', { Origin: 'https://evil.example', 'X-Request-Id': 'evil' }), 403);
    assertProblem(await nobody.delete('/api/keys/a', { 'Sec-Fetch-Site': 'cross-site' }), 403);
    const [unnamed, named] = await rows(admin, 'action=cross_site');
    assert.deepEqual([named.status, named.address, named.user, named.detail, named.request_id], [403, '127.0.0.1', null, 'https://evil.example', 'evil']);
    assert.match(unnamed.detail, /Sec-Fetch-Site/);
    const login = await nobody.post('/api/sessions', { username: 'ada', password: PASSWORD, cookie: true });
    assertProblem(await nobody.put('/api/keys/a', 'x', { Cookie: login.headers['set-cookie'][0].split(';')[0] }), 403);
    const [row] = await rows(admin, 'action=csrf');
    assert.deepEqual([row.status, row.user, row.login, row.login_id, row.detail], [403, 'ada', 'session', login.json.id, 'put']);
    await server.stop();
  });

  it('says which failure led to a ban, and how often who is banned came back', async () => {
    const { server, nobody, admin } = await serverWithAdmin({ config: { security: { max_auth_failures: 2, auth_ban_duration: 60 } } });
    const guess = () => nobody.post('/api/sessions', { username: 'ada', password: 'a guess' });
    assert.deepEqual([(await guess()).status, (await guess()).status, (await guess()).status, (await guess()).status], [401, 401, 429, 429]);
    const found = (await rows(admin, 'action=login&limit=2')).map(({ status, key, detail }) => [status, key, detail]);
    assert.deepEqual(found, [[401, 'ada', 'banned for 60 seconds'], [401, 'ada', null]]);
    assert.deepEqual(await leftOut(server), [['127.0.0.1', 2]]);
  });

  it('names who was guessed at with Basic, too', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    await nobody.get('/api/keys/a', basic('ada', OTHER_PASSWORD));
    const [row] = await rows(admin, 'action=login&limit=1');
    assert.deepEqual([row.status, row.key, row.user], [401, 'ada', null]);
    await server.stop();
  });

  it('has writes beyond a scope at every level', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    const bob = await addUser(admin, nobody, 'bob', { prefixes: ['b:'] });
    const reader = await addUser(admin, nobody, 'eve', { role: 'read' });
    assert.equal((await bob.put('/api/keys/b:1', 'x')).status, 204);
    assertProblem(await bob.put('/api/keys/a:1', 'x'), 403);
    assertProblem(await bob.delete('/api/keys/a:1'), 403);
    assertProblem(await bob.post('/api/batch', { ops: [{ op: 'put', key: 'a:1', text: 'x' }] }), 403);
    assertProblem(await reader.post('/api/batch', { ops: [{ op: 'delete', key: 'a:1' }] }), 403);
    const of = async (action) => (await rows(admin, `action=${action}`)).map(({ user, status }) => [user, status]);
    assert.deepEqual(await of('put'), [['bob', 403]]);
    assert.deepEqual(await of('delete'), [['bob', 403]]);
    assert.deepEqual(await of('batch'), [['eve', 403], ['bob', 403]]);
    await server.stop();
  });
});

describe('who is logged in', () => {
  it('does not take all threads with changes of the own password', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    await addUser(admin, nobody, 'bob', { role: 'read' });
    const change = message('PUT /api/whoami/password HTTP/1.1', { ...basic('bob'), 'Content-Type': 'application/json' }, JSON.stringify({ old_password: PASSWORD, password: PASSWORD }));
    const wires = await Promise.all(Array.from({ length: 8 }, () => Wire.open(server.port)));
    for (const wire of wires) wire.send(change); // each is there before the first hash is made
    const found = await Promise.all(wires.map(async (wire) => (await wire.response()).status));
    for (const wire of wires) wire.close();
    assert.ok(found.includes(204) && found.includes(503), `${found}`);
    assert.ok(found.every((status) => [204, 401, 403, 503].includes(status)), `${found}`);
    await server.stop();
  });
});

describe('a page of another site', () => {
  it('gets no stored script or style to include, where a browser says that it asks', async () => {
    const server = await Server.start();
    await server.client.put('/api/keys/script', 'steal()', { 'Content-Type': 'text/javascript' });
    const policy = async (site) => (await server.client.get('/api/keys/script', site ? { 'Sec-Fetch-Site': site } : {})).headers['cross-origin-resource-policy'];
    assert.equal(await policy('cross-site'), 'same-origin');
    assert.equal(await policy('same-site'), 'same-origin');
    assert.equal(await policy('same-origin'), undefined);
    assert.equal(await policy(null), undefined, 'who is no browser needs none');
    await server.stop();
  });
});

describe('a stranger', () => {
  it('holds no more memory with a login than a name and a password take', async () => {
    const { server, nobody } = await serverWithAdmin();
    const padded = (size) => JSON.stringify({ username: 'ada', password: PASSWORD }).padEnd(size);
    assert.equal((await nobody.post('/api/sessions', padded(8 * KiB))).status, 201);
    assertProblem(await nobody.post('/api/sessions', padded(8 * KiB + 1)), 413);
    await server.stop();
  });

  it('does not learn the names of databases from /readyz', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    await admin.post('/api/databases', { name: 'customer-x' });
    const bob = await addUser(admin, nobody, 'bob', { databases: ['default'] });
    assert.deepEqual((await nobody.get('/readyz?verbose')).json.databases, {});
    assert.deepEqual((await bob.get('/readyz?verbose')).json.databases, { default: 'ok' });
    assert.deepEqual((await admin.get('/readyz?verbose')).json.databases, { 'customer-x': 'ok', default: 'ok' });
    for (const client of [nobody, bob, admin]) assert.equal((await client.get('/readyz?verbose')).json.all_well, true);
    await server.stop();
  });

  it('do not read where the server keeps its files, which an admin does', async () => {
    const { server, nobody, admin } = await serverWithAdmin();
    const bob = await addUser(admin, nobody, 'bob', { role: 'write' });
    await admin.post('/api/databases', { name: 'full', max_disk_bytes: 32 * MiB });
    await until('the limit', async () => (await bob.put(`/api/databases/full/keys/${randomBytes(4).toString('hex')}`, randomBytes(MiB))).status === 507);
    const put = (who) => who.put('/api/databases/full/keys/more', randomBytes(MiB));
    assert.match(assertProblem(await put(admin), 507).detail, /databases\/full: its files take/);
    assert.equal(assertProblem(await put(bob), 507).detail, 'The disk or a limit is full; nothing was done');
    await admin.post('/api/databases', { name: 'torn' });
    await admin.put('/api/databases/torn/keys/a', 'x');
    await server.stop();
    writeFileSync(path.join(server.dataDir, 'databases', 'torn', 'CURRENT'), 'nonsense');
    const again = await server.again();
    const [torn, whole] = [bob, admin].map((who) => again.client.with(who.own));
    for (const [who, named] of [[torn, false], [whole, true]]) {
      const { detail } = assertProblem(await who.get('/api/databases/torn/keys/a'), 503);
      const listed = (await who.get('/api/databases/torn')).json;
      assert.equal(listed.status, 'damaged');
      for (const words of [detail, listed.detail]) assert.equal(words.includes('/'), named, words);
    }
    await again.stop();
  });

  it('is not another one because two fields of a proxy contradict each other', async () => {
    const { server, admin } = await serverWithAdmin({ config: { server: { trusted_proxies: ['127.0.0.1'], allow_plaintext: true } } });
    const both = (plain, standard) => admin.get('/api/whoami', { 'X-Forwarded-For': plain, Forwarded: standard });
    assertProblem(await both('127.0.0.1', 'for=192.0.2.7'), 400);
    assertProblem(await both('192.0.2.7', 'for=127.0.0.1'), 400);
    assert.equal((await both('192.0.2.7', 'for=192.0.2.7')).status, 200);
    await server.stop();
  });
});
