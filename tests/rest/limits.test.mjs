// Rate limits: a second's worth at once and then that many a second, told in every reply, for a user, a connection and
// all together. A bucket fills all the time; so where a refusal is asked for, requests are sent in one piece, faster
// than any client could wait for one answer after the other.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, Client, Server, sleep, Wire } from './support.mjs';

/** Statuses of `count` requests one after the other. */
async function statuses(client, count, target = '/api/keys') {
  const found = [];
  for (let i = 0; i < count; i++) found.push((await client.get(target)).status);
  return found;
}
const refused = (found) => found.filter((status) => status === 429).length;

/** Statuses of `count` requests that come in one piece on a connection of their own. */
async function pipelined(port, count, { target = '/api/keys', headers = {} } = {}) {
  const wire = await Wire.open(port);
  const fields = Object.entries({ Host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  wire.send(`GET ${target} HTTP/1.1\r\n${fields}\r\n`.repeat(count));
  const found = [];
  for (let i = 0; i < count; i++) found.push((await wire.response()).status);
  wire.close();
  return found;
}

/** The first answer that is a refusal: a request that comes late finds room again. `send` gets the number of the try. */
async function refusal(port, send) {
  let response;
  for (let i = 0; i < 100 && response?.status !== 429; i++) {
    await pipelined(port, 20);
    response = await send(i);
  }
  return response;
}

describe('a limit', () => {
  it('of all together lets a second\'s worth through, refuses the rest with 429, and recovers', async () => {
    const server = await Server.start({ config: { server: { global_rate_limit_per_second: 5 } } });
    const { client } = server;
    const began = performance.now();
    const found = await pipelined(server.port, 20);
    const seconds = (performance.now() - began) / 1000;
    const passed = found.filter((status) => status === 200).length;
    assert.ok(passed >= 5 && passed <= 5 + Math.ceil(5 * seconds), `${passed} of 20 in ${seconds} s`);
    assert.equal(passed + refused(found), 20);
    assert.ok(passed < 20, 'none was refused');
    const last = await refusal(server.port, () => client.get('/api/keys'));
    const problem = assertProblem(last, 429);
    assert.equal(problem.code, 'rate_limited');
    assert.ok(Number(last.headers['retry-after']) >= 1);
    assert.deepEqual([last.headers['ratelimit-limit'], last.headers['ratelimit-remaining']], ['5', '0']);
    let key;
    assertProblem(await refusal(server.port, (i) => client.put((key = `/api/keys/refused:${i}`), 'x')), 429);
    for (const target of ['/livez', '/readyz', '/healthz', '/api/openapi.json']) assert.equal((await client.get(target)).status, 200, `${target} has no limit`);
    await sleep(1_100);
    assert.deepEqual(await statuses(client, 4), Array(4).fill(200));
    assertProblem(await client.get(key), 404, 'what was refused was not done');
    await server.stop();
  });

  it('of a connection leaves other connections alone', async () => {
    const server = await Server.start({ config: { server: { connection_rate_limit_per_second: 10 } } });
    assert.ok(refused(await pipelined(server.port, 40)) > 0);
    assert.deepEqual(await pipelined(server.port, 5), Array(5).fill(200));
    await server.stop();
  });

  it('of a user counts all its connections, and other users have their own', async () => {
    const { server, nobody, admin } = await serverWithAdmin({ config: { server: { rate_limit_per_second: 30 } } });
    const bob = await addUser(admin, nobody, 'bob');
    const many = await Promise.all(Array.from({ length: 3 }, () => pipelined(server.port, 30, { headers: bob.own })));
    assert.ok(refused(many.flat()) > 0);
    assert.deepEqual(await statuses(admin, 5), Array(5).fill(200));
    await server.stop();
  });

  it('is told in every reply, and counts down', async () => {
    const server = await Server.start({ config: { server: { connection_rate_limit_per_second: 1000 } } });
    const one = new Client(server.port, { connections: 1 });
    const first = await one.get('/api/keys');
    assert.equal(first.headers['ratelimit-limit'], '1000');
    assert.ok(Number(first.headers['ratelimit-remaining']) >= 990 && Number(first.headers['ratelimit-remaining']) < 1000);
    assert.match(first.headers['ratelimit-reset'], /^[01]$/);
    assert.ok((await one.get('/api/keys/not-there')).headers['ratelimit-limit'], 'in errors, too');
    assert.equal((await one.get('/livez')).headers['ratelimit-limit'], undefined);
    one.close();
    await server.stop();
  });

  it('that is none is not told', async () => {
    const server = await Server.start();
    assert.equal((await server.client.get('/api/keys')).headers['ratelimit-limit'], undefined);
    await server.stop();
  });

  it('refuses before the body is read', async () => {
    const server = await Server.start({ config: { server: { global_rate_limit_per_second: 1 } } });
    let response = null;
    for (let round = 0; round < 10 && !response; round++) { // a second between them, and there is room for the last
      const wire = await Wire.open(server.port);
      wire.send(`${'GET /api/keys HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3)}PUT /api/keys/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n\r\n`);
      for (let i = 0; i < 3; i++) assert.ok([200, 429].includes((await wire.response()).status));
      response = await wire.response({ timeoutMs: 2_000 }).catch(() => null);
      wire.close();
    }
    assert.ok(response, 'of the body nothing has come yet');
    assertProblem(response, 429);
    assert.deepEqual([response.headers['ratelimit-limit'], response.headers['ratelimit-remaining']], ['1', '0']);
    await server.stop();
  });
});
