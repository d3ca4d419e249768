// kill -9 of the real server under load: what was acknowledged is there byte for byte, what was under way is old or new,
// and nothing else exists. Each connection writes keys of its own, so that for every key it is known what may be in it.
//
// ROUNDS, CONNECTIONS and SEED make a run longer, wider, or the same again.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { binary, Client, keyPath, KiB, PATIENCE_MS, random, run, Server, sleep, until, versionOf, within } from '../rest/support.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 6);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000_007);
const KEYS_PER_WRITER = 40;
const LOAD = 200; // requests of a round that are acknowledged at least before it ends: fewer prove little
const LOAD_MS = 120_000;

/** The document that `n` writes of `key` have led to; it repeats nothing, so that a wrong offset shows. */
function documentOf(key, n) {
  const dice = random([...`${key}#${n}`].reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 0x01000193) >>> 0, 0x811c9dc5));
  const kind = dice.below(100);
  const size = kind < 3 ? 0 : kind < 90 ? dice.below(400) : kind < 99 ? dice.below(16 * KiB) : dice.below(150 * KiB);
  return size < 40 ? dice.bytes(size) : Buffer.concat([Buffer.from(`${key}#${n}|`), dice.bytes(size)]);
}

/** One connection and the keys that only it writes. */
class Writer {
  constructor(id, seed) {
    this.dice = random(seed);
    this.keys = Array.from({ length: KEYS_PER_WRITER }, (_, slot) => `kill:${id}:${slot}${slot % 8 === 0 ? '/\0é' : ''}`);
    this.known = new Map(); // key -> { n, lowest, highest }: acknowledged, its version within these; absent where deleted
    this.pending = new Map(); // key -> n, or null for a delete: sent and not acknowledged; one request, so all or none
    this.count = 0;
    this.acknowledged = 0;
    this.highest = 0n; // the greatest version that was seen
  }

  /** Writes until the connection breaks. */
  async write(port) {
    const client = new Client(port, { connections: 1 });
    try {
      for (;;) await this.#one(client);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    } finally {
      client.close();
    }
  }

  async #one(client) {
    const choice = this.dice.below(100);
    const key = this.keys[this.dice.below(this.keys.length)];
    if (choice < 65) {
      this.pending.set(key, ++this.count);
      const put = await client.put(keyPath(key), documentOf(key, this.count));
      assert.equal(put.status, 204, put.text);
      this.#acknowledge(versionOf(put), 1n);
    } else if (choice < 80) {
      this.pending.set(key, null);
      const deleted = await client.delete(keyPath(key));
      assert.equal(deleted.status, 204, deleted.text);
      this.#acknowledge(BigInt(deleted.headers['velocity-version']), 1n);
    } else {
      await this.#batch(client, 2 + this.dice.below(12));
    }
  }

  async #batch(client, size) {
    const ops = [];
    for (let i = 0; i < size; i++) {
      const key = this.keys[this.dice.below(this.keys.length)];
      const n = this.dice.chance(0.25) ? null : ++this.count;
      this.pending.set(key, n);
      ops.push(n === null ? { op: 'delete', key } : { op: 'put', key, base64: documentOf(key, n).toString('base64') });
    }
    const written = await client.post('/api/batch', { ops });
    assert.equal(written.status, 200, written.text);
    this.#acknowledge(BigInt(written.json.version), BigInt(size));
  }

  #acknowledge(version, operations) {
    assert.ok(version > this.highest, `version ${version} after ${this.highest}`);
    for (const [key, n] of this.pending) {
      if (n === null) this.known.delete(key);
      else this.known.set(key, { n, lowest: version - operations + 1n, highest: version });
    }
    this.highest = version;
    this.pending.clear();
    this.acknowledged += 1;
  }

  /** Compares its keys with what the server holds ({ size, version } by key), and takes over what became of `pending`. */
  async check(client, found) {
    const outcomes = new Set();
    for (const key of this.keys) {
      const item = found.get(key);
      found.delete(key);
      const old = this.known.get(key);
      const got = item && (await client.get(keyPath(key)));
      const isOld = old ? got !== undefined && this.#is(got, key, old) : got === undefined;
      if (!this.pending.has(key)) {
        assert.ok(isOld, `${key}: acknowledged ${old ? `#${old.n} at ${old.highest}` : 'as deleted'}, found ${describeFound(got)}`);
        continue;
      }
      const n = this.pending.get(key);
      const isNew = n === null ? got === undefined : got?.body.equals(documentOf(key, n)) === true;
      assert.ok(isOld || isNew, `${key}: neither what was acknowledged nor what was under way, found ${describeFound(got)}`);
      if (isOld !== isNew) outcomes.add(isNew ? 'new' : 'old');
      if (isNew && got) this.known.set(key, { n, lowest: versionOf(got), highest: versionOf(got) });
      else if (isNew) this.known.delete(key);
      if (got && versionOf(got) > this.highest) this.highest = versionOf(got);
    }
    assert.ok(outcomes.size <= 1, `a batch of ${[...this.pending.keys()]} is there in part`);
    this.pending.clear();
  }

  #is(got, key, { n, lowest, highest }) {
    const version = versionOf(got);
    return got.body.equals(documentOf(key, n)) && lowest <= version && version <= highest;
  }
}

const describeFound = (got) => (got ? `${got.body.length} bytes at ${got.headers.etag}: ${got.body.subarray(0, 40).toString('latin1')}` : 'nothing');

/** Everything that the server lists: key -> item, with the version of the last page. */
async function contents(client) {
  const found = new Map();
  let cursor = '';
  let version;
  do {
    const page = await client.get(`/api/keys?limit=5000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    assert.equal(page.status, 200, page.text);
    for (const item of page.json.items) {
      assert.ok(!found.has(item.key), `${item.key} is listed twice`);
      found.set(item.key, item);
    }
    ({ cursor, version } = page.json);
  } while (cursor !== null);
  return { found, version: BigInt(version) };
}

async function checkAll(server, writers) {
  const { found, version } = await contents(server.client);
  const highest = writers.reduce((most, writer) => (writer.highest > most ? writer.highest : most), 0n);
  assert.ok(version >= highest, `the version went back from ${highest} to ${version}`);
  for (const item of found.values()) assert.ok(BigInt(item.version) <= version);
  for (const writer of writers) await writer.check(server.client, found);
  assert.deepEqual([...found.keys()], [], 'nothing exists that nobody wrote');
  const marker = await server.client.put('/api/keys/kill:marker', 'x');
  assert.ok(versionOf(marker) > version, `a new write got version ${versionOf(marker)} after ${version}`);
  await server.client.delete('/api/keys/kill:marker');
}

const configurations = [
  { database: { durability: 'always', memtable_bytes: 256 * KiB } },
  { database: { durability: 'always' } },
  { database: { durability: 'interval', interval_ms: 20, memtable_bytes: 64 * KiB } },
  { database: { durability: 'os', memtable_bytes: 128 * KiB } },
];

describe(`a server that is killed under load (SEED=${SEED})`, () => {
  it(`has every acknowledged write and nothing else, ${ROUNDS} times over`, async (t) => {
    const dice = random(SEED);
    const writers = Array.from({ length: Number(process.env.CONNECTIONS ?? 64) }, (_, id) => new Writer(id, SEED + 1 + id));
    let server = await Server.start({ config: configurations[0] });
    const acknowledged = () => writers.reduce((sum, writer) => sum + writer.acknowledged, 0);
    let inFlight = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const some = writers.slice(0, Math.min(writers.length, 16 + dice.below(writers.length)));
      const least = acknowledged() + LOAD;
      const writing = Promise.all(some.map((writer) => writer.write(server.port)));
      await sleep(200 + dice.below(1_000));
      await Promise.race([until('the load', () => acknowledged() >= least, LOAD_MS), writing]);
      await server.kill();
      await within(PATIENCE_MS, 'the end of all writers', writing);
      inFlight += some.filter((writer) => writer.pending.size > 0).length;
      if (dice.chance(0.5)) await killedWhileItRecovers(server, dice.below(60));
      server = await server.again({ config: configurations[round % configurations.length] });
      await checkAll(server, writers);
    }
    await server.stop();
    server = await server.again();
    await checkAll(server, writers);
    await server.stop();

    t.diagnostic(`${acknowledged()} requests acknowledged, ${inFlight} under way when it was killed`);
    assert.ok(inFlight > 0, 'some writes were under way');
  });
});

/** Starts it over the same data and kills it `ms` later, ready or not. */
async function killedWhileItRecovers(server, ms) {
  const end = await run([...'server --bind 127.0.0.1:0 --data-dir'.split(' '), server.dataDir], { timeoutMs: ms, command: binary });
  assert.equal(end.signal, 'SIGKILL', `it should have lived until it was killed: ${end.stderr}`);
}
