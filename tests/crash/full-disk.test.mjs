// A full disk: writes get 507 and do nothing, reads and deletes work, and with room again it goes on by itself.
//
// The disk is a small tmpfs in a mount namespace of the server's own, which needs root or user namespaces.
import assert from 'node:assert/strict';
import { mkdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { assertProblem, keyPath, KiB, MiB, listAll, random, run, Server, until } from '../rest/support.mjs';

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
async function fill(client, prefix, size) {
  const taken = [];
  for (let i = 0; i < 20_000; i++) {
    const key = `${prefix}${String(i).padStart(5, '0')}`;
    const put = await client.put(keyPath(key), random(i).bytes(size));
    if (put.status !== 204) {
      assertProblem(put, 507);
      return taken;
    }
    taken.push(key);
  }
  return assert.fail('the disk was never full');
}

/** Writes until one is refused, and answers which: what goes on in the background may have made a little room again. */
async function refused(write) {
  for (let i = 0; i < 1_000; i++) {
    const response = await write(i);
    if (response.status >= 300) {
      assertProblem(response, 507);
      return i;
    }
  }
  return assert.fail('there is room');
}

async function assertHolds(client, prefix, keys, size) {
  for (const [i, key] of keys.entries()) assert.ok((await client.get(keyPath(key))).body.equals(random(i).bytes(size)), key);
  assert.deepEqual((await listAll(client, { prefix, limit: '10000' })).items.map((item) => item.key), keys);
}

describe('a disk that is full', { skip }, () => {
  for (const [size, disk] of [[100 * KiB, '48m'], [10_000, '24m']]) {
    it(`to the last byte, by values of ${size} bytes: 507, nothing is done, and all that was acknowledged is readable`, async (t) => {
      const server = await startOnDisk(disk, { server: { disk_reserve_bytes: 0 }, database: { memtable_bytes: MiB } });
      const keys = await fill(server.client, 'full:', size);
      t.diagnostic(`${keys.length} values of ${size} bytes fitted`);
      assert.ok(keys.length > 10, `${keys.length} values`);
      await assertHolds(server.client, 'full:', keys, size);
      for (let round = 0; round < 5; round++) {
        const i = await refused((n) => server.client.put(keyPath(`late:${round}:${n}`), random(n).bytes(size)));
        assert.equal((await server.client.get(keyPath(`late:${round}:${i}`))).status, 404);
      }
      assert.equal((await server.client.get('/livez')).status, 200);
      await assertHolds(server.client, 'full:', keys, size);
      await server.kill();
    });
  }

  it('goes on by itself, without a restart, when there is room again', async () => {
    const server = await startOnDisk('64m', { server: { disk_reserve_bytes: 0 }, database: { memtable_bytes: MiB } });
    // The disk as the server sees it: other programs use it, too.
    const other = `/proc/${server.pid}/root${server.dataDir}/other-program`;
    writeFileSync(other, Buffer.alloc(24 * MiB));
    const keys = await fill(server.client, 'full:', 50_000);
    unlinkSync(other);
    await until('room again', async () => (await server.client.put('/api/keys/after', 'room again')).status === 204);
    await assertHolds(server.client, 'full:', keys, 50_000);
    const more = Array.from({ length: 50 }, (_, i) => `more:${String(i).padStart(2, '0')}`);
    for (const [i, key] of more.entries()) assert.equal((await server.client.put(keyPath(key), random(i).bytes(50_000))).status, 204);
    await assertHolds(server.client, 'more:', more, 50_000);
    await server.stop();
  });

  it('down to the reserve: 507 for writes, while reads and deletes work', async () => {
    // Room is looked at once a second: the reserve is what a second of writing takes, and much more.
    const server = await startOnDisk('256m', { server: { disk_reserve_bytes: 224 * MiB }, database: { memtable_bytes: MiB } });
    const keys = await fill(server.client, 'reserve:', 100 * KiB);
    await assertHolds(server.client, 'reserve:', keys, 100 * KiB);
    await refused((i) => server.client.post('/api/batch', { ops: [{ op: 'put', key: `batch:${i}`, base64: random(i).bytes(100 * KiB).toString('base64') }] }));
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
