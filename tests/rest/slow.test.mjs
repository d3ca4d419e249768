// Thousands of clients that say little and slowly, and a good one among them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client, keyPath, PATIENCE_MS, Server, sleep, until, within } from './support.mjs';

// The process here needs a descriptor for each, the server too.
const allowed = Number(execFileSync('sh', ['-c', 'ulimit -Hn']).toString().trim().replace('unlimited', '1000000'));
const SLOW = Math.min(10_000, allowed - 2_000);
const DEADLINE_SECONDS = 4;
const CROWD_MS = 120_000; // for what thousands do one by one

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
    const put = await within(PATIENCE_MS, `a PUT beside ${name}`, client.put(keyPath(`beside ${name} ${i}`), `${i}`));
    assert.equal(put.status, 204);
    const got = await within(PATIENCE_MS, `a GET beside ${name}`, client.get(keyPath(`beside ${name} ${i}`)));
    assert.equal(got.text, `${i}`);
  }
  client.close();
}

async function allEnd(all, name) {
  await until(`the end of those ${name}, whose request takes too long`, async () => {
    for (const socket of all.sockets) if (!socket.destroyed) socket.write('x'); // a byte a second keeps nobody
    await sleep(1_000);
    return all.ended === all.sockets.length;
  }, CROWD_MS);
}

describe(`beside ${SLOW} clients`, { skip: SLOW < 100 && `${allowed} descriptors are too few` }, () => {
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
    await until('their end', () => all.ended === SLOW, CROWD_MS);
  });

  it('that have left, nothing is held for them', async () => {
    const all = await crowd(SLOW, 'GET /');
    for (const socket of all.sockets) socket.destroy();
    await until('the connections to be given back', async () => (await open()) <= 20, CROWD_MS);
    assert.equal((await server.client.get(keyPath('slow'))).status, 404, 'no half body was stored');
  });
});
