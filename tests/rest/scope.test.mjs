// Who may do what: every operation of the description by every role, and scopes of databases and key prefixes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, bearer, serverWithAdmin } from './people.mjs';
import { assertProblem, Events, listAll } from './support.mjs';

let server;
let nobody;
let admin;
const people = {};
before(async () => {
  ({ server, nobody, admin } = await serverWithAdmin({ config: { security: { max_auth_failures: 0 } } }));
  people.admin = admin;
  for (const role of ['write', 'read', 'monitor']) people[role] = await addUser(admin, nobody, role, { role });
  people.limited = await addUser(admin, nobody, 'limited', { role: 'admin', prefixes: ['p:'] });
});
after(() => server?.stop());

// By operation: who may. "all": no login. Names as in the description, without what tells two forms of one apart.
const EVERYONE = ['admin', 'limited', 'write', 'read', 'monitor'];
const READERS = ['admin', 'limited', 'write', 'read'];
const WRITERS = ['admin', 'limited', 'write'];
const ALLOWED = {
  get: READERS, head: READERS, list: READERS, head_api_keys: READERS, batch: READERS,
  watch: READERS, export: READERS, import: WRITERS,
  put: WRITERS, put_api_keys: WRITERS, delete: WRITERS, delete_range: WRITERS, patch: WRITERS, patch_api_keys: WRITERS,
  transaction_begin: READERS, transactions: READERS, transaction_commit: READERS, transaction_rollback: READERS,
  databases: EVERYONE, database: EVERYONE, stats: EVERYONE, head_api_stats: EVERYONE,
  sessions: EVERYONE, session_end: EVERYONE, whoami: EVERYONE, user_own_password: EVERYONE,
  tokens: EVERYONE, token_create: EVERYONE, token_revoke: EVERYONE,
  database_create: ['admin'], database_change: ['admin'], database_drop: ['admin'],
  flush: ['admin'], compact: ['admin'], jobs: EVERYONE, job: EVERYONE, job_cancel: ['admin'],
  users: ['admin'], user_create: ['admin'], user: ['admin'], user_change: ['admin'], user_delete: ['admin'],
  audit: ['admin'], audit_verify: ['admin'], config: ['admin'],
  login: 'all', openapi: 'all', live: 'all', head_livez: 'all', ready: 'all', head_readyz: 'all', get_healthz: 'all', head_healthz: 'all',
};

describe('each operation', () => {
  it('is 401 for nobody, 403 for who may not, and neither for who may', async () => {
    const { paths } = (await nobody.get('/api/openapi.json')).json;
    const tried = new Set();
    for (const [template, item] of Object.entries(paths)) {
      const path = template.replace('{db}', 'default').replace('{key}', 'p:matrix').replace(/\{\w+\}/g, 'not-there');
      for (const [method, operation] of Object.entries(item)) {
        const name = operation.operationId.replace(/_in_database$/, '');
        const allowed = ALLOWED[name];
        assert.ok(allowed, `who may ${name} (${method} ${template})? Say so here.`);
        tried.add(name);
        const target = operation.parameters.some((p) => p.$ref?.endsWith('/key64_required')) ? `${path}?key64=cDo` : path;
        const ask = (client) => (operation.requestBody ? client.send(method.toUpperCase(), target, '{}') : client.request(method.toUpperCase(), target));
        const what = `${method} ${target}`;
        const stranger = await ask(nobody);
        if (allowed === 'all') {
          assert.ok(![401, 403].includes(stranger.status), `${what}: ${stranger.status}`);
          continue;
        }
        assert.equal(stranger.status, 401, what);
        for (const [role, client] of Object.entries(people)) {
          const { status } = await ask(client);
          if (allowed.includes(role)) assert.ok(![401, 403, 405].includes(status), `${what} as ${role}: ${status}`);
          else assert.equal(status, 403, `${what} as ${role}`);
        }
      }
    }
    assert.deepEqual(Object.keys(ALLOWED).filter((name) => !tried.has(name)), [], 'these are no operations any more');
  });
});

describe('a batch', () => {
  it('of reads is a reader\'s; with a write in it, it is not, and nothing is done', async () => {
    await admin.put('/api/keys/batch', 'x');
    const reads = await people.read.post('/api/batch', { ops: [{ op: 'get', key: 'batch' }] });
    assert.equal(reads.status, 200, reads.text);
    for (const op of [{ op: 'put', key: 'batch', text: 'y' }, { op: 'delete', key: 'batch' }, { op: 'increment', key: 'counter' }, { op: 'touch', key: 'batch', ttl: 5 }]) {
      assert.equal(assertProblem(await people.read.post('/api/batch', { ops: [{ op: 'get', key: 'batch' }, op] }), 403).code, 'forbidden');
    }
    assert.equal((await admin.get('/api/keys/batch')).text, 'x');
  });
});

describe('a scope of prefixes', () => {
  let limited;
  before(async () => {
    await admin.post('/api/databases', { name: 'other' });
    for (const key of ['a', 'a:1', 'a:2', 'b', 'b:1', 'b:2', 'c:1']) {
      await admin.put(`/api/keys/${key}`, key);
      await admin.put(`/api/databases/other/keys/${key}`, key);
    }
    limited = await addUser(admin, nobody, 'scoped', { databases: ['default'], prefixes: ['a:', 'b:'] });
  });

  it('clips what is read: beyond it nothing is there', async () => {
    assert.equal((await limited.get('/api/keys/a:1')).text, 'a:1');
    for (const key of ['a', 'b', 'c:1']) assert.equal(assertProblem(await limited.get(`/api/keys/${key}`), 404, key).code, 'key_not_found');
    assert.equal((await limited.request('HEAD', '/api/keys/c:1')).status, 404);
  });

  it('clips listings, whatever they ask for, page by page and in both directions', async () => {
    const keys = async (parameters) => (await listAll(limited, parameters)).items.map(({ key }) => key);
    assert.deepEqual(await keys({}), ['a:1', 'a:2', 'b:1', 'b:2']);
    assert.deepEqual(await keys({ limit: '1' }), ['a:1', 'a:2', 'b:1', 'b:2']);
    assert.deepEqual(await keys({ reverse: 'true', limit: '1' }), ['b:2', 'b:1', 'a:2', 'a:1']);
    assert.deepEqual(await keys({ prefix: 'b' }), ['b:1', 'b:2']);
    assert.deepEqual(await keys({ prefix: 'b:2' }), ['b:2']);
    assert.deepEqual(await keys({ prefix: 'c' }), []);
    assert.deepEqual(await keys({ start: 'a:2', end: 'b:2' }), ['a:2', 'b:1']);
    assert.deepEqual(await keys({ start: 'c' }), []);
  });

  it('refuses writes beyond it, and they are not done', async () => {
    assert.equal((await limited.put('/api/keys/a:3', 'x')).status, 204);
    assert.equal((await limited.delete('/api/keys/a:3')).status, 204);
    for (const response of [await limited.put('/api/keys/c:1', 'x'), await limited.put('/api/keys/a', 'x'), await limited.delete('/api/keys/c:1'),
      await limited.put('/api/keys/c:1', 'x', { 'If-None-Match': '*' })]) {
      assert.equal(assertProblem(response, 403).code, 'out_of_scope');
    }
    assert.equal((await admin.get('/api/keys/c:1')).text, 'c:1');
  });

  it('clips the reads of a batch, and refuses it as a whole for one write or condition beyond', async () => {
    const batch = (value) => limited.post('/api/batch', value);
    const read = await batch({ ops: [{ op: 'get', key: 'a:1' }, { op: 'get', key: 'c:1' }] });
    assert.equal(read.status, 200, read.text);
    assert.equal(read.json.results[0].key, 'a:1');
    assert.equal(read.json.results[1], null);
    const write = assertProblem(await batch({ ops: [{ op: 'put', key: 'a:9', text: 'x' }, { op: 'put', key: 'c:9', text: 'x' }] }), 403);
    assert.equal(write.code, 'out_of_scope');
    for (const op of ['increment', 'touch']) {
      const refused = assertProblem(await batch({ ops: [{ op: 'put', key: 'a:9', text: 'x' }, { op, key: 'c:9' }] }), 403, op);
      assert.deepEqual([refused.code, refused.index], ['out_of_scope', 1]);
    }
    assert.equal(assertProblem(await batch({ if: [{ key: 'c:1', exists: true }], ops: [{ op: 'put', key: 'a:9', text: 'x' }] }), 403).code, 'out_of_scope');
    assertProblem(await admin.get('/api/keys/a:9'), 404);
  });

  it('clips what a watch shows of a range delete, prefix by prefix; who comes back between two parts is told both', async () => {
    const two = await addToken(admin, { prefixes: ['watched:a:', 'watched:c:'] });
    const headers = bearer(two.token);
    const events = await Events.open(server.port, '/api/watch', { headers });
    await events.heartbeat();
    const deletes = ['start=watched:a:5&end=watched:c:3', 'start=watched:b:&end=watched:c:3', 'start=watched:b:&end=watched:b:3', 'prefix=watched:'];
    const versions = [];
    for (const query of deletes) versions.push((await admin.delete(`/api/keys?${query}`)).headers['velocity-version']);
    const behind = (version) => String(BigInt(version) - 1n);
    const shown = ({ id, data }) => [id, data.version, data.start, data.end];
    const expected = [
      [behind(versions[0]), versions[0], 'watched:a:5', 'watched:a;'], [versions[0], versions[0], 'watched:c:', 'watched:c:3'],
      [versions[1], versions[1], 'watched:c:', 'watched:c:3'],
      [behind(versions[3]), versions[3], 'watched:a:', 'watched:a;'], [versions[3], versions[3], 'watched:c:', 'watched:c;']];
    assert.deepEqual((await events.events(5)).map(shown), expected);
    events.close();
    const again = await Events.open(server.port, '/api/watch', { headers: { ...headers, 'Last-Event-ID': behind(versions[3]) } });
    assert.deepEqual((await again.events(2)).map(shown), expected.slice(3));
    again.close();
  });

  it('of a token narrows it once more', async () => {
    const { client } = await addToken(limited, { prefixes: ['a:2'] });
    assert.deepEqual((await listAll(client)).items.map(({ key }) => key), ['a:2']);
    assertProblem(await client.put('/api/keys/a:1', 'x'), 403);
    assert.equal((await client.put('/api/keys/a:2', 'a:2')).status, 204);
  });

  it('of databases refuses the others', async () => {
    assert.equal(assertProblem(await limited.get('/api/databases/other/keys/a:1'), 403).code, 'out_of_scope');
    assert.equal(assertProblem(await limited.put('/api/databases/other/keys/a:1', 'x'), 403).code, 'out_of_scope');
    assert.equal(assertProblem(await limited.get('/api/databases/not-there/keys/a:1'), 403).code, 'out_of_scope', 'nor says which there are');
  });
});
