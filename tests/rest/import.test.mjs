// Import: items of any number, a line each, in bounded memory; what comes before a bad line is in.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, listAll, MiB, Server, sleep, Wire } from './support.mjs';

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
    const stats = (await client.get('/api/stats')).json;
    assert.equal(stats.server?.inflight_bytes ?? stats.service?.inflight_bytes ?? 0, 0, 'all memory is given back');
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
    assert.ok(await wire.closes(8_000), 'at last it is silent');
    assert.equal((await hasty.client.get('/api/keys/slow')).status, 200);
    await hasty.stop();
  });
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
