// Everything around the keys through kill -9 and damage: users, tokens, databases, the audit log.
import assert from 'node:assert/strict';
import { readdirSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { addToken, addUser, basic, PASSWORD, serverWithAdmin } from '../rest/people.mjs';
import { keyPath, Server } from '../rest/support.mjs';

const inDatabase = (database, key) => `/api/databases/${database}/keys/${encodeURIComponent(key)}`;

describe('a kill -9', () => {
  it('loses no user, token, session or database that was answered, and brings back none that was ended', async () => {
    const { server, nobody, admin } = await serverWithAdmin({ config: { security: { audit_level: 'writes' } } });
    await addUser(admin, nobody, 'bob', { role: 'read' });
    const kept = await addToken(admin, { name: 'kept' });
    const revoked = await addToken(admin, { name: 'revoked' });
    assert.equal((await admin.delete(`/api/tokens/${revoked.id}`)).status, 204);
    assert.equal((await admin.post('/api/databases', { name: 'shop' })).status, 201);
    assert.equal((await admin.post('/api/databases', { name: 'gone' })).status, 201);
    const put = await admin.put(inDatabase('shop', 'a'), '1');
    assert.equal(put.status, 204);
    const inGone = await admin.put(inDatabase('gone', 'a'), '1');
    assert.equal((await admin.delete('/api/databases/gone')).status, 204);
    await server.kill();

    const next = await server.again({ config: { security: { audit_level: 'writes' } } });
    const as = (token) => next.client.with({ Authorization: `Bearer ${token}` });
    assert.equal((await next.client.get('/api/whoami')).status, 401);
    assert.equal((await next.client.get('/api/whoami', basic('bob'))).json.role, 'read');
    assert.equal((await as(kept.token).get(inDatabase('shop', 'a'))).text, '1');
    assert.equal((await as(revoked.token).get('/api/whoami')).status, 401);
    assert.equal((await as(kept.token).get(inDatabase('gone', 'a'))).status, 404);
    assert.equal((await as(kept.token).post('/api/databases', { name: 'gone' })).status, 201);
    const again = await as(kept.token).put(inDatabase('gone', 'a'), '2');
    const version = (response) => BigInt(response.headers.etag.slice(1, -1));
    assert.ok(version(again) > version(inGone), 'a version never comes again under a name');
    const verified = await as(kept.token).get('/api/audit/verify');
    assert.equal(verified.json.intact, true, verified.text);
    const { rows } = (await as(kept.token).get('/api/audit?action=user.create&limit=10')).json;
    assert.deepEqual(rows.map((row) => row.key).sort(), ['ada', 'bob'], 'security events were on disk before their answers');
    assert.equal((await next.client.post('/api/sessions', { username: 'bob', password: PASSWORD })).status, 201);
    await next.stop();
  });

  it('while databases are made and dropped leaves each there or not, and none half', async () => {
    let server = await Server.start();
    for (let round = 0; round < 4; round++) {
      const name = `round-${round}`;
      const busy = (async () => {
        for (let i = 0; ; i++) {
          await server.client.post('/api/databases', { name });
          await server.client.put(inDatabase(name, 'k'), `${i}`);
          await server.client.delete(`/api/databases/${name}`);
        }
      })().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 150 + 90 * round));
      await server.kill();
      await busy;
      server = await server.again();
      for (const { name: listed, status } of (await server.client.get('/api/databases')).json.databases) {
        assert.equal(status, 'open', listed);
        assert.equal((await server.client.put(inDatabase(listed, 'after'), 'x')).status, 204);
      }
      const left = readdirSync(path.join(server.dataDir, 'databases')).filter((entry) => entry.startsWith('.'));
      assert.deepEqual(left, [], 'what was half made or half dropped is cleared away');
    }
    await server.stop();
  });
});

describe('a database that is damaged', () => {
  it('does not keep the others from serving, is named, and can be dropped and made again', async () => {
    let server = await Server.start();
    assert.equal((await server.client.post('/api/databases', { name: 'broken' })).status, 201);
    const before = await server.client.put(inDatabase('broken', 'a'), 'x'.repeat(1000));
    assert.equal((await server.client.put(keyPath('a'), 'fine')).status, 204);
    await server.stop();
    const folder = path.join(server.dataDir, 'databases', 'broken');
    for (const file of readdirSync(folder).filter((name) => /^MANIFEST|\.manifest$|CURRENT/.test(name))) truncateSync(path.join(folder, file), 3);

    server = await server.again();
    assert.equal((await server.client.get(keyPath('a'))).text, 'fine');
    const refused = await server.client.get(inDatabase('broken', 'a'));
    assert.equal(refused.status, 503, refused.text);
    assert.equal(refused.json.code, 'database_damaged');
    assert.equal((await server.client.get('/api/databases/broken')).json.status, 'damaged');
    assert.equal((await server.client.get('/readyz?verbose')).json.databases.broken, 'damaged');
    await server.logs(/database=broken/);
    assert.equal((await server.client.delete('/api/databases/broken')).status, 204);
    assert.equal((await server.client.post('/api/databases', { name: 'broken' })).status, 201);
    const after = await server.client.put(inDatabase('broken', 'a'), 'new');
    assert.ok(BigInt(after.headers.etag.slice(1, -1)) > BigInt(before.headers.etag.slice(1, -1)));
    await server.stop();
  });
});
