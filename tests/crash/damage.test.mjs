// Files that were damaged while the server was down: what can be told from an unfinished write is recovered, anything
// else is named and not served. Bytes of a synced log, a table or the manifest never come back wrong.
import assert from 'node:assert/strict';
import { closeSync, copyFileSync, cpSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync, truncateSync, unlinkSync, writeSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { keyPath, KiB, listAll, random, run, Server, temporaryDirectory } from '../rest/support.mjs';

const databaseOf = (dataDir) => path.join(dataDir, 'databases', 'default');
const filesOf = (dataDir, pattern) => readdirSync(databaseOf(dataDir)).filter((name) => pattern.test(name)).sort().map((name) => path.join(databaseOf(dataDir), name));
const logsOf = (dataDir) => filesOf(dataDir, /\.log$/);

/** The end of what was written into a file that is filled with zeros ahead. */
function usedBytes(file) {
  const bytes = readFileSync(file);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

function writeAt(file, offset, bytes) {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
}

function flip(file, offset) {
  const descriptor = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, offset);
  byte[0] ^= 0x40;
  writeSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
}

const valueOf = (i) => `document ${i} ${'.'.repeat(i % 300)}`;

/** `count` documents, one after the other, then kill -9: { server, ends }, ends[i] the log's used bytes behind document i. */
async function writtenThenKilled(count) {
  const server = await Server.start();
  const ends = [];
  for (let i = 0; i < count; i++) {
    assert.equal((await server.client.put(keyPath(`doc:${String(i).padStart(4, '0')}`), valueOf(i))).status, 204);
    const logs = logsOf(server.dataDir).filter((file) => usedBytes(file) > 128); // more than its header
    ends.push({ log: logs.at(-1), bytes: usedBytes(logs.at(-1)) });
  }
  await server.kill();
  return { server, ends };
}

async function assertHolds(server, count) {
  const { items } = await listAll(server.client, { prefix: 'doc:', values: 'true', limit: '1000' });
  assert.deepEqual(items.map((item) => item.text), Array.from({ length: count }, (_, i) => valueOf(i)));
}

/** It must not start: exit 1 and one line that names the file, and the offset where there is one to name. */
async function assertRefuses(dataDir, file, offset = true) {
  const end = await run(['server', '--bind', '127.0.0.1:0', '--data-dir', dataDir]);
  assert.equal(end.code, 1, `it should have refused to start: ${JSON.stringify(end)}`);
  assert.match(end.stderr, /^velocity: [^\n]+\n$/, 'one line');
  assert.ok(end.stderr.includes(path.basename(file)), `${path.basename(file)} is not named: ${end.stderr}`);
  if (offset) assert.match(end.stderr, /offset \d+/);
}

describe('a torn log tail', () => {
  it('is dropped, wherever it was torn, and all before it survives', async () => {
    const count = 12;
    const { server, ends } = await writtenThenKilled(count);
    const [before, last] = [ends.at(-2), ends.at(-1)];
    assert.equal(before.log, last.log);
    for (const cut of [before.bytes + 1, before.bytes + 20, Math.floor((before.bytes + last.bytes) / 2), last.bytes - 1]) {
      const copy = path.join(temporaryDirectory(), 'data');
      cpSync(server.dataDir, copy, { recursive: true });
      truncateSync(path.join(databaseOf(copy), path.basename(last.log)), cut);
      const torn = await Server.start({ dataDir: copy });
      await assertHolds(torn, count - 1);
      assert.equal((await torn.client.put(keyPath(`doc:${String(count - 1).padStart(4, '0')}`), valueOf(count - 1))).status, 204);
      await torn.kill();
      const again = await torn.again();
      await assertHolds(again, count);
      await again.stop();
    }
  });

  it('of garbage behind the last write costs nothing that was acknowledged', async () => {
    const { server, ends } = await writtenThenKilled(40);
    writeAt(ends.at(-1).log, ends.at(-1).bytes + 64, random(3).bytes(5_000));
    const next = await server.again();
    await assertHolds(next, 40);
    await next.stop();
  });
});

describe('a damaged log', () => {
  it('where a later write proves that the damaged one was synced: it does not start, and names file and offset', async () => {
    const { server, ends } = await writtenThenKilled(40);
    flip(ends[20].log, ends[20].bytes - 10);
    await assertRefuses(server.dataDir, ends[20].log);
    flip(ends[20].log, ends[20].bytes - 10);
    const mended = await server.again();
    await assertHolds(mended, 40);
    await mended.stop();
  });

  it('with a header that is damaged under its writes: it does not start, and names the file', async () => {
    const { server, ends } = await writtenThenKilled(10);
    flip(ends.at(-1).log, 20);
    await assertRefuses(server.dataDir, ends.at(-1).log);
  });
});

describe('damaged tables and manifests', () => {
  const total = 3_000;
  const body = (i) => random(i).bytes(700);

  /** A database at rest with several tables, and a way to a fresh copy of it. */
  let rested;
  const copyOfRested = async () => {
    if (!rested) {
      const server = await Server.start({ config: { database: { memtable_bytes: 256 * KiB, compaction_threshold: 64 } } });
      for (let at = 0; at < total; at += 100) {
        const ops = Array.from({ length: 100 }, (_, i) => ({ op: 'put', key: `row:${at + i}`, base64: body(at + i).toString('base64') }));
        assert.equal((await server.client.post('/api/batch', { ops })).status, 200);
      }
      await server.stop();
      rested = server.dataDir;
      assert.ok(filesOf(rested, /\.sst$/).length > 0, 'there are tables');
    }
    const copy = path.join(temporaryDirectory(), 'data');
    cpSync(rested, copy, { recursive: true });
    return copy;
  };

  it('whole, hold everything', async () => {
    const server = await Server.start({ dataDir: await copyOfRested() });
    for (let i = 0; i < total; i += 7) assert.ok((await server.client.get(keyPath(`row:${i}`))).body.equals(body(i)));
    await server.stop();
  });

  for (const [what, pattern, damage] of [
    ['a table whose end is cut off', /\.sst$/, (file) => truncateSync(file, statSync(file).size - 7)],
    ['a table cut to nothing', /\.sst$/, (file) => truncateSync(file, 0)],
    ['a table with a damaged footer', /\.sst$/, (file) => flip(file, statSync(file).size - 20)],
    ['a table with a damaged header', /\.sst$/, (file) => flip(file, 12)],
    ['a manifest with a damaged record', /^MANIFEST/, (file) => flip(file, 128 + 20)],
    ['a manifest with a damaged header', /^MANIFEST/, (file) => flip(file, 12)],
    ['a damaged CURRENT', /^CURRENT$/, (file) => flip(file, 12)],
    ['a CURRENT cut short', /^CURRENT$/, (file) => truncateSync(file, 10)],
  ]) {
    it(`(${what}) keep it from starting, and the file is named`, async () => {
      const copy = await copyOfRested();
      const [file] = filesOf(copy, pattern);
      damage(file);
      await assertRefuses(copy, file);
    });
  }

  it('that are missing keep it from starting, and are named', async () => {
    const copy = await copyOfRested();
    const [file] = filesOf(copy, /\.sst$/);
    unlinkSync(file);
    await assertRefuses(copy, file, false);
  });

  it('that were swapped are told apart: a file in another\'s place is not served', async () => {
    const copy = await copyOfRested();
    const tables = filesOf(copy, /\.sst$/);
    assert.ok(tables.length >= 2, `${tables.length} tables`);
    copyFileSync(tables[0], tables[1]);
    await assertRefuses(copy, tables[1]);
  });

  it('damaged in the middle never answer wrong data: right, or an error', async () => {
    const copy = await copyOfRested();
    for (const file of filesOf(copy, /\.sst$/)) for (let at = 4096; at < statSync(file).size - 4096; at += 40_000) flip(file, at);
    const started = await Server.start({ dataDir: copy }).catch((error) => error);
    if (started instanceof Error) return assert.match(started.message, /\.sst.*offset \d+/);
    let failed = 0;
    for (let i = 0; i < total; i++) {
      const got = await started.client.get(keyPath(`row:${i}`));
      assert.ok(got.status === 200 || got.status === 500, `row:${i}: ${got.status}`);
      if (got.status === 500) failed += 1;
      else assert.ok(got.body.equals(body(i)), `row:${i} is wrong`);
    }
    assert.ok(failed > 0, 'the damage was met');
    const listed = await started.client.get('/api/keys?values=true&limit=10000').catch(() => null);
    assert.ok(listed === null || listed.status === 500 || listed.json.complete === false, 'a listing over damage is not passed off as whole');
    await started.kill();
  });

  it('of leftovers that no manifest names are of no effect', async () => {
    const copy = await copyOfRested();
    const [table] = filesOf(copy, /\.sst$/);
    copyFileSync(table, path.join(databaseOf(copy), '99999999.sst'));
    const server = await Server.start({ dataDir: copy });
    assert.equal((await listAll(server.client, { prefix: 'row:', limit: '10000' })).items.length, total);
    await server.stop();
    assert.ok(!existsSync(path.join(databaseOf(copy), '99999999.sst')), 'it was cleared away');
  });
});
