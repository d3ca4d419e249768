// A full disk: writes get 507 and do nothing, reads and deletes work, and with room again it goes on by itself.
//
// The disk is a small tmpfs in a mount namespace of the server's own, which needs root or user namespaces.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { assertProblem, keyPath, KiB, MiB, listAll, random, run, Server } from '../rest/support.mjs';

const namespace = process.getuid() === 0 ? ['-m'] : ['-U', '-r', '-m'];
const probe = await run([...namespace, 'mount', '-t', 'tmpfs', 'tmpfs', '/tmp'], { command: 'unshare' }).catch((error) => ({ code: error.code, stderr: error.message }));
const skip = probe.code !== 0 && `no mount namespace with a tmpfs of its own can be had here: ${probe.stderr.trim()}`;

/** A server whose data directory is a disk of so many bytes. */
const startOnDisk = (bytes, config) =>
  Server.start({
    config,
    wrap: (line, server) => {
      mkdirSync(server.dataDir, { recursive: true });
      return ['unshare', ...namespace, 'sh', '-c', `mount -t tmpfs -o size=${bytes},mode=0700 tmpfs "$0" && exec "$@"`, server.dataDir, ...line];
    },
  });

/** Puts until one is refused: the keys that were taken. */
async function fill(client, prefix, size, expect = 507) {
  const taken = [];
  for (let i = 0; i < 5_000; i++) {
    const key = `${prefix}${String(i).padStart(5, '0')}`;
    const put = await client.put(keyPath(key), random(i).bytes(size));
    if (put.status !== 204) {
      assertProblem(put, expect);
      return taken;
    }
    taken.push(key);
  }
  return assert.fail('the disk was never full');
}

async function assertHolds(client, prefix, keys, size) {
  for (const [i, key] of keys.entries()) assert.ok((await client.get(keyPath(key))).body.equals(random(i).bytes(size)), key);
  assert.deepEqual((await listAll(client, { prefix, limit: '10000' })).items.map((item) => item.key), keys);
}

describe('a disk that is full', { skip }, () => {
  for (const size of [100 * KiB, 1000]) {
    it(`to the last byte, by values of ${size} bytes: 507, nothing is done, and all that was acknowledged is readable`, async (t) => {
      const server = await startOnDisk(size > 10_000 ? '96m' : '48m', { server: { disk_reserve_bytes: 0 }, database: { memtable_bytes: MiB } });
      const keys = await fill(server.client, 'full:', size);
      t.diagnostic(`${keys.length} values of ${size} bytes fitted`);
      assert.ok(keys.length > 10, `${keys.length} values`);
      await assertHolds(server.client, 'full:', keys, size);
      for (let i = 0; i < 5; i++) assertProblem(await server.client.put('/api/keys/full:refused', random(i).bytes(size)), 507);
      assert.equal((await server.client.get('/api/keys/full:refused')).status, 404);
      assert.equal((await server.client.get('/livez')).status, 200);
      await assertHolds(server.client, 'full:', keys, size);
      await server.kill();
    });
  }

  it('takes deletes, and with room again it takes writes, without a restart', async () => {
    const server = await startOnDisk('64m', { server: { disk_reserve_bytes: 0 }, database: { memtable_bytes: MiB } });
    const keys = await fill(server.client, 'full:', 50_000);
    for (const key of keys) {
      const deleted = await server.client.delete(keyPath(key));
      assert.equal(deleted.status, 204, `${key}: ${deleted.text}`);
    }
    assert.equal((await listAll(server.client, { prefix: 'full:' })).items.length, 0);
    let status;
    for (let i = 0; i < 200 && status !== 204; i++) {
      ({ status } = await server.client.put('/api/keys/after', 'room again'));
      if (status !== 204) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(status, 204, 'space that deletes freed can be written again');
    await server.stop();
  });

  it('down to the reserve: 507 for writes, while reads and deletes work', async () => {
    const server = await startOnDisk('128m', { server: { disk_reserve_bytes: 32 * MiB }, database: { memtable_bytes: MiB } });
    const keys = await fill(server.client, 'reserve:', 100 * KiB);
    await assertHolds(server.client, 'reserve:', keys, 100 * KiB);
    assertProblem(await server.client.post('/api/batch', { ops: [{ op: 'put', key: 'reserve:batch', text: 'x' }] }), 507);
    assert.equal((await server.client.delete(keyPath(keys[0]))).status, 204);
    assert.equal((await server.client.post('/api/batch', { ops: [{ op: 'delete', key: keys[1] }] })).status, 200);
    assert.equal((await server.client.get(keyPath(keys[0]))).status, 404);
    await server.stop();
  });
});

describe('a reserve that the disk can\'t meet', () => {
  it('makes the database readable and deletable, and nothing more', async () => {
    let server = await Server.start();
    await server.client.put('/api/keys/kept', 'readable');
    await server.client.put('/api/keys/deleted', 'x');
    await server.stop();
    server = await server.again({ config: { server: { disk_reserve_bytes: 2 ** 50 } } });
    assertProblem(await server.client.put('/api/keys/new', 'x'), 507);
    assert.equal((await server.client.get('/api/keys/new')).status, 404);
    assert.equal((await server.client.get('/api/keys/kept')).text, 'readable');
    assert.equal((await server.client.delete('/api/keys/deleted')).status, 204);
    assert.equal((await server.client.get('/api/keys/deleted')).status, 404);
    await server.stop();
  });
});
