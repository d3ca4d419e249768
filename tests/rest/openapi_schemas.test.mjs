// What the server answers is what its OpenAPI document says: no member is missing, of another type, or not named there.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PASSWORD, serverWithAdmin } from './people.mjs';
import { key64, MiB } from './support.mjs';

let people;
let admin;
let document;
before(async () => {
  people = await serverWithAdmin({ config: { security: { audit_level: 'writes', max_auth_failures: 0 } } });
  admin = people.admin;
  document = (await admin.get('/api/openapi.json')).json;
});
after(() => people?.server.stop());

const resolve = (schema) => (schema.$ref ? document.components.schemas[schema.$ref.split('/').at(-1)] : schema);
const typeOf = (value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value);
const matches = (value, type) => typeOf(value) === type || (type === 'number' && typeOf(value) === 'integer');

/** The members that a schema names; null: any. */
function named(schema) {
  const { properties, allOf } = resolve(schema);
  if (!allOf) return properties ? Object.keys(properties) : null;
  return allOf.flatMap((part) => named(part) ?? []);
}

/** What of a value is not as the schema says: of JSON Schema as much as the document uses. */
function faults(value, given, at = '') {
  const schema = resolve(given);
  const found = [];
  const say = (what) => found.push(`${at || 'it'} ${what}`);
  if (schema.type && ![schema.type].flat().some((type) => matches(value, type))) return [`${at || 'it'} is ${JSON.stringify(value).slice(0, 80)}, not ${schema.type}`];
  if ('const' in schema && value !== schema.const) say(`is not ${schema.const}`);
  if (schema.enum && !schema.enum.includes(value)) say(`is ${value}, none of ${schema.enum}`);
  if (typeof value === 'string' && schema.pattern && !new RegExp(schema.pattern, 'u').test(value)) say(`is ${value}, not of ${schema.pattern}`);
  if (typeof value === 'string' && schema.format === 'date-time' && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) say(`is ${value}, no moment`);
  if (typeof value === 'number' && (value < schema.minimum || value > schema.maximum)) say(`is ${value}, out of its bounds`);
  if (schema.oneOf && schema.oneOf.filter((one) => faults(value, one, at).length === 0).length !== 1) say(`is not one of ${schema.oneOf.length}`);
  if (typeOf(value) === 'array' && schema.items) value.forEach((one, i) => found.push(...faults(one, schema.items, `${at}[${i}]`)));
  if (typeOf(value) !== 'object') return found;
  for (const name of schema.required ?? []) if (!(name in value)) say(`has no ${name}`);
  for (const name of Object.keys(value)) if (named(schema)?.includes(name) === false) say(`has ${name}, which nobody knows`);
  for (const [name, one] of Object.entries(schema.properties ?? {})) if (name in value) found.push(...faults(value[name], one, `${at}.${name}`));
  for (const part of schema.allOf ?? []) found.push(...faults(Object.fromEntries(Object.entries(value).filter(([name]) => named(part)?.includes(name) ?? true)), part, at));
  return found;
}

/** Asks and holds the answer against the document; answers it. */
async function ask(method, path, { at = `/api${path}`, status = 200, by = admin, send, headers = {} } = {}) {
  const body = send === undefined ? undefined : typeof send === 'string' ? send : JSON.stringify(send);
  const response = await by.request(method, at, { body, headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers } });
  const what = `${method} ${at}`;
  assert.equal(response.status, status, `${what}: ${response.text.slice(0, 300)}`);
  const described = document.paths[`/api${path}`][method.toLowerCase()].responses[status];
  const schema = described.content?.[status < 400 ? 'application/json' : 'application/problem+json']?.schema;
  assert.ok(schema, `${what} is described`);
  assert.deepEqual(faults(response.json, schema), [], what);
  return response.json;
}

describe('the check of an answer', () => {
  it('finds what is missing, of another type, or not named', () => {
    const count = { $ref: '#/components/schemas/Count' };
    assert.deepEqual(faults({ count: 5, exact: true }, count), []);
    for (const wrong of [{ count: 5 }, { count: -1, exact: true }, { count: '5', exact: true }, { count: 5, exact: null }, { count: 5, exact: true, more: 1 }, [], null]) {
      assert.equal(faults(wrong, count).length, 1, JSON.stringify(wrong));
    }
  });
});

describe('who may not', () => {
  it('is told so by every operation, as described: wrong credentials are 401 even where none are needed, but of /livez', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (path === '/livez') {
          assert.equal(operation.responses[401], undefined);
          continue;
        }
        const query = /^\/(readyz|healthz)$/.test(path) ? '?verbose' : ''; // for which alone they count there
        const target = path.replace('{db}', 'default').replace(/\{\w+\}/g, 'not-there') + query;
        const body = operation.requestBody ? '{}' : undefined;
        for (const [headers, status, code] of [[{ Authorization: 'Bearer nonsense' }, 401, 'login_refused'], ...(operation.security ? [] : [[{}, 401, 'login_required']])]) {
          const response = await people.nobody.request(method.toUpperCase(), target, { body, headers: { 'Content-Type': 'application/json', ...headers } });
          const what = `${method} ${target}: ${response.status}`;
          assert.equal(response.status, status, what);
          if (method !== 'head') assert.equal(response.json.code, code, what);
          assert.ok(operation.responses[status].description.includes(`\`${code}\``), what);
          assert.ok(response.headers['www-authenticate'] && operation.responses[status].headers['WWW-Authenticate'], what);
        }
      }
    }
  });
});

describe('what is answered is what is described', () => {
  it('about keys', async () => {
    await admin.put('/api/keys/a:json?expires_at=2100-01-01T00:00:00Z', '{"a":[1]}', { 'Content-Type': 'application/json' });
    await admin.put('/api/keys/a:text', 'text', { 'Content-Type': 'text/plain' });
    await admin.put('/api/keys/a:large', Buffer.alloc(MiB + 1));
    await admin.put(`/api/keys?key64=${key64(Buffer.from([0x61, 0xff]))}`, Buffer.from([0xff]));
    await admin.put('/api/keys/number', '5');
    for (const query of ['', 'values=true', 'limit=1', 'delimiter=:', 'count=true', 'prefix=none', 'reverse=true&delimiter=%ff']) await ask('GET', '/keys', { at: `/api/keys?${query}` });
    await ask('DELETE', '/keys', { at: '/api/keys?prefix=none&dry_run=true' });
    const ops = [{ op: 'get', key: 'a:json' }, { op: 'get', key: 'none' }, { op: 'put', key: 'b', text: 'x' }, { op: 'increment', key: 'number' }, { op: 'touch', key: 'none' }, { op: 'delete', key: 'b' }];
    await ask('POST', '/batch', { send: { ops } });
    await ask('POST', '/import', { send: '{"key":"imported","text":"x"}\n', headers: { 'Content-Type': 'application/x-ndjson' } });
  });

  it('about transactions', async () => {
    const { id } = await ask('POST', '/transactions', { status: 201, send: { isolation: 'snapshot' } });
    const headers = { 'Velocity-Transaction': id };
    await ask('POST', '/batch', { headers, send: { ops: [{ op: 'put', key: 'inside', text: 'x' }, { op: 'get', key: 'inside' }, { op: 'increment', key: 'inside:n' }] } });
    await ask('GET', '/keys', { headers, at: '/api/keys?prefix=inside&values=true' });
    assert.equal((await ask('GET', '/transactions')).transactions.length, 1);
    await ask('POST', '/transactions/{id}/commit', { at: `/api/transactions/${id}/commit` });
  });

  it('about databases and jobs', async () => {
    await ask('POST', '/databases', { status: 201, send: { name: 'other', max_disk_bytes: 64 * MiB } });
    await ask('GET', '/databases');
    await ask('GET', '/databases/{name}', { at: '/api/databases/other' });
    await ask('PATCH', '/databases/{name}', { at: '/api/databases/other', send: { max_disk_bytes: null } });
    const { id } = await ask('POST', '/flush', { status: 202 });
    await ask('POST', '/databases/{db}/compact', { at: '/api/databases/other/compact', status: 202 });
    await ask('GET', '/jobs');
    await ask('GET', '/jobs/{id}', { at: `/api/jobs/${id}` });
  });

  it('about people', async () => {
    await ask('POST', '/users', { status: 201, send: { name: 'bob', password: PASSWORD, role: 'write', prefixes: ['b:'] } });
    await ask('GET', '/users');
    await ask('PATCH', '/users/{name}', { at: '/api/users/bob', send: { role: 'read' } });
    await ask('GET', '/users/{name}', { at: '/api/users/bob' });
    for (const cookie of [false, true]) await ask('POST', '/sessions', { status: 201, by: people.nobody, send: { username: 'bob', password: PASSWORD, cookie } });
    await ask('GET', '/sessions', { at: '/api/sessions?all=true' });
    await ask('POST', '/tokens', { status: 201, send: { name: 'token', role: 'read', databases: ['default'] } });
    await ask('GET', '/tokens');
    await ask('GET', '/whoami');
    const { headers } = await people.nobody.post('/api/sessions', { username: 'bob', password: PASSWORD, cookie: true });
    const [cookie] = headers['set-cookie'][0].split(';');
    const { csrf_token: csrf } = (await people.nobody.get('/api/whoami', { Cookie: cookie })).json;
    const ended = await people.nobody.delete('/api/sessions/current', { Cookie: cookie, 'Velocity-CSRF': csrf });
    const after = await people.nobody.get('/api/whoami', { Cookie: cookie });
    for (const [response, status, operation] of [[ended, 204, document.paths['/api/sessions/{id}'].delete], [after, 401, document.paths['/api/whoami'].get]]) {
      assert.equal(response.status, status, response.text);
      assert.ok(response.headers['set-cookie'] && operation.responses[status].headers['Set-Cookie'], `${status}`);
    }
  });

  it('about operations', async () => {
    await ask('GET', '/audit', { at: '/api/audit?limit=5' });
    await ask('GET', '/audit/verify');
    await ask('GET', '/config');
    await ask('GET', '/stats');
    await ask('GET', '/openapi.json');
  });

  it('where something is wrong', async () => {
    await admin.put('/api/keys/there', 'x');
    await ask('GET', '/keys/{key}', { at: '/api/keys/none', status: 404 });
    await ask('PUT', '/keys/{key}', { at: '/api/keys/there', status: 412, send: '1', headers: { 'If-None-Match': '*' } });
    await ask('PUT', '/keys/{key}', { at: '/api/keys/none', status: 412, send: '1', headers: { 'If-Match': '*' } });
    await ask('PUT', '/keys/{key}', { at: '/api/keys/there', status: 422, send: '{' });
    await ask('POST', '/batch', { status: 400, send: { ops: [{ op: 'none', key: 'x' }] } });
    await ask('POST', '/batch', { status: 400, send: '{' });
    await ask('POST', '/batch', { status: 412, send: { if: [{ key: 'none', exists: true }], ops: [] } });
    await ask('POST', '/import', { status: 400, send: '{}\n', headers: { 'Content-Type': 'application/x-ndjson' } });
    await ask('GET', '/keys', { status: 401, by: people.nobody });
  });
});
