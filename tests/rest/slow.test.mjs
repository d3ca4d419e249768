// Thousands of clients that say little and slowly, and a good one among them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client, keyPath, Server, sleep, within } from './support.mjs';

// The process here needs a descriptor for each, the server too.
const allowed = Number(execFileSync('sh', ['-c', 'ulimit -Hn']).toString().trim().replace('unlimited', '1000000'));
const SLOW = Math.min(10_000, allowed - 2_000);
const DEADLINE_SECONDS = 4;

let server;
before(async () => {
  server = await Server.start({
    config: { server: { request_deadline_seconds: DEADLINE_SECONDS }, database: { max_open_files: 100 } },
    wrap: (line) => ['sh', '-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh', ...line],
  });
});
after(() => server?.stop());

const open = async () => (await server.client.get('/api/stats')).json.server.connections.open;

/** `count` connections that have sent `text` each: sockets, and how many of them have ended. */
async function crowd(count, text) {
  const all = { sockets: [], ended: 0 };
  while (all.sockets.length < count) {
    const group = Array.from({ length: Math.min(200, count - all.sockets.length) }, () =>
      new Promise((resolve, reject) => {
        const socket = net.connect(server.port, '127.0.0.1', () => {
          socket.on('close', () => (all.ended += 1));
          socket.write(text, () => resolve(socket));
        });
        socket.resume();
        socket.on('error', reject);
      }),
    );
    all.sockets.push(...(await Promise.all(group)));
  }
  for (const socket of all.sockets) socket.on('error', () => {});
  return all;
}

async function servesWell(name) {
  const client = new Client(server.port, { connections: 4 });
  for (let i = 0; i < 50; i++) {
    const put = await within(5_000, `a PUT beside ${name}`, client.put(keyPath(`beside ${name} ${i}`), `${i}`));
    assert.equal(put.status, 204);
    const got = await within(5_000, `a GET beside ${name}`, client.get(keyPath(`beside ${name} ${i}`)));
    assert.equal(got.text, `${i}`);
  }
  client.close();
}

async function allEnd(all, name) {
  for (let waited = 0; all.ended < all.sockets.length && waited < 30; waited++) {
    for (const socket of all.sockets) if (!socket.destroyed) socket.write('x'); // a byte a second keeps nobody
    await sleep(1_000);
  }
  assert.equal(all.ended, all.sockets.length, `${name} are cut off once their request took too long`);
}

describe(`beside ${SLOW} clients`, () => {
  for (const [name, text] of [
    ['that stop within their request line', 'GET /api/ke'],
    ['that stop within their header', 'GET /api/keys/a HTTP/1.1\r\nHost: localhost\r\nX-Long: '],
    ['whose body comes byte by byte', 'PUT /api/keys/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx'],
  ]) {
    it(`${name}, others are served, and in the end they are cut off`, async () => {
      const all = await crowd(SLOW, text);
      await servesWell(name);
      await allEnd(all, name);
    });
  }

  it('that say nothing at all, others are served', async () => {
    const all = await crowd(SLOW, '');
    await servesWell('silence');
    await within(30_000, 'their end', (async () => {
      while (all.ended < SLOW) await sleep(200);
    })());
  });

  it('that have left, nothing is held for them', async () => {
    const all = await crowd(SLOW, 'GET /');
    for (const socket of all.sockets) socket.destroy();
    await within(30_000, 'the connections to be given back', (async () => {
      while ((await open()) > 20) await sleep(100);
    })());
    assert.equal((await server.client.get(keyPath('slow'))).status, 404, 'no half body was stored');
  });
});
