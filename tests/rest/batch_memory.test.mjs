// A batch names large values in a few bytes: what the server holds of them stays within what one reply may have.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { assertProblem, FREED_IS_GONE, MiB, random, Server, until, Wire } from './support.mjs';
import { Transaction } from './transactions.mjs';

const VALUES = 48;
const VALUE_BYTES = 4 * MiB;
const REPLY_BYTES = 8 * MiB;
const config = { database: { cache_bytes: 4 * MiB, durability: 'os' } };

const names = Array.from({ length: VALUES }, (_, i) => `large:${i}`);
let writer;
before(async () => {
  writer = await Server.start({ config });
  const bytes = random(11).bytes(VALUE_BYTES); // which nothing compresses
  for (const name of names) assert.equal((await writer.client.put(`/api/keys/${name}`, bytes)).status, 204);
  const { id } = (await writer.client.post('/api/flush')).json; // so that they are read from the disk
  await until('the flush', async () => (await writer.client.get(`/api/jobs/${id}`)).json.state === 'done');
  await writer.stop();
});

/** The most memory that a server ever had. */
const peak = ({ pid }) => Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

/** By how much `work` raises it. One value is read before, so that what any read takes does not count. */
async function costs(server, work) {
  assert.equal((await server.client.get(`/api/keys/${names[0]}`)).status, 200);
  const start = peak(server);
  await work();
  return peak(server) - start;
}

const batch = (client, op) => client.post('/api/batch', { ops: names.map((key) => ({ op, key })) });
const all = VALUES * VALUE_BYTES;
const little = REPLY_BYTES + 6 * VALUE_BYTES; // the limit, and what else a request takes
assert.ok(little < all / 4, 'the difference shows');

describe('a batch over values that no reply can hold', () => {
  for (const isolation of [null, 'serializable', 'read_committed']) {
    const where = isolation ?? 'no transaction';
    it(`is refused before they are all read, in ${where}`, async () => {
      const server = await writer.again({ config, env: FREED_IS_GONE }); // whose peak is its own
      const transaction = isolation && (await Transaction.begin(server.client, isolation));
      const client = transaction ? transaction.inside : server.client;
      const cost = await costs(server, async () => {
        assert.equal(assertProblem(await batch(client, 'get'), 413).code, 'too_large');
        assert.equal(assertProblem(await batch(client, 'touch'), 413).code, 'too_large');
        assert.equal(assertProblem(await batch(client, 'increment'), 409).code, 'conflict');
        const conditions = names.map((key) => ({ key, exists: true }));
        assert.equal((await client.post('/api/batch', { if: conditions, ops: [{ op: 'get', key: names[0] }] })).status, 200);
      });
      await server.stop();
      assert.ok(cost < little, `${cost} bytes more than before, of ${all}`);
    });
  }
});

describe('replies of batches that nobody reads', () => {
  it('are not kept beyond the budget: 503 and nothing is done, and with room again it is', async () => {
    const tight = await Server.start({ config: { server: { max_value_bytes: 8 * MiB, max_inflight_bytes: 16 * MiB } } });
    assert.equal((await tight.client.put('/api/keys/large', Buffer.alloc(5 * MiB, 0xff))).status, 204);
    const get = JSON.stringify({ ops: [{ op: 'get', key: 'large' }] });
    const both = { ops: [{ op: 'get', key: 'large' }, { op: 'put', key: 'beside', text: 'x' }] };
    const wires = [];
    for (let i = 0; i < 4; i++) {
      const wire = await Wire.open(tight.port);
      wire.send(`POST /api/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${get.length}\r\n\r\n${get}`);
      await wire.begins();
      wires.push(wire);
    }
    assert.equal(assertProblem(await tight.client.post('/api/batch', both), 503).code, 'overloaded');
    assertProblem(await tight.client.get('/api/keys/beside'), 404);
    assert.equal((await tight.client.post('/api/batch', { ops: both.ops.slice(1) })).status, 200, 'what has a small reply is done');
    for (const wire of wires) wire.close();
    await until('room for the reply', async () => (await tight.client.post('/api/batch', both)).status === 200);
    await tight.stop();
  });
});
