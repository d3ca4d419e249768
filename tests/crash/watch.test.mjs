// Those who watch through kill -9 and restart: what they saw, put together, is what was written, once and in order.
//
// ROUNDS, WATCHERS and SEED make a run longer, wider, or the same again.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Client, Events, keyPath, KiB, PATIENCE_MS, random, Server, sleep, temporaryDirectory, until, versionOf, within } from '../rest/support.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const WATCHERS = Number(process.env.WATCHERS ?? 12);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000_007);
const LOAD = 60; // versions that are acknowledged in a round at least before it ends: fewer prove little
const LOAD_MS = 120_000;
const TYPE = { 'Content-Type': 'text/plain; charset=utf-8' };

/** Writes until the connection breaks; `acknowledged`: text by version. */
async function write(port, id, dice, acknowledged) {
  const client = new Client(port, { connections: 1 });
  try {
    for (let n = 0; ; n++) {
      const key = `c:${id % 3}:${dice.below(30)}`;
      const text = `${id} ${n} ${'x'.repeat(dice.below(2_000))}`;
      if (dice.chance(0.1)) {
        const deleted = await client.delete(dice.chance(0.5) ? keyPath(key) : `/api/keys?prefix=${key}`);
        acknowledged.set(BigInt(deleted.headers['velocity-version']), undefined);
      } else if (dice.chance(0.1)) {
        const { id: transaction } = (await client.post('/api/transactions', { isolation: 'snapshot' })).json;
        const count = 1 + dice.below(5);
        for (let i = 0; i < count; i++) await client.put(keyPath(`${key}:${id}:${i}`), text, { ...TYPE, 'Velocity-Transaction': transaction });
        const commit = await client.request('POST', `/api/transactions/${transaction}/commit`, { body: '' });
        if (commit.status === 409) continue; // another's range delete was faster
        assert.equal(commit.status, 200, commit.text);
        for (let i = 0; i < count; i++) acknowledged.set(BigInt(commit.json.version) - BigInt(i), text);
      } else if (dice.chance(0.3)) {
        const ops = Array.from({ length: 2 + dice.below(30) }, (_, i) => ({ op: 'put', key: `${key}:${i}`, text: `${text} ${i}` }));
        const { json } = await client.post('/api/batch', { ops });
        ops.forEach((op, i) => acknowledged.set(BigInt(json.version) - BigInt(ops.length - 1 - i), op.text));
      } else {
        acknowledged.set(versionOf(await client.put(keyPath(key), text, TYPE)), text);
      }
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
  } finally {
    client.close();
  }
}

/** One who comes back with the last id that it saw, as a browser does. */
class Watcher {
  constructor(prefix) {
    this.prefix = prefix;
    this.lastId = '0';
    this.seen = [];
  }

  /** Until the connection breaks, or `last` was seen. */
  async watch(port, last = null) {
    let events;
    try {
      events = await Events.open(port, `/api/watch?prefix=${this.prefix}&since=0`, { headers: { 'Last-Event-ID': this.lastId } });
      assert.equal(events.status, 200, `with ${this.lastId}`);
      while (last === null || BigInt(this.lastId) < last) {
        const event = await events.any(30_000);
        if (event === null) break;
        this.lastId = event.id;
        if (event.event !== 'heartbeat') this.seen.push([event.id, event.data.key ?? event.data.start, event.data.text, event.event]);
      }
    } catch (error) {
      if (error instanceof assert.AssertionError || last !== null) throw error;
    } finally {
      events?.close();
    }
  }
}

/** Everything from the first version on, by one who was never cut off. */
async function everything(port, prefix, last) {
  const witness = new Watcher(prefix);
  await witness.watch(port, last);
  return witness.seen;
}

describe(`watches through kill -9 (SEED=${SEED})`, () => {
  for (const [durability, encrypted] of [['always', false], ['interval', true], ['os', false]]) {
    it(`with durability "${durability}"${encrypted ? ', encrypted,' : ''} lose nothing, double nothing, and keep the order, ${ROUNDS} times over`, async (t) => {
      const dice = random(SEED);
      const config = { server: { watch_heartbeat_seconds: 1 }, database: { durability, memtable_bytes: 256 * KiB, change_history_bytes: 1 << 30 } };
      if (encrypted) {
        config.database.encryption_key_file = path.join(temporaryDirectory(), 'key');
        writeFileSync(config.database.encryption_key_file, `${'7f'.repeat(32)}\n`, { mode: 0o600 });
      }
      const watchers = Array.from({ length: WATCHERS }, (_, i) => new Watcher(['c:', 'c:0:', 'c:1:', ''][i % 4]));
      const acknowledged = new Map();
      let server = await Server.start({ config });
      for (let round = 0; round < ROUNDS; round++) {
        const watching = watchers.map((watcher) => watcher.watch(server.port));
        const writing = Array.from({ length: 8 }, (_, id) => write(server.port, id, random(SEED + round * 100 + id), acknowledged));
        const least = acknowledged.size + LOAD;
        await sleep(300 + dice.below(1_000));
        await Promise.race([until('the load', () => acknowledged.size >= least, LOAD_MS), ...writing]);
        await server.kill();
        await within(PATIENCE_MS, 'the end of all', Promise.all([...watching, ...writing]));
        server = await server.again({ config });
      }
      const last = versionOf(await server.client.put(keyPath('c:0:end'), 'x', TYPE));
      await server.client.put(keyPath('c:1:end'), 'x', TYPE);
      const end = versionOf(await server.client.put(keyPath('c:end'), 'x', TYPE));
      await within(LOAD_MS, 'those who catch up', Promise.all(watchers.map((watcher) => watcher.watch(server.port, end))));
      const truth = new Map();
      for (const prefix of new Set(watchers.map((watcher) => watcher.prefix))) truth.set(prefix, await everything(server.port, prefix, end));
      for (const watcher of watchers) assert.deepEqual(watcher.seen, truth.get(watcher.prefix), `prefix "${watcher.prefix}"`);
      const all = new Map(truth.get('').map(([id, , text]) => [BigInt(id), text]));
      for (const [version, text] of acknowledged) assert.ok(all.has(version) && all.get(version) === text, `what was acknowledged with ${version}`);
      const ids = truth.get('').map(([id]) => BigInt(id));
      assert.ok(ids.every((id, i) => i === 0 || id > ids[i - 1]), 'versions ascend');
      assert.ok(last < end);
      t.diagnostic(`${acknowledged.size} acknowledged, ${ids.length} seen by each of ${watchers.length}`);
      await server.stop();
    });
  }
});
