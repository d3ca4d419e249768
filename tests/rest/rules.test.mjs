// The rules around every request: errors, methods, hosts, origins, and what a hostile or broken client can send.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { assertProblem, isServed, keyPath, KiB, MiB, Server, sleep, toToml, until, Wire } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

/** Sends bytes on a connection of their own: { wire, response }. */
const exchange = async (bytes, port = server.port) => {
  const wire = await Wire.open(port);
  wire.send(bytes);
  const response = await wire.response();
  return { wire, response };
};
const absent = async (key) => assert.equal((await client.get(keyPath(key))).status, 404, `${key} must not be there`);

describe('an error', () => {
  it('is a problem document with a stable code, whatever went wrong', async () => {
    const codes = new Map();
    for (const [status, method, target, headers, body] of [
      [400, 'GET', '/api/keys/%zz'],
      [400, 'GET', '/api/keys/a?nobody=knows'],
      [404, 'GET', '/api/keys/not-there'],
      [404, 'GET', '/api/nowhere'],
      [404, 'GET', '/nowhere'],
      [405, 'POST', '/api/keys/a', {}, ''],
      [412, 'PUT', '/api/keys/not-there', { 'If-Match': '*' }, 'x'],
      [421, 'GET', '/api/keys/a', { Host: 'evil.example' }],
      [422, 'PUT', '/api/keys/a', { 'Content-Type': 'application/json' }, '{'],
    ]) {
      const problem = assertProblem(await client.request(method, target, { headers, body }), status, `${method} ${target}`);
      codes.set(`${method} ${target}`, problem.code);
    }
    assert.notEqual(codes.get('GET /api/keys/%zz'), codes.get('GET /api/keys/a?nobody=knows'));
    assert.notEqual(codes.get('GET /api/keys/not-there'), codes.get('GET /api/nowhere'), 'a key that is absent is not a path that is none');
  });

  it('has no body where the request was HEAD', async () => {
    const wire = await Wire.open(server.port);
    wire.send('HEAD /api/nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.equal((await wire.response({ head: true })).status, 404);
    assert.ok(await wire.closes());
    assert.equal(wire.buffer.length, 0);
  });
});

describe('a method', () => {
  const allowed = (response) => response.headers.allow.split(',').map((method) => method.trim()).sort();

  it('that a path does not know is 405 with those that it does', async () => {
    for (const [method, target, some] of [
      ['POST', '/api/keys/a', ['DELETE', 'GET', 'HEAD', 'PUT']],
      ['PUT', '/api/batch', ['POST']],
      ['DELETE', '/api/stats', ['GET']],
      ['POST', '/livez', ['GET']],
      ['DELETE', '/readyz', ['GET']],
    ]) {
      const refused = await client.request(method, target, { body: '' });
      assertProblem(refused, 405, `${method} ${target}`);
      const methods = allowed(refused);
      for (const one of some) assert.ok(methods.includes(one), `${target}: Allow: ${methods}`);
      assert.ok(!methods.includes(method));
    }
  });

  it('that nobody knows is refused, and what it came with is not taken for a request', async () => {
    const { wire, response } = await exchange(`BREW /api/keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody`);
    assert.ok([400, 405, 501].includes(response.status), `${response.status}`);
    wire.close();
  });

  it('in lower case is another method', async () => {
    const { wire, response } = await exchange('put /api/keys/lower-case HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx');
    assert.ok([400, 405, 501].includes(response.status), `${response.status}`);
    wire.close();
    await absent('lower-case');
  });
});

describe('X-Request-Id', () => {
  it('is made where none was sent, another one each time', async () => {
    const ids = new Set();
    for (let i = 0; i < 20; i++) ids.add((await client.get('/api/keys/not-there')).headers['x-request-id']);
    assert.equal(ids.size, 20);
  });

  it('is taken over where it is one', async () => {
    const id = '0b5e9a52-7f0e-4a6e-9a5e-1c0de4a7d001';
    assert.equal((await client.get('/livez', { 'X-Request-Id': id })).headers['x-request-id'], id);
    assert.equal(assertProblem(await client.get('/api/nowhere', { 'X-Request-Id': id }), 404).request_id, id);
  });

  it('is replaced where it could do harm', async () => {
    for (const bad of ['x'.repeat(5000), 'quote"d', 'two words', 'comma,', '<script>', 'back\\slash', 'é']) {
      const { wire, response } = await exchange(`GET /api/nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ${bad}\r\n\r\n`);
      const id = assertProblem(response, 404).request_id;
      assert.match(id, /^[\w.:-]{1,128}$/, bad.slice(0, 20));
      wire.close();
    }
  });
});

describe('the Host', () => {
  const status = async (host) => {
    const { wire, response } = await exchange(`GET /livez HTTP/1.1\r\n${host}\r\n`);
    wire.close();
    return response.status;
  };

  for (const host of ['localhost', 'LocalHost', 'localhost:2005', 'localhost:1', '127.0.0.1', '127.0.0.1:80', '[::1]', '[::1]:2005']) {
    it(`${host} is this machine`, async () => assert.equal(await status(`Host: ${host}\r\n`), 200));
  }

  for (const host of [
    'evil.example', 'evil.example:2005', 'localhost.evil.example', 'evil.localhost.example', 'localhost@evil.example', '127.0.0.1.evil.example', '10.0.0.1',
    '0.0.0.0', '[::2]', '127.0.0.1:2005:1', 'localhost:99999', 'localhost:x', 'local host',
  ]) {
    it(`${host} is another one: refused, a name that was rebound gets nothing`, async () => {
      assert.ok([400, 421].includes(await status(`Host: ${host}\r\n`)), host);
    });
  }

  it('that is foreign is 421 as a problem', async () => {
    assertProblem(await client.get('/api/keys/a', { Host: 'evil.example' }), 421);
  });

  it('is needed, once', async () => {
    assert.equal(await status(''), 400);
    assert.ok([400, 421].includes(await status('Host: localhost\r\nHost: evil.example\r\n')));
    assert.ok([400, 421].includes(await status('Host: evil.example\r\nHost: localhost\r\n')));
    assert.ok([400, 421].includes(await status('Host: \r\n')));
  });

  it('may be a name that the configuration allows', async () => {
    const named = await Server.start({ config: { server: { allowed_hosts: ['db.internal'] } } });
    assert.equal((await named.client.get('/livez', { Host: 'db.internal' })).status, 200);
    assert.equal((await named.client.get('/livez', { Host: 'DB.internal:2005' })).status, 200);
    assert.equal((await named.client.get('/livez', { Host: 'localhost' })).status, 200);
    assertProblem(await named.client.get('/livez', { Host: 'other.internal' }), 421);
    await named.stop();
  });

  it('of an absolute target counts, not the header beside it', async () => {
    const own = `127.0.0.1:${server.port}`;
    await client.put('/api/keys/absolute', 'x');
    const good = await exchange(`GET http://${own}/api/keys/absolute HTTP/1.1\r\nHost: ${own}\r\n\r\n`);
    assert.equal(good.response.status, 200);
    assert.equal(good.response.text, 'x');
    good.wire.close();
    const bad = await exchange(`GET http://evil.example/api/keys/absolute HTTP/1.1\r\nHost: ${own}\r\n\r\n`);
    assert.ok([400, 421].includes(bad.response.status), `${bad.response.status}`);
    bad.wire.close();
  });

  for (const header of ['Forwarded: for=10.0.0.1', 'X-Forwarded-For: 10.0.0.1', 'X-Forwarded-Host: a', 'X-Forwarded-Proto: https', 'Via: 1.1 proxy', 'x-forwarded-for: 127.0.0.1']) {
    it(`beside ${header} is 421: a proxy would make the whole world local`, async () => {
      const { wire, response } = await exchange(`PUT /api/keys/proxied HTTP/1.1\r\nHost: localhost\r\n${header}\r\nContent-Length: 1\r\n\r\nx`);
      assertProblem(response, 421);
      wire.close();
      await absent('proxied');
    });
  }
});

describe('a page of another site', () => {
  const foreign = [
    { Origin: 'http://evil.example' }, { Origin: 'https://localhost.evil.example' }, { Origin: 'null' }, { Origin: 'http://127.0.0.1:1' }, { Origin: 'http://localhost' },
    { 'Sec-Fetch-Site': 'cross-site' }, { 'Sec-Fetch-Site': 'same-site' },
  ];
  for (const headers of foreign) {
    it(`(${JSON.stringify(headers)}) writes nothing`, async () => {
      await client.put('/api/keys/precious', 'kept');
      assertProblem(await client.put('/api/keys/csrf', 'x', headers), 403);
      assertProblem(await client.delete('/api/keys/precious', headers), 403);
      assertProblem(await client.post('/api/batch', { ops: [{ op: 'put', key: 'csrf', text: 'x' }] }, headers), 403);
      await absent('csrf');
      assert.equal((await client.get('/api/keys/precious')).text, 'kept');
    });
  }

  it('is told apart from our own', async () => {
    const host = `127.0.0.1:${server.port}`;
    for (const headers of [{ Origin: `http://${host}` }, { 'Sec-Fetch-Site': 'same-origin' }, { 'Sec-Fetch-Site': 'none' }, { Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' }]) {
      assert.equal((await client.put('/api/keys/own-origin', 'x', { Host: host, ...headers })).status, 204, JSON.stringify(headers));
    }
  });

  it('gets no leave from CORS', async () => {
    const response = await client.get('/api/keys/precious', { Origin: 'http://evil.example' });
    assert.equal(response.headers['access-control-allow-origin'], undefined);
    const preflight = await client.request('OPTIONS', '/api/keys/precious', { headers: { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'PUT' } });
    assert.equal(preflight.headers['access-control-allow-origin'], undefined);
  });
});

describe('a stored value', () => {
  it('never runs in our origin', async () => {
    for (const type of ['text/html', 'text/html; charset=utf-8', 'image/svg+xml', 'application/xhtml+xml', 'text/xml', 'application/xml', 'TEXT/HTML', 'application/json', 'text/plain']) {
      await client.put('/api/keys/active', '<script>alert(1)</script>'.replace(/.*/, (all) => (type === 'application/json' ? '1' : all)), { 'Content-Type': type });
      const got = await client.get('/api/keys/active');
      assert.equal(got.headers['x-content-type-options'], 'nosniff', type);
      assert.match(got.headers['content-security-policy'], /\bsandbox\b/, type);
      if (/html|xml/i.test(type)) assert.match(got.headers['content-disposition'] ?? '', /^attachment\b/, type);
    }
  });
});

describe('a request with two meanings', () => {
  const inner = 'PUT /api/keys/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx';
  const head = 'PUT /api/keys/outer HTTP/1.1\r\nHost: localhost\r\n';
  const chunked = `0\r\n\r\n${inner}`;
  const ambiguous = {
    'two equal lengths': `${head}Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody${inner}`,
    'two lengths': `${head}Content-Length: 4\r\nContent-Length: 0\r\n\r\nbody${inner}`,
    'two lengths in one': `${head}Content-Length: 4, 4\r\n\r\nbody${inner}`,
    'a length and chunks': `${head}Content-Length: ${chunked.length}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
    'chunks and a length': `${head}Transfer-Encoding: chunked\r\nContent-Length: ${chunked.length}\r\n\r\n${chunked}`,
    'chunks twice': `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
    'chunks that are not last': `${head}Transfer-Encoding: chunked, identity\r\n\r\n${chunked}`,
    'another transfer coding': `${head}Transfer-Encoding: gzip\r\n\r\n${chunked}`,
    'a coding that looks alike': `${head}Transfer-Encoding: xchunked\r\n\r\n${chunked}`,
    'a coding after a vertical tab': `${head}Transfer-Encoding: \x0bchunked\r\n\r\n${chunked}`,
    'a negative length': `${head}Content-Length: -1\r\n\r\n${inner}`,
    'a signed length': `${head}Content-Length: +4\r\n\r\nbody${inner}`,
    'a hexadecimal length': `${head}Content-Length: 0x4\r\n\r\nbody${inner}`,
    'a length with a space in it': `${head}Content-Length: 1 0\r\n\r\nbody${inner}`,
    'an empty length': `${head}Content-Length: \r\n\r\n${inner}`,
    'a length past 64 bits': `${head}Content-Length: 18446744073709551620\r\n\r\nbody${inner}`,
    'a space before a colon': `${head}Content-Length : 4\r\n\r\nbody${inner}`,
    'a length with a NUL in it': `${head}Content-Length: 4\x000\r\n\r\nbody${inner}`,
    'a NUL in another value': `${head}X-Other: a\0b\r\nContent-Length: 4\r\n\r\nbody${inner}`,
    'a length behind a bare CR': `${head}X-Other: a\rContent-Length: 100\r\nContent-Length: 4\r\n\r\nbody${inner}`,
    'a name that is no token': `${head}Content-Length\x0b: 100\r\nContent-Length: 4\r\n\r\nbody${inner}`,
    'a header without a name': `PUT /api/keys/outer HTTP/1.1\r\nHost: localhost\r\n: x\r\n${inner}\r\n\r\n`,
    'a length on a line that ends with LF': `${head}X-Other: a\nContent-Length: 4\r\n\r\nbody${inner}`,
    'a folded header': `${head}X-Folded: a\r\n Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody${inner}`,
    'a chunk size that is none': `${head}Transfer-Encoding: chunked\r\n\r\nxyz\r\n${inner}`,
    'a negative chunk size': `${head}Transfer-Encoding: chunked\r\n\r\n-1\r\n${inner}`,
    'a chunk size past 64 bits': `${head}Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n${chunked}`,
    'a chunk without its end': `${head}Transfer-Encoding: chunked\r\n\r\n4\r\nbodyXX0\r\n\r\n${inner}`,
  };
  for (const [what, bytes] of Object.entries(ambiguous)) {
    it(`(${what}) is 400, ends the connection, and its second half is never run`, async () => {
      const { wire, response } = await exchange(bytes);
      assert.ok([400, 413, 501].includes(response.status), `${response.status}: ${response.text.slice(0, 200)}`);
      assert.ok(await wire.closes(), 'the connection ends');
      assert.ok(!/HTTP\/1\.1 20/.test(wire.buffer.toString('latin1')), wire.buffer.toString('latin1').slice(0, 200));
      await absent('smuggled');
      await absent('outer');
    });
  }

  it('has no body that GET could hide one in', async () => {
    const { wire, response } = await exchange(`GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${inner.length}\r\n\r\n${inner}GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assert.ok([200, 400, 413].includes(response.status));
    if (response.status === 200) assert.equal((await wire.response()).status, 200, 'the body was skipped, the next request is the next');
    wire.close();
    await absent('smuggled');
  });
});

describe('what is no HTTP', () => {
  for (const [what, bytes] of [
    ['binary', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'], ['a line without a version', 'GET /livez\r\n\r\n'], ['no such version', 'GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n'],
    ['a header without a name', 'GET /livez HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n'], ['a NUL in a header', 'GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n'],
    ['empty lines only', '\r\n\r\n\r\n\r\n'],
  ]) {
    it(`(${what}) harms nobody: the server goes on`, async () => {
      const wire = await Wire.open(server.port);
      wire.send(bytes);
      await wire.response({ timeoutMs: 300 }).then((response) => assert.ok(response.status >= 200 && response.status < 600), () => {});
      wire.close();
      assert.equal((await client.get('/livez')).status, 200);
    });
  }

  it('or a header without end is refused with 431 or 414, not kept in memory', async () => {
    for (const start of ['GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ', 'GET /api/keys/']) {
      const wire = await Wire.open(server.port);
      wire.send(start + 'x'.repeat(256 * KiB)); // more than is kept, and so little that it is sent before the answer
      const { status } = await wire.response();
      assert.ok([400, 414, 431].includes(status), `${status}`);
      assert.ok(await wire.closes());
    }
  });

  it('but many headers that fit are fine', async () => {
    const many = Array.from({ length: 60 }, (_, i) => `X-Header-${i}: ${'v'.repeat(100)}\r\n`).join('');
    const { wire, response } = await exchange(`GET /livez HTTP/1.1\r\nHost: localhost\r\n${many}\r\n`);
    assert.equal(response.status, 200);
    wire.close();
  });
});

describe('a connection', () => {
  it('serves one request after the other', async () => {
    const wire = await Wire.open(server.port);
    for (let i = 0; i < 50; i++) {
      wire.send(`PUT /api/keys/kept-alive HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n${10 + i}`);
      assert.equal((await wire.response()).status, 204);
      wire.send('GET /api/keys/kept-alive HTTP/1.1\r\nHost: localhost\r\n\r\n');
      assert.equal((await wire.response()).text, `${10 + i}`);
    }
    wire.close();
  });

  it('answers pipelined requests in their order', async () => {
    const wire = await Wire.open(server.port);
    let all = '';
    for (let i = 0; i < 40; i++) {
      all += `PUT /api/keys/pipelined HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n${10 + i}`;
      all += `GET /api/keys/pipelined HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/keys/absent-${i} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    }
    wire.send(all);
    for (let i = 0; i < 40; i++) {
      assert.equal((await wire.response()).status, 204);
      assert.equal((await wire.response()).text, `${10 + i}`);
      assert.equal((await wire.response()).status, 404);
    }
    wire.close();
  });

  it('takes a request in pieces of one byte', async () => {
    const wire = await Wire.open(server.port);
    for (const byte of 'PUT /api/keys/bytewise HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n') {
      wire.send(byte);
      await new Promise(setImmediate);
    }
    assert.equal((await wire.response()).status, 204);
    wire.close();
    assert.equal((await client.get('/api/keys/bytewise')).text, 'hello');
  });

  it('ends where the client says so', async () => {
    const { wire, response } = await exchange('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.equal(response.status, 200);
    assert.ok(await wire.closes());
  });

  it('of HTTP/1.0 ends after its answer, unless it asks to stay', async () => {
    const once = await exchange('GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n');
    assert.equal(once.response.status, 200);
    assert.ok(await once.wire.closes());
    const kept = await exchange('GET /livez HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n');
    assert.equal(kept.response.status, 200);
    kept.wire.close();
  });

  it('that ends in the middle of a body leaves nothing behind', async () => {
    for (const start of ['Content-Length: 100\r\n\r\nhalf', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n']) {
      const wire = await Wire.open(server.port);
      wire.send(`PUT /api/keys/half HTTP/1.1\r\nHost: localhost\r\n${start}`);
      await sleep(50);
      wire.socket.end();
      await sleep(50);
      wire.close();
    }
    await sleep(100);
    await absent('half');
  });

  it('that is reset while it is answered harms nobody', async () => {
    await client.put('/api/keys/large-answer', Buffer.alloc(8 * MiB, 'x'));
    for (let i = 0; i < 10; i++) {
      const wire = await Wire.open(server.port);
      wire.send('GET /api/keys/large-answer HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3));
      await sleep(5);
      wire.socket.resetAndDestroy();
    }
    assert.equal((await client.get('/api/keys/large-answer')).body.length, 8 * MiB);
  });
});

describe('a slow client', () => {
  let hasty;
  before(async () => {
    hasty = await Server.start({ config: { server: { request_deadline_seconds: 2 }, database: { durability: 'os' } } });
  });
  after(() => hasty?.stop());

  /** Sends `bytes` each 100 ms until the server ends the connection; answers after how many ms that was. */
  const drip = async (start, bytes) => {
    const began = performance.now(); // the server's count begins later
    const wire = await Wire.open(hasty.port);
    wire.send(start);
    await until('the end of a slow request', () => {
      wire.send(bytes);
      return wire.closes(100);
    });
    wire.close();
    return performance.now() - began;
  };

  for (const [what, start, bytes] of [
    ['its headers', 'GET /api/keys/slow HTTP/1.1\r\nHost: localhost\r\n', 'X: y\r\n'],
    ['its body', 'PUT /api/keys/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n', 'x'],
    ['its chunks', 'PUT /api/keys/slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\nx\r\n'],
  ]) {
    it(`with ${what} is cut off at the deadline, and others are served meanwhile`, async () => {
      let left = 20;
      const slow = Promise.all(Array.from({ length: left }, () => drip(start, bytes).finally(() => (left -= 1))));
      let beside = 0;
      for (let i = 0; left > 0; i++) {
        assert.equal((await hasty.client.put('/api/keys/quick', `${i}`)).status, 204);
        assert.equal((await hasty.client.get('/api/keys/quick')).text, `${i}`);
        if (left === 20) beside += 1;
        await sleep(50);
      }
      for (const ms of await slow) assert.ok(ms >= 1_990, `cut off after ${ms} ms, the deadline is 2000`);
      assert.ok(beside > 0, 'nobody else was served before the first of the slow ones was cut off');
      assert.equal((await hasty.client.get('/api/keys/slow')).status, 404);
    });
  }

  it('that falls silent within its first line is cut off at the deadline', async () => {
    const wire = await Wire.open(hasty.port);
    wire.send('GET /liv');
    assert.ok(await wire.closes());
  });

  it('that only keeps its connection open is left alone past the deadline', async () => {
    const wire = await Wire.open(hasty.port);
    wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await wire.response();
    await sleep(3_500);
    wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await wire.response()).status, 200);
    wire.close();
  });
});

describe('a connection that idles', () => {
  it('is closed after the timeout that is configured', async () => {
    const brief = await Server.start({ config: { server: { connection_timeout_seconds: 1 } } });
    const wire = await Wire.open(brief.port);
    wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await wire.response();
    assert.ok(await wire.closes());
    await brief.stop();
  });
});

describe('bodies in flight', () => {
  it('beyond the budget get 503 with Retry-After, and nothing is done; with room again they are taken', async () => {
    const size = 600 * KiB;
    const tight = await Server.start({ config: { server: { max_value_bytes: MiB, max_inflight_bytes: MiB } } });
    const start = (key) => `PUT /api/keys/${key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`;
    const first = await Wire.open(tight.port);
    first.send(start('first') + 'x'.repeat(size - 1));
    const inflight = async () => (await tight.client.get('/api/stats')).json.server.limits.inflight_bytes;
    await until('the first to be held', async () => (await inflight()) === size);
    const second = await Wire.open(tight.port);
    second.send(start('second') + 'x'.repeat(size));
    const refused = await second.response();
    assertProblem(refused, 503);
    assert.match(refused.headers['retry-after'], /^\d+$/);
    second.close();
    assert.equal((await tight.client.get('/livez')).status, 200);
    first.send('x');
    assert.equal((await first.response()).status, 204);
    first.close();
    assert.equal((await tight.client.get('/api/keys/second')).status, 404);
    for (let i = 0; i < 5; i++) assert.equal((await tight.client.put('/api/keys/second', Buffer.alloc(size))).status, 204, `attempt ${i}`);
    await tight.stop();
  });
});

describe('large replies', () => {
  it('that nobody reads are not kept beyond the budget: 503, and with room again they are given', async () => {
    const tight = await Server.start({ config: { server: { max_value_bytes: 16 * MiB, max_inflight_bytes: 16 * MiB } } });
    assert.equal((await tight.client.put('/api/keys/large', Buffer.alloc(15 * MiB))).status, 204);
    const wires = [];
    for (let i = 0; i < 4; i++) {
      const wire = await Wire.open(tight.port);
      wire.send('GET /api/keys/large HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await wire.begins();
      wires.push(wire);
    }
    assertProblem(await tight.client.get('/api/keys/large'), 503);
    assert.equal((await tight.client.put('/api/keys/small', 'x')).status, 204);
    assert.equal((await tight.client.get('/api/keys/small')).status, 200);
    for (const wire of wires) wire.close();
    await until('room for the reply', async () => (await tight.client.get('/api/keys/large')).status === 200);
    await tight.stop();
  });
});

describe('connections', () => {
  /** The server has taken this [server] section. */
  const configured = async (server, section) => {
    writeFileSync(path.join(server.directory, 'velocity.toml'), toToml({ server: section }));
    server.child.kill('SIGHUP');
    await server.logs(/config_reloaded/);
  };

  it('beyond the limit are refused, and those within it served', async () => {
    const few = await Server.start({ config: { server: { max_connections: 8 } } });
    const wires = [];
    for (let i = 0; i < 30; i++) wires.push(await Wire.open(few.port));
    for (const wire of wires) wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const served = () => wires.filter((wire) => /^HTTP\/1\.1 200/.test(wire.buffer.toString('latin1'))).length;
    await until('the answers within the limit', () => served() >= 8);
    await sleep(300);
    assert.equal(served(), 8, 'of 30 at once');
    for (const wire of wires) wire.close();
    await until('room with those gone', () => isServed(few.port));
    await few.stop();
  });

  it('of one address have a limit, and are closed at once beyond it', async () => {
    const few = await Server.start({ config: { server: { max_connections_per_address: 3 } } });
    const wires = [];
    for (let i = 0; i < 3; i++) wires.push(await Wire.open(few.port));
    for (const wire of wires) {
      wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      assert.equal((await wire.response()).status, 200);
    }
    const fourth = await Wire.open(few.port);
    await assert.rejects(fourth.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n').response(), /ended/);
    for (const wire of wires) wire.close();
    await until('room with those gone', () => isServed(few.port));
    await few.stop();
  });

  it('of one address have another limit once the configuration says so', async () => {
    const server = await Server.start();
    const before = [await Wire.open(server.port), await Wire.open(server.port)];
    for (const wire of before) assert.equal((await wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n').response()).status, 200);
    await configured(server, { max_connections_per_address: 1 });
    const third = await Wire.open(server.port);
    await assert.rejects(third.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n').response(), /ended/);
    for (const wire of before) assert.equal((await wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n').response()).status, 200, 'who was there stays');
    for (const wire of [...before, third]) wire.close();
    await server.stop();
  });

  it('that say nothing are closed at the deadline, those that had an answer are not', async () => {
    const server = await Server.start({ config: { server: { request_deadline_seconds: 3 } } });
    const silent = await Wire.open(server.port);
    const half = (await Wire.open(server.port)).send('OPT');
    const served = (await Wire.open(server.port)).send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await served.response()).status, 200);
    assert.ok(await silent.closes());
    assert.ok(await half.closes());
    served.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await served.response()).status, 200);
    await server.stop();
  });

  it('have another deadline once the configuration says so', async () => {
    const server = await Server.start({ config: { server: { request_deadline_seconds: 60 } } });
    await configured(server, { request_deadline_seconds: 1 });
    const [silent, half] = [await Wire.open(server.port), (await Wire.open(server.port)).send('OPT')];
    assert.ok((await Promise.all([silent, half].map((wire) => wire.closes()))).every(Boolean), 'before their first line, too');
    const slow = (await Wire.open(server.port)).send('PUT /api/keys/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab');
    assert.equal((await slow.response()).status, 408);
    await server.stop();
  });
});
