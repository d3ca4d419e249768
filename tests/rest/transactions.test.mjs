// Transactions over HTTP: what is seen inside, who wins, and how each ends.
import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { after, before, describe, it } from 'node:test';
import { assertProblem, key64, KiB, Server, versionOf, Wire } from './support.mjs';
import { Transaction } from './transactions.mjs';

let server;
let client;
before(async () => {
  server = await Server.start({ config: { server: { max_transactions_per_user: 1024 } } });
  client = server.client;
});
after(() => server?.stop());

const begin = (isolation, options) => Transaction.begin(client, isolation, options);
const value = async (key) => {
  const response = await client.get(`/api/keys/${key}`);
  return response.status === 404 ? null : response.text;
};
const put = async (key, text) => versionOf(await client.put(`/api/keys/${key}`, text));
const commits = async (transaction) => {
  const response = await transaction.commit();
  assert.equal(response.status, 200, response.text);
  return BigInt(response.json.version);
};
const loses = async (transaction, key) => {
  const problem = assertProblem(await transaction.commit(), 409);
  assert.equal(problem.code, 'transaction_conflict');
  assert.match(problem.detail, new RegExp(`key ${key}\\b`));
  assert.equal(problem.key, key);
  return problem;
};

describe('a transaction', () => {
  it('is begun with an id that nobody can guess, an end, and the isolation that was asked for', async () => {
    for (const isolation of ['serializable', 'snapshot', 'read_committed']) {
      const response = await client.post('/api/transactions', { isolation });
      assert.equal(response.status, 201, response.text);
      assert.deepEqual(Object.keys(response.json), ['id', 'isolation', 'expires_at', 'idle_seconds']);
      assert.match(response.json.id, /^[0-9a-f]{32}$/);
      assert.equal(response.json.isolation, isolation);
      assert.equal(response.json.idle_seconds, 30);
      assert.ok(Math.abs(Date.parse(response.json.expires_at) - Date.now() - 300_000) < 60_000);
      assert.equal(response.headers['cache-control'], 'no-store');
    }
    assert.equal((await begin()).isolation, 'serializable', 'nobody is surprised who says nothing');
  });

  it('is not begun with what is no isolation', async () => {
    for (const body of [{ isolation: 'none' }, { isolation: 7 }, { isolation: null }, { isolation: 'Snapshot' }, { isolated: true }, [], 7]) {
      assert.equal(assertProblem(await client.post('/api/transactions', body), 400, JSON.stringify(body)).code, 'invalid_body');
    }
    assertProblem(await client.post('/api/transactions', '{'), 400);
    assertProblem(await client.post('/api/transactions?isolation=snapshot', {}), 400);
    assertProblem(await client.request('POST', '/api/transactions', { body: '{}', headers: { 'Content-Type': 'text/plain' } }), 415);
  });

  it('sees what it has written, and nobody else does before its commit', async () => {
    const old = await put('seen:a', 'old');
    const transaction = await begin('snapshot');
    const first = await transaction.inside.get('/api/keys/seen:a');
    assert.equal(versionOf(first), old);
    const written = await transaction.put('seen:a', 'new');
    assert.equal(written.headers.etag, undefined, 'it has no version yet');
    const created = await transaction.inside.put('/api/keys/seen:b', 'b', { 'If-None-Match': '*' });
    assert.equal(created.status, 201);
    const own = await transaction.inside.get('/api/keys/seen:a');
    assert.equal(own.text, 'new');
    assert.equal(own.headers.etag, undefined);
    assert.equal((await transaction.inside.request('HEAD', '/api/keys/seen:b')).status, 200);
    assert.deepEqual([await value('seen:a'), await value('seen:b')], ['old', null]);
    const version = await commits(transaction);
    const after = await client.get('/api/keys/seen:b');
    assert.equal(versionOf(after), version, 'the version of its last write');
    assert.equal(await value('seen:a'), 'new');
  });

  it('keeps a value\'s type, checks JSON, and deletes', async () => {
    await put('typed:gone', 'x');
    const transaction = await begin();
    await transaction.put('typed:json', '{"a":1}', { 'Content-Type': 'application/json' });
    assert.equal(assertProblem(await transaction.inside.put('/api/keys/typed:bad', '{"a":', { 'Content-Type': 'application/json' }), 422).offset, 5);
    await transaction.put('typed:own', 'x', { 'Content-Type': 'text/x-own' });
    const gone = await transaction.inside.delete('/api/keys/typed:gone');
    assert.equal(gone.status, 204);
    assert.equal(gone.headers['velocity-version'], undefined);
    assert.equal(await transaction.get('typed:gone'), null);
    assert.match((await transaction.inside.get('/api/keys/typed:own')).headers['content-type'], /^text\/x-own/);
    assert.equal(await value('typed:gone'), 'x');
    await commits(transaction);
    assert.match((await client.get('/api/keys/typed:json')).headers['content-type'], /^application\/json/);
    assert.deepEqual([await value('typed:gone'), await value('typed:bad')], [null, null]);
  });

  it('lists its own state, page by page and in both directions', async () => {
    for (const key of ['b', 'd', 'f']) await put(`list:${key}`, key);
    const transaction = await begin('snapshot');
    await put('list:c', 'later');
    await transaction.put('list:a', 'own');
    await transaction.inside.delete('/api/keys/list:d');
    const page = async (query) => {
      const response = await transaction.inside.get(`/api/keys?prefix=list:&${query}`);
      assert.equal(response.status, 200, response.text);
      return response.json;
    };
    const all = await page('values=true');
    assert.deepEqual(all.items.map(({ key, version, text }) => [key, version === null, text]), [['list:a', true, 'own'], ['list:b', false, 'b'], ['list:f', false, 'f']]);
    assert.match(all.version, /^\d+$/);
    assert.deepEqual((await page('reverse=true')).items.map(({ key }) => key), ['list:f', 'list:b', 'list:a']);
    const first = await page('limit=1');
    const second = await page(`limit=1&cursor=${first.cursor}`);
    assert.deepEqual([first.items[0].key, second.items[0].key], ['list:a', 'list:b']);
    assert.equal((await transaction.rollback()).status, 204);
  });

  it('takes a batch as a whole, with gets that see it', async () => {
    const old = await put('batch:a', 'old');
    const transaction = await begin('snapshot');
    const batch = (document) => transaction.inside.post('/api/batch', document);
    const done = await batch({ if: [{ key: 'batch:a', version: `${old}` }], ops: [{ op: 'get', key: 'batch:a' }, { op: 'put', key: 'batch:a', text: 'new' }, { op: 'get', key: 'batch:a' }, { op: 'delete', key: 'batch:z' }] });
    assert.equal(done.status, 200, done.text);
    assert.equal(done.json.version, null);
    assert.deepEqual(done.json.results.map((one) => [one.version, one.text]), [[`${old}`, 'old'], [null, undefined], [null, 'new'], [null, undefined]]);
    const failed = assertProblem(await batch({ if: [{ key: 'batch:a', exists: true }, { key: 'batch:y', exists: true }], ops: [{ op: 'put', key: 'batch:b', text: 'x' }] }), 412);
    assert.deepEqual([failed.index, failed.current_version], [1, null]);
    const own = assertProblem(await batch({ if: [{ key: 'batch:a', version: `${old}` }], ops: [{ op: 'put', key: 'batch:b', text: 'x' }] }), 412);
    assert.equal('current_version' in own, false, 'it is there, and has no version yet');
    const reads = await batch({ ops: [{ op: 'get', key: 'batch:a' }, { op: 'get', key: 'batch:b' }] });
    assert.deepEqual(reads.json.results.map((one) => one?.text ?? null), ['new', null]);
    assertProblem(await batch({ ops: [{ op: 'put', key: 'batch:c', text: 'x' }, { op: 'no', key: 'x' }] }), 400);
    assert.equal(await value('batch:a'), 'old');
    await commits(transaction);
    assert.deepEqual([await value('batch:a'), await value('batch:b'), await value('batch:c')], ['new', null, null]);
  });

  it('judges conditions at once, by what it sees', async () => {
    const old = await put('if:a', 'old');
    const transaction = await begin('snapshot');
    const inside = (headers) => transaction.inside.put('/api/keys/if:a', 'x', headers);
    const now = await put('if:a', 'newer');
    assert.equal(assertProblem(await inside({ 'If-Match': `"${now}"` }), 412).current_version, `${old}`);
    assert.equal((await inside({ 'If-Match': `"${old}"` })).status, 204);
    for (const headers of [{ 'If-Match': `"${old}"` }, { 'If-Match': `"${old}", "7"` }, { 'If-Match': '"18446744073709551615"' }, { 'If-None-Match': '*' }]) {
      const problem = assertProblem(await inside(headers), 412, JSON.stringify(headers));
      assert.equal('current_version' in problem, false, 'its own write has no version');
      assert.match(problem.detail, /no version yet/);
    }
    for (const headers of [{ 'If-Match': '*' }, { 'If-None-Match': `"${old}"` }]) assert.equal((await inside(headers)).status, 204, JSON.stringify(headers));
    assert.equal((await transaction.inside.get('/api/keys/if:a', { 'If-Match': '*' })).status, 200);
    assert.equal((await transaction.inside.get('/api/keys/if:a', { 'If-None-Match': '*' })).status, 304);
    assert.equal((await transaction.inside.get('/api/keys/if:a', { 'If-Match': `"${old}"` })).status, 412);
    assert.equal((await transaction.inside.delete('/api/keys/if:none', { 'If-Match': '*' })).status, 412);
    await transaction.rollback();
  });

  it('changes JSON by patches, of what it sees, and of what it has written itself', async () => {
    const old = await put('patch:a', 'x');
    await client.put('/api/keys/patch:b?expires_at=2100-01-01T00:00:00Z', '{"a":1,"b":2}', { 'Content-Type': 'application/json' });
    const transaction = await begin('snapshot');
    const patch = (key, document, headers = {}) => transaction.inside.request('PATCH', `/api/keys/${key}`, { body: JSON.stringify(document), headers: { 'Content-Type': 'application/merge-patch+json', ...headers } });
    const first = await patch('patch:b', { b: null, c: 3 });
    assert.equal(first.status, 204, first.text);
    assert.equal(first.headers.etag, undefined, 'it has no version yet');
    assert.equal((await patch('patch:b', { d: 4 }, { 'If-Match': '*' })).status, 204);
    assert.equal('current_version' in assertProblem(await patch('patch:b', { e: 5 }, { 'If-Match': `"${old}"` }), 412), false);
    assert.equal(assertProblem(await patch('patch:a', { a: 1 }), 409).code, 'conflict');
    assert.equal(assertProblem(await patch('patch:none', { a: 1 }), 404).code, 'key_not_found');
    const seen = await transaction.inside.get('/api/keys/patch:b');
    assert.deepEqual([seen.json, seen.headers['velocity-expires-at']], [{ a: 1, c: 3, d: 4 }, '2100-01-01T00:00:00.000Z']);
    assert.deepEqual(JSON.parse(await value('patch:b')), { a: 1, b: 2 });
    await commits(transaction);
    assert.deepEqual(JSON.parse(await value('patch:b')), { a: 1, c: 3, d: 4 });
    const loser = await begin('snapshot');
    const late = await loser.inside.request('PATCH', '/api/keys/patch:b', { body: '{"f":6}', headers: { 'Content-Type': 'application/merge-patch+json' } });
    assert.equal(late.status, 204, late.text);
    await client.put('/api/keys/patch:b', '{"g":7}', { 'Content-Type': 'application/json' });
    await loses(loser, 'patch:b');
    assert.deepEqual(JSON.parse(await value('patch:b')), { g: 7 });
  });

  it('deletes ranges of what it sees, counts them before, and puts into them again', async () => {
    for (const key of ['a', 'b', 'c/1', 'c/2', 'd']) await put(`range:${key}`, key);
    const transaction = await begin('snapshot');
    const list = async (query = '') => (await transaction.inside.get(`/api/keys?prefix=range:${query}`)).json;
    await transaction.put('range:bb', 'own');
    assert.deepEqual((await list('&delimiter=/')).prefixes, ['range:c/']);
    assert.deepEqual((await transaction.inside.get('/api/keys?prefix=range:&count=true')).json, { count: 6, exact: true });
    assert.deepEqual((await transaction.inside.delete('/api/keys?start=range:b&end=range:d&dry_run=true')).json, { count: 4, exact: true });
    const gone = await transaction.inside.delete('/api/keys?start=range:b&end=range:d');
    assert.equal(gone.status, 204, gone.text);
    assert.equal(gone.headers['velocity-version'], undefined, 'it has no version yet');
    await transaction.put('range:c/2', 'again');
    assert.deepEqual((await list()).items.map(({ key }) => key), ['range:a', 'range:c/2', 'range:d']);
    assert.deepEqual((await client.get('/api/keys?prefix=range:')).json.items.map(({ key }) => key), ['range:a', 'range:b', 'range:c/1', 'range:c/2', 'range:d']);
    await commits(transaction);
    assert.deepEqual((await client.get('/api/keys?prefix=range:')).json.items.map(({ key }) => key), ['range:a', 'range:c/2', 'range:d']);
    assert.equal(await value('range:c/2'), 'again');
  });

  it('increments and touches, with expiries, as often as it likes', async () => {
    await put('count:old', '5');
    const transaction = await begin('snapshot');
    const batch = async (...ops) => {
      const response = await transaction.inside.post('/api/batch', { ops });
      assert.equal(response.status, 200, response.text);
      return response.json.results;
    };
    const plus = (key, by) => ({ op: 'increment', key, by });
    assert.deepEqual(await batch(plus('count:old', 2), plus('count:new', 1), plus('count:new', 1)), ['7', '1', '2'].map((sum) => ({ version: null, value: sum })));
    assert.deepEqual(await batch(plus('count:new', -5)), [{ version: null, value: '-3' }]);
    assert.deepEqual(await batch({ op: 'touch', key: 'count:new', expires_at: '2100-01-01T00:00:00Z' }, { op: 'touch', key: 'count:none', ttl: 60 }), [{ version: null }, null]);
    assert.equal((await transaction.inside.put('/api/keys/count:ttl?ttl=1000', 'x')).status, 204);
    const expiry = async (who, key) => (await who.get(`/api/keys/${key}`)).headers['velocity-expires-at'];
    assert.equal(await expiry(transaction.inside, 'count:new'), '2100-01-01T00:00:00.000Z');
    assert.ok(Date.parse(await expiry(transaction.inside, 'count:ttl')) > Date.now() + 900_000);
    assert.deepEqual([await value('count:old'), await value('count:new')], ['5', null]);
    await commits(transaction);
    assert.deepEqual([await value('count:old'), await value('count:new'), await expiry(client, 'count:new')], ['7', '-3', '2100-01-01T00:00:00.000Z']);
  });

  it('reads parts of values; If-Range names nothing that it has written itself', async () => {
    const old = await put('part', '0123456789');
    const transaction = await begin('snapshot');
    const part = (headers) => transaction.inside.get('/api/keys/part', { Range: 'bytes=2-4', ...headers });
    assert.deepEqual(await part({ 'If-Range': `"${old}"` }).then(({ status, text }) => [status, text]), [206, '234']);
    await transaction.put('part', 'abcdefghij');
    assert.deepEqual(await part({}).then(({ status, text }) => [status, text]), [206, 'cde']);
    for (const tag of [`"${old}"`, '"0"']) assert.deepEqual(await part({ 'If-Range': tag }).then(({ status, text }) => [status, text]), [200, 'abcdefghij'], tag);
    await transaction.rollback();
  });

  it('lives in its database', async () => {
    assert.equal((await client.post('/api/databases', { name: 'other' })).status, 201);
    const transaction = await begin('snapshot', { in: '/api/databases/other' });
    await transaction.put('where', 'other');
    assertProblem(await transaction.inside.get('/api/keys/where'), 404);
    assert.equal((await transaction.inside.get('/api/keys/where')).json.code, 'transaction_not_found');
    assert.equal(assertProblem(await client.request('POST', `/api/transactions/${transaction.id}/commit`), 404).code, 'transaction_not_found');
    assert.equal(assertProblem(await client.delete(`/api/transactions/${transaction.id}`), 404).code, 'transaction_not_found');
    await commits(transaction);
    assert.equal((await client.get('/api/databases/other/keys/where')).text, 'other');
    assert.equal(await value('where'), null);
  });

  it('is named where something can be done inside of it, and only there', async () => {
    const { id } = await begin();
    const header = { 'Velocity-Transaction': id };
    for (const [method, path] of [['GET', '/api/databases'], ['GET', '/api/stats'], ['GET', '/livez'], ['GET', '/api/whoami'], ['GET', '/api/transactions'], ['GET', '/api/watch'], ['GET', '/api/export'], ['POST', '/api/compact'], ['GET', '/api/jobs'], ['DELETE', `/api/transactions/${id}`], ['POST', `/api/transactions/${id}/commit`]]) {
      assert.equal(assertProblem(await client.request(method, path, { headers: header }), 400, path).code, 'invalid_header');
    }
    assert.equal(assertProblem(await client.post('/api/transactions', {}, header), 400).code, 'invalid_header');
    const lines = { body: '{"key":"imported","text":"x"}', headers: { ...header, 'Content-Type': 'application/x-ndjson' } };
    assert.equal(assertProblem(await client.request('POST', '/api/import', lines), 400).code, 'invalid_header');
    assert.equal(await value('imported'), null);
    for (const bad of ['', 'x', 'A'.repeat(32), `${id}0`, id.slice(1)]) {
      assert.equal(assertProblem(await client.get('/api/keys/a', { 'Velocity-Transaction': bad }), 400, bad).code, 'invalid_header');
    }
    const wire = await Wire.open(server.port);
    wire.send(`GET /api/keys/a HTTP/1.1\r\nHost: localhost\r\nVelocity-Transaction: ${id}\r\nVelocity-Transaction: ${id}\r\n\r\n`);
    assert.equal((await wire.response()).status, 400);
    wire.close();
  });
});

describe('its end', () => {
  it('is a commit that is answered the same again', async () => {
    const transaction = await begin('snapshot');
    await transaction.put('end:a', '1');
    const version = await commits(transaction);
    await put('end:a', '2');
    for (let i = 0; i < 3; i++) assert.equal(await commits(transaction), version);
    assert.equal(await value('end:a'), '2', 'and is not done again');
    for (const response of [await transaction.inside.get('/api/keys/end:a'), await transaction.rollback()]) {
      const problem = assertProblem(response, 410);
      assert.equal(problem.code, 'transaction_ended');
      assert.match(problem.detail, /was committed/);
    }
  });

  it('is a commit whose reply was lost, and is there when it is asked for again', async () => {
    const transaction = await begin('serializable');
    await transaction.put('end:lost', 'kept');
    const wire = await Wire.open(server.port);
    wire.send(`POST /api/transactions/${transaction.id}/commit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`);
    wire.close();
    for (;;) {
      const again = await transaction.commit();
      if (again.status === 409 && again.json.code === 'transaction_busy') continue;
      assert.equal(again.status, 200, again.text);
      break;
    }
    assert.equal(await value('end:lost'), 'kept');
  });

  it('is a conflict that is answered the same again, and can be rolled back', async () => {
    await put('end:c', '1');
    const transaction = await begin('snapshot');
    await transaction.put('end:c', '2');
    await put('end:c', '3');
    const first = await loses(transaction, 'end:c');
    const second = await loses(transaction, 'end:c');
    assert.equal(second.detail, first.detail);
    assert.equal(await value('end:c'), '3');
    assert.equal(assertProblem(await transaction.inside.get('/api/keys/end:c'), 410).code, 'transaction_ended');
    assert.equal((await transaction.rollback()).status, 204);
  });

  it('is a conflict of a deleted range with what was put into it meanwhile, and the other way round', async () => {
    await put('span:a', '1');
    const deleter = await begin('snapshot');
    assert.equal((await deleter.inside.delete('/api/keys?prefix=span:')).status, 204);
    await put('span:new', '1'); // which was not there when the range was deleted
    await loses(deleter, 'span:new');
    const putter = await begin('snapshot');
    await putter.put('span:x', '1');
    assert.equal((await client.delete('/api/keys?prefix=span:')).status, 204);
    await loses(putter, 'span:x');
    assert.equal(await value('span:x'), null);
  });

  it('is a conflict that names the key, of whatever bytes it is', async () => {
    const long = `tenant:4711:account:ann@example.org/${'k'.repeat(5000)}`;
    const longest = Buffer.alloc(16 * KiB, 0xff);
    for (const [bytes, named] of [
      [Buffer.from([0xff, 0, 0x22, 0x61]), 'key \\xff\\x00"a, which the transaction writes'],
      [Buffer.from('tenant:4711:account:ann@example.org'), 'key tenant:4711:account:ann@example.org, which'],
      [Buffer.from(long), `key ${long.slice(0, 64)}..., which`],
      [longest, `key ${'\\xff'.repeat(30)}`], // as far as there is room
    ]) {
      const path = `/api/keys?key64=${key64(bytes)}`;
      const transaction = await begin('snapshot');
      assert.equal((await transaction.inside.put(path, '1')).status, 204);
      assert.equal((await client.put(path, '2')).status, 204);
      for (let i = 0; i < 2; i++) {
        const problem = assertProblem(await transaction.commit(), 409);
        assert.ok(problem.detail.startsWith(named), problem.detail);
        const text = isUtf8(bytes);
        assert.deepEqual([problem.key, problem.key64], [text ? bytes.toString() : undefined, text ? undefined : key64(bytes)]);
      }
    }
  });

  it('is a commit with an empty object, too, and with no other body', async () => {
    const transaction = await begin('snapshot');
    await transaction.put('end:form', '1');
    const path = `/api/transactions/${transaction.id}/commit`;
    const json = { 'Content-Type': 'application/json' };
    for (const [body, code] of [['[]', 'invalid_body'], ['null', 'invalid_body'], ['{"now":true}', 'invalid_body'], ['{', 'invalid_json'], [' ', 'invalid_json']]) {
      assert.equal(assertProblem(await client.request('POST', path, { body, headers: json }), 400, body).code, code);
    }
    assertProblem(await client.request('POST', path, { body: '{}', headers: { 'Content-Type': 'text/plain' } }), 415);
    assert.equal(await value('end:form'), null);
    const { json: first, text } = await client.post(path, {});
    assert.deepEqual(Object.keys(first), ['version'], text);
    assert.equal(await value('end:form'), '1');
    assert.deepEqual((await client.request('POST', path)).json, first);
  });

  it('is a rollback, which can be asked for again', async () => {
    const transaction = await begin();
    await transaction.put('end:r', '1');
    for (let i = 0; i < 3; i++) assert.equal((await transaction.rollback()).status, 204);
    assert.equal(await value('end:r'), null);
    for (const response of [await transaction.commit(), await transaction.inside.put('/api/keys/end:r', '2')]) {
      assert.match(assertProblem(response, 410).detail, /rolled back/);
    }
    assert.equal(await value('end:r'), null);
  });

  it('is not there for ids that never were', async () => {
    const none = '0123456789abcdef0123456789abcdef';
    for (const response of [await client.request('POST', `/api/transactions/${none}/commit`), await client.delete(`/api/transactions/${none}`),
      await client.get('/api/keys/a', { 'Velocity-Transaction': none }), await client.put('/api/keys/a', 'x', { 'Velocity-Transaction': none }),
      await client.request('POST', '/api/transactions/not-an-id/commit'), await client.delete('/api/transactions/not-an-id')]) {
      assert.equal(assertProblem(response, 404).code, 'transaction_not_found');
    }
    assertProblem(await client.request('POST', `/api/transactions/${none}/commit?now=1`), 400);
  });

  it('without writes is at the state that was read', async () => {
    const version = await put('end:read', '1');
    const transaction = await begin('serializable');
    assert.equal(await transaction.get('end:read'), '1');
    await put('end:read', '2');
    assert.equal(await commits(transaction), version);
  });
});

describe('isolation', () => {
  const pair = async (isolation) => [await begin(isolation), await begin(isolation)];

  it('lets nobody see what was not committed', async () => {
    await put('dirty', 'clean');
    for (const isolation of ['read_committed', 'snapshot', 'serializable']) {
      const [writer, reader] = await pair(isolation);
      await writer.put('dirty', isolation);
      assert.equal(await reader.get('dirty'), 'clean');
      const listed = await reader.inside.get('/api/keys?prefix=dirty&values=true');
      assert.equal(listed.json.items[0].text, 'clean');
      await writer.rollback();
      assert.equal(await reader.get('dirty'), 'clean');
      await reader.rollback();
    }
  });

  it('repeats reads, but for read_committed', async () => {
    for (const [isolation, second] of [['serializable', '1'], ['snapshot', '1'], ['read_committed', '2']]) {
      await put('repeat', '1');
      const transaction = await begin(isolation);
      assert.equal(await transaction.get('repeat'), '1');
      await put('repeat', '2');
      assert.equal(await transaction.get('repeat'), second, isolation);
      await commits(transaction);
    }
  });

  it('loses no update, but under read_committed', async () => {
    for (const isolation of ['serializable', 'snapshot', 'read_committed']) {
      await put('update', '10');
      const [first, second] = await pair(isolation);
      const both = [Number(await first.get('update')), Number(await second.get('update'))];
      await first.put('update', `${both[0] + 1}`);
      await second.put('update', `${both[1] + 1}`);
      await commits(first);
      if (isolation === 'read_committed') await commits(second);
      else await loses(second, 'update');
      assert.equal(await value('update'), '11');
    }
  });

  it('allows write skew under snapshot, and not under serializable', async () => {
    for (const isolation of ['serializable', 'snapshot']) {
      await put('duty:a', 'on');
      await put('duty:b', 'on');
      const [first, second] = await pair(isolation);
      for (const one of [first, second]) assert.deepEqual([await one.get('duty:a'), await one.get('duty:b')], ['on', 'on']);
      await first.put('duty:a', 'off');
      await second.put('duty:b', 'off');
      await commits(first);
      if (isolation === 'snapshot') await commits(second);
      else await loses(second, 'duty:a');
      assert.equal(await value('duty:b'), isolation === 'snapshot' ? 'off' : 'on');
    }
  });

  it('counts what a listing and a batch have read, and keys that were not there', async () => {
    const reads = {
      listing: (one) => one.inside.get('/api/keys?prefix=phantom:'),
      batch: (one) => one.inside.post('/api/batch', { ops: [{ op: 'get', key: 'phantom:x' }] }),
      get: (one) => one.inside.get('/api/keys/phantom:x'),
      condition: (one) => one.inside.put('/api/keys/elsewhere', 'x', { 'If-None-Match': '*' }).then(() => one.inside.delete('/api/keys/phantom:x', { 'If-Match': '*' })),
      head: (one) => one.inside.request('HEAD', '/api/keys/phantom:x'),
      reverse: (one) => one.inside.get('/api/keys?prefix=phantom:&reverse=true'),
      fold: (one) => one.inside.get('/api/keys?prefix=phantom&delimiter=/'),
      count: (one) => one.inside.get('/api/keys?prefix=phantom:&count=true'),
      'dry run': (one) => one.inside.delete('/api/keys?prefix=phantom:&dry_run=true'),
      patch: (one) => one.inside.request('PATCH', '/api/keys/phantom:x', { body: '{}', headers: { 'Content-Type': 'application/merge-patch+json' } }),
      touch: (one) => one.inside.post('/api/batch', { ops: [{ op: 'touch', key: 'phantom:x', ttl: 100 }] }),
      'condition of a batch': (one) => one.inside.post('/api/batch', { if: [{ key: 'phantom:x', exists: false }], ops: [] }),
    };
    for (const [what, read] of Object.entries(reads)) {
      const transaction = await begin('serializable');
      await read(transaction);
      await transaction.put('counted', what);
      await put('phantom:x', what);
      await loses(transaction, 'phantom:x');
      await client.delete('/api/keys/phantom:x');
    }
  });

  it('counts what a folder, a page and what lies behind it have shown', async () => {
    const folders = (query) => (one) => one.inside.get(`/api/keys?prefix=page:&delimiter=/${query}`);
    const goesOn = async (one) => {
      const { cursor } = (await one.inside.get('/api/keys?prefix=page:&limit=1')).json;
      return one.inside.get(`/api/keys?prefix=page:&limit=10&cursor=${cursor}`);
    };
    for (const [read, write, key] of [
      [folders(''), () => client.delete('/api/keys/page:f/1'), 'page:f/1'], // the folder goes
      [folders('&reverse=true'), () => client.delete('/api/keys/page:f/1'), 'page:f/1'],
      [folders(''), () => put('page:g/1', 'x'), 'page:g/1'], // another one comes
      [folders('&limit=1'), () => put('page:0', 'x'), 'page:0'],
      [goesOn, () => put('page:d', 'x'), 'page:d'],
    ]) {
      await client.delete('/api/keys?prefix=page:');
      for (const name of ['page:a', 'page:c', 'page:f/1', 'page:z']) await put(name, '1');
      const transaction = await begin('serializable');
      assert.equal((await read(transaction)).status, 200);
      await transaction.put('page-counted', 'x');
      await write();
      await loses(transaction, key);
    }
  });

  it('shows no phantoms but under read_committed: neither in lists nor in counts nor in a dry run', async () => {
    for (const isolation of ['serializable', 'snapshot', 'read_committed']) {
      await client.delete('/api/keys?prefix=ghost:');
      await put('ghost:a', '1');
      const transaction = await begin(isolation);
      const look = async () => [
        (await transaction.inside.get('/api/keys?prefix=ghost:')).json.items.length,
        (await transaction.inside.get('/api/keys?prefix=ghost:&delimiter=:&reverse=true')).json.items.length,
        (await transaction.inside.get('/api/keys?prefix=ghost:&count=true')).json.count,
        (await transaction.inside.delete('/api/keys?prefix=ghost:&dry_run=true')).json.count,
      ];
      assert.deepEqual(await look(), [1, 1, 1, 1]);
      await put('ghost:b', '2');
      assert.deepEqual(await look(), isolation === 'read_committed' ? [2, 2, 2, 2] : [1, 1, 1, 1], isolation);
      await transaction.put('ghost:own', '3');
      assert.deepEqual(await look(), isolation === 'read_committed' ? [3, 3, 3, 3] : [2, 2, 2, 2], 'with its own');
      if (isolation === 'serializable') await loses(transaction, 'ghost:b');
      else await commits(transaction);
    }
  });

  it('under snapshot lets others write what was only read, and ranges that were listed', async () => {
    await put('range-read:a', '1');
    const transaction = await begin('snapshot');
    assert.equal(await transaction.get('range-read:a'), '1');
    await transaction.inside.get('/api/keys?prefix=range-read:');
    await transaction.put('range-read:own', 'x');
    await put('range-read:a', '2');
    await put('range-read:b', '2');
    await commits(transaction);
    assert.equal((await client.get('/api/keys?prefix=range-read:&count=true')).json.count, 3);
  });

  it('has its own writes before the others\', of the same key', async () => {
    for (const isolation of ['serializable', 'snapshot', 'read_committed']) {
      await put('own:a', 'others');
      const transaction = await begin(isolation);
      await transaction.put('own:a', 'own');
      await put('own:a', 'later');
      assert.equal(await transaction.get('own:a'), 'own');
      assert.equal((await transaction.inside.get('/api/keys?prefix=own:&values=true')).json.items[0].text, 'own');
      await transaction.inside.delete('/api/keys/own:a');
      assert.equal(await transaction.get('own:a'), null, isolation);
      assert.deepEqual((await transaction.inside.get('/api/keys?prefix=own:&count=true')).json, { count: 0, exact: true });
      if (isolation === 'read_committed') await commits(transaction);
      else await loses(transaction, 'own:a');
      assert.equal(await value('own:a'), isolation === 'read_committed' ? null : 'later');
    }
  });

  it('keeps transactions that touch different keys apart', async () => {
    const all = await Promise.all(Array.from({ length: 30 }, () => begin('serializable')));
    await Promise.all(all.map((one, i) => one.put(`apart:${i}`, `${i}`)));
    const versions = await Promise.all(all.map(commits));
    assert.equal(new Set(versions).size, 30);
  });
});

describe('one request at a time', () => {
  it('may come before the reply to the one before, up to the commit', async () => {
    const { id } = await begin('snapshot');
    const wire = await Wire.open(server.port);
    const line = (request, body) => `${request} HTTP/1.1\r\nHost: localhost\r\nVelocity-Transaction: ${id}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    wire.send(`${line('PUT /api/keys/piped', 'x')}${line('GET /api/keys/piped', '')}${line('PUT /api/keys/piped', 'y')}`);
    wire.send(`POST /api/transactions/${id}/commit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`);
    const replies = [];
    for (let i = 0; i < 4; i++) replies.push(await wire.response());
    wire.close();
    assert.deepEqual(replies.map(({ status }) => status), [204, 200, 204, 200]);
    assert.equal(replies[1].text, 'x');
    assert.equal(await value('piped'), 'y');
  });

  it('is inside only once its body has come: what is late finds the transaction over, and is not done', async () => {
    const transaction = await begin('snapshot');
    const header = { 'Velocity-Transaction': transaction.id };
    const [lost, late] = [await Wire.midway(server.port, 'PUT /api/keys/midway:lost', 2, header), await Wire.midway(server.port, 'PUT /api/keys/midway:late', 1, header)];
    lost.send('x');
    lost.close();
    await transaction.put('midway:beside', 'x');
    await commits(transaction);
    late.send('x');
    assert.equal(assertProblem(await late.response(), 410).code, 'transaction_ended');
    late.close();
    assert.deepEqual((await client.get('/api/keys?prefix=midway:')).json.items.map(({ key }) => key), ['midway:beside']);
  });

  it('is inside: another one is told so at once, and is not done', async () => {
    const ops = Array.from({ length: 2000 }, (_, i) => ({ op: 'put', key: `busy:${i}`, text: 'x' }));
    let busy = 0;
    for (let round = 0; round < 40 && busy === 0; round++) {
      const transaction = await begin('snapshot');
      const long = transaction.inside.post('/api/batch', { ops });
      const others = await Promise.all(Array.from({ length: 6 }, (_, i) => transaction.inside.put(`/api/keys/busy:other:${i}`, 'x')));
      const { status } = await long;
      assert.ok(status === 200 || status === 409, `${status}`);
      for (const [i, other] of others.entries()) {
        assert.equal((await transaction.get(`busy:other:${i}`)) !== null, other.status === 204, 'done or refused');
        if (other.status === 204) continue;
        assert.equal(assertProblem(other, 409).code, 'transaction_busy');
        busy += 1;
      }
      await transaction.rollback();
    }
    assert.ok(busy > 0, 'some came while another was inside');
  });
});
