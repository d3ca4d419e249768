// The description of the API: a well-formed OpenAPI 3.1 document that says what the server does, no more and no less.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, key64, Server, Wire } from './support.mjs';

let server;
let client;
let document;
before(async () => {
  server = await Server.start();
  client = server.client;
  document = (await client.get('/api/openapi.json')).json;
});
after(() => server?.stop());

// Written by hand: what must be there, whatever the table says.
const ROUTES = `
  GET /api/keys/{key}
  HEAD /api/keys/{key}
  PUT /api/keys/{key}
  DELETE /api/keys/{key}
  PATCH /api/keys/{key}
  PATCH /api/keys
  DELETE /api/keys
  GET /api/keys
  POST /api/batch
  POST /api/transactions
  GET /api/transactions
  POST /api/transactions/{id}/commit
  DELETE /api/transactions/{id}
  POST /api/databases/{db}/transactions/{id}/commit
  GET /api/watch
  GET /api/export
  POST /api/import
  GET /api/databases
  POST /api/databases
  GET /api/databases/{name}
  PATCH /api/databases/{name}
  DELETE /api/databases/{name}
  GET /api/databases/{db}/keys/{key}
  PUT /api/databases/{db}/keys/{key}
  DELETE /api/databases/{db}/keys/{key}
  GET /api/databases/{db}/keys
  POST /api/databases/{db}/batch
  POST /api/flush
  POST /api/compact
  POST /api/databases/{db}/flush
  POST /api/databases/{db}/compact
  GET /api/jobs
  GET /api/jobs/{id}
  DELETE /api/jobs/{id}
  GET /api/databases/{db}/watch
  GET /api/databases/{db}/export
  POST /api/databases/{db}/import
  POST /api/sessions
  GET /api/sessions
  DELETE /api/sessions/{id}
  GET /api/whoami
  PUT /api/whoami/password
  GET /api/users
  POST /api/users
  GET /api/users/{name}
  PATCH /api/users/{name}
  DELETE /api/users/{name}
  GET /api/tokens
  POST /api/tokens
  DELETE /api/tokens/{id}
  GET /api/audit
  GET /api/audit/verify
  GET /api/config
  GET /api/openapi.json
  GET /api/stats
  GET /livez
  GET /readyz
  GET /healthz
`.trim().split('\n').map((line) => line.trim().split(' '));

const METHODS = ['get', 'head', 'put', 'post', 'delete', 'patch'];
/** [{ path, method, operation }] */
const operations = () => Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })));

/** What a $ref names. */
function resolve(value) {
  if (!value.$ref) return value;
  assert.match(value.$ref, /^#\/components\/\w+\/[\w-]+$/);
  const [, , kind, name] = value.$ref.split('/');
  const found = document.components[kind]?.[name];
  assert.ok(found, `${value.$ref} is defined`);
  return found;
}

/** Of those header fields that are described anywhere, those of a reply. */
const fieldsOf = (response) => Object.keys(document.components.headers).filter((name) => response.headers[name.toLowerCase()] !== undefined).sort();
const describedFields = (operation, status) => Object.keys(operation.responses[status]?.headers ?? {}).sort();

/** Calls `visit` with each object in a value. */
function walk(value, visit) {
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value)) visit(value);
  for (const child of Object.values(value)) walk(child, visit);
}

describe('the document', () => {
  it('is OpenAPI 3.1 with nothing that the standard does not know', () => {
    assert.match(document.openapi, /^3\.1\.\d+$/);
    assert.deepEqual(Object.keys(document).sort(), ['components', 'info', 'openapi', 'paths', 'security', 'servers']);
    assert.ok(document.info.title && document.info.version);
    for (const path of Object.keys(document.paths)) assert.match(path, /^\//);
    for (const { path, method, operation } of operations()) {
      assert.ok(METHODS.includes(method), `${method} ${path}`);
      for (const name of Object.keys(operation)) {
        assert.ok(['operationId', 'summary', 'description', 'tags', 'security', 'parameters', 'requestBody', 'responses'].includes(name), `${name} in ${method} ${path}`);
      }
    }
    for (const kind of Object.keys(document.components)) assert.ok(['schemas', 'parameters', 'headers', 'securitySchemes'].includes(kind));
    for (const kind of Object.values(document.components)) for (const name of Object.keys(kind)) assert.match(name, /^[A-Za-z0-9._-]+$/);
  });

  it('names what it refers to, and refers to all that it names', () => {
    const used = new Set();
    walk(document, (object) => {
      if (object.$ref === undefined) return;
      assert.deepEqual(Object.keys(object), ['$ref']);
      resolve(object);
      used.add(object.$ref);
    });
    for (const kind of ['schemas', 'parameters', 'headers']) for (const name of Object.keys(document.components[kind])) assert.ok(used.has(`#/components/${kind}/${name}`), `${name} is used`);
  });

  it('gives each operation a name of its own, a summary and responses', () => {
    const seen = new Set();
    for (const { path, method, operation } of operations()) {
      const what = `${method} ${path}`;
      assert.match(operation.operationId, /^[A-Za-z][A-Za-z0-9_]*$/, what);
      assert.ok(!seen.has(operation.operationId), `${operation.operationId} is there twice`);
      seen.add(operation.operationId);
      assert.ok(operation.summary.length > 0 && operation.tags.length === 1, what);
      assert.ok(Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)), what);
      for (const [status, response] of Object.entries(operation.responses)) {
        assert.match(status, /^[2345]\d\d$/, what);
        assert.ok(response.description.length > 0, `${what} ${status}`);
        if (Number(status) >= 400) assert.deepEqual(response.content, { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } });
        if (method === 'head' && Number(status) < 400) assert.equal(response.content, undefined);
        if (method === 'head') assert.ok(!['206', '416'].includes(status), `${what}: Range means nothing to it`);
        for (const [name, header] of Object.entries(response.headers ?? {})) {
          assert.equal(header.$ref, `#/components/headers/${name}`);
          assert.deepEqual(Object.keys(resolve(header)), ['description', 'schema'], `${what} ${status}`);
        }
      }
    }
  });

  it('declares each brace of a path, once, as a required parameter, and no other as one', () => {
    for (const { path, method, operation } of operations()) {
      const parameters = operation.parameters.map(resolve);
      const braces = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name), braces, `${method} ${path}`);
      for (const parameter of parameters) {
        assert.ok(['path', 'query', 'header'].includes(parameter.in));
        assert.ok(parameter.schema && parameter.description, parameter.name);
        if (parameter.in === 'path') assert.equal(parameter.required, true);
      }
      const names = parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      assert.equal(new Set(names).size, names.length, `${method} ${path}`);
    }
    const shapes = Object.keys(document.paths).map((path) => path.replace(/\{\w+\}/g, '{}'));
    assert.equal(new Set(shapes).size, shapes.length, 'no two paths differ in the names of parameters only');
  });

  it('has a body where one is taken, with a schema that refuses what is unknown', () => {
    for (const { path, method, operation } of operations()) {
      const says = `${method} ${path}`;
      assert.equal(operation.requestBody !== undefined, ['put', 'post', 'patch'].includes(method), says);
      const schema = operation.requestBody?.content['application/json']?.schema;
      if (schema) assert.equal(resolve(schema).additionalProperties, false, says);
      if (method === 'post') assert.equal(operation.requestBody.required, !/\/(transactions|commit|flush|compact)$/.test(path), says);
    }
  });

  it('has schemes for the credentials that there are', () => {
    const { securitySchemes: schemes } = document.components;
    for (const requirement of document.security) for (const name of Object.keys(requirement)) assert.ok(schemes[name], name);
    assert.deepEqual([schemes.bearer.scheme, schemes.basic.scheme, schemes.cookie.in], ['bearer', 'basic', 'cookie']);
    for (const { operation } of operations()) if (operation.security) assert.deepEqual(operation.security, []);
    const free = operations().filter(({ operation }) => operation.security).map(({ path }) => path);
    assert.deepEqual([...new Set(free)].sort(), ['/api/openapi.json', '/api/sessions', '/healthz', '/livez', '/readyz']);
  });
});

describe('document and server', () => {
  it('agree: what is described is there', async () => {
    for (const { path, method, operation } of operations()) {
      const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there');
      const response = await client.request(method.toUpperCase(), target, operation.requestBody ? { body: '{}', headers: { 'Content-Type': 'application/json' } } : {});
      const what = `${method} ${target}: ${response.status}`;
      assert.notEqual(response.status, 405, what);
      if (method !== 'head' && response.status >= 400) assert.notEqual(response.json.detail, 'there is no such path', what);
      const described = Object.keys(operation.responses);
      assert.ok(described.includes(String(response.status)), `${what} is not among ${described}`);
      if (response.status >= 400 && method !== 'head') {
        assert.ok(operation.responses[response.status].description.includes(`\`${response.json.code}\``), `${what}: ${response.json.code}`);
      }
      for (const name of fieldsOf(response)) assert.ok(describedFields(operation, response.status).includes(name), `${what} has ${name}`);
    }
  });

  it('agree on the header fields of each answer about keys: those that come are described, and those that are described come', async () => {
    const FAR = 'expires_at=2100-01-01T00:00:00Z';
    const merge = { body: '{"b":2}', headers: { 'Content-Type': 'application/merge-patch+json' } };
    const value = ['ETag', 'Velocity-Expires-At'];
    const long = { headers: { 'Accept-Encoding': 'gzip' } };
    const put = (what) => client.put(`/api/keys/${what}?${FAR}`, '{"a":1}', { 'Content-Type': 'application/json' });
    for (const key of ['fields:1', 'fields:2', 'fields:3']) await put(key);
    await client.post('/api/batch', { ops: Array.from({ length: 200 }, (_, i) => ({ op: 'put', key: `listed:${i}`, text: '' })) });
    await client.delete('/api/databases/fields');
    for (const [method, path, target, more, status, names] of [
      ['GET', '/keys/{key}', '/keys/fields:1', {}, 200, [...value, 'Accept-Ranges']],
      ['HEAD', '/keys/{key}', '/keys/fields:1', {}, 200, [...value, 'Accept-Ranges']],
      ['GET', '/keys/{key}', '/keys/fields:1', { headers: { Range: 'bytes=0-1' } }, 206, [...value, 'Accept-Ranges', 'Content-Range']],
      ['GET', '/keys/{key}', '/keys/fields:1', { headers: { Range: 'bytes=90-' } }, 416, ['Content-Range']],
      ['GET', '/keys/{key}', '/keys/fields:1', { headers: { 'If-None-Match': '*' } }, 304, value],
      ['HEAD', '/keys/{key}', '/keys/fields:1', { headers: { 'If-None-Match': '*' } }, 304, value],
      ['GET', '/keys', `/keys?key64=${key64('fields:1')}`, { headers: { 'If-None-Match': '*' } }, 304, value],
      ['GET', '/keys', `/keys?key64=${key64('fields:1')}`, { headers: { Range: 'bytes=-1' } }, 206, null],
      ['GET', '/keys', `/keys?key64=${key64('fields:1')}`, {}, 200, null],
      ['GET', '/keys', '/keys?limit=1000', long, 200, null],
      ['HEAD', '/keys', '/keys?limit=1000', long, 200, null],
      ['PUT', '/keys/{key}', '/keys/fields:1', { body: 'x' }, 204, ['ETag']],
      ['PUT', '/keys/{key}', '/keys/fields:new', { body: 'x', headers: { 'If-None-Match': '*' } }, 201, ['ETag']],
      ['PUT', '/keys', `/keys?key64=${key64('fields:1')}`, { body: 'x' }, 204, ['ETag']],
      ['PATCH', '/keys/{key}', '/keys/fields:2', merge, 204, ['ETag']],
      ['PATCH', '/keys/{key}', '/keys/fields:2', { body: '{}', headers: { 'Content-Type': 'text/plain' } }, 415, ['Accept-Patch']],
      ['PATCH', '/keys', `/keys?key64=${key64('fields:2')}`, merge, 204, ['ETag']],
      ['DELETE', '/keys/{key}', '/keys/fields:3', {}, 204, ['Velocity-Version']],
      ['DELETE', '/keys', '/keys?prefix=fields:&dry_run=true', {}, 200, []],
      ['DELETE', '/keys', '/keys?prefix=fields:', {}, 204, ['Velocity-Version']],
      ['DELETE', '/keys', `/keys?key64=${key64('fields:3')}`, {}, 204, ['Velocity-Version']],
      ['POST', '/batch', '/batch', { body: '{"ops":[]}', headers: { 'Content-Type': 'application/json' } }, 200, []],
      ['GET', '/export', '/export?prefix=none', {}, 200, ['Velocity-Version']],
      ['POST', '/flush', '/flush', {}, 202, ['Location']],
      ['POST', '/compact', '/compact', {}, 202, ['Location']],
    ]) {
      const response = await client.request(method, `/api${target}`, more);
      const what = `${method} ${target} ${status}`;
      assert.equal(response.status, status, `${what}: ${response.text.slice(0, 200)}`);
      const came = fieldsOf(response);
      for (const prefix of ['/api', '/api/databases/{db}']) {
        const operation = document.paths[`${prefix}${path}`][method.toLowerCase()];
        assert.ok(operation.responses[status], `${what} is described`);
        if (names) assert.deepEqual([came, describedFields(operation, status)], [[...names].sort(), [...names].sort()], what);
        else for (const name of came) assert.ok(describedFields(operation, status).includes(name), `${what} has ${name}`);
      }
    }
  });

  it('agree on the header fields of what is made: where it is', async () => {
    const made = await client.post('/api/databases', { name: 'made' });
    assert.deepEqual(fieldsOf(made), ['Location']);
    assert.deepEqual(describedFields(document.paths['/api/databases'].post, 201), ['Location']);
    assert.equal((await client.delete('/api/databases/made')).status, 204);
    assert.deepEqual(describedFields(document.paths['/api/users'].post, 201), ['Location']);
    for (const { operation } of operations()) {
      for (const [status, response] of Object.entries(operation.responses)) {
        const names = Object.keys(response.headers ?? {});
        assert.equal(names.includes('Retry-After'), ['429', '503'].includes(status));
        assert.equal(names.includes('WWW-Authenticate'), status === '401');
      }
    }
  });

  it('agree on where a transaction is taken: elsewhere its header is 400', async () => {
    for (const { path, method, operation } of operations()) {
      if (method === 'head') continue; // its answer says no code
      const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there');
      const takes = operation.parameters.map(resolve).some(({ name }) => name === 'Velocity-Transaction');
      const body = operation.requestBody ? { body: '{}' } : {};
      const response = await client.request(method.toUpperCase(), target, { ...body, headers: { 'Content-Type': 'application/json', 'Velocity-Transaction': '0123456789abcdef0123456789abcdef' } });
      const what = `${method} ${target}: ${response.status} ${response.text.slice(0, 200)}`;
      if (takes) assert.equal(response.json.code, 'transaction_not_found', what);
      else assert.deepEqual([response.status, response.json.code], [400, 'invalid_header'], what);
      assert.ok(operation.responses[response.status].description.includes(`\`${response.json.code}\``), what);
    }
  });

  it('agree on where no body is taken, and nothing but 100-continue expected: 413 and 417', async () => {
    for (const { path, method, operation } of operations()) {
      const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there');
      const ask = async (status, code, headers, body) => {
        const response = await client.request(method.toUpperCase(), target, { headers, body });
        const what = `${method} ${target}: ${response.status} ${response.text.slice(0, 200)}`;
        assert.equal(response.status, status, what);
        if (method !== 'head') assert.equal(response.json.code, code, what);
        assert.ok(operation.responses[status].description.includes(`\`${code}\``), what);
      };
      if (!operation.requestBody) await ask(413, 'too_large', {}, 'x');
      await ask(417, 'expectation_failed', { Expect: 'the-unexpected', 'Content-Type': 'application/json' }, operation.requestBody ? '{}' : undefined);
    }
  });

  it('agree on where a body must come: 411 where its length is not said', async () => {
    for (const { path, method, operation } of operations()) {
      const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there');
      const wire = await Wire.open(server.port);
      wire.send(`${method.toUpperCase()} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      if (/\/watch$/.test(target)) {
        wire.close(); // it has no end of its own
        continue;
      }
      const response = await wire.response({ head: method === 'head' });
      const what = `${method} ${target}: ${response.status}`;
      assert.equal(response.status === 411, operation.requestBody?.required === true, what);
      assert.equal(operation.responses[411] !== undefined, response.status === 411, what);
      if (response.status === 411) assert.equal(assertProblem(response, 411, what).code, 'length_required');
      wire.close();
    }
  });

  it('agree: what must be there is described', () => {
    for (const [method, path] of ROUTES) assert.ok(document.paths[path]?.[method.toLowerCase()], `${method} ${path}`);
  });

  it('agree on methods: others are 405', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there');
      for (const method of METHODS.filter((name) => !item[name])) {
        const response = await client.request(method.toUpperCase(), target, ['put', 'post', 'patch'].includes(method) ? { body: '' } : {});
        assert.equal(response.status, 405, `${method} ${target}`);
        assert.deepEqual(response.headers.allow.toLowerCase().split(', ').sort(), Object.keys(item).sort(), target);
      }
    }
  });

  it('agree on query parameters: others are 400, whatever the method, and nothing is done', async () => {
    for (const { path, method, operation } of operations()) {
      const target = `${path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there')}?not_a_parameter=1`;
      const body = operation.requestBody ? { body: '{}', headers: { 'Content-Type': 'application/json' } } : {};
      const response = await client.request(method.toUpperCase(), target, body);
      assert.equal(response.status, 400, `${method} ${target}: ${response.text.slice(0, 200)}`);
      if (method !== 'head') assert.equal(response.json.code, 'unknown_parameter', `${method} ${target}`);
    }
  });

  it('agree on query parameters: those described are known, and of all that there are no others', async () => {
    const all = new Set(Object.values(document.components.parameters).filter((one) => one.in === 'query').map(({ name }) => name));
    for (const { path, method, operation } of operations()) {
      if (method === 'head') continue; // its answer says no code
      const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there');
      const described = new Set(operation.parameters.map(resolve).filter((one) => one.in === 'query').map(({ name }) => name));
      const body = operation.requestBody ? { body: '{}', headers: { 'Content-Type': 'application/json' } } : {};
      for (const name of all) {
        const response = await client.request(method.toUpperCase(), `${target}?${name}=`, body); // which none of them may be where it does harm
        const code = response.status < 400 ? '' : response.json.code;
        assert.equal(code !== 'unknown_parameter', described.has(name), `${method} ${target}?${name}`);
      }
    }
  });

  it('agree on what ?key64= of a listing takes and answers: all that the key by its path does', async () => {
    await client.put('/api/keys/described', 'value');
    for (const prefix of ['/api', '/api/databases/{db}']) {
      const listing = document.paths[`${prefix}/keys`].get;
      const single = document.paths[`${prefix}/keys/{key}`].get;
      const headers = (operation) => operation.parameters.map(resolve).filter((one) => one.in === 'header').map(({ name }) => name);
      for (const name of headers(single)) assert.ok(headers(listing).includes(name), name);
      for (const status of Object.keys(single.responses)) assert.ok(listing.responses[status], status);
      assert.ok(listing.responses[200].content['*/*'] && listing.responses[200].content['application/json']);
      const target = `${prefix.replace('{db}', 'default')}/keys?key64=${key64('described')}`;
      for (const [given, status] of [[{ Range: 'bytes=0-1' }, 206], [{ Range: 'bytes=9-' }, 416], [{ 'If-None-Match': '*' }, 304], [{ 'If-Match': '"1000000"' }, 412], [{}, 200]]) {
        assert.equal((await client.get(target, given)).status, status);
        assert.ok(listing.responses[status], `${status}`);
      }
    }
  });

  it('agree on a document that is asked for again: 304', async () => {
    const first = await client.get('/api/openapi.json');
    assert.match(first.headers['content-type'], /^application\/json/);
    const { etag } = first.headers;
    assert.match(etag, /^"[0-9a-f]{16}"$/);
    for (const tags of [etag, '*', `"x", W/${etag}`]) {
      const again = await client.get('/api/openapi.json', { 'If-None-Match': tags });
      assert.equal(again.status, 304, tags);
      assert.equal(again.body.length, 0);
      assert.equal(again.headers.etag, etag);
    }
    assert.equal((await client.get('/api/openapi.json', { 'If-None-Match': '"x"' })).status, 200);
  });
});
