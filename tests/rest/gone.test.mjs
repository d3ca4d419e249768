// Keys that are deleted or have expired and still take space: whoever reads among them is answered in bounded time.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server, sleep } from './support.mjs';

const GONE = 1_100_000;
const PAST = '2020-01-01T00:00:00Z';
const THERE = ['f', 'g0500000+', 'h'];
let server;
let client;
const write = async (ops) => {
  const written = await client.post('/api/batch', { ops });
  assert.equal(written.status, 200, written.text.slice(0, 300));
};
before(async () => {
  // Nothing is to be merged away meanwhile.
  server = await Server.start({ config: { database: { memtable_bytes: '1 GiB', total_memtable_bytes: '2 GiB' } } });
  client = server.client;
  const name = (i) => `g${String(i).padStart(7, '0')}`;
  for (let at = 0; at < GONE; at += 10_000) {
    await write(Array.from({ length: 10_000 }, (_, i) => (i % 2 ? { op: 'put', key: name(at + i), text: '', expires_at: PAST } : { op: 'delete', key: name(at + i) })));
  }
  await write(THERE.map((key) => ({ op: 'put', key, text: 'v' })));
}, { timeout: 120_000 });
after(() => server?.stop());

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
  it('a page ends, and its cursor goes on', async () => {
    assert.deepEqual(await pages(client, 'limit=100'), [['f', 'g0500000+'], ['h']]);
    assert.deepEqual(await pages(client, 'limit=100&reverse=true'), [['h', 'g0500000+'], ['f']]);
    assert.deepEqual(await pages(client, 'prefix=g&limit=100&delimiter=%2B'), [[], []]);
    assert.deepEqual(await pages(client, 'start=g&end=g0500000'), [[]]);
  });

  it('of a transaction, too', async () => {
    const { id } = (await client.post('/api/transactions', {})).json;
    const inside = client.with({ 'Velocity-Transaction': id });
    await inside.put('/api/keys/e', 'v');
    assert.deepEqual(await pages(inside, 'limit=100'), [['e', 'f', 'g0500000+'], ['h']]);
    assert.equal((await client.delete(`/api/transactions/${id}`)).status, 204);
  });

  it('a count and a dry run count what is there', async () => {
    assert.deepEqual((await client.get('/api/keys?count=true')).json, { count: 3, exact: true });
    assert.deepEqual((await client.delete('/api/keys?prefix=g&dry_run=true')).json, { count: 1, exact: true });
  });

  it('a count ends with its time, also where there is nothing to count', { timeout: 120_000 }, async () => {
    let found;
    for (let round = 0; round < 10 && (!found || found.exact); round++) {
      const counting = client.get('/api/keys?count=true');
      await sleep(10 + 5 * round);
      server.child.kill('SIGSTOP'); // its clock goes on
      await sleep(5200);
      server.child.kill('SIGCONT');
      found = (await counting).json;
      assert.equal(found.exact, found.count === THERE.length);
    }
    assert.equal(found.exact, false, 'it was never stopped while it counted');
  });
});
