// Flush and compact as jobs: asked for, seen, cancelled, within scopes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, Server, until } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

/** The job when it has ended. */
async function ended(who, id) {
  return until(`the end of job ${id}`, async () => {
    const response = await who.get(`/api/jobs/${id}`);
    assert.equal(response.status, 200, response.text);
    return !['queued', 'running'].includes(response.json.state) && response.json;
  }, 60_000);
}

describe('a job', () => {
  it('is answered with 202 and where it is seen, and gets done', async () => {
    for (let i = 0; i < 20; i++) await client.put(`/api/keys/k${i}`, 'x'.repeat(1000));
    for (const kind of ['flush', 'compact']) {
      const asked = await client.post(`/api/${kind}`);
      assert.equal(asked.status, 202, asked.text);
      assert.equal(asked.headers.location, `/api/jobs/${asked.json.id}`);
      assert.deepEqual([asked.json.kind, asked.json.database, asked.json.user], [kind, 'default', null]);
      const job = await ended(client, asked.json.id);
      assert.deepEqual([job.state, job.progress, job.error], ['done', 1, null]);
      for (const at of [job.created_at, job.started_at, job.ended_at]) assert.ok(Math.abs(Date.parse(at) - Date.now()) < 600_000, at);
    }
    const { jobs } = (await client.get('/api/jobs')).json;
    assert.deepEqual(jobs.map(({ kind }) => kind), ['compact', 'flush'], 'the newest first');
    const levels = (await client.get('/api/databases/default')).json.levels;
    assert.equal(levels.slice(0, -1).every(({ tables }) => tables === 0), true, 'all in the last level');
    for (let i = 0; i < 20; i++) assert.equal((await client.get(`/api/keys/k${i}`)).text, 'x'.repeat(1000));
  });

  it('that ended is not cancelled, and one that never was is not there', async () => {
    const { id } = (await client.post('/api/flush')).json;
    await ended(client, id);
    assert.equal(assertProblem(await client.delete(`/api/jobs/${id}`), 409).code, 'conflict');
    for (const name of ['0', '999999', 'x', '-1', '01']) {
      assert.equal(assertProblem(await client.get(`/api/jobs/${name}`), 404).code, 'not_found');
      assert.equal(assertProblem(await client.delete(`/api/jobs/${name}`), 404).code, 'not_found');
    }
  });

  it('of a database that is not there is refused', async () => {
    assert.equal(assertProblem(await client.post('/api/databases/nowhere/compact'), 404).code, 'database_not_found');
    assert.equal(assertProblem(await client.post('/api/flush?now=true'), 400).code, 'unknown_parameter');
  });

  it('is asked for with an empty object, too, and with nothing else', async () => {
    const before = (await client.get('/api/jobs')).json.jobs.length;
    for (const kind of ['flush', 'compact']) {
      assert.equal(assertProblem(await client.post(`/api/${kind}`, { database: 'default' }), 400).code, 'invalid_body');
      assert.equal((await client.get('/api/jobs')).json.jobs.length, before);
    }
    const asked = await client.post('/api/flush', {});
    assert.equal(asked.status, 202, asked.text);
    await ended(client, asked.json.id);
  });

  it('is cancelled while others write, and nothing is lost', async () => {
    await client.post('/api/databases', { name: 'busy' });
    const ops = (n) => Array.from({ length: 2000 }, (_, i) => ({ op: 'put', key: `${n}-${i}`, text: 'v'.repeat(100) }));
    for (let n = 0; n < 20; n++) assert.equal((await client.post('/api/databases/busy/batch', { ops: ops(n) })).status, 200);
    const { id } = (await client.post('/api/databases/busy/compact')).json;
    const cancelled = await client.delete(`/api/jobs/${id}`);
    assert.ok([204, 409].includes(cancelled.status), `${cancelled.status}`);
    const job = await ended(client, id);
    assert.ok(['cancelled', 'done'].includes(job.state), job.state);
    for (let n = 0; n < 20; n++) assert.equal((await client.get(`/api/databases/busy/keys/${n}-1999`)).text, 'v'.repeat(100));
    await client.post('/api/databases/busy/compact');
    assert.equal((await client.delete('/api/databases/busy')).status, 204, 'its jobs do not keep it');
  });
});

describe('jobs', () => {
  it('of databases out of scope are not there; only admins ask for them', async () => {
    const { server: guarded, nobody, admin } = await serverWithAdmin();
    await admin.post('/api/databases', { name: 'mine' });
    const limited = await addUser(admin, nobody, 'limited', { role: 'write', databases: ['mine'] });
    const reader = await addUser(admin, nobody, 'reader', { role: 'read' });
    const foreign = (await admin.post('/api/compact')).json;
    assert.equal(foreign.user, 'ada');
    const own = (await admin.post('/api/databases/mine/flush')).json;
    await ended(admin, foreign.id);
    assert.deepEqual((await limited.get('/api/jobs')).json.jobs.map(({ id }) => id), [own.id]);
    assert.equal(assertProblem(await limited.get(`/api/jobs/${foreign.id}`), 404).code, 'not_found');
    assert.equal((await reader.get('/api/jobs')).json.jobs.length, 2, 'all may see');
    for (const response of [await reader.post('/api/compact'), await limited.post('/api/databases/mine/flush'), await reader.delete(`/api/jobs/${own.id}`)]) {
      assert.equal(assertProblem(response, 403).code, 'forbidden');
    }
    await guarded.stop();
  });
});
