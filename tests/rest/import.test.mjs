// Import: items of any number, a line each, in bounded memory; what comes before a bad line is in.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, FREED_IS_GONE, KiB, listAll, MiB, random, Server, sleep, until, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const HEADERS = { 'Content-Type': 'application/x-ndjson' };
const take = (lines, { who = client, at = '/api/import' } = {}) => who.request('POST', at, { body: Buffer.from(Array.isArray(lines) ? lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n') : lines), headers: HEADERS });
const good = async (lines, options) => {
  const response = await take(lines, options);
  assert.equal(response.status, 200, response.text);
  return response.json;
};

describe('an import', () => {
  it('stores items of every kind, byte for byte, and says how many', async () => {
    const answer = await good([
      { key: 'json', value: { a: [1, 2.50, 'ä'] } }, '{"key":"raw","value":{"n":1.0e+02 ,  "big":12345678901234567890}}',
      { key: 'text', text: 'hello\n' }, { key64: 'AP8', base64: 'AAEC/w==' }, { key: 'typed', text: '<p>', type: 'text/html' },
      { key: 'shown', version: '7', size: 5, text: 'five!', type: 'text/plain; charset=utf-8' },
    ]);
    assert.deepEqual([answer.imported, answer.expired], [6, 0]);
    assert.match(answer.version, /^\d+$/);
    assert.equal((await client.get('/api/keys/raw')).text, '{"n":1.0e+02 ,  "big":12345678901234567890}');
    assert.equal((await client.get('/api/keys/raw')).headers['content-type'], 'application/json');
    assert.equal((await client.get('/api/keys/text')).text, 'hello\n');
    assert.deepEqual((await client.get('/api/keys?key64=AP8')).body, Buffer.from([0, 1, 2, 255]));
    assert.equal((await client.get('/api/keys/typed')).headers['content-type'], 'text/html');
    assert.equal((await client.get('/api/keys/shown')).text, 'five!');
  });

  it('takes line ends of both kinds, empty lines, and a last line that nothing ends', async () => {
    assert.equal((await good('{"key":"e1","text":"1"}\r\n\r\n\n{"key":"e2","text":"2"}')).imported, 2);
    assert.equal((await client.get('/api/keys/e2')).text, '2');
    assert.deepEqual(await good('\n\n'), { imported: 0, expired: 0, version: null });
  });

  it('keeps expiries, and leaves out what has expired already', async () => {
    const later = new Date(Date.now() + 3_600_000).toISOString();
    const answer = await good([{ key: 'later', text: 'x', expires_at: later }, { key: 'past', text: 'x', expires_at: '2001-01-01T00:00:00Z' }]);
    assert.deepEqual([answer.imported, answer.expired], [1, 1]);
    assert.equal((await client.get('/api/keys/later')).headers['velocity-expires-at'], later);
    assert.equal((await client.get('/api/keys/past')).status, 404);
  });

  it('ends at a bad line with its number, and all before it is in', async () => {
    for (const [bad, code] of [['{"key":"x"', 'invalid_body'], ['[]', 'invalid_body'], ['{"key":"","text":"x"}', 'invalid_body'], ['{"text":"x"}', 'invalid_body'],
      ['{"key":"x","text":"a","value":1}', 'invalid_body'], ['{"key":"x","size":3,"omitted":true}', 'invalid_body'], ['{"key":"x","text":"x","colour":1}', 'invalid_body'],
      ['{"key":"x","base64":"*"}', 'invalid_body'], ['{"key":"x","text":"x","expires_at":"soon"}', 'invalid_body']]) {
      await client.delete('/api/keys/before');
      const problem = assertProblem(await take([{ key: 'before', text: '1' }, '', bad, { key: 'behind', text: '1' }]), 400, bad);
      assert.deepEqual([problem.code, problem.line, problem.imported], [code, 3, 1], bad);
      assert.ok(problem.detail.length > 5, bad);
      assert.equal((await client.get('/api/keys/before')).text, '1', bad);
      assert.equal((await client.get('/api/keys/behind')).status, 404, bad);
    }
  });

  it('cut at any byte of a line is never half of it', async () => {
    const line = '{"key":"cut","value":{"n":1},"type":"application/json"}';
    for (let at = 1; at < line.length; at++) {
      const problem = assertProblem(await take(`{"key":"whole-${at}","text":"x"}\n${line.slice(0, at)}`), 400, `${at}`);
      assert.deepEqual([problem.line, problem.imported], [2, 1]);
      assert.equal((await client.get('/api/keys/cut')).status, 404);
    }
  });

  it('needs to be NDJSON, and a body', async () => {
    assert.equal(assertProblem(await client.send('POST', '/api/import', { key: 'x' }), 415).code, 'unsupported_media_type');
    assert.equal(assertProblem(await client.request('POST', '/api/import?x=1', { body: '', headers: HEADERS }), 400).code, 'unknown_parameter');
    for (const [type, status] of [['application/x-ndjson; charset=utf-8', 200], ['Application/X-NDJSON;Charset="UTF-8"', 200], ['application/jsonl ; a=b', 200],
      ['application/x-ndjson; charset=utf-16', 415], ['application/x-ndjson-seq', 415], ['application/x-ndjson; charset', 415], ['text/plain; a=application/x-ndjson', 415]]) {
      const response = await client.request('POST', '/api/import', { body: '{"key":"typed","text":"x"}', headers: { 'Content-Type': type } });
      assert.equal(response.status, status, `${type}: ${response.text}`);
    }
  });

  it('of another database goes there', async () => {
    await client.post('/api/databases', { name: 'other' });
    await good([{ key: 'there', text: 'x' }], { at: '/api/databases/other/import' });
    assert.equal((await client.get('/api/databases/other/keys/there')).text, 'x');
    assert.equal((await client.get('/api/keys/there')).status, 404);
  });
});

describe('an import of any size', () => {
  it('takes bounded memory, whole or in chunks, and nobody else waits', async () => {
    const lines = 300_000;
    const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) * 1024;
    const before = memory();
    let most = 0;
    const response = await new Promise((resolve, reject) => {
      const request = http.request({ port: server.port, method: 'POST', path: '/api/import', headers: { ...HEADERS, 'Transfer-Encoding': 'chunked' } }, (answer) => {
        let text = '';
        answer.on('data', (data) => (text += data));
        answer.on('end', () => resolve({ status: answer.statusCode, json: JSON.parse(text) }));
      });
      request.on('error', reject);
      let at = 0;
      const feed = () => {
        while (at < lines) {
          let piece = '';
          for (let i = 0; i < 1000; i++, at++) piece += `{"key":"bulk:${String(at).padStart(7, '0')}","text":"${'v'.repeat(300)}"}\n`;
          most = Math.max(most, memory());
          if (!request.write(piece)) {
            request.once('drain', feed);
            return;
          }
        }
        request.end();
      };
      feed();
    });
    assert.deepEqual([response.status, response.json.imported], [200, lines]);
    // 100 MB pass through. What grows is the engine's: write buffers and cache, which are bounded by configuration.
    assert.ok(most - before < 400 * MiB, `${(most - before) / MiB} MiB`);
    assert.equal((await client.get('/api/keys/bulk:0299999')).text.length, 300);
    assert.equal((await client.get('/api/stats')).json.server.limits.inflight_bytes, 0, 'all memory is given back');
  });

  it('is counted with all its bytes, those of its pieces too', async () => {
    const received = async () => (await client.get('/api/stats')).json.server.requests.body_bytes_received;
    const before = await received();
    const body = Buffer.from(`{"key":"counted","text":"${'x'.repeat(999)}"}\n`.repeat(2_000));
    await good(body);
    assert.equal((await received()) - before, body.length);
  });

  it('gives back what a large line took, and goes on', async () => {
    const own = await Server.start({ config: { server: { max_value_bytes: 4 * MiB } } });
    const inflight = async () => (await own.client.get('/api/stats')).json.server.limits.inflight_bytes;
    const started = await begin(own.port);
    started.send(`{"key":"large","text":"${'x'.repeat(4 * MiB)}"}`, '{"key":"behind","text":"x"}');
    await until('the large line', async () => (await own.client.get('/api/keys/large')).status === 200);
    let held;
    await until('its memory, but for what came behind it', async () => (held = await inflight()) > 0 && held <= MiB);
    started.end();
    const response = await started.wire.response();
    assert.deepEqual([response.status, response.json.imported], [200, 2], response.text);
    started.wire.close();
    await own.stop();
  });

  it('holds nothing of what is stored while more of it is awaited', async () => {
    const config = { server: { max_value_bytes: 16 * MiB }, database: { durability: 'os', memtable_bytes: 4 * MiB, total_memtable_bytes: 16 * MiB, cache_bytes: 8 * MiB, change_history_bytes: 0 } };
    const own = await Server.start({ config, env: FREED_IS_GONE });
    const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${own.pid}/status`, 'utf8'))[1]) * 1024;
    const large = 'x'.repeat(16 * MiB);
    const all = [];
    const stalled = async (i) => {
      all.push(await begin(own.port));
      all[i].send(`{"key":"large:${i}","text":"${large}"}`, '{"key":"behind","text":"x"}');
      await until('the large value', async () => (await own.client.request('HEAD', `/api/keys/large:${i}`)).status === 200);
    };
    await stalled(0);
    const first = memory();
    for (let i = 1; i < 12; i++) await stalled(i);
    await until('their memory', () => memory() < first + 64 * MiB);
    for (const { wire } of all) wire.close();
    await own.stop();
  });

  it('holds no more for who sends nothing than a put does', async () => {
    const own = await Server.start({ env: FREED_IS_GONE });
    const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${own.pid}/status`, 'utf8'))[1]) * 1024;
    const silent = 300;
    const begun = async (line) => {
      const before = memory();
      const wires = await Promise.all(Array.from({ length: silent }, () => Wire.midway(own.port, line, 1000, HEADERS)));
      return { wires, bytes: memory() - before };
    };
    const puts = await begun('PUT /api/keys/silent');
    const imports = await begun('POST /api/import');
    assert.ok(imports.bytes < puts.bytes + silent * 32 * KiB, `${imports.bytes / silent} each, a put ${puts.bytes / silent}`);
    for (const wire of [...puts.wires, ...imports.wires]) wire.close();
    await own.stop();
  });

  it('takes a value as large as may be, and no larger', async () => {
    const small = await Server.start({ config: { server: { max_value_bytes: MiB } } });
    assert.equal((await good([{ key: 'a', text: 'x'.repeat(MiB) }, { key: 'b', base64: Buffer.alloc(MiB).toString('base64') }], { who: small.client })).imported, 2);
    const problem = assertProblem(await take([{ key: 'c', text: 'x' }, { key: 'd', text: 'x'.repeat(MiB + 1) }], { who: small.client }), 400);
    assert.deepEqual([problem.line, problem.imported], [2, 1]);
    assertProblem(await take(`{"key":"${'x'.repeat(20 * MiB)}`, { who: small.client }), 413);
    await small.stop();
  });

  it('is cut off when nothing comes any more, and what came before is in', async () => {
    const hasty = await Server.start({ config: { server: { request_deadline_seconds: 2 } } });
    const wire = await Wire.open(hasty.port);
    wire.send('POST /api/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n');
    const line = `{"key":"slow","text":"${'x'.repeat(1000)}"}\n`.repeat(600);
    for (let i = 0; i < 3; i++) {
      wire.send(`${line.length.toString(16)}\r\n${line}\r\n`);
      await sleep(1_000); // longer than the deadline in all, and never silent
    }
    assert.ok(await wire.closes(), 'at last it is silent');
    assert.equal((await hasty.client.get('/api/keys/slow')).status, 200);
    await hasty.stop();
  });
});

/** An import that goes on: `send` adds to its body, `end` ends it. */
async function begin(port, at = '/api/import') {
  const wire = await Wire.open(port);
  wire.send(`POST ${at} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const chunk = (text) => wire.send(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  return { wire, send: (...lines) => lines.forEach((line) => chunk(`${line}\n`)), end: () => wire.send('0\r\n\r\n') };
}
const ROWS = 300; // of 1 KiB: more than a piece, so that they are stored while others are still to come
const rows = (prefix, count = ROWS) => Array.from({ length: count }, (_, i) => JSON.stringify({ key: `${prefix}${String(i).padStart(4, '0')}`, text: 'x'.repeat(1024) }));

describe('an import that ends half-way says how far it came', () => {
  /** Its first rows are in, and its client has not ended it. */
  async function halfway(on, prefix, at = '/api') {
    const started = await begin(on.port, `${at}/import`);
    started.send(...rows(prefix));
    started.send(`{"key":"${prefix}behind","text":"x"}`);
    await until('the first rows', async () => (await on.client.get(`${at}/keys/${prefix}0000`)).status === 200);
    return started;
  }
  /** The rows are in up to the one before `line`, and no other. */
  async function assertPlace(on, problem, prefix, at = '/api') {
    assert.ok(problem.imported > 0 && problem.imported <= ROWS + 1, `${problem.imported}`);
    assert.equal(problem.line, problem.imported + 1);
    assert.doesNotMatch(`${problem.title} ${problem.detail}`, /nothing was done/);
    const { count } = (await on.client.get(`${at}/keys?prefix=${prefix}&count=true`)).json;
    assert.equal(count, problem.imported);
  }

  it('where the memory for bodies is used up', async () => {
    const small = await Server.start({ config: { server: { max_value_bytes: MiB, max_inflight_bytes: MiB } } });
    const started = await halfway(small, 'm:');
    started.send(`{"key":"m:large","text":"${'x'.repeat(3 * MiB)}"}`);
    const problem = assertProblem(await started.wire.response(), 503);
    assert.equal(problem.code, 'overloaded');
    await assertPlace(small, problem, 'm:');
    started.wire.close();
    await small.stop();
  });

  it('where the space is used up', async () => {
    await client.post('/api/databases', { name: 'tight', max_disk_bytes: 32 * MiB });
    const dice = random(3);
    const lines = Array.from({ length: 600 }, (_, i) => JSON.stringify({ key: `s:${String(i).padStart(4, '0')}`, base64: dice.bytes(100 * KiB).toString('base64') }));
    const problem = assertProblem(await take(lines, { at: '/api/databases/tight/import' }), 507);
    assert.equal(problem.code, 'no_space');
    assert.ok(problem.imported > 10, `${problem.imported}`);
    assert.equal(problem.line, problem.imported + 1);
    assert.doesNotMatch(problem.title, /nothing was done/);
    assert.equal((await client.get('/api/databases/tight/keys?prefix=s:&count=true')).json.count, problem.imported);
    await client.delete('/api/databases/tight');
  });

  it('where its database is dropped, which does not wait for it', async () => {
    for (const again of [false, true]) {
      await client.post('/api/databases', { name: 'going' });
      const started = await halfway(server, 'd:', '/api/databases/going');
      assert.equal((await client.delete('/api/databases/going')).status, 204, 'a drop that waits does so for 10 s, and fails');
      if (again) await client.post('/api/databases', { name: 'going' });
      started.send(...rows('d:'));
      started.end();
      const problem = assertProblem(await started.wire.response(), 404);
      assert.equal(problem.code, 'database_not_found');
      assert.ok(problem.imported > 0 && problem.line === problem.imported + 1);
      started.wire.close();
      if (!again) continue;
      assert.deepEqual((await client.get('/api/databases/going/keys')).json.items, [], 'nothing of it is in another database of that name');
      await client.delete('/api/databases/going');
    }
  });

  it('where the server ends', async () => {
    const ending = await Server.start();
    const started = await halfway(ending, 'e:');
    ending.child.kill('SIGTERM');
    await until('that it drains', async () => (await ending.client.get('/readyz').then(({ status }) => status, () => 503)) === 503);
    started.send(...rows('f:'), '');
    const problem = assertProblem(await started.wire.response(), 503);
    assert.equal(problem.code, 'draining');
    assert.ok(problem.imported >= 250 && problem.line === problem.imported + 1, JSON.stringify(problem));
    started.wire.close();
    await ending.ends();
  });
});

describe('an import whose connection ends', () => {
  const line = '{"key":"cut","value":{"n":1,"text":"ä"},"type":"application/json"}';
  let server;
  let client;
  before(async () => {
    server = await Server.start({ config: { server: { request_deadline_seconds: 2 } } }); // an end that is not heard of is one by then
    client = server.client;
  });
  after(() => server?.stop());
  const connections = async () => (await client.get('/api/stats')).json.server.connections.open;

  for (const [what, rowsBefore] of [['a short one', rows('short:', 2)], ['one of which some is stored already', rows('long:')]]) {
    it(`at any byte of a line has that line whole or not at all, and all before it whole (${what})`, async () => {
      const open = await connections();
      const head = Buffer.from(`${rowsBefore.join('\n')}\n`);
      const last = Buffer.from(line);
      for (let from = 0; from <= last.length; from += 8) {
        await Promise.all(Array.from({ length: Math.min(8, last.length + 1 - from) }, async (_, i) => {
          const wire = await Wire.open(server.port);
          wire.send(`POST /api/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: ${head.length + last.length + 1}\r\n\r\n`);
          wire.send(head).send(last.subarray(0, from + i));
          await new Promise((resolve) => wire.socket.end(resolve));
          wire.close();
        }));
      }
      await until('the end of all its requests', async () => (await connections()) <= open);
      assert.equal((await client.get('/api/keys/cut')).status, 404);
      const prefix = JSON.parse(rowsBefore[0]).key.split(':')[0];
      for (const item of (await listAll(client, { prefix, values: 'true', limit: '1000' })).items) assert.equal(item.text, 'x'.repeat(1024));
      // What was not answered is sent again: then it is all there, once.
      assert.equal((await good([...rowsBefore, line], { who: client })).imported, rowsBefore.length + 1);
      assert.equal((await listAll(client, { prefix, limit: '1000' })).items.length, rowsBefore.length);
      assert.equal((await client.get('/api/keys/cut')).text, '{"n":1,"text":"ä"}');
      await client.delete('/api/keys/cut');
    });
  }
});

describe('who may import', () => {
  it('is who may write, within the scope, and it is in the audit log', async () => {
    const { server: guarded, nobody, admin } = await serverWithAdmin({ config: { security: { audit_level: 'writes' } } });
    const reader = await addUser(admin, nobody, 'reader', { role: 'read' });
    const limited = await addUser(admin, nobody, 'limited', { role: 'write', prefixes: ['a:'] });
    assert.equal(assertProblem(await take([{ key: 'a:1', text: 'x' }], { who: nobody }), 401).code, 'login_required');
    assert.equal(assertProblem(await take([{ key: 'a:1', text: 'x' }], { who: reader }), 403).code, 'forbidden');
    const problem = assertProblem(await take([{ key: 'a:1', text: 'x' }, { key: 'b:1', text: 'x' }], { who: limited }), 403);
    assert.deepEqual([problem.code, problem.line, problem.imported], ['out_of_scope', 2, 1]);
    assert.deepEqual((await listAll(admin, {})).items.map(({ key }) => key), ['a:1']);
    await good([{ key: 'a:2', text: 'x' }, { key: 'a:3', text: 'x' }], { who: limited });
    const { rows } = (await admin.get('/api/audit?action=import&user=limited')).json;
    assert.deepEqual(rows.map(({ status, detail }) => [status, detail]), [[200, '2 rows'], [403, '1 rows']]);
    await guarded.stop();
  });
});
