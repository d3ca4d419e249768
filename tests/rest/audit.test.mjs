// The audit log over HTTP: that what was done is in it, found again, and chained.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, basic, OTHER_PASSWORD, PASSWORD, serverWithAdmin } from './people.mjs';
import { assertProblem, Server } from './support.mjs';

let server;
let nobody;
let admin;
before(async () => {
  ({ server, nobody, admin } = await serverWithAdmin({ config: { security: { audit_level: 'writes', max_auth_failures: 0 } } }));
});
after(() => server?.stop());

const rows = async (query = '', client = admin) => {
  const response = await client.get(`/api/audit${query && '?'}${query}`);
  assert.equal(response.status, 200, response.text);
  return response.json.rows;
};
/** The newest row of an action. */
const last = async (action, client = admin) => (await rows(`action=${action}&limit=1`, client))[0];

describe('the audit log', () => {
  it('says who made a user, from where, and with which result', async () => {
    const response = await admin.post('/api/users', { name: 'bob', password: PASSWORD, role: 'read' }, { 'X-Request-Id': 'make-bob' });
    const row = await last('user.create');
    assert.deepEqual([row.user, row.login, row.address, row.key, row.status, row.request_id, row.database], ['ada', 'session', '127.0.0.1', 'bob', 201, 'make-bob', null]);
    assert.match(row.login_id, /^[0-9a-f]{32}$/);
    assert.match(row.hash, /^[0-9a-f]{64}$/);
    assert.match(row.detail, /role=read/);
    assert.ok(Math.abs(Date.parse(row.time) - Date.now()) < 60_000);
    assert.equal(response.headers['x-request-id'], row.request_id);
    await admin.post('/api/users', { name: 'bob', password: PASSWORD });
    assert.equal((await last('user.create')).status, 409, 'what was refused, too');
    await admin.patch('/api/users/bob', { role: 'write', password: OTHER_PASSWORD });
    const change = await last('user.change');
    assert.deepEqual([change.key, change.status], ['bob', 200]);
    assert.match(change.detail, /password changed.*role=write/);
    await admin.delete('/api/users/bob');
    assert.equal((await last('user.delete')).key, 'bob');
  });

  it('has logins and failed logins with the name that was tried', async () => {
    await nobody.post('/api/sessions', { username: 'ada', password: 'not the password' });
    const failed = await last('login');
    assert.deepEqual([failed.key, failed.status, failed.user], ['ada', 401, null]);
    await nobody.post('/api/sessions', { username: 'ada', password: PASSWORD });
    const good = await last('login');
    assert.deepEqual([good.key, good.status, good.user, good.login], ['ada', 201, 'ada', 'password']);
    await nobody.get('/api/keys/a', basic('ada', OTHER_PASSWORD));
    const basicFailed = await last('login');
    assert.equal(basicFailed.status, 401);
    await nobody.get('/api/keys/a', { Authorization: 'Bearer vt_not-a-token' });
    assert.ok(BigInt((await last('login')).number) > BigInt(basicFailed.number));
    const text = JSON.stringify(await rows('limit=1000'));
    for (const secret of ['not the password', PASSWORD, OTHER_PASSWORD, 'vt_not-a-token']) assert.ok(!text.includes(secret), secret);
  });

  it('has tokens, databases and what was done with them', async () => {
    const { id, client } = await addToken(admin);
    assert.deepEqual([(await last('token.create')).key, (await last('token.create')).status], ['test', 201]);
    await client.post('/api/databases', { name: 'orders' });
    const made = await last('database.create');
    assert.deepEqual([made.database, made.status, made.login, made.login_id], ['orders', 201, 'token', id]);
    await client.put('/api/databases/orders/keys/a%2Fb', 'value of a key');
    const put = await last('put');
    assert.deepEqual([put.database, put.key, put.status, put.login_id], ['orders', 'a/b', 204, id]);
    await client.put('/api/databases/orders/keys/%ff', 'x');
    assert.equal((await rows('database=orders&limit=1'))[0].status, 204);
    await client.delete('/api/databases/orders/keys/a%2Fb');
    assert.equal((await last('delete')).key, 'a/b');
    await client.post('/api/databases/orders/batch', { ops: [{ op: 'put', key: 'k1', text: 'x' }] });
    assert.match((await last('batch')).detail, /k1/);
    await client.delete('/api/databases/orders');
    assert.deepEqual([(await last('database.drop')).database, (await last('database.drop')).status], ['orders', 204]);
    await admin.delete(`/api/tokens/${id}`);
    assert.equal((await last('token.revoke')).key, id);
    assert.ok(!JSON.stringify(await rows('limit=1000')).includes('value of a key'));
  });

  it('has no reads at this level, but what somebody may not do', async () => {
    await admin.get('/api/keys/not-recorded');
    assert.deepEqual(await rows('action=get'), []);
    const reader = await addUser(admin, nobody, 'reader', { role: 'read', prefixes: ['r:'] });
    await reader.put('/api/keys/r:1', 'x');
    const denied = await last('put');
    assert.deepEqual([denied.user, denied.status], ['reader', 403]);
    assertProblem(await reader.get('/api/audit'), 403);
    assert.deepEqual((await rows('action=audit&user=reader')).map(({ status }) => status), [403], 'whatever it was that they tried');
    assert.ok((await rows('action=audit&user=ada')).length > 0, 'who reads the log stands in it');
  });

  it('is searched by time, user, action and database', async () => {
    const since = new Date().toISOString();
    await admin.put('/api/keys/searched', 'x');
    const found = await rows(`since=${since}&action=put&user=ada&database=default`);
    assert.deepEqual(found.map(({ key }) => key), ['searched']);
    const until = Date.parse(found[0].time);
    assert.deepEqual(await rows(`since=${since}&until=${until}&action=put`), [], 'until is exclusive, and may be milliseconds');
    assert.equal((await rows(`since=${until}&until=${until + 1}&action=put`)).length, 1);
    for (const query of ['user=nobody', 'action=nothing', 'database=nowhere']) assert.deepEqual(await rows(query), [], query);
    for (const query of ['since=yesterday', 'until=2026-13-01T00:00:00Z', 'limit=0', 'limit=1001', 'who=ada', 'since=1&since=2']) {
      assertProblem(await admin.get(`/api/audit?${query}`), 400, query);
    }
  });

  it('is read page by page, the newest first, and nothing is missed or doubled', async () => {
    for (let i = 0; i < 7; i++) await admin.put(`/api/keys/page:${i}`, 'x');
    const all = (await rows('action=put&limit=1000')).map(({ number }) => number);
    const paged = [];
    let cursor = null;
    do {
      const query = `/api/audit?action=put&limit=2${cursor ? `&cursor=${cursor}` : ''}`;
      const page = (await admin.get(query)).json;
      assert.ok(page.rows.length <= 2);
      paged.push(...page.rows.map(({ number }) => number));
      cursor = page.cursor;
    } while (cursor);
    assert.deepEqual(paged, all);
    assert.deepEqual(paged, [...paged].sort((a, b) => Number(b) - Number(a)));
    const { cursor: own } = (await admin.get('/api/audit?action=put&limit=2')).json;
    assert.equal(assertProblem(await admin.get(`/api/audit?limit=2&cursor=${own}`), 400).code, 'invalid_cursor');
    assert.equal(assertProblem(await admin.get('/api/audit?cursor=abc'), 400).code, 'invalid_cursor');
  });

  it('is a chain that can be checked', async () => {
    const response = await admin.get('/api/audit/verify');
    assert.equal(response.status, 200);
    const { intact, rows: count, first, last: newest, head } = response.json;
    assert.equal(intact, true, response.text);
    assert.equal(first, '1');
    assert.equal(Number(newest) - Number(first) + 1, count);
    assert.match(head, /^[0-9a-f]{64}$/);
    assert.ok((await rows('limit=1000')).some(({ hash, number }) => number === newest && hash === head));
    assertProblem(await admin.get('/api/audit/verify?since=1'), 400);
  });
});

describe('a server', () => {
  it('without an audit log says so', async () => {
    const open = await Server.start({ config: { security: { audit_logging: false } } });
    for (const target of ['/api/audit', '/api/audit/verify']) {
      const problem = assertProblem(await open.client.get(target), 404, target);
      assert.match(problem.detail, /audit log/);
    }
    await open.stop();
  });

  it('that keeps keys as hashes shows hashes, and who knows the key finds it', async () => {
    const open = await Server.start({ config: { security: { audit_level: 'writes', audit_keys: 'hash' } } });
    await open.client.put('/api/keys/secret-key', 'x');
    const row = await last('put', open.client);
    assert.equal(row.key, undefined);
    assert.equal(row.key_hash, createHash('sha256').update('default\0secret-key').digest('hex'));
    await open.stop();
  });

  it('at level "admin" records no keys, at "all" reads, too', async () => {
    for (const [level, put, get] of [['admin', 0, 0], ['all', 1, 1]]) {
      const open = await Server.start({ config: { security: { audit_level: level } } });
      await open.client.put('/api/keys/a', 'x');
      await open.client.get('/api/keys/a');
      assert.deepEqual([(await rows('action=put', open.client)).length, (await rows('action=get', open.client)).length], [put, get], level);
      await open.stop();
    }
  });

  it('that was killed still has what was answered about users', async () => {
    const { server: first, admin: boss } = await serverWithAdmin();
    await boss.post('/api/users', { name: 'late', password: PASSWORD });
    await first.kill();
    const again = await first.again();
    const client = again.client.with(basic('ada'));
    assert.equal((await last('user.create', client)).key, 'late');
    assert.equal((await client.get('/api/audit/verify')).json.intact, true);
    await again.stop();
  });
});
