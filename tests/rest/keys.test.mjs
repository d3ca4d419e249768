// One key: GET, HEAD, PUT, DELETE. Keys are bytes, values are bytes, versions are ETags.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, escapeAll, key64, keyPath, KiB, listAll, MiB, random, Server, sleep, versionOf, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

describe('a value', () => {
  it('comes back as it was put, with its version as ETag', async () => {
    const put = await client.put('/api/keys/user:1', 'hello');
    assert.equal(put.status, 204);
    assert.equal(put.body.length, 0);
    const got = await client.get('/api/keys/user:1');
    assert.equal(got.status, 200);
    assert.equal(got.text, 'hello');
    assert.equal(got.headers['content-length'], '5');
    assert.equal(versionOf(got), versionOf(put));
  });

  it('is replaced by a later put, under a greater version', async () => {
    const first = await client.put('/api/keys/replaced', 'a longer first value');
    const second = await client.put('/api/keys/replaced', 'second');
    assert.ok(versionOf(second) > versionOf(first));
    const got = await client.get('/api/keys/replaced');
    assert.equal(got.text, 'second');
    assert.equal(versionOf(got), versionOf(second));
  });

  it('may be empty, and is there all the same', async () => {
    assert.equal((await client.put('/api/keys/empty', '')).status, 204);
    const got = await client.get('/api/keys/empty');
    assert.equal(got.status, 200);
    assert.equal(got.body.length, 0);
    assert.equal(got.headers['content-length'], '0');
  });

  it('may hold every byte', async () => {
    const bytes = Buffer.from([...Array(256).keys(), ...Array(256).keys()]);
    await client.put('/api/keys/bytes', bytes);
    assert.deepEqual((await client.get('/api/keys/bytes')).body, bytes);
  });

  for (const size of [255, 256, 257, 4 * KiB, 64 * KiB + 1, MiB, 9 * MiB + 7]) {
    it(`of ${size} bytes comes back byte for byte`, async () => {
      const bytes = Buffer.alloc(size, random(size).bytes(Math.min(size, 8191)));
      assert.equal((await client.put(`/api/keys/size-${size}`, bytes)).status, 204);
      const got = await client.get(`/api/keys/size-${size}`);
      assert.ok(got.body.equals(bytes));
    });
  }

  it('sent in chunks is the same as sent whole', async () => {
    const chunks = [Buffer.alloc(10, 'a'), Buffer.alloc(70_000, 'b'), Buffer.from('c')];
    assert.equal((await client.request('PUT', '/api/keys/chunked', { body: chunks })).status, 204);
    assert.ok((await client.get('/api/keys/chunked')).body.equals(Buffer.concat(chunks)));
  });

  it('that was never put is 404', async () => {
    assertProblem(await client.get('/api/keys/never-put'), 404);
  });

  it('is the same under /api/databases/default', async () => {
    assert.equal((await client.put('/api/databases/default/keys/both', 'x')).status, 204);
    assert.equal((await client.get('/api/keys/both')).text, 'x');
    assertProblem(await client.get('/api/databases/no-such-database/keys/both'), 404);
  });
});

describe('HEAD', () => {
  it('answers as GET does, without the body', async () => {
    await client.put('/api/keys/head', 'twelve bytes', { 'Content-Type': 'text/plain' });
    const get = await client.get('/api/keys/head');
    const head = await client.request('HEAD', '/api/keys/head');
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    for (const name of ['content-length', 'content-type', 'etag']) assert.equal(head.headers[name], get.headers[name], name);
  });

  it('has every header field that GET has, whatever is found or asked for', async () => {
    const named = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !['date', 'x-request-id'].includes(name)));
    for (const [key, type] of [['octet', 'application/octet-stream'], ['json', 'application/json'], ['text', 'text/plain; charset=utf-8'], ['page', 'text/html'], ['own', 'application/x-own; a="b"']]) {
      await client.put(`/api/keys/fields:${key}?expires_at=2100-01-01T00:00:00Z`, '{"a":1}', { 'Content-Type': type });
    }
    await client.put('/api/keys/fields:empty', '');
    const { etag } = (await client.get('/api/keys/fields:json')).headers;
    for (const [target, headers, status] of [
      ...['octet', 'json', 'text', 'page', 'own', 'empty'].map((key) => [`/api/keys/fields:${key}`, {}, 200]),
      ['/api/keys/fields:json', { 'If-None-Match': etag }, 304], ['/api/keys/fields:json', { 'If-None-Match': '*' }, 304], ['/api/keys/fields:json', { 'If-Match': '"1"' }, 412],
      ['/api/keys/fields:json', { 'If-Match': 'x' }, 400], ['/api/keys/fields:none', {}, 404], ['/api/keys/fields:none', { 'If-Match': '*' }, 412], ['/api/keys/%zz', {}, 400],
      [`/api/keys?key64=${key64('fields:page')}`, {}, 200], ['/api/keys?prefix=fields:', {}, 200], ['/api/keys?prefix=fields:&values=true&delimiter=:', {}, 200],
      ['/api/keys?prefix=fields:&count=true', {}, 200], ['/api/keys?limit=0', {}, 400], ['/api/databases/none/keys/a', {}, 404],
    ]) {
      const get = await client.get(target, headers);
      const head = await client.request('HEAD', target, { headers });
      assert.deepEqual([get.status, head.status, head.body.length], [status, status, 0], target);
      const [left, right] = [named(head.headers), named(get.headers)];
      if (status >= 400) for (const one of [left, right]) delete one['content-length']; // of a document with an id of its own
      assert.deepEqual(left, right, target);
    }
  });

  it('of an absent key is 404 without a body, and the connection goes on', async () => {
    const wire = await Wire.open(server.port);
    wire.send('HEAD /api/keys/absent HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await wire.response({ head: true })).status, 404);
    wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await wire.response()).status, 200);
    wire.close();
  });
});

describe('DELETE', () => {
  it('takes the key away and names the version at which it went', async () => {
    const put = await client.put('/api/keys/gone', 'x');
    const deleted = await client.delete('/api/keys/gone');
    assert.equal(deleted.status, 204);
    assert.match(deleted.headers['velocity-version'], /^\d+$/);
    assert.ok(BigInt(deleted.headers['velocity-version']) > versionOf(put));
    assertProblem(await client.get('/api/keys/gone'), 404);
  });

  it('of a key that is not there is 204 too', async () => {
    const deleted = await client.delete('/api/keys/was-never-there');
    assert.equal(deleted.status, 204);
    assert.match(deleted.headers['velocity-version'], /^\d+$/);
  });

  it('with If-Match takes only that version', async () => {
    const first = await client.put('/api/keys/delete-if', '1');
    const second = await client.put('/api/keys/delete-if', '2');
    const refused = await client.delete('/api/keys/delete-if', { 'If-Match': `"${versionOf(first)}"` });
    assert.equal(assertProblem(refused, 412).current_version, String(versionOf(second)));
    assert.equal((await client.get('/api/keys/delete-if')).text, '2');
    assert.equal((await client.delete('/api/keys/delete-if', { 'If-Match': `"${versionOf(second)}"` })).status, 204);
    assertProblem(await client.get('/api/keys/delete-if'), 404);
    assertProblem(await client.delete('/api/keys/delete-if', { 'If-Match': `"${versionOf(second)}"` }), 412);
  });
});

describe('a key', () => {
  const distinct = [
    'a', 'A', 'a/', '/a', 'a//b', 'a/b', 'a/../b', 'a/./b', '..', '.', '//', 'a%b', 'a%2Fb', 'a+b', 'a b', 'a?b', 'a#b', 'a&b=c',
    'é', 'e\u0301', '日本', '\u{1F600}', '\0', 'a\0', 'a\0b', '\0\0', ' ', '\n', '\x7f',
  ].map((key) => Buffer.from(key));
  distinct.push(Buffer.from([0xff]), Buffer.from([0xff, 0xff]), Buffer.from([0xc3]), Buffer.from([0x80]), Buffer.from([0xed, 0xa0, 0x80]));

  it('is its bytes and nothing else: what looks alike is kept apart', async () => {
    for (const key of distinct) assert.equal((await client.put(`/api/keys/${escapeAll(key)}`, key.toString('hex'))).status, 204);
    for (const key of distinct) {
      const name = key.toString('hex');
      assert.equal((await client.get(`/api/keys/${escapeAll(key)}`)).text, name, `escaped in the path: ${name}`);
      assert.equal((await client.get(`/api/keys?key64=${key64(key)}`)).text, name, `as key64: ${name}`);
    }
  });

  it('is not normalised where the path holds it unescaped', async () => {
    for (const raw of ['a//b', 'a/../b', '..', '.', '//', '/a', 'a/', 'x/%2e%2e/y', 'a+b', "(it's)!*;,@=&$"]) {
      const bytes = raw.replace('%2e%2e', '..');
      assert.equal((await client.put(`/api/keys/${raw}`, raw)).status, 204, raw);
      assert.equal((await client.get(`/api/keys?key64=${key64(bytes)}`)).text, raw);
    }
  });

  it('is percent-decoded exactly once', async () => {
    await client.put('/api/keys/once%252F', 'escaped percent');
    assert.equal((await client.get(`/api/keys?key64=${key64('once%2F')}`)).text, 'escaped percent');
    assertProblem(await client.get(`/api/keys?key64=${key64('once/')}`), 404);
  });

  it('has hexadecimal escapes in either case', async () => {
    await client.put('/api/keys/case%2f%c3%a9', 'same');
    assert.equal((await client.get('/api/keys/case%2F%C3%A9')).text, 'same');
  });

  it('keeps a plus in a path; in a query it is a space', async () => {
    await client.put('/api/keys/plus+sign', 'plus');
    assertProblem(await client.get('/api/keys/plus%20sign'), 404);
    const listed = await client.get('/api/keys?prefix=plus+sign');
    assert.deepEqual(listed.json.items, []);
    assert.equal((await client.get('/api/keys?prefix=plus%2Bsign')).json.items.length, 1);
  });

  for (const [bad, why] of [
    ['%', 'cut off'], ['a%', 'cut off'], ['a%4', 'cut off'], ['a%2', 'cut off'], ['%zz', 'not hexadecimal'], ['%0g', 'not hexadecimal'], ['a%-1', 'not hexadecimal'],
    ['%u0041', 'not an escape of URLs'],
  ]) {
    it(`with the escape ${bad} (${why}) is 400`, async () => assertProblem(await client.get(`/api/keys/${bad}`), 400));
  }

  it('may have 16 KiB, plain or with every byte escaped', async () => {
    const key = 'k'.repeat(16 * KiB);
    assert.equal((await client.put(`/api/keys/${key}`, 'long')).status, 204);
    assert.equal((await client.get(`/api/keys/${escapeAll(key)}`)).text, 'long');
    assert.equal((await client.get(`/api/keys?key64=${key64(key)}`)).text, 'long');
    assert.equal((await client.delete(`/api/keys/${escapeAll(key)}`)).status, 204);
  });

  it('of more than 16 KiB is refused, and nothing is done', async () => {
    const key = 'K'.repeat(16 * KiB + 1);
    for (const target of [`/api/keys/${key}`, `/api/keys?key64=${key64(key)}`]) {
      const refused = await client.put(target, 'too long');
      assert.ok([400, 414].includes(refused.status), `${refused.status}`);
    }
    assert.equal((await listAll(client, { prefix: 'KKKK' })).items.length, 0);
  });

  it('has at least one byte', async () => {
    assertProblem(await client.put('/api/keys/', 'x'), 400);
    assertProblem(await client.put('/api/keys?key64=', 'x'), 400);
  });

  it('can be given as key64 to every method', async () => {
    const target = `/api/keys?key64=${key64(Buffer.from([0, 0xff, 0x2f]))}`;
    assert.equal((await client.put(target, 'v')).status, 204);
    assert.equal((await client.get(target)).text, 'v');
    assert.equal((await client.request('HEAD', target)).status, 200);
    assert.equal((await client.delete(target)).status, 204);
    assertProblem(await client.get(target), 404);
  });

  for (const bad of ['a', '!!!!', 'YQ=!', 'YR', 'a b', 'YWJj%00', 'YQ==', 'YQ%3D%3D', '-_8=', '+/8', '%2B%2F8', '%2B%2B%2B%2B', '%2F%2F%2F%2F', '++++', 'YQ%0A', '']) {
    it(`given as key64=${bad}, which no encoder makes, is 400 for every method, and nothing is done`, async () => {
      const before = await listAll(client, { limit: '10000' });
      const target = `/api/keys?key64=${encodeURI(bad)}`.replaceAll('%25', '%');
      for (const [method, headers] of [['GET', {}], ['PUT', {}], ['DELETE', {}], ['PATCH', { 'Content-Type': 'application/merge-patch+json' }]]) {
        const body = ['PUT', 'PATCH'].includes(method) ? '{}' : undefined;
        assert.equal(assertProblem(await client.request(method, target, { body, headers }), 400, method).code, 'invalid_key');
      }
      assert.equal((await client.request('HEAD', target)).status, 400);
      assert.deepEqual((await listAll(client, { limit: '10000' })).items, before.items);
    });
  }

  it('given as key64 has the alphabet of URLs', async () => {
    for (const [text, bytes] of [['-_8', [0xfb, 0xff]], ['_w', [0xff]], ['-g', [0xfa]], ['____', [0xff, 0xff, 0xff]], ['AA', [0]]]) {
      assert.equal((await client.put(`/api/keys?key64=${text}`, text)).status, 204, text);
      assert.equal((await client.get(`/api/keys/${escapeAll(bytes)}`)).text, text);
      assert.equal((await client.get(`/api/keys?key64=${escapeAll(text)}`)).text, text, 'a query is percent-decoded, too');
    }
  });

  it('is given once: by the path or as key64, not both, not twice', async () => {
    const named = key64('given');
    await client.put('/api/keys/given', 'v');
    for (const [target, code] of [[`/api/keys/given?key64=${named}`, 'unknown_parameter'], [`/api/keys?key64=${named}&key64=${named}`, 'repeated_parameter'], [`/api/keys?Key64=${named}`, 'unknown_parameter']]) {
      for (const method of ['GET', 'PUT', 'DELETE']) assert.equal(assertProblem(await client.request(method, target, method === 'PUT' ? { body: 'x' } : {}), 400, `${method} ${target}`).code, code);
    }
    assert.equal((await client.get('/api/keys/given')).text, 'v');
  });

  it('with a query parameter that nobody knows is 400, and nothing is done', async () => {
    assertProblem(await client.get('/api/keys/user:1?fields=name'), 400);
    assertProblem(await client.put('/api/keys/unknown-parameter?tll=60', 'x'), 400);
    assertProblem(await client.delete('/api/keys/user:1?force=true'), 400);
    assertProblem(await client.get('/api/keys/unknown-parameter'), 404);
    assert.equal((await client.get('/api/keys/user:1')).status, 200);
  });
});

describe('the Content-Type', () => {
  for (const type of [
    'text/plain', 'text/plain; charset=utf-8', 'text/plain;charset=latin1', 'image/png', 'application/octet-stream',
    'application/vnd.api+json; profile="a;b, c"', 'x-a/b.c+d', `a/${'b'.repeat(200)}`,
  ]) {
    it(`${type.slice(0, 50)} is kept`, async () => {
      assert.equal((await client.put('/api/keys/typed', 'v', { 'Content-Type': type })).status, 204);
      const got = await client.get('/api/keys/typed');
      assert.equal(got.headers['content-type'], type);
      assert.equal(got.text, 'v');
    });
  }

  it('is the same wherever it is shown, and comes back from there', async () => {
    const utf8 = (text) => Buffer.from(text).toString('latin1'); // as bytes of a header field, which are sent as they are where the body is bytes, too
    const type = 'text/x-own; a="é 日本 \u{1F600}"';
    assert.equal((await client.put('/api/keys/type-shown', Buffer.from('v'), { 'Content-Type': utf8(type) })).status, 204);
    const exported = (await client.get('/api/export?prefix=type-shown')).text;
    const items = [(await client.get('/api/keys?prefix=type-shown')).json.items[0], (await client.post('/api/batch', { ops: [{ op: 'get', key: 'type-shown' }] })).json.results[0], JSON.parse(exported)];
    for (const item of items) assert.equal(item.type, type);
    await client.delete('/api/keys/type-shown');
    assert.equal((await client.request('POST', '/api/import', { body: exported, headers: { 'Content-Type': 'application/x-ndjson' } })).json.imported, 1);
    assert.equal((await client.get('/api/keys/type-shown')).headers['content-type'], utf8(type));
  });

  it('is application/octet-stream where there was none', async () => {
    await client.put('/api/keys/untyped', 'v', { 'Content-Type': 'text/plain' });
    await client.put('/api/keys/untyped', 'v');
    assert.equal((await client.get('/api/keys/untyped')).headers['content-type'], 'application/octet-stream');
  });

  for (const type of ['text', 'text/', '/plain', 'te xt/plain', 'text/plain; charset', 'text/plain; a="b', 'text/plain, text/html', 'a/b; =c', 'a/b; c="\xe9"', 'a/b; c="\xed\xa0\x80"', 'a/b; c="\xc0\xaf"', 'a/b\xc3\xa9']) {
    it(`'${type}' is malformed: 400, and nothing is done`, async () => {
      assertProblem(await client.put('/api/keys/malformed-type', Buffer.from('v'), { 'Content-Type': type }), 400);
      assertProblem(await client.get('/api/keys/malformed-type'), 404);
    });
  }
});

describe('a body that is not all of a value as it is to be kept', () => {
  for (const [headers, status, code] of [
    [{ 'Content-Range': 'bytes 2-3/5' }, 400, 'invalid_header'], [{ 'Content-Encoding': 'gzip' }, 415, 'unsupported_media_type'], [{ 'Content-Encoding': 'identity, br' }, 415, 'unsupported_media_type'],
  ]) {
    it(`for it says ${JSON.stringify(headers)}: ${status}, before it is sent, and nothing is done`, async () => {
      await client.put('/api/keys/whole', 'whole');
      for (const line of ['PUT /api/keys/whole', 'PATCH /api/keys/whole', 'POST /api/batch', 'POST /api/import', 'POST /api/databases']) {
        const wire = await Wire.open(server.port);
        const fields = Object.entries({ ...headers, 'Content-Type': line.startsWith('PATCH') ? 'application/merge-patch+json' : 'application/json' });
        wire.send(`${line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
        assert.equal(assertProblem(await wire.response(), status, line).code, code);
        wire.close();
      }
      assert.equal((await client.get('/api/keys/whole')).text, 'whole');
    });
  }

  it('is taken where it says that it has no coding', async () => {
    assert.equal((await client.put('/api/keys/whole', 'as it is', { 'Content-Encoding': 'identity' })).status, 204);
    assert.equal((await client.get('/api/keys/whole')).text, 'as it is');
  });
});

describe('JSON', () => {
  const json = { 'Content-Type': 'application/json' };

  for (const document of [
    '{}', '[]', 'null', '0', '-0.0e-12', '"\\ud83d\\ude00"', ' { "a" : [ 1 , 2.50 , 12345678901234567890 ] }\r\n\t', '"\\u0000"', '{"a":1,"a":2}',
    '['.repeat(512) + ']'.repeat(512), '"é日本"', '1e400',
  ]) {
    it(`${document.slice(0, 40)} is kept byte for byte`, async () => {
      assert.equal((await client.put('/api/keys/json', document, json)).status, 204);
      const got = await client.get('/api/keys/json');
      assert.equal(got.text, document);
      assert.equal(got.headers['content-type'], 'application/json');
    });
  }

  for (const document of [
    '', ' ', '{', '{"a":1,}', '[1,]', '01', '1.', '.5', '+1', '1e', '-', 'NaN', 'Infinity', 'nul', 'True', "'a'", '"a', '"\n"', '"\\x"', '"\\u12"', '{a:1}',
    '{"a" 1}', '{"a":}', '1 2', '{}x', '/**/1', '\ufeff1', '1\0', '"\0"', '['.repeat(513) + ']'.repeat(513), '"\\ud800', '[1 2]', '{"a":1 "b":2}', ',',
  ]) {
    it(`${JSON.stringify(document.slice(0, 20))} is none: 422, and nothing is done`, async () => {
      assertProblem(await client.put('/api/keys/not-json', document, json), 422);
      assertProblem(await client.get('/api/keys/not-json'), 404);
    });
  }

  for (const [what, bytes] of [
    ['a lone continuation byte', [0x22, 0x80, 0x22]], ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]], ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a point past U+10FFFF', [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]], ['a sequence cut off', [0x22, 0xe6, 0x97, 0x22]],
  ]) {
    it(`with ${what} is none: 422`, async () => assertProblem(await client.put('/api/keys/not-json', Buffer.from(bytes), json), 422));
  }

  it('is checked whatever parameters and case its type comes in', async () => {
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json ;a=b']) {
      assertProblem(await client.put('/api/keys/not-json', '{', { 'Content-Type': type }), 422, type);
    }
  });

  it('under another type is not looked at', async () => {
    assert.equal((await client.put('/api/keys/not-checked', '{', { 'Content-Type': 'application/problem+json' })).status, 204);
  });
});

describe('conditions', () => {
  it('If-None-Match: * creates, 201, and only creates', async () => {
    const created = await client.put('/api/keys/create', 'first', { 'If-None-Match': '*' });
    assert.equal(created.status, 201);
    const refused = await client.put('/api/keys/create', 'second', { 'If-None-Match': '*' });
    assert.equal(assertProblem(refused, 412).current_version, String(versionOf(created)));
    assert.equal((await client.get('/api/keys/create')).text, 'first');
    await client.delete('/api/keys/create');
    const again = await client.put('/api/keys/create', 'third', { 'If-None-Match': '*' });
    assert.equal(again.status, 201);
    assert.ok(versionOf(again) > versionOf(created), 'a version never comes back');
  });

  it('If-Match replaces that version and no other', async () => {
    const first = await client.put('/api/keys/match', '1');
    const second = await client.put('/api/keys/match', '2', { 'If-Match': first.headers.etag });
    assert.equal(second.status, 204);
    const refused = await client.put('/api/keys/match', '3', { 'If-Match': first.headers.etag });
    assert.equal(assertProblem(refused, 412).current_version, String(versionOf(second)));
    assert.equal((await client.get('/api/keys/match')).text, '2');
  });

  it('If-Match of a key that is gone is 412 without a current version', async () => {
    const put = await client.put('/api/keys/match-gone', '1');
    await client.delete('/api/keys/match-gone');
    const problem = assertProblem(await client.put('/api/keys/match-gone', '2', { 'If-Match': put.headers.etag }), 412);
    assert.equal(problem.current_version ?? null, null);
    assertProblem(await client.get('/api/keys/match-gone'), 404);
  });

  it('If-Match: * replaces any version, and creates nothing', async () => {
    assertProblem(await client.put('/api/keys/match-any', '1', { 'If-Match': '*' }), 412);
    assertProblem(await client.get('/api/keys/match-any'), 404);
    await client.put('/api/keys/match-any', '1');
    assert.equal((await client.put('/api/keys/match-any', '2', { 'If-Match': '*' })).status, 204);
    assert.equal((await client.delete('/api/keys/match-any', { 'If-Match': '*' })).status, 204);
    assertProblem(await client.delete('/api/keys/match-any', { 'If-Match': '*' }), 412);
  });

  it('a version that was never given matches nothing', async () => {
    await client.put('/api/keys/match-never', '1');
    assertProblem(await client.put('/api/keys/match-never', '2', { 'If-Match': '"18446744073709551615"' }), 412);
    assertProblem(await client.put('/api/keys/match-never', '2', { 'If-Match': '"0"' }), 412);
  });

  for (const bad of ['5', '"5', '"x"', "'5'", '"18446744073709551616"', '"-1"', '']) {
    it(`If-Match: ${bad} does no harm: it is refused`, async () => {
      await client.put('/api/keys/match-bad', 'kept');
      const refused = await client.put('/api/keys/match-bad', 'changed', { 'If-Match': bad });
      assert.ok([400, 412].includes(refused.status), `${refused.status}`);
      assert.equal((await client.get('/api/keys/match-bad')).text, 'kept');
    });
  }

  it('may be several tags, of which one is enough, in one line or in two', async () => {
    const put = await client.put('/api/keys/several', '1');
    const tag = put.headers.etag;
    for (const list of [`"1", ${tag}`, `${tag},"1"`, `,, "1" ,\t${tag},`, `W/"1",${tag}`, `"not a version", ${tag}`.replaceAll('not a version', 'not-a-version'), `"", ${tag}`]) {
      assert.equal((await client.get('/api/keys/several', { 'If-Match': list })).status, 200, list);
      assert.equal((await client.get('/api/keys/several', { 'If-None-Match': list })).status, 304, list);
      assert.equal(assertProblem(await client.put('/api/keys/several', 'x', { 'If-None-Match': list }), 412, list).current_version, String(versionOf(put)));
      assert.equal(assertProblem(await client.delete('/api/keys/several', { 'If-None-Match': list }), 412, list).code, 'precondition_failed');
    }
    const wire = await Wire.open(server.port);
    wire.send(`DELETE /api/keys/several HTTP/1.1\r\nHost: localhost\r\nIf-Match: "1"\r\nIf-Match: ${tag}\r\n\r\n`);
    assert.equal((await wire.response()).status, 204);
    wire.close();
  });

  it('If-None-Match with other versions than the one at hand lets a write pass, of an absent key, too', async () => {
    const put = await client.put('/api/keys/none-match', '1');
    const second = await client.put('/api/keys/none-match', '2', { 'If-None-Match': '"1", "2"' });
    assert.equal(second.status, 204);
    assert.equal((await client.delete('/api/keys/none-match', { 'If-None-Match': put.headers.etag })).status, 204);
    assert.equal((await client.put('/api/keys/none-match', '3', { 'If-None-Match': second.headers.etag })).status, 204);
    assertProblem(await client.delete('/api/keys/none-match', { 'If-None-Match': '*' }), 412);
    assert.equal((await client.get('/api/keys/none-match')).text, '3');
  });

  it('both together have to hold: If-Match first, and neither can make up for the other', async () => {
    const { etag } = (await client.put('/api/keys/both', '1')).headers;
    for (const [match, none, get, put] of [[etag, '"1"', 200, 204], ['*', '"1"', 200, 204], ['"1"', '"2"', 412, 412], ['*', '*', 304, 412], ['"1"', '*', 412, 412]]) {
      const now = (await client.get('/api/keys/both')).headers.etag;
      const headers = { 'If-Match': match === etag ? now : match, 'If-None-Match': none };
      assert.equal((await client.get('/api/keys/both', headers)).status, get, JSON.stringify(headers));
      assert.equal((await client.put('/api/keys/both', 'x', headers)).status, put, JSON.stringify(headers));
    }
    assertProblem(await client.put('/api/keys/both-absent', 'x', { 'If-Match': '*', 'If-None-Match': '*' }), 412);
    assertProblem(await client.get('/api/keys/both-absent'), 404);
  });

  it('of a read of a key that is not there: If-Match is 412, If-None-Match 404', async () => {
    for (const tags of ['*', '"1"']) {
      assert.equal(assertProblem(await client.get('/api/keys/not-there', { 'If-Match': tags }), 412).current_version, null);
      assertProblem(await client.get('/api/keys/not-there', { 'If-None-Match': tags }), 404);
    }
  });

  it('a weak tag matches no read, either, under If-Match', async () => {
    const put = await client.put('/api/keys/weak-read', '1');
    const refused = assertProblem(await client.get('/api/keys/weak-read', { 'If-Match': `W/${put.headers.etag}` }), 412);
    assert.equal(refused.current_version, String(versionOf(put)));
  });

  for (const bad of [',', 'x', '"1" "2"', '"1", x', '*, "1"', '"1", *', 'w/"1"', 'W/1', '"1"x']) {
    it(`that are no tags (${bad}) are 400 under either name, for every method, and nothing is done`, async () => {
      await client.put('/api/keys/no-tags', 'kept');
      for (const name of ['If-Match', 'If-None-Match']) {
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const refused = await client.request(method, '/api/keys/no-tags', { headers: { [name]: bad }, body: method === 'PUT' ? 'x' : undefined });
          assert.equal(assertProblem(refused, 400, `${method} ${name}`).code, 'invalid_header');
        }
      }
      assert.equal((await client.get('/api/keys/no-tags')).text, 'kept');
    });
  }

  it('a weak tag never matches a write', async () => {
    const put = await client.put('/api/keys/weak', '1');
    const refused = await client.put('/api/keys/weak', '2', { 'If-Match': `W/${put.headers.etag}` });
    assert.ok([400, 412].includes(refused.status), `${refused.status}`);
    assert.equal((await client.get('/api/keys/weak')).text, '1');
  });

  it('If-None-Match with the version at hand is 304 without a body, for GET and HEAD', async () => {
    const put = await client.put('/api/keys/cached', 'value');
    for (const tags of [put.headers.etag, '*', `W/${put.headers.etag}`, `"1", ${put.headers.etag}`]) {
      const wire = await Wire.open(server.port);
      for (const method of ['GET', 'HEAD']) {
        wire.send(`${method} /api/keys/cached HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: ${tags}\r\n\r\n`);
        const got = await wire.response();
        assert.equal(got.status, 304, `${method} ${tags}`);
        assert.equal(versionOf(got), versionOf(put));
      }
      wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      assert.equal((await wire.response()).status, 200, 'nothing but the next answer follows a 304');
      wire.close();
    }
    const changed = await client.put('/api/keys/cached', 'changed');
    const got = await client.get('/api/keys/cached', { 'If-None-Match': put.headers.etag });
    assert.equal(got.status, 200);
    assert.equal(got.text, 'changed');
    assert.equal(versionOf(got), versionOf(changed));
  });
});

describe('too large a value', () => {
  const limit = 256 * KiB;
  let small;
  before(async () => {
    small = await Server.start({ config: { server: { max_value_bytes: limit } } });
  });
  after(() => small?.stop());

  it('is one byte past the limit, and not at it', async () => {
    assert.equal((await small.client.put('/api/keys/at', Buffer.alloc(limit, 1))).status, 204);
    assert.equal((await small.client.get('/api/keys/at')).body.length, limit);
    const wire = await Wire.open(small.port);
    wire.send(`PUT /api/keys/past HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${limit + 1}\r\n\r\n`);
    assertProblem(await wire.response(), 413, 'before any of the body was sent');
    wire.close();
    assertProblem(await small.client.get('/api/keys/past'), 404);
  });

  it('is refused at its header, however large it says it is', async () => {
    for (const length of ['999999999999', '18446744073709551615', '18446744073709551616', '99999999999999999999999']) {
      const wire = await Wire.open(small.port);
      wire.send(`PUT /api/keys/past HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`);
      const refused = await wire.response();
      assert.ok([400, 413].includes(refused.status), `${length}: ${refused.status}`);
      assert.ok(await wire.closes(), 'the body that never came must not be taken for a request');
    }
  });

  it('sent in chunks is refused as soon as it is past the limit', async () => {
    const wire = await Wire.open(small.port);
    wire.send('PUT /api/keys/past HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    for (let i = 0; i < 4; i++) wire.send(chunk);
    await sleep(200);
    assert.equal(wire.buffer.length, 0, 'at the limit it still waits for the end');
    wire.send(chunk);
    assertProblem(await wire.response(), 413, 'the last chunk was never sent');
    assert.ok(await wire.closes());
    assertProblem(await small.client.get('/api/keys/past'), 404);
  });

  it('in chunks at the limit is taken', async () => {
    const body = [Buffer.alloc(limit - 1, 'x'), Buffer.from('y')];
    assert.equal((await small.client.request('PUT', '/api/keys/at-in-chunks', { body })).status, 204);
    assert.ok((await small.client.get('/api/keys/at-in-chunks')).body.equals(Buffer.concat(body)));
  });
});

describe('Expect: 100-continue', () => {
  const ask = async (target, length, more = '') => {
    const wire = await Wire.open(server.port);
    wire.send(`PUT ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n${more}\r\n`);
    return wire;
  };

  it('is answered with 100, and then the body is taken', async () => {
    const wire = await ask('/api/keys/expected', 4);
    assert.equal((await wire.response()).status, 100);
    wire.send('body');
    assert.equal((await wire.response()).status, 204);
    wire.close();
    assert.equal((await client.get('/api/keys/expected')).text, 'body');
  });

  for (const [what, status, target, length, more] of [
    ['too large a body', 413, '/api/keys/unexpected', 10 ** 10, ''],
    ['an unknown parameter', 400, '/api/keys/unexpected?x=1', 4, ''],
    ['a malformed escape', 400, '/api/keys/%zz', 4, ''],
    ['a malformed type', 400, '/api/keys/unexpected', 4, 'Content-Type: text\r\n'],
    ['a foreign origin', 403, '/api/keys/unexpected', 4, 'Origin: http://evil.example\r\n'],
    ['a proxy', 421, '/api/keys/unexpected', 4, 'Via: 1.1 proxy\r\n'],
    ['a path that does not exist', 404, '/api/unexpected', 4, ''],
    ['a method that is not allowed', 405, '/livez', 4, ''],
  ]) {
    it(`is refused without waiting for the body where the answer is known: ${what}`, async () => {
      const wire = await ask(target, length, more);
      assertProblem(await wire.response(), status);
      wire.close();
    });
  }
});
