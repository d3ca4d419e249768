// increment in POST /api/batch: decimal numbers of 64 bits that nobody loses a count of.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, Client, Server } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const post = (document) => client.post('/api/batch', document);
const batch = async (ops) => {
  const response = await post({ ops });
  assert.equal(response.status, 200, response.text);
  return response.json.results;
};
const FAR = '2100-01-01T00:00:00.000Z';

describe('an increment', () => {
  it('counts from 0 where the key is not there, by 1 where nothing is said, and answers what it came to', async () => {
    const [first, second, third] = await batch([{ op: 'increment', key: 'n' }, { op: 'increment', key: 'n', by: 41 }, { op: 'increment', key: 'n', by: -50 }]);
    assert.deepEqual([first.value, second.value, third.value], ['1', '42', '-8']);
    assert.equal(BigInt(third.version), BigInt(first.version) + 2n);
    const got = await client.get('/api/keys/n');
    assert.equal(got.text, '-8');
    assert.equal(got.headers.etag, `"${third.version}"`);
    assert.equal(got.headers['content-type'], 'text/plain; charset=utf-8');
  });

  it('keeps type and expiry', async () => {
    for (const type of ['application/json', 'text/plain', 'application/vnd.counter+x; a=b', 'application/octet-stream']) {
      await client.put(`/api/keys/typed?expires_at=${FAR}`, '7', { 'Content-Type': type });
      const [{ value }] = await batch([{ op: 'increment', key: 'typed', by: 3 }]);
      assert.equal(value, '10');
      const got = await client.get('/api/keys/typed');
      assert.deepEqual([got.text, got.headers['content-type'], got.headers['velocity-expires-at']], ['10', type, FAR]);
    }
  });

  it('takes by as a number or a string, and goes to both ends of 64 bits', async () => {
    const max = '9223372036854775807';
    const min = '-9223372036854775808';
    const response = await client.post('/api/batch', `{"ops":[{"op":"increment","key":"wide","by":${max}},{"op":"increment","key":"wide","by":"${min}"},{"op":"increment","key":"wide","by":1},` +
      `{"op":"increment","key":"low","by":"${min}"}]}`);
    assert.equal(response.status, 200, response.text);
    assert.deepEqual(response.json.results.map(({ value }) => value), [max, '-1', '0', min]);
    assert.equal((await client.get('/api/keys/low')).text, min);
    for (const [key, by] of [['low', -1], ['low', min], ['high', 1]]) {
      await client.put('/api/keys/high', max);
      const problem = assertProblem(await post({ ops: [{ op: 'put', key: 'beside', text: 'x' }, { op: 'increment', key, by }] }), 409, `${key} ${by}`);
      assert.deepEqual([problem.code, problem.index], ['conflict', 1]);
      assertProblem(await client.get('/api/keys/beside'), 404);
    }
    assert.equal((await client.get('/api/keys/low')).text, min);
  });

  for (const value of ['', 'x', ' 1', '1 ', '01', '-0', '+1', '1.0', '1e3', '0x1', '--1', '-', '9223372036854775808', '-9223372036854775809', '1\0', '\uff11', 'null', '"1"', '5\n', '\n5', '\t5', '-01', '00', '+5', '-+5', '5 5', '1_000', '1,000', '- 5', '00000000000000000001', '-00', 'true', '[1]', '\ufeff1', '1'.repeat(40)]) {
    it(`of ${JSON.stringify(value)}, which is no such number, is 409 with its index, and nothing is done`, async () => {
      await client.put('/api/keys/not-a-number', value);
      const problem = assertProblem(await post({ ops: [{ op: 'increment', key: 'fine' }, { op: 'increment', key: 'not-a-number' }] }), 409);
      assert.deepEqual([problem.code, problem.index, 'current_version' in problem], ['conflict', 1, false]);
      assert.equal((await client.get('/api/keys/not-a-number')).text, value);
      assertProblem(await client.get('/api/keys/fine'), 404);
    });
  }

  for (const by of [1.5, '1.5', '', '+1', '01', ' 1', '-0', '5\n', '00', '-01', '0x1', '\uff11', 'x', null, true, [1], {}, '9223372036854775808', '-9223372036854775809', 1e300]) {
    it(`by ${JSON.stringify(by)} is 400 with its index`, async () => {
      const problem = assertProblem(await post({ ops: [{ op: 'increment', key: 'never', by }] }), 400);
      assert.deepEqual([problem.code, problem.index], ['invalid_operation', 0]);
      assertProblem(await client.get('/api/keys/never'), 404);
    });
  }

  it('by 1e0 or a number beyond 64 bits is 400', async () => {
    for (const by of ['1e0', '9223372036854775808', '-9223372036854775809', '18446744073709551616', '1.0', '-0.0', '5e-1', '01', '+1']) assertProblem(await client.post('/api/batch', `{"ops":[{"op":"increment","key":"never","by":${by}}]}`), 400);
  });

  it('by 0 writes what stands there, or 0, under a new version; -0 is 0', async () => {
    await client.put('/api/keys/zero', '-7');
    const before = (await client.get('/api/keys/zero')).headers.etag;
    for (const by of ['0', '"0"', '-0']) {
      const response = await client.post('/api/batch', `{"ops":[{"op":"increment","key":"zero","by":${by}},{"op":"increment","key":"zero:new:${by.length}${by[0] === '-' ? 'm' : ''}","by":${by}}]}`);
      assert.equal(response.status, 200, response.text);
      assert.deepEqual(response.json.results.map(({ value }) => value), ['-7', '0'], by);
    }
    const after = await client.get('/api/keys/zero');
    assert.equal(after.text, '-7');
    assert.notEqual(after.headers.etag, before);
  });

  it('comes to both ends of 64 bits, from whichever side, and not past them', async () => {
    const [max, min] = ['9223372036854775807', '-9223372036854775808'];
    for (const [stands, by, sum] of [['9223372036854775806', '1', max], [max, '0', max], [max, min, '-1'], ['-1', min, null], ['1', max, null], ['-9223372036854775807', '-1', min], [min, '0', min], [min, max, '-1'], ['0', min, min], [max, max, null], [min, min, null], [max, '-1', '9223372036854775806']]) {
      await client.put('/api/keys/edge', stands);
      const response = await post({ ops: [{ op: 'increment', key: 'edge', by }] });
      if (sum === null) assert.equal(assertProblem(response, 409, `${stands} ${by}`).index, 0);
      else assert.equal(response.json.results[0].value, sum, `${stands} ${by}`);
      assert.equal((await client.get('/api/keys/edge')).text, sum ?? stands);
    }
  });

  it('has no value, type or expiry of its own: 400', async () => {
    for (const more of [{ value: 1 }, { text: '1' }, { base64: 'MQ==' }, { type: 'text/plain' }, { ttl: 5 }, { expires_at: FAR }]) {
      assertProblem(await post({ ops: [{ op: 'increment', key: 'never', ...more }] }), 400, JSON.stringify(more));
    }
  });

  it('sees what stands before it in the batch, and is seen by what stands behind', async () => {
    const results = await batch([
      { op: 'put', key: 'mixed', text: '10' }, { op: 'increment', key: 'mixed' }, { op: 'get', key: 'mixed' }, { op: 'delete', key: 'mixed' }, { op: 'get', key: 'mixed' },
      { op: 'increment', key: 'mixed', by: 5 }, { op: 'touch', key: 'mixed', expires_at: FAR }, { op: 'increment', key: 'mixed' }, { op: 'get', key: 'mixed' },
    ]);
    assert.deepEqual([results[1].value, results[2].text, results[4], results[5].value, results[7].value, results[8].text], ['11', '11', null, '5', '6', '6']);
    assert.equal(results[8].expires_at, FAR);
    assert.equal(results[8].version, results[7].version);
    assert.equal((await client.get('/api/keys/mixed')).headers.etag, `"${results[7].version}"`);
  });

  it('is done under the conditions of its batch only', async () => {
    await client.put('/api/keys/guarded', '1');
    assert.equal(assertProblem(await post({ if: [{ key: 'guarded', exists: false }], ops: [{ op: 'increment', key: 'guarded' }] }), 412).index, 0);
    assert.equal((await client.get('/api/keys/guarded')).text, '1');
  });

  it('is never lost, whoever counts beside it', async () => {
    const each = 60;
    const counter = async () => {
      for (let i = 0; i < each; i++) await batch([{ op: 'increment', key: 'shared' }, { op: 'increment', key: 'shared:twice', by: 2 }]);
    };
    const putter = async () => {
      for (let i = 0; i < each; i++) await client.put('/api/keys/beside', `${i}`);
    };
    await Promise.all([counter(), counter(), counter(), counter(), counter(), counter(), putter()]);
    assert.equal((await client.get('/api/keys/shared')).text, `${6 * each}`);
    assert.equal((await client.get('/api/keys/shared:twice')).text, `${12 * each}`);
  });

  it('is refused to nobody because others were faster: increments, patches, batches that read, and puts beside them', async () => {
    const [at_once, each] = [64, 40];
    const crowd = new Client(server.port, { connections: at_once });
    const hot = (op) => crowd.post('/api/batch', { ops: [op] });
    assert.equal((await crowd.put('/api/keys/hot:object', '{}', { 'Content-Type': 'application/json' })).status, 204);
    const kinds = [
      () => hot({ op: 'increment', key: 'hot' }),
      (i) => crowd.request('PATCH', '/api/keys/hot:object', { body: JSON.stringify({ [`m${i}`]: i }), headers: { 'Content-Type': 'application/merge-patch+json' } }),
      () => crowd.post('/api/batch', { ops: [{ op: 'get', key: 'hot' }, { op: 'increment', key: 'hot' }] }),
      () => crowd.put('/api/keys/hot:put', 'x'),
    ];
    const statuses = new Map();
    await Promise.all(Array.from({ length: at_once }, async (_, who) => {
      for (let i = 0; i < each; i++) {
        const { status } = await kinds[who % kinds.length](who);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    }));
    const quarter = (at_once / kinds.length) * each;
    assert.deepEqual([...statuses].sort(), [[200, 2 * quarter], [204, 2 * quarter]]);
    assert.equal((await client.get('/api/keys/hot')).text, `${2 * quarter}`);
    assert.equal(Object.keys((await client.get('/api/keys/hot:object')).json).length, at_once / kinds.length);
    crowd.close();
  });

  it('that was answered survives kill -9', async () => {
    const [{ value }] = await batch([{ op: 'increment', key: 'durable', by: 5 }]);
    await server.kill();
    server = await server.again();
    client = server.client;
    assert.equal((await client.get('/api/keys/durable')).text, value);
    assert.equal((await batch([{ op: 'increment', key: 'durable' }]))[0].value, '6');
  });

  it('may stand 10,000 times in a batch', async () => {
    const results = await batch(Array.from({ length: 10_000 }, (_, i) => ({ op: 'increment', key: `many:${i % 3}` })));
    assert.equal(results.at(-1).value, '3334');
    assert.equal((await client.get('/api/keys/many:1')).text, '3333');
  });
});
