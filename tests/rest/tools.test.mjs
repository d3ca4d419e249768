// The commands that work on files: what they print, as text and as JSON, and how they end.
import assert from 'node:assert/strict';
import { existsSync, openSync, closeSync, readdirSync, readSync, statSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { assertProblem, run, Server, Stream, temporaryDirectory } from './support.mjs';

/** A stopped database with keys k0000 to k0999, a JSON value, and a key that is no UTF-8; all of it in tables. */
async function database() {
  const server = await Server.start();
  const ops = Array.from({ length: 1000 }, (_, i) => ({ op: 'put', key: `k${String(i).padStart(4, '0')}`, text: `value ${i} `.repeat(20) }));
  await server.client.post('/api/batch', JSON.stringify({ ops }));
  await server.client.put('/api/keys/document', '{"a":1}', { 'Content-Type': 'application/json' });
  await server.client.put('/api/keys/%FF%00', 'bytes', { 'Content-Type': 'application/octet-stream' });
  await server.stop();
  const folder = path.join(server.dataDir, 'databases', 'default');
  const end = await run(['db', 'compact', server.dataDir]);
  assert.equal(end.code, 0, end.stderr);
  return { dataDir: server.dataDir, folder };
}

const table = (folder) => path.join(folder, readdirSync(folder).filter((name) => name.endsWith('.sst')).sort().at(-1));

/** Flips all bits of a byte. */
function damage(file, offset) {
  const handle = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, offset);
  byte[0] ^= 0xff;
  writeSync(handle, byte, 0, 1, offset);
  closeSync(handle);
}

const lines = (text) => text.trimEnd().split('\n').map((line) => JSON.parse(line));

describe('db verify', () => {
  it('finds an undamaged database whole: exit 0, by its folder or the data directory', async () => {
    const { dataDir, folder } = await database();
    for (const where of [dataDir, folder]) {
      const end = await run(['db', 'verify', where]);
      assert.deepEqual([end.code, end.stderr], [0, '']);
      assert.match(end.stdout, /1002 entries/);
      assert.match(end.stdout, /\nwhole\n$/);
    }
    const report = JSON.parse((await run(['db', 'verify', '--json', folder])).stdout);
    assert.equal(report.result, 'whole');
    assert.deepEqual([report.entries, report.damages, report.findings, report.stale], [1002, 0, [], []]);
  });

  it('lists what is damaged, and where older versions may show: exit 1', async () => {
    const { folder } = await database();
    const file = table(folder);
    damage(file, 2000);
    damage(file, statSync(file).size - 300);
    const end = await run(['db', 'verify', '--json', folder]);
    assert.equal(end.code, 1);
    const report = JSON.parse(end.stdout);
    assert.equal(report.result, 'damaged');
    assert.ok(report.damages >= 2 && report.findings.every((f) => f.file === path.basename(file)), end.stdout);
    assert.equal(report.stale.length, 1);
    const text = await run(['db', 'verify', folder]);
    assert.equal(text.code, 1);
    assert.match(text.stdout, /damage {2}\d+\.sst/);
    assert.match(text.stdout, /older versions/);
  });

  it('says what is not there (exit 3), in use (1), and wrong usage (2)', async () => {
    assert.equal((await run(['db', 'verify', path.join(temporaryDirectory(), 'none')])).code, 3);
    assert.equal((await run(['db', 'verify', temporaryDirectory()])).code, 3);
    assert.equal((await run(['db', 'verify'])).code, 2);
    assert.equal((await run(['db', 'verify', 'a', 'b'])).code, 2);
    const server = await Server.start();
    const end = await run(['db', 'verify', server.dataDir]);
    assert.equal(end.code, 1);
    assert.match(end.stderr, /^velocity: [^\n]+\n$/);
    await server.stop();
  });
});

describe('a server over a damaged file', () => {
  it('says in its log why a request failed, under the id of the reply', async () => {
    const { dataDir, folder } = await database();
    damage(table(folder), 2000);
    const server = await Server.start({ dataDir });
    let failed = null;
    for (let i = 0; i < 1000 && !failed; i++) {
      const response = await server.client.get(`/api/keys/k${String(i).padStart(4, '0')}`, { 'X-Request-Id': `look-${i}` });
      if (response.status !== 200) failed = response;
    }
    assert.equal(assertProblem(failed, 500).code, 'corrupt');
    assert.doesNotMatch(failed.text, /\.sst|offset/, 'the server\'s files are the log\'s');
    await server.stop();
    const line = server.log.split('\n').find((one) => one.includes('event=request_failed'));
    assert.match(line, new RegExp(`request_id=${failed.json.request_id} code=corrupt action=get detail="?.*\\.sst`));
  });

  it('ends an export without its last chunk, and says in its log why', async () => {
    const { dataDir, folder } = await database();
    damage(table(folder), 2000);
    const server = await Server.start({ dataDir });
    const dump = await Stream.open(server.port, '/api/export', { headers: { 'X-Request-Id': 'dump' } });
    await assert.rejects(dump.rest(), /aborted|ECONNRESET/);
    await server.logs(/event=reply_broken request_id=dump code=corrupt action=export detail="?.*\.sst/);
    await server.stop();
  });
});

describe('db repair', () => {
  it('saves all but what is damaged, keeps the original, and the server starts again', async () => {
    const { dataDir, folder } = await database();
    const file = table(folder);
    damage(file, 2000);
    const report = JSON.parse((await run(['db', 'repair', '--json', folder])).stdout);
    assert.equal(report.result, 'repaired');
    assert.equal(report.tables_rewritten, 1);
    assert.ok(report.entries_saved > 900 && report.entries_saved < 1002, `${report.entries_saved}`);
    assert.ok(existsSync(path.join(folder, 'lost', path.basename(file))));
    assert.equal((await run(['db', 'verify', folder])).code, 0);
    const again = await run(['db', 'repair', folder]);
    assert.match(again.stdout, /whole\n$/);
    const server = await Server.start({ dataDir });
    assert.equal((await server.client.get('/api/keys/k0999')).status, 200);
    await server.stop();
  });

  it('rebuilds CURRENT and the manifest', async () => {
    const { folder } = await database();
    for (const name of readdirSync(folder)) if (/^(CURRENT|MANIFEST)/.test(name)) unlinkSync(path.join(folder, name));
    assert.equal((await run(['db', 'verify', folder])).code, 1);
    const end = await run(['db', 'repair', folder]);
    assert.equal(end.code, 0, end.stderr);
    assert.equal(lines((await run(['db', 'dump', '--json', folder])).stdout).length, 1002);
  });
});

describe('db dump', () => {
  it('shows each key: escaped text, or NDJSON with whole values', async () => {
    const { folder } = await database();
    const text = await run(['db', 'dump', folder]);
    assert.equal(text.code, 0);
    assert.match(text.stdout, /^"document" {2}version \d+ {2}json {2}7 bytes {2}"\{\\"a\\":1\}"$/m);
    assert.match(text.stdout, /^"\\xff\\x00" /m);
    assert.match(text.stdout, /^"k0000" .*\.\.\."$/m);
    assert.ok((await run(['db', 'dump', '--full', folder])).stdout.includes('value 7 '.repeat(20)));
    const entries = lines((await run(['db', 'dump', '--json', folder])).stdout);
    assert.equal(entries.length, 1002);
    assert.equal(entries.find((e) => e.key === 'k0007').text, 'value 7 '.repeat(20));
    assert.ok(entries.some((e) => e.key64 === '_wA'));
    const some = lines((await run(['db', 'dump', '--json', '--prefix', 'k000', '--levels', folder])).stdout);
    assert.equal(some.length, 11);
    assert.ok(some[0].levels.length > 0);
  });

  it('of nothing exits 3', async () => {
    const folder = path.join(temporaryDirectory(), 'none');
    assert.equal((await run(['db', 'dump', folder])).code, 3);
    assert.ok(!existsSync(folder), 'and makes nothing');
  });
});

describe('db sst-dump and db sst-verify', () => {
  it('show and check one file, wherever it lies', async () => {
    const { folder } = await database();
    const file = table(folder);
    const dumped = await run(['db', 'sst-dump', '--json', '--blocks', file]);
    assert.equal(dumped.code, 0, dumped.stderr);
    const [info, ...rest] = lines(dumped.stdout);
    assert.equal(info.entries, 1002);
    assert.equal(rest.filter((line) => line.key !== undefined || line.key64 !== undefined).length, 1002);
    assert.equal(rest.filter((line) => line.block === 'data').length, info.data_blocks);
    assert.ok(rest.every((line) => line.block || line.kind === 'put'));
    assert.match((await run(['db', 'sst-dump', file])).stdout, /^"k0001" {2}version \d+ {2}put /m);
    assert.equal((await run(['db', 'sst-verify', file])).code, 0);
    damage(file, 2000);
    const end = await run(['db', 'sst-verify', '--json', file]);
    assert.equal(end.code, 1);
    assert.equal(JSON.parse(end.stdout).damages, 1);
    const rest2 = await run(['db', 'sst-dump', file]);
    assert.equal(rest2.code, 1);
    assert.match(rest2.stderr, /checksum/);
    assert.match(rest2.stdout, /"k0999"/, 'what is intact is shown');
  });

  it('refuse what is no table: exit 1, or 3 where nothing is', async () => {
    const file = path.join(temporaryDirectory(), 'no.sst');
    assert.equal((await run(['db', 'sst-verify', file])).code, 3);
    writeFileSync(file, 'not a table at all');
    assert.equal((await run(['db', 'sst-verify', file])).code, 1);
    assert.equal((await run(['db', 'sst-dump', file])).code, 1);
  });
});

describe('db compact', () => {
  it('prints the sizes before and after', async () => {
    const { folder } = await database();
    assert.match((await run(['db', 'compact', folder])).stdout, /before, .* after\n$/);
    const sizes = JSON.parse((await run(['db', 'compact', '--json', folder])).stdout);
    assert.deepEqual([sizes.entries_before, sizes.entries_after], [1002, 1002]);
  });
});

describe('benchmark', () => {
  for (const mode of ['standard', 'mixed', 'persistent']) {
    it(`(${mode}) measures and leaves nothing behind`, async () => {
      const tmp = temporaryDirectory();
      const end = await run(['benchmark', '--operations', '200', '--mode', mode, '--threads', '2', '--json'], { env: { TMPDIR: tmp } });
      assert.equal(end.code, 0, end.stderr);
      for (const line of JSON.parse(end.stdout).lines) {
        assert.equal(line.operations, 200, line.name);
        assert.ok(line.operations_per_second > 0 && line.p50_us <= line.p99_us && line.p99_us <= line.max_us, JSON.stringify(line));
      }
      assert.deepEqual(readdirSync(tmp), []);
    });
  }

  it('takes sensible numbers only', async () => {
    for (const args of [['--operations', '0'], ['--operations', 'many'], ['--threads', '1000'], ['--mode', 'fast']]) {
      assert.equal((await run(['benchmark', ...args])).code, 2, args.join(' '));
    }
    assert.equal((await run(['benchmark', '--data-dir', temporaryDirectory()])).code, 1, 'a folder that is there already');
  });
});
