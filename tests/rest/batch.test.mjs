// POST /api/batch: several operations as one, under conditions.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, key64, listAll, Server, versionOf } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const batch = (document) => client.post('/api/batch', document);
const done = async (document) => {
  const response = await batch(document);
  assert.equal(response.status, 200, response.text.slice(0, 500));
  assert.match(response.json.version, /^\d+$/);
  assert.equal(response.json.results.length, document.ops.length, 'one result for each operation');
  return response.json;
};
const text = async (key) => (await client.get(`/api/keys?key64=${key64(key)}`)).text;
const absent = async (key) => assertProblem(await client.get(`/api/keys?key64=${key64(key)}`), 404, key.toString());

describe('a batch', () => {
  it('puts and deletes together, under versions that the keys then have', async () => {
    await client.put('/api/keys/batch:old', 'x');
    const { version } = await done({
      ops: [
        { op: 'put', key: 'batch:1', text: 'one' },
        { op: 'put', key: 'batch:2', text: 'two' },
        { op: 'delete', key: 'batch:old' },
      ],
    });
    assert.equal(await text('batch:1'), 'one');
    assert.equal(await text('batch:2'), 'two');
    await absent('batch:old');
    const versions = [await client.get('/api/keys/batch:1'), await client.get('/api/keys/batch:2')].map(versionOf);
    assert.ok(versions[0] < versions[1] && versions[1] <= BigInt(version), `${versions} up to ${version}`);
  });

  it('takes a value as JSON, as text and as base64, with the types that go with them', async () => {
    const bytes = Buffer.from([0, 0xff, 0x80]);
    const raw = '{"n":12345678901234567890, "x":[1.0,null]}';
    const response = await client.post(
      '/api/batch',
      `{"ops":[{"op":"put","key":"form:json","value":${raw}},{"op":"put","key":"form:text","text":"te\\u00e9xt\\ud83d\\ude00"},` +
        `{"op":"put","key":"form:base64","base64":"${bytes.toString('base64')}"},{"op":"put","key":"form:typed","base64":"YQ==","type":"image/png"},` +
        `{"op":"put","key":"form:null","value":null},{"op":"put","key":"form:empty","text":""}]}`,
    );
    assert.equal(response.status, 200, response.text);
    const json = await client.get('/api/keys/form:json');
    assert.equal(json.text, raw, 'byte for byte, not through doubles');
    assert.equal(json.headers['content-type'], 'application/json');
    assert.equal(await text('form:text'), 'teéxt\u{1F600}');
    assert.deepEqual((await client.get('/api/keys/form:base64')).body, bytes);
    assert.equal((await client.get('/api/keys/form:base64')).headers['content-type'], 'application/octet-stream');
    const typed = await client.get('/api/keys/form:typed');
    assert.deepEqual([typed.text, typed.headers['content-type']], ['a', 'image/png']);
    assert.equal(await text('form:null'), 'null');
    assert.equal((await client.get('/api/keys/form:empty')).body.length, 0);
  });

  it('takes any key, as text or as key64', async () => {
    const key = Buffer.from([0xff, 0, 0x2f]);
    await done({ ops: [{ op: 'put', key64: key64(key), text: 'bytes' }, { op: 'put', key: 'a\0b/é', text: 'text' }] });
    assert.equal(await text(key), 'bytes');
    assert.equal(await text('a\0b/é'), 'text');
    await done({ ops: [{ op: 'delete', key64: key64(key) }] });
    await absent(key);
  });

  it('does its operations in their order: of two on one key the later holds', async () => {
    await done({
      ops: [
        { op: 'put', key: 'twice', text: 'first' }, { op: 'put', key: 'twice', text: 'second' },
        { op: 'put', key: 'then-gone', text: 'x' }, { op: 'delete', key: 'then-gone' },
        { op: 'delete', key: 'then-there' }, { op: 'put', key: 'then-there', text: 'back' },
      ],
    });
    assert.equal(await text('twice'), 'second');
    await absent('then-gone');
    assert.equal(await text('then-there'), 'back');
  });

  it('has gets that see the operations before them, and not those after', async () => {
    await client.put('/api/keys/seen', 'stored');
    const { results } = await done({
      ops: [
        { op: 'get', key: 'seen' }, { op: 'put', key: 'seen', text: 'changed' }, { op: 'get', key: 'seen' },
        { op: 'delete', key: 'seen' }, { op: 'get', key: 'seen' }, { op: 'put', key: 'seen', text: 'last' },
      ],
    });
    assert.equal(results[0].text, 'stored');
    assert.equal(results[2].text, 'changed');
    assert.ok(results[4] === null || !('text' in results[4]), 'a key deleted just before is not found');
    assert.equal(await text('seen'), 'last');
  });

  it('of gets alone reads one state, with every form of value', async () => {
    await client.put('/api/keys/got:json', '{"a":1.50}', { 'Content-Type': 'application/json' });
    const put = await client.put('/api/keys/got:binary', Buffer.from([0xff]));
    const response = await batch({ ops: [{ op: 'get', key: 'got:json' }, { op: 'get', key: 'got:binary' }, { op: 'get', key: 'got:absent' }] });
    assert.ok(response.text.includes('{"a":1.50}'), 'byte for byte');
    const [, binary, missing] = response.json.results;
    assert.equal(binary.base64, '/w==');
    assert.equal(binary.version, String(versionOf(put)));
    assert.ok(missing === null || (!('text' in missing) && !('value' in missing) && !('base64' in missing)));
  });

  it('may have 10,000 operations, and no more', async () => {
    const ops = Array.from({ length: 10_000 }, (_, i) => ({ op: 'put', key: `many:${i}`, text: `${i}` }));
    await done({ ops });
    assert.equal((await listAll(client, { prefix: 'many:', limit: '10000' })).items.length, 10_000);
    const more = Array.from({ length: 10_001 }, (_, i) => ({ op: 'put', key: `too-many:${i}`, text: '' }));
    assertProblem(await batch({ ops: more }), 400);
    assert.equal((await listAll(client, { prefix: 'too-many:' })).items.length, 0);
  });

  it('is seen whole or not at all by listings that run beside it', async () => {
    const named = Array.from({ length: 50 }, (_, i) => `whole:${String(i).padStart(2, '0')}`);
    const write = (n) => done({ ops: named.map((key) => ({ op: 'put', key, text: `${n}` })) });
    await write(0);
    let reading = true;
    const writer = (async () => {
      for (let n = 1; reading; n++) await write(n);
    })();
    const states = new Set();
    for (let seen = 0; seen < 40 || states.size < 5; seen++) {
      const page = (await client.get('/api/keys?prefix=whole:&values=true')).json;
      const values = new Set(page.items.map((item) => item.text));
      assert.equal(page.items.length, named.length);
      assert.equal(values.size, 1, `one listing showed the batches ${[...values]}`);
      states.add([...values][0]);
    }
    reading = false;
    await writer;
  });
});

describe('conditions of a batch', () => {
  it('hold together or nothing is done, and the first that fails is named by its index', async () => {
    const a = versionOf(await client.put('/api/keys/cond:a', 'a'));
    const b = versionOf(await client.put('/api/keys/cond:b', 'b'));
    const ops = [{ op: 'put', key: 'cond:a', text: 'changed' }, { op: 'put', key: 'cond:new', text: 'new' }];
    const failing = [
      [0, [{ key: 'cond:a', version: String(a + 1_000_000n) }, { key: 'cond:b', version: String(b) }]],
      [1, [{ key: 'cond:a', version: String(a) }, { key: 'cond:b', version: String(a) }]],
      [1, [{ key: 'cond:a', exists: true }, { key: 'cond:absent', exists: true }]],
      [2, [{ key: 'cond:a', exists: true }, { key: 'cond:absent', exists: false }, { key: 'cond:b', exists: false }]],
      [0, [{ key: 'cond:absent', version: String(a) }]],
    ];
    for (const [index, conditions] of failing) {
      const problem = assertProblem(await batch({ if: conditions, ops }), 412, JSON.stringify(conditions));
      assert.equal(problem.index, index, JSON.stringify(conditions));
      assert.equal(await text('cond:a'), 'a');
      await absent('cond:new');
    }
    await done({ if: [{ key: 'cond:a', version: String(a) }, { key: 'cond:b', exists: true }, { key: 'cond:absent', exists: false }], ops });
    assert.equal(await text('cond:a'), 'changed');
    assert.equal(await text('cond:new'), 'new');
    assertProblem(await batch({ if: [{ key: 'cond:a', version: String(a) }], ops }), 412);
  });

  it('may name a key as key64, and keys that the batch does not write', async () => {
    const key = Buffer.from([0xfe, 0xff]);
    const version = versionOf(await client.put(`/api/keys?key64=${key64(key)}`, 'x'));
    await done({ if: [{ key64: key64(key), version: String(version) }], ops: [{ op: 'put', key: 'cond:other', text: 'y' }] });
    assert.equal(await text('cond:other'), 'y');
  });

  it('move money between accounts without losing any, whoever races', async () => {
    const accounts = ['money:a', 'money:b', 'money:c'];
    for (const account of accounts) await client.put(`/api/keys/${account}`, '100');
    let moved = 0;
    const mover = async (from, to) => {
      for (let done = 0; done < 15; ) {
        const [source, target] = [await client.get(`/api/keys/${from}`), await client.get(`/api/keys/${to}`)];
        const outcome = await batch({
          if: [{ key: from, version: String(versionOf(source)) }, { key: to, version: String(versionOf(target)) }],
          ops: [{ op: 'put', key: from, text: `${Number(source.text) - 1}` }, { op: 'put', key: to, text: `${Number(target.text) + 1}` }],
        });
        assert.ok([200, 412].includes(outcome.status), outcome.text);
        if (outcome.status === 200) {
          done += 1;
          moved += 1;
        }
      }
    };
    await Promise.all([mover('money:a', 'money:b'), mover('money:b', 'money:c'), mover('money:c', 'money:a'), mover('money:a', 'money:c')]);
    const balances = await Promise.all(accounts.map(async (account) => Number(await text(account))));
    assert.equal(moved, 60);
    assert.deepEqual(balances, [85, 100, 115]);
  });
});

describe('a batch that is not one', () => {
  const good = { op: 'put', key: 'invalid:good', text: 'x' };
  const invalid = {
    'no key': { op: 'put', text: 'x' },
    'an empty key': { op: 'put', key: '', text: 'x' },
    'both kinds of key': { op: 'put', key: 'a', key64: 'YQ', text: 'x' },
    'a key that is no string': { op: 'put', key: 5, text: 'x' },
    'a key too long': { op: 'put', key: 'k'.repeat(16 * 1024 + 1), text: 'x' },
    'a bad key64': { op: 'put', key64: '!', text: 'x' },
    'no value': { op: 'put', key: 'a' },
    'two values': { op: 'put', key: 'a', text: 'x', value: 1 },
    'text that is no string': { op: 'put', key: 'a', text: 1 },
    'bad base64': { op: 'put', key: 'a', base64: 'YQ' },
    'a malformed type': { op: 'put', key: 'a', text: 'x', type: 'text' },
    'JSON by its type that is none': { op: 'put', key: 'a', text: '{', type: 'application/json' },
    'no operation': { key: 'a', text: 'x' },
    'an unknown operation': { op: 'upsert', key: 'a', text: 'x' },
    'an unknown member': { op: 'put', key: 'a', text: 'x', tll: 5 },
    'a ttl of nothing': { op: 'put', key: 'a', text: 'x', ttl: 0 },
    'a ttl in the past': { op: 'put', key: 'a', text: 'x', ttl: -1 },
    'a value to delete': { op: 'delete', key: 'a', text: 'x' },
    'a number for an operation': 5,
  };
  for (const [what, op] of Object.entries(invalid)) {
    it(`has ${what}: 400 with its index, and nothing is done`, async () => {
      const problem = assertProblem(await batch({ ops: [good, good, op] }), 400);
      assert.equal(problem.index, 2);
      await absent('invalid:good');
    });
  }

  for (const [what, body] of [
    ['no JSON', '{'], ['an array', '[]'], ['no ops', '{}'], ['ops of another kind', '{"ops":{}}'], ['a member that nobody knows', '{"ops":[],"options":{}}'],
    ['something after its end', '{"ops":[]} x'], ['two ops', '{"ops":[],"ops":[]}'], ['conditions of another kind', '{"if":{},"ops":[]}'],
    ['a condition without a key', '{"if":[{"exists":true}],"ops":[]}'], ['a condition that asks nothing', '{"if":[{"key":"a"}],"ops":[]}'],
    ['a version that is none', '{"if":[{"key":"a","version":"x"}],"ops":[]}'], ['a lone surrogate in a key', '{"ops":[{"op":"put","key":"\\ud800","text":""}]}'],
    ['nothing', ''],
  ]) {
    it(`is ${what}: 400`, async () => assertProblem(await client.post('/api/batch', body), 400));
  }

  it('has a condition in its header, where only one key could satisfy it: 400, and nothing is done', async () => {
    for (const headers of [{ 'If-Match': '"1"' }, { 'If-None-Match': '*' }]) {
      assert.equal(assertProblem(await client.post('/api/batch', { ops: [good] }, headers), 400).code, 'invalid_header');
    }
    await absent('invalid:good');
  });

  it('has a query parameter: 400', async () => assertProblem(await client.post('/api/batch?dry_run=true', { ops: [good] }), 400));
});
