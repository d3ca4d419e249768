// Debian's package index, loaded over HTTP, with a kill -9 in the middle of it: real documents instead of made-up ones.
// By default a part of the index; FULL=1 takes all of it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aptIndex, load, readIndex, Store, verify } from '../../examples/load-packages.mjs';
import { Server, sleep } from '../rest/support.mjs';

const FULL = process.env.FULL === '1';
const LIMIT = FULL ? Infinity : 6_000;
const FEWEST = 1_000;

const documents = await readIndex(aptIndex(), LIMIT).catch(() => []);
const skip = documents.length < FEWEST && `apt-cache knows ${documents.length} packages here, fewer than ${FEWEST}: apt-get update fills it`;
const perSecond = (count, ms) => `${Math.round((count * 1000) / ms)}/s`;

/** Loads until `stop` acknowledgements, then kills the server: { sent, acknowledged }, keys each. */
async function loadAndKill(server, options, stop) {
  const sent = new Set();
  const acknowledged = new Set();
  const store = new Store(`http://127.0.0.1:${server.port}`, options.connections);
  let killed;
  const onAcknowledged = (some) => {
    for (const { key } of some) acknowledged.add(key);
    if (acknowledged.size >= stop) killed ??= server.kill();
  };
  const onSend = (some) => some.forEach(({ key }) => sent.add(key));
  await assert.rejects(load(store, documents, { ...options, onSend, onAcknowledged }), 'the load was broken off');
  await killed;
  store.close();
  return { sent, acknowledged };
}

/** Every acknowledged document is there byte for byte; what else is there was under way. */
async function check(server, { sent, acknowledged }) {
  const store = new Store(`http://127.0.0.1:${server.port}`, 32);
  const result = await verify(store, documents, { connections: 32 });
  store.close();
  assert.deepEqual(result.different, [], 'no document is there changed');
  assert.deepEqual(result.unknown, [], 'nothing is there that was not in the index');
  const missing = new Set(result.missing);
  assert.deepEqual([...acknowledged].filter((key) => missing.has(key)), [], 'every acknowledged document is there');
  const uncalledFor = documents.map(({ key }) => key).filter((key) => !missing.has(key) && !sent.has(key));
  assert.deepEqual(uncalledFor, [], 'nothing is there that was not sent');
  return result;
}

describe(`the package index (${documents.length} documents)`, { skip }, () => {
  it('survives kill -9 in the middle of its load, goes on, and is complete', async (t) => {
    let server = await Server.start();
    const everything = { sent: new Set(), acknowledged: new Set() };
    for (const [options, part] of [[{ connections: 32, batch: 1 }, 0.3], [{ connections: 16, batch: 50 }, 0.7]]) {
      const one = await loadAndKill(server, options, Math.floor(documents.length * part) - everything.acknowledged.size);
      for (const which of ['sent', 'acknowledged']) one[which].forEach((key) => everything[which].add(key));
      server = await server.again();
      const { equal } = await check(server, everything);
      t.diagnostic(`killed after ${everything.acknowledged.size} acknowledged, ${everything.sent.size} sent: ${equal} there, all equal`);
    }

    const store = new Store(`http://127.0.0.1:${server.port}`, 32);
    let began = Date.now();
    const onSend = (some) => some.forEach(({ key }) => everything.sent.add(key));
    const { written, kept, bytes } = await load(store, documents, { connections: 32, onSend });
    t.diagnostic(`went on with ${kept} there: ${written} more, ${bytes} bytes, ${perSecond(written, Date.now() - began)}`);
    assert.ok(kept >= everything.acknowledged.size);
    assert.equal(written + kept, documents.length);

    began = Date.now();
    const result = await verify(store, documents);
    t.diagnostic(`read ${result.equal} documents, ${result.bytes} bytes, all equal, ${perSecond(result.equal, Date.now() - began)}`);
    assert.deepEqual([result.equal, result.missing, result.different, result.unknown], [documents.length, [], [], []]);

    began = Date.now();
    const listed = [];
    let pages = 0;
    for await (const items of store.list('pkg:lib', { limit: 250 })) {
      listed.push(...items.map((item) => item.key));
      pages += 1;
    }
    t.diagnostic(`listed ${listed.length} of pkg:lib on ${pages} pages, ${perSecond(listed.length, Date.now() - began)}`);
    const expected = documents.map(({ key }) => key).filter((key) => key.startsWith('pkg:lib'));
    assert.deepEqual(listed, expected.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));

    store.close();
    await sleep(50);
    await server.kill();
    server = await server.again();
    assert.equal((await check(server, everything)).equal, documents.length, 'and after one more kill all are still there');
    await server.stop();
  });
});
