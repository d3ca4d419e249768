// Keys that are deleted or have expired and still take space: whoever reads among them is answered in bounded time.
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { Server, standstill, Stream, until } from './support.mjs';

const GONE = 1_100_000;
const PAST = '2020-01-01T00:00:00Z';
const THERE = ['f', 'g0500000+', 'h'];
const name = (i) => `g${String(i).padStart(7, '0')}`;
const deleted = (i) => ({ op: 'delete', key: name(i) });
const expired = (i) => ({ op: 'put', key: name(i), text: '', expires_at: PAST });

/** Writes a million keys that are gone as `gone` says, and the few that are there. */
async function fill(client, gone) {
  const write = async (ops) => {
    const written = await client.post('/api/batch', { ops });
    assert.equal(written.status, 200, written.text.slice(0, 300));
  };
  for (let at = 0; at < GONE; at += 10_000) await write(Array.from({ length: 10_000 }, (_, i) => gone(at + i)));
  await write(THERE.map((key) => ({ op: 'put', key, text: 'v' })));
}

/** A server over them. Nothing is to be merged away meanwhile: an idle database would do so, and this one is not. */
async function serverAmong(gone, limits = {}) {
  const server = await Server.start({ config: { server: limits, database: { memtable_bytes: '1 GiB', total_memtable_bytes: '2 GiB' } } });
  await fill(server.client, gone);
  const writing = setInterval(() => server.client.put('/api/keys/f', 'v').catch(() => {}), 100);
  server.child.once('exit', () => clearInterval(writing));
  return server;
}

/** Where the machine stood still for a moment they were merged away all the same, and are written again. */
async function areThere(client, gone) {
  if ((await client.get('/api/databases/default')).json.keys_estimate >= GONE) return true;
  await fill(client, gone);
  return false;
}

/** Does `once` until it was done among all of them, and answers what it did. */
async function among(client, gone, once) {
  for (let round = 0; round < 5; round++) {
    const found = await once();
    if (await areThere(client, gone)) return found;
  }
  throw new Error('they were merged away each time');
}

/** The keys of each page. */
async function pages(by, query) {
  const found = [];
  for (let cursor = ''; cursor !== null;) {
    const page = await by.get(`/api/keys?${query}${cursor && `&cursor=${cursor}`}`);
    assert.equal(page.status, 200, page.text);
    assert.equal(page.json.complete, page.json.cursor === null);
    found.push(page.json.items.map(({ key }) => key));
    cursor = page.json.cursor;
  }
  return found;
}

describe('among a million keys that are gone', () => {
  let server;
  let client;
  const either = (i) => (i % 2 ? expired(i) : deleted(i));
  before(async () => {
    server = await serverAmong(either);
    client = server.client;
  }, { timeout: 600_000 });
  after(() => server?.stop());

  it('a page ends, and its cursor goes on', async () => {
    for (const [query, ...expected] of [
      ['limit=100', ['f', 'g0500000+'], ['h']], ['limit=100&reverse=true', ['h', 'g0500000+'], ['f']],
      ['prefix=g&limit=100&delimiter=%2B', [], []], ['start=g&end=g0500000', []],
    ]) assert.deepEqual(await among(client, either, () => pages(client, query)), expected, query);
  });

  it('of a transaction, too', async () => {
    const found = await among(client, either, async () => {
      const { id } = (await client.post('/api/transactions', {})).json;
      const inside = client.with({ 'Velocity-Transaction': id });
      await inside.put('/api/keys/e', 'v');
      const shown = await pages(inside, 'limit=100');
      assert.equal((await client.delete(`/api/transactions/${id}`)).status, 204);
      return shown;
    });
    assert.deepEqual(found, [['e', 'f', 'g0500000+'], ['h']]);
  });

  it('a count and a dry run count what is there', async () => {
    assert.deepEqual((await client.get('/api/keys?count=true')).json, { count: 3, exact: true });
    assert.deepEqual((await client.delete('/api/keys?prefix=g&dry_run=true')).json, { count: 1, exact: true });
  });

  it('a count ends with its time, also where there is nothing to count', { timeout: 600_000 }, async () => {
    let found;
    for (let round = 0; round < 10 && (!found || found.exact); round++) {
      await areThere(client, either);
      found = (await standstill(server, 5_200, () => client.get('/api/keys?count=true'))).json;
      assert.equal(found.exact, found.count === THERE.length);
    }
    assert.equal(found.exact, false, 'it was never stopped while it counted');
  });
});

describe('exports among a million keys that are deleted', () => {
  let server;
  let client;
  before(async () => {
    server = await serverAmong(deleted, { request_deadline_seconds: 4 }); // eight times meanwhile it looks who has left
    client = server.client;
  }, { timeout: 600_000 });
  after(() => server?.stop());

  // More exports than there are threads that may wait: each has its turn.
  const EXPORTS = 24 * availableParallelism();
  const streams = async () => (await client.get('/api/stats')).json.server.streams;
  const keysOf = (text) => text.toString().split('\n').slice(0, -1).map((line) => JSON.parse(line).key);
  const begin = (query, count = EXPORTS) => Promise.all(Array.from({ length: count }, () => Stream.open(server.port, `/api/export?${query}`)));
  it('have what is there, and nobody waits until they are through', { timeout: 600_000 }, async () => {
    assert.deepEqual(keysOf((await client.get('/api/export')).text), THERE);
    const before = await among(client, deleted, async () => {
      let ended = 0;
      const all = (await begin('prefix=g')).map(async (dump) => {
        const text = await dump.rest();
        ended += 1;
        return keysOf(text);
      });
      const page = await client.get('/api/keys?start=h');
      const others = ended;
      assert.deepEqual(page.json.items.map(({ key }) => key), ['h']);
      for (const found of await Promise.all(all)) assert.deepEqual(found, ['g0500000+']);
      return others;
    });
    assert.ok(before < EXPORTS / 2, `the page came behind ${before} of them`);
  });

  it('whose clients have left end, however much there is still to pass by', { timeout: 600_000 }, async (t) => {
    const LONG_MS = 4_000; // beside it half a second, until it is noticed, is little
    const timeOf = async (count, end) => {
      const all = await begin('start=g', count);
      const began = performance.now();
      await Promise.all(all.map(end));
      await until('their end', async () => (await streams()).open === 0);
      return performance.now() - began;
    };
    let count = EXPORTS;
    const wait = (dump) => dump.rest();
    const measure = () => among(client, deleted, async () => {
      let whole = await timeOf(count, wait);
      if (whole < LONG_MS) {
        count = Math.ceil((count * LONG_MS) / whole);
        whole = await timeOf(count, wait);
      }
      return [whole, await timeOf(count, (dump) => dump.close())];
    });
    let [whole, left] = [0, 0];
    for (let round = 0; round < 3 && left >= whole * 0.75; round++) { // something else may have had the machine meanwhile
      [whole, left] = await measure();
      t.diagnostic(`${left.toFixed(0)} ms, and ${whole.toFixed(0)} ms where nobody left, of ${count}`);
    }
    assert.ok(left < whole * 0.75, `${left} ms for ${count}, and ${whole} ms where nobody left`);
  });
});
