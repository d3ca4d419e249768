// Exports and watches that can't go on once their status has gone out: their clients can tell, and the log says why.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { assertProblem, Events, KiB, PATIENCE_MS, random, run, Server, Stream, until, within } from './support.mjs';

const ROWS = 3_000;
const keyOf = (i) => `row:${String(i).padStart(4, '0')}`;
const RESET = 56; // curl's "failure in receiving"
const HTTPS = { tls: { enabled: true } };

const filesOf = (server, end) => {
  const folder = path.join(server.dataDir, 'databases', 'default');
  return readdirSync(folder).filter((name) => name.endsWith(end)).sort().map((name) => path.join(folder, name));
};

function flip(file, offset) {
  const descriptor = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, offset);
  byte[0] ^= 0x40;
  writeSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
}

/** Values that do not compress, in batches. */
async function fill(client, bytes = 700) {
  for (let from = 0; from < ROWS; from += 100) {
    const ops = Array.from({ length: 100 }, (_, i) => ({ op: 'put', key: keyOf(from + i), base64: random(from + i + 1).bytes(bytes).toString('base64') }));
    assert.equal((await client.post('/api/batch', { ops })).status, 200);
  }
}

/** What came of a stream whose end must be missing. */
async function brokenOff(stream) {
  const parts = [];
  await assert.rejects(async () => {
    for (let part = await stream.next(); part !== null; part = await stream.next()) parts.push(part);
  }, /aborted|ECONNRESET/);
  return Buffer.concat(parts).toString('utf8');
}

/** The log's line about a request, which is the only one. */
async function lineAbout(server, id) {
  const about = () => server.log.split('\n').filter((line) => line.includes(id));
  await until(`the log's line about ${id}`, () => about().length > 0);
  assert.equal(about().length, 1, about().join('\n'));
  return about()[0];
}

/** The keys of an export that broke off: its whole lines. */
function keysOf(text) {
  const lines = text.split('\n');
  lines.pop(); // perhaps torn
  return lines.map((line) => JSON.parse(line).key);
}

/**
 * A request over HTTP/1.0 and how its connection ended: { text, code }, code 0 where in good order, 56 where it was reset. curl sends it: node takes a reset
 * for an end. `begun` is called once something has come; nothing more is read until it is done.
 */
function overHttp10(port, target, { headers = {}, secure = false, begun = () => null } = {}) {
  const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const child = spawn('curl', ['--http1.0', '--no-alpn', '-s', '-N', '-k', ...fields, `${secure ? 'https' : 'http'}://127.0.0.1:${port}${target}`], { stdio: ['ignore', 'pipe', 'ignore'] });
  return within(PATIENCE_MS, `the end of ${target}`, (async () => {
    const ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    const parts = [];
    for await (const part of child.stdout) {
      if (parts.push(part) === 1) await begun();
    }
    return { text: Buffer.concat(parts).toString('utf8'), code: await ended };
  })());
}

describe('an export over a damaged table', () => {
  let rested;
  before(async () => {
    rested = await Server.start();
    await fill(rested.client);
    await rested.stop();
    const end = await run(['db', 'compact', rested.dataDir]);
    assert.equal(end.code, 0, end.stderr);
    const [table] = filesOf(rested, '.sst').sort((a, b) => statSync(b).size - statSync(a).size);
    flip(table, Math.floor(statSync(table).size / 2));
  });

  it('breaks off for its client, once in the log, and the server goes on', async () => {
    const server = await rested.again();
    const dump = await Stream.open(server.port, '/api/export', { headers: { 'X-Request-Id': 'dump-1' } });
    assert.equal(dump.status, 200);
    const keys = keysOf(await brokenOff(dump));
    assert.ok(keys.length > 0 && keys.length < ROWS, `${keys.length} lines`);
    assert.deepEqual(keys, Array.from({ length: keys.length }, (_, i) => keyOf(i)));
    assert.match(await lineAbout(server, 'dump-1'), /level=error event=reply_broken request_id=dump-1 code=corrupt action=export detail=.*\.sst.*offset \d+/);
    await until('the stream to be given back', async () => (await server.client.get('/api/stats')).json.server.streams.open === 0);
    assert.equal((await server.client.get('/api/stats')).json.databases.default.snapshots, 0);
    await server.stop();
  });

  for (const secure of [false, true]) {
    it(`is reset over HTTP/1.0${secure ? ' and TLS' : ''}, and a whole one is not`, async () => {
      const server = await rested.again(secure ? { config: HTTPS } : {});
      const whole = await overHttp10(server.port, '/api/export?end=row:0010', { secure });
      assert.equal(whole.code, 0);
      assert.deepEqual(keysOf(whole.text), Array.from({ length: 10 }, (_, i) => keyOf(i)));
      const torn = await overHttp10(server.port, '/api/export', { secure, headers: { 'X-Request-Id': 'dump-2' } });
      assert.equal(torn.code, RESET);
      assert.ok(keysOf(torn.text).length < ROWS);
      assert.match(await lineAbout(server, 'dump-2'), /event=reply_broken .* code=corrupt action=export/);
      await server.stop();
    });
  }
});

describe('an export over HTTP/1.0', () => {
  for (const secure of [false, true]) {
    it(`that is cut off ends with a reset${secure ? ', over TLS too' : ''}`, async () => {
      const server = await Server.start({ config: { server: { request_deadline_seconds: 1 }, database: { durability: 'os' }, ...(secure ? HTTPS : {}) } });
      for (let i = 0; i < 40; i++) assert.equal((await server.client.put(`/api/keys/${i}`, Buffer.alloc(1024 * KiB, 'x'))).status, 204);
      const open = async () => (await server.client.get('/api/stats')).json.server.streams.open;
      const slow = await overHttp10(server.port, '/api/export', { secure, begun: () => until('its end', async () => (await open()) === 0) });
      assert.equal(slow.code, RESET, 'who does not read');
      const ending = await overHttp10(server.port, '/api/export', { secure, begun: () => server.stop() });
      assert.equal(ending.code, RESET, 'whose server ends');
    });
  }
});

describe('a watch over a damaged log', () => {
  it('shows what comes before, breaks off, once in the log; who comes back is told, and the present goes on', async () => {
    const server = await Server.start({ config: { server: { watch_heartbeat_seconds: 1 }, database: { memtable_bytes: 256 * KiB, change_history_bytes: 1 << 30, durability: 'os' } } });
    const { client } = server;
    await fill(client, 2_000);
    const logs = filesOf(server, '.log');
    assert.ok(logs.length > 4, `${logs.length} logs`);
    const bytes = readFileSync(logs[2]);
    let used = bytes.length;
    while (bytes[used - 1] === 0) used -= 1;
    flip(logs[2], Math.floor(used / 2));
    const events = await Events.open(server.port, '/api/watch?prefix=row:&since=0', { headers: { 'X-Request-Id': 'watch-1' } });
    assert.equal(events.status, 200);
    const seen = [];
    await assert.rejects(async () => {
      for (let event = await events.event(); event !== null; event = await events.event()) seen.push(event);
    }, /aborted|ECONNRESET/);
    assert.ok(seen.length > 0 && seen.length < ROWS, `${seen.length} events`);
    assert.deepEqual(seen.map(({ data }) => data.key), Array.from({ length: seen.length }, (_, i) => keyOf(i)));
    assert.match(await lineAbout(server, 'watch-1'), /level=error event=reply_broken request_id=watch-1 code=corrupt action=watch detail=.*\.log.*offset \d+/);
    const again = await client.get('/api/watch?prefix=row:', { 'Last-Event-ID': events.lastId, 'X-Request-Id': 'watch-2' });
    assert.equal(assertProblem(again, 500).code, 'corrupt');
    assert.match(await lineAbout(server, 'watch-2'), /event=request_failed .* code=corrupt action=watch detail=.*\.log.*offset \d+/);
    const present = await Events.open(server.port, '/api/watch?prefix=new:');
    await present.heartbeat();
    await client.put('/api/keys/new:1', 'x');
    assert.equal((await present.event()).data.key, 'new:1');
    present.close();
    await server.stop();
  });
});

describe('those who come to watch and cut at once', () => {
  it('leave neither streams nor descriptors nor threads behind, and others are served', async () => {
    const server = await Server.start({ config: { server: { watch_heartbeat_seconds: 1 } } });
    const { client } = server;
    const COUNT = 500;
    const figures = async () => (await client.get('/api/stats')).json.server;
    const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
    const threads = () => readdirSync(`/proc/${server.pid}/task`).length;
    const steady = await Events.open(server.port, '/api/watch?prefix=steady:');
    await steady.heartbeat();
    let [fewest, least] = [0, 0];
    for (let round = 0; round < 6; round++) {
      if (round < 2) [fewest, least] = [descriptors(), threads()]; // the first round has begun whatever is begun once
      await Promise.all(Array.from({ length: COUNT }, (_, i) => new Promise((resolve, reject) => {
        const socket = net.connect({ port: server.port, host: '127.0.0.1' }, () => {
          const since = i % 3 === 0 ? '?since=0' : '';
          socket.write(`GET /api/watch${since} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
          if (i % 2) socket.once('data', () => (round % 2 ? socket.resetAndDestroy() : socket.destroy()));
          else setImmediate(() => (round % 2 ? socket.resetAndDestroy() : socket.destroy()));
        });
        socket.on('error', reject);
        socket.on('close', resolve);
      })));
      await client.put('/api/keys/steady:1', `${round}`);
      assert.equal((await steady.event()).data.text, `${round}`);
    }
    await until('all of them to be given back', async () => {
      const { streams } = await figures();
      return streams.open === 1 && streams.watches.open === 1 && descriptors() <= fewest + 2;
    });
    assert.ok(threads() <= least, `${threads()} threads after ${least}`);
    steady.close();
    await server.stop();
  });
});
