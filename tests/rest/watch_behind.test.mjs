// GET /api/watch of those who come back: wherever a connection is cut, whatever became of the database meanwhile, and however many are far behind at once.
//
// WATCHES, VALUES and VALUE_KIB make the last test larger, and MOST_MIB what it allows.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { assertProblem, Events, FREED_IS_GONE, keyPath, KiB, MiB, Server, until, versionOf, within } from './support.mjs';

const TEXT = { 'Content-Type': 'text/plain; charset=utf-8' };

/** The whole events in the first bytes of a connection, as a browser takes them; what has not come whole is nothing. */
function eventsIn(bytes) {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return [];
  const chunks = [];
  let at = head + 4;
  for (let line = bytes.indexOf('\r\n', at); line >= 0; line = bytes.indexOf('\r\n', at)) {
    const size = Number.parseInt(bytes.subarray(at, line).toString(), 16);
    chunks.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
    if (at > bytes.length) break;
  }
  const events = Buffer.concat(chunks).toString().split('\n\n').slice(0, -1);
  return events.map((event) => Object.fromEntries(event.split('\n').map((line) => /^(\w+): (.*)$/.exec(line).slice(1))));
}

/** The first bytes of a watch, heads and all, until `done` says that they suffice. */
function firstBytes(port, target, lastId, done) {
  return within(20_000, `the bytes of ${target}`, new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const socket = net.connect({ port, host: '127.0.0.1' }, () => {
      socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n${lastId ? `Last-Event-ID: ${lastId}\r\n` : ''}\r\n`);
    });
    socket.on('error', reject);
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      if (!done(bytes)) return;
      socket.destroy();
      resolve(bytes);
    });
  }));
}

describe('a watch that is cut and comes back', () => {
  let server;
  let client;
  before(async () => {
    server = await Server.start({ config: { server: { watch_heartbeat_seconds: 300 }, database: { durability: 'os' } } });
    client = server.client;
  });
  after(() => server?.stop());

  it('loses nothing and doubles nothing, at whichever byte it was cut', async () => {
    const shown = ({ id, event, data }) => [id, event, JSON.parse(data).key];
    await client.put(keyPath('c:0'), 'zwölf', TEXT);
    await client.post('/api/batch', { ops: [1, 2, 3].map((n) => ({ op: 'put', key: `c:b${n}`, text: 'x' })) });
    const { id } = (await client.post('/api/transactions', { isolation: 'snapshot' })).json;
    for (const n of [1, 2, 3]) await client.put(keyPath(`c:t${n}`), 'x', { 'Velocity-Transaction': id });
    assert.equal((await client.request('POST', `/api/transactions/${id}/commit`, { body: '' })).status, 200);
    await client.delete(keyPath('c:b1'));
    await client.delete('/api/keys?start=c:t1&end=c:t3');
    const end = versionOf(await client.put('/api/keys/c:ttl?ttl=1000', 'x', TEXT));
    const target = '/api/watch?prefix=c:&since=0';
    // With the heartbeat of who has caught up, after all the rest.
    const all = (bytes) => eventsIn(bytes).some((event) => event.event === 'heartbeat' && BigInt(event.id) >= end);
    const changes = (bytes) => eventsIn(bytes).filter(({ event }) => event !== 'heartbeat');
    const whole = await firstBytes(server.port, target, undefined, all);
    const truth = changes(whole).map(shown);
    assert.equal(truth.length, 10);
    for (let cut = 1; cut < whole.length; cut++) {
      const first = eventsIn((await firstBytes(server.port, target, undefined, (bytes) => bytes.length >= cut)).subarray(0, cut));
      const rest = await firstBytes(server.port, target, first.at(-1)?.id, all);
      const seen = [...first.filter(({ event }) => event !== 'heartbeat'), ...changes(rest)];
      assert.deepEqual(seen.map(shown), truth, `cut at byte ${cut}`);
    }
  });

  it('is told that its copy is worth nothing where the database was dropped and made again, however far it had come', async () => {
    const create = async () => assert.equal((await client.post('/api/databases', { name: 'again' })).status, 201);
    const status = async (since) => (await client.get(`/api/databases/again/watch?since=${since}`)).status;
    await create();
    const versions = [0n];
    for (const key of ['a', 'b', 'c']) versions.push(versionOf(await client.put(`/api/databases/again/keys/${key}`, 'x')));
    for (const version of versions) assert.equal(await status(version), 200);
    assert.equal((await client.delete('/api/databases/again')).status, 204);
    await create();
    for (const version of versions) assert.equal(await status(version), 410, `since ${version}, while nothing was written`);
    const exported = await client.get('/api/databases/again/export');
    const next = versionOf(await client.put('/api/databases/again/keys/a', 'y'));
    for (const version of versions) assert.equal(await status(version), 410, `since ${version}`);
    const problem = assertProblem(await client.get(`/api/databases/again/watch?since=${versions.at(-1)}`), 410);
    assert.equal(problem.code, 'history_gone');
    assert.match(problem.detail, new RegExp(`version ${versions.at(-1)} .*export`));
    const events = await Events.open(server.port, `/api/databases/again/watch?since=${exported.headers['velocity-version']}`);
    assert.equal((await events.event()).id, String(next), 'an export of the new one is where to begin');
    events.close();
  });
});

describe('many who are far behind', () => {
  it('hold little together, though they take nothing, and each gets all of it once it does', async (t) => {
    const WATCHES = Number(process.env.WATCHES ?? 60);
    const VALUES = Number(process.env.VALUES ?? 8);
    const MOST_MIB = Number(process.env.MOST_MIB ?? 80);
    const LONG = Number(process.env.VALUE_KIB ?? 300) * KiB; // as JSON six times that
    const config = { server: { request_deadline_seconds: 600, watch_heartbeat_seconds: 300 }, database: { durability: 'os', change_history_bytes: 4096 * MiB } };
    const writer = await Server.start({ config });
    for (let i = 0; i < VALUES; i++) await writer.client.put(keyPath(`far:${i}`), Buffer.alloc(LONG, 1), TEXT);
    const end = versionOf(await writer.client.put(keyPath('far:end'), 'x', TEXT));
    await writer.stop();
    const server = await writer.again({ config, env: FREED_IS_GONE });
    const rss = () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / KiB;
    assert.equal((await server.client.get(keyPath('far:end'))).status, 200);
    const before = rss();
    const streams = await Promise.all(Array.from({ length: WATCHES }, () => Events.open(server.port, '/api/watch?since=0')));
    // None is read from: in the end the kernel's buffers are full, and each stands within a long event.
    let sent = -1;
    await until('all to be stuck', async () => {
      const { streams: { watches }, requests } = (await server.client.get('/api/stats')).json.server;
      const before = sent;
      sent = requests.body_bytes_sent;
      return watches.behind === WATCHES && sent - before < 16 * KiB; // of which the figures themselves are a part
    }, 1_000 * WATCHES);
    assert.equal((await server.client.put(keyPath('other'), 'x')).status, 204, 'others are served');
    const { behind_bytes: counted } = (await server.client.get('/api/stats')).json.server.streams.watches;
    assert.ok(counted > 0 && counted <= 32 * MiB, `${counted} bytes`);
    const held = rss() - before;
    t.diagnostic(`${held.toFixed(0)} MiB for ${WATCHES} that are behind`);
    assert.ok(held < MOST_MIB, `${held} MiB`);
    for (const events of [streams[0], streams[WATCHES - 1]]) {
      for (let i = 0; i < VALUES; i++) {
        const { data } = await events.event();
        assert.equal(data.key, `far:${i}`);
        assert.equal(data.text, '\u0001'.repeat(LONG));
      }
      assert.equal(BigInt((await events.event()).id), end);
    }
    for (const events of streams) events.close();
    await server.stop();
  });
});
