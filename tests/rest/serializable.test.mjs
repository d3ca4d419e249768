// Many clients at once: recorded histories of serializable transactions have an order, no update is lost, no money
// appears or vanishes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { contradictionOf } from './serial.mjs';
import { Client, random, Server, versionOf } from './support.mjs';
import { Transaction, untilCommitted } from './transactions.mjs';

const CLIENTS = 12;
const ROUNDS = 60; // transactions of each
const KEYS = 8;

let server;
before(async () => {
  server = await Server.start({ config: { database: { durability: 'os' } } });
});
after(() => server?.stop());

/** Runs `work(client, who, dice)` for each of so many clients, all at once. */
const together = (count, work) =>
  Promise.all(
    Array.from({ length: count }, async (_, who) => {
      const client = new Client(server.port, { connections: 2 });
      await work(client, who, random(who * 7919 + 1));
      client.close();
    }),
  );

describe('the check of a history', () => {
  const one = (number, version, reads, writes) => ({ number, version: BigInt(version), reads, writes });
  const first = one(1, 2, [], ['x', 'y']);

  it('accepts what one after another could have done', () => {
    assert.equal(contradictionOf([first, one(2, 3, [['x', 1]], ['x']), one(3, 4, [['x', 2], ['z', 0]], ['z'])]), null);
    assert.equal(contradictionOf([first, one(2, 4, [['x', 1]], ['y']), one(3, 3, [['y', 1]], ['z'])]), null, 'one that committed later stands before');
    assert.equal(contradictionOf([first, one(2, 3, [['x', 1]], ['x']), one(3, 2, [['x', 1], ['y', 1]], [])]), null, 'a reader stands at its state');
  });

  it('refuses what none could have', () => {
    const wrong = {
      'a lost update': [one(2, 3, [['x', 1]], ['x']), one(3, 4, [['x', 1]], ['x'])],
      'write skew': [one(2, 3, [['x', 1], ['y', 1]], ['x']), one(3, 4, [['x', 1], ['y', 1]], ['y'])],
      'phantoms': [one(2, 3, [['p', 0], ['q', 0]], ['p']), one(3, 4, [['p', 0], ['q', 0]], ['q'])],
      'a read of two states': [one(2, 4, [], ['x', 'y']), one(3, 4, [['x', 1], ['y', 2]], [])],
      'a read of what was rolled back': [one(3, 3, [['x', 2]], ['z'])],
      'the read-only anomaly': [one(2, 4, [['x', 1], ['y', 1]], ['x']), one(3, 3, [['y', 1]], ['y']), one(4, 3, [['x', 1], ['y', 3]], [])],
    };
    for (const [what, history] of Object.entries(wrong)) assert.notEqual(contradictionOf([first, ...history]), null, what);
  });
});

describe('a recorded history of many clients', () => {
  const name = (key) => `history:${key}`;
  const writerOf = (text) => (text === null ? 0 : Number(text));

  /** A few random steps in one transaction; answers what it read and wrote, or null where it lost. */
  async function step(client, dice, number) {
    const transaction = await Transaction.begin(client, 'serializable');
    const own = new Set();
    const reads = [];
    const saw = (key, text) => own.has(key) || reads.push([key, writerOf(text)]);
    for (let left = 1 + dice.below(4); left > 0; left--) {
      const key = dice.below(KEYS);
      const what = dice.below(10);
      if (what < 4) {
        saw(key, await transaction.get(name(key)));
      } else if (what < 5) {
        const { items } = (await transaction.inside.get('/api/keys?prefix=history:&values=true')).json;
        const there = new Map(items.map((item) => [item.key, item.text]));
        for (let k = 0; k < KEYS; k++) saw(k, there.get(name(k)) ?? null);
      } else if (what < 6) {
        const batch = await transaction.inside.post('/api/batch', { ops: [{ op: 'get', key: name(key) }, { op: 'put', key: name((key + 1) % KEYS), text: `${number}` }] });
        saw(key, batch.json.results[0]?.text ?? null);
        own.add((key + 1) % KEYS);
      } else {
        await transaction.put(name(key), `${number}`);
        own.add(key);
      }
    }
    if (dice.chance(0.1)) {
      await transaction.rollback();
      return null;
    }
    const committed = await transaction.commit();
    if (committed.status === 409) return null;
    assert.equal(committed.status, 200, committed.text);
    return { number, version: BigInt(committed.json.version), reads, writes: [...own] };
  }

  it('has an order in which they could have run one after another', async () => {
    const history = [];
    let next = 1;
    await together(CLIENTS, async (client, who, dice) => {
      for (let i = 0; i < ROUNDS; i++) {
        if (dice.below(8) === 0) { // writes without a transaction are in the same order
          const number = next++;
          const key = dice.below(KEYS);
          const put = await client.put(`/api/keys/${name(key)}`, `${number}`);
          history.push({ number, version: versionOf(put), reads: [], writes: [key] });
        } else {
          const done = await step(client, dice, next++);
          if (done) history.push(done);
        }
      }
    });
    assert.ok(history.length > CLIENTS * ROUNDS * 0.2, `${history.length} of ${CLIENTS * ROUNDS} committed`);
    assert.ok(history.length < CLIENTS * ROUNDS, 'and some lost');
    assert.equal(contradictionOf(history), null);
  });
});

describe('counters', () => {
  it('lose no increment under snapshot', async () => {
    await together(CLIENTS, async (client) => {
      for (let i = 0; i < 15; i++) {
        await untilCommitted(client, 'snapshot', async (transaction) => {
          const now = Number((await transaction.get('counter')) ?? 0);
          await transaction.put('counter', `${now + 1}`);
        });
      }
    });
    assert.equal((await server.client.get('/api/keys/counter')).text, `${CLIENTS * 15}`);
  });
});

describe('the gets of one batch', () => {
  it('are of one state under every isolation, whoever writes', async () => {
    const names = ['pair:a', 'pair:b'];
    const write = (text) => server.client.post('/api/batch', { ops: names.map((key) => ({ op: 'put', key, text })) });
    await write('0');
    let writing = true;
    const writer = (async () => {
      for (let n = 1; writing; n++) await write(`${n}`);
    })();
    for (const isolation of ['read_committed', 'snapshot', 'serializable']) {
      const transaction = await Transaction.begin(server.client, isolation);
      const seen = new Set();
      for (let i = 0; i < 60 || (isolation === 'read_committed' && seen.size < 5); i++) {
        const read = await transaction.inside.post('/api/batch', { if: [{ key: 'pair:a', exists: true }], ops: names.map((key) => ({ op: 'get', key })) });
        const [a, b] = read.json.results;
        assert.deepEqual([b.text, BigInt(b.version)], [a.text, BigInt(a.version) + 1n], isolation);
        seen.add(a.text);
      }
      if (isolation !== 'read_committed') assert.equal(seen.size, 1, isolation);
      assert.equal((await transaction.rollback()).status, 204);
    }
    writing = false;
    await writer;
  });
});

describe('a bank', () => {
  const ACCOUNTS = 10;
  const TOTAL = ACCOUNTS * 100;
  const sum = (items) => items.reduce((total, { text }) => total + Number(text), 0);

  it('has as much money at every moment, whoever looks, and nobody owes any', async () => {
    await server.client.post('/api/batch', { ops: Array.from({ length: ACCOUNTS }, (_, i) => ({ op: 'put', key: `bank:${i}`, text: '100' })) });
    let running = true;
    let looks = 0;
    const look = async (client, isolation) => {
      while (running) {
        const transaction = await Transaction.begin(client, isolation);
        const half = (await transaction.inside.get(`/api/keys?prefix=bank:&limit=${ACCOUNTS / 2}&values=true`)).json;
        const rest = (await transaction.inside.get(`/api/keys?prefix=bank:&limit=${ACCOUNTS}&values=true&cursor=${half.cursor}`)).json;
        assert.equal(sum([...half.items, ...rest.items]), TOTAL, isolation);
        assert.equal((await transaction.commit()).status, 200, 'who only reads never loses');
        looks += 1;
      }
    };
    const lookers = together(2, (client, who) => look(client, ['snapshot', 'serializable'][who]));
    await together(8, async (client, who, dice) => {
      for (let i = 0; i < 25; i++) {
        const [from, to] = [dice.below(ACCOUNTS), dice.below(ACCOUNTS)];
        if (from === to) continue;
        const amount = 1 + dice.below(60);
        await untilCommitted(client, i % 2 ? 'serializable' : 'snapshot', async (transaction) => {
          const has = Number(await transaction.get(`bank:${from}`));
          const other = Number(await transaction.get(`bank:${to}`));
          if (has < amount) return;
          await transaction.put(`bank:${from}`, `${has - amount}`);
          await transaction.put(`bank:${to}`, `${other + amount}`);
        });
      }
    });
    running = false;
    await lookers;
    const { items } = (await server.client.get('/api/keys?prefix=bank:&values=true')).json;
    assert.equal(sum(items), TOTAL);
    assert.ok(items.every(({ text }) => Number(text) >= 0));
    assert.ok(looks >= 2);
  });
});
