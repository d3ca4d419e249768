// What replies hold while their clients do not read them, and that there is an end to it.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertProblem, KiB, MiB, random, Server, Stream, until } from './support.mjs';

// Four such values, and what is sent of them, are less than 8 MiB; five are more.
const BUDGET = 8 * MiB;
const VALUE = 1_730_000;
const HOLDERS = 4;
const LARGE = '/api/keys/large';

let server;
let client;
let deaf = [];
before(async () => {
  server = await Server.start({ config: { server: { max_value_bytes: 2 * MiB, max_inflight_bytes: BUDGET } } });
  client = server.client;
  assert.equal((await client.put(LARGE, random(1).bytes(VALUE))).status, 204);
});
after(() => server?.stop());

const large = async () => (await client.get(LARGE)).status;
const held = async () => (await client.get('/api/stats')).json.server.limits.reply_bytes;

/** Those who ask for more than any socket takes, and read nothing. */
async function ask(text) {
  for (let i = 0; i < HOLDERS; i++) {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(text));
    socket.on('error', () => {});
    socket.pause();
    deaf.push(socket);
  }
  await until('the replies to hold all that they may', async () => (await held()) > BUDGET - VALUE);
  assert.equal(await large(), 503);
}

afterEach(async () => {
  for (const one of deaf) one.destroy();
  deaf = [];
  await until('all of it to be given back', async () => (await held()) === 0);
  assert.equal(await large(), 200);
  await until('what was read to be given back, too', async () => (await held()) === 0);
});

const request = (line, more = '', body = '') => `${line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;
const batch = (...ops) => JSON.stringify({ ops });
const get = { op: 'get', key: 'large' };

describe('who reads nothing', () => {
  it('of parts of a value makes the server hold the whole value, which counts', async () => {
    await ask(request(`GET ${LARGE}`, `Range: bytes=0-${100 * KiB}\r\n`).repeat(300));
    assertProblem(await client.get(LARGE, { Range: `bytes=1-${100 * KiB}` }), 503);
    const small = await client.get(LARGE, { Range: 'bytes=100-109' }); // it is copied
    assert.deepEqual([small.status, small.body], [206, random(1).bytes(VALUE).subarray(100, 110)]);
  });

  it('of batches that read is counted, and a batch whose answer has no room does nothing', async () => {
    await ask(request('POST /api/batch', 'Content-Type: application/json\r\n', batch(get, get, get)).repeat(50));
    assert.equal(assertProblem(await client.post('/api/batch', batch(get)), 503).code, 'overloaded');
    assertProblem(await client.post('/api/batch', batch({ op: 'put', key: 'written', text: 'x' }, get)), 503);
    assertProblem(await client.get('/api/keys/written'), 404);
    const wrote = await client.post('/api/batch', batch({ op: 'put', key: 'written', text: 'x' }));
    assert.deepEqual([wrote.status, wrote.json?.results.length], [200, 1]);
  });

  it('of an export makes the server hold a value, which counts; beyond it an export ends, and the log says why', async () => {
    const escaped = Buffer.alloc(VALUE, 1); // each byte of it is six, which no socket takes
    assert.equal((await client.put('/api/keys/held', escaped)).status, 204);
    const begun = [];
    for (let i = 0; i <= HOLDERS; i++) {
      const dump = await Stream.open(server.port, '/api/export?prefix=held', { headers: { 'X-Request-Id': `export-${i}` } });
      deaf.push({ destroy: () => dump.close() });
      begun.push(await dump.next().then((part) => part !== null, () => false));
    }
    assert.deepEqual(begun, [true, true, true, true, false]);
    await server.logs(/event=reply_broken request_id=export-4 code=overloaded action=export/);
    assertProblem(await client.get(LARGE), 503);
  });
});
