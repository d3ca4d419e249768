// Single-key operations of many clients at once are linearizable: a recorded history is checked as a whole.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { contradiction } from './history.mjs';
import { Client, random, Server, versionOf } from './support.mjs';

const CLIENTS = 16;
const OPERATIONS = 250; // each
const KEYS = 6;

describe('the check of a history', () => {
  const put = (begin, end, version, value) => ({ key: 'k', kind: 'put', begin, end, version, value });
  const remove = (begin, end, version) => ({ key: 'k', kind: 'delete', begin, end, version });
  const get = (begin, end, version, value) => ({ key: 'k', kind: 'get', begin, end, version, value });

  it('accepts what one after the other could have done', () => {
    assert.equal(contradiction([put(0, 1, 1n, 'a'), get(2, 3, 1n, 'a'), remove(4, 5, 2n), get(6, 7, null)]), null);
    assert.equal(contradiction([put(0, 9, 1n, 'a'), get(1, 2, null), get(3, 4, 1n, 'a')]), null, 'a write that takes its time');
    assert.equal(contradiction([put(0, 9, 2n, 'b'), put(0, 9, 1n, 'a'), get(1, 2, 1n, 'a'), get(3, 4, 2n, 'b')]), null);
    assert.equal(contradiction([put(0, 1, 1n, 'a'), remove(2, 9, 2n), put(3, 8, 3n, 'c'), get(4, 5, null)]), null, 'between two writes');
  });

  it('refuses what none could have', () => {
    const wrong = [
      [put(0, 1, 1n, 'a'), put(2, 3, 2n, 'b'), get(4, 5, 1n, 'a')], // stale
      [put(0, 1, 1n, 'a'), get(2, 3, null)], // lost
      [put(0, 9, 1n, 'a'), get(1, 2, 1n, 'a'), get(3, 4, null)], // seen and gone
      [put(0, 1, 2n, 'a'), put(2, 3, 1n, 'b')], // the later one has the smaller version
      [put(0, 1, 1n, 'a'), get(2, 3, 1n, 'z')], // another value
      [put(5, 6, 1n, 'a'), get(0, 1, 1n, 'a')], // from the future
      [get(0, 1, 7n, 'a')], // from nowhere
      [put(0, 1, 1n, 'a'), remove(2, 3, 2n), get(4, 5, 1n, 'a')], // back from the dead
      [put(0, 1, 1n, 'a'), put(0, 1, 1n, 'b')], // one version, two writes
    ];
    for (const history of wrong) assert.notEqual(contradiction(history), null, JSON.stringify(history, (_, v) => (typeof v === 'bigint' ? `${v}` : v)));
  });
});

/** One random operation, recorded. What a failed condition says of the key's version is a read of it. */
async function step(client, dice, who, number, known, history) {
  const key = `k${dice.below(KEYS)}`;
  const target = `/api/keys/linear:${key}`;
  const value = `${who}.${number}`;
  const choice = dice.below(10);
  const begin = performance.now();
  const record = (kind, version, what) => history.push({ key, kind, begin, end: performance.now(), version, value: what });
  if (choice < 4) {
    const got = await client.get(target);
    if (got.status === 404) return record('get', null);
    assert.equal(got.status, 200, got.text);
    known.set(key, got.headers.etag);
    return record('get', versionOf(got), got.text);
  }
  if (choice < 6) {
    const put = await client.put(target, value);
    assert.equal(put.status, 204, put.text);
    return record('put', versionOf(put), value);
  }
  if (choice < 7) {
    const gone = await client.delete(target);
    assert.equal(gone.status, 204, gone.text);
    return record('delete', BigInt(gone.headers['velocity-version']));
  }
  const condition = choice === 7 ? { 'If-None-Match': '*' } : { 'If-Match': known.get(key) ?? '*' };
  const put = await client.put(target, value, condition);
  if (put.status !== 412) {
    assert.equal(put.status, choice === 7 ? 201 : 204, put.text);
    return record('put', versionOf(put), value);
  }
  // Which value the version had is not told; a version that stands there must be one that was written.
  const current = put.json.current_version;
  return current === null ? record('get', null) : record('seen', BigInt(current));
}

describe('a recorded history of many clients', () => {
  it('is linearizable, and goes on after a restart', async () => {
    let server = await Server.start({ config: { database: { durability: 'os' } } });
    const history = [];
    const run = () =>
      Promise.all(
        Array.from({ length: CLIENTS }, async (_, who) => {
          const client = new Client(server.port, { connections: 1 });
          const dice = random(who * 31 + history.length);
          const known = new Map();
          for (let i = 0; i < OPERATIONS; i++) await step(client, dice, who, `${history.length}.${i}`, known, history);
          client.close();
        }),
      );
    await run();
    await server.stop();
    server = await server.again({ config: { database: { durability: 'os' } } });
    await run();
    await server.stop();
    const values = new Map(history.filter((one) => one.kind === 'put').map((one) => [one.version, one.value]));
    for (const one of history) {
      if (one.kind !== 'seen') continue;
      one.kind = 'get';
      one.value = values.get(one.version);
    }
    assert.equal(history.length, 2 * CLIENTS * OPERATIONS);
    const found = contradiction(history);
    assert.equal(found, null, found && `${found.reason}: ${JSON.stringify(found.operation, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`);
  });
});
