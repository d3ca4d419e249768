// Who it is that asks, and for whom they think we are: proxies, Host, pages of other sites.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { basic, serverWithAdmin } from './people.mjs';
import { assertProblem, Server, Wire } from './support.mjs';

const https = { 'X-Forwarded-Proto': 'https' };

describe('behind a proxy that is trusted', () => {
  let server;
  let client;
  before(async () => {
    const made = await serverWithAdmin({ config: { server: { trusted_proxies: ['127.0.0.1', '10.0.0.0/8'] }, security: { audit_level: 'writes', max_auth_failures: 0 } } });
    server = made.server;
    client = made.admin;
  });
  after(() => server?.stop());
  const address = async (headers) => {
    assert.equal((await client.put('/api/keys/a', 'x', headers)).status, 204);
    return (await client.get('/api/audit?action=put&limit=1')).json.rows[0].address;
  };

  it('the client is whom it names, the last that is no proxy of ours', async () => {
    assert.equal(await address({}), '127.0.0.1');
    assert.equal(await address({ ...https, 'X-Forwarded-For': '192.0.2.7' }), '192.0.2.7');
    assert.equal(await address({ ...https, 'X-Forwarded-For': '203.0.113.9, 192.0.2.7' }), '192.0.2.7', 'what the client itself said counts nothing');
    assert.equal(await address({ ...https, 'X-Forwarded-For': '203.0.113.9, 192.0.2.7, 10.1.2.3' }), '192.0.2.7');
    assert.equal(await address({ Forwarded: 'for=192.0.2.8;proto=https' }), '192.0.2.8');
    assert.equal(await address({ Forwarded: 'for="[2001:db8::1]:4711";proto=https;by=10.0.0.1' }), '2001:db8::1');
  });

  it('plain HTTP between client and proxy is refused, before the credentials are looked at', async () => {
    for (const headers of [{ 'X-Forwarded-For': '192.0.2.7' }, { 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'http' }, { Forwarded: 'for=192.0.2.7;proto=http' }]) {
      assert.equal(assertProblem(await client.get('/api/whoami', headers), 403, JSON.stringify(headers)).code, 'tls_required');
      assert.equal(assertProblem(await client.get('/api/whoami', { ...headers, Authorization: 'Bearer wrong' }), 403).code, 'tls_required');
    }
  });

  it('a proxy that does not say for whom it stands is refused', async () => {
    for (const value of ['unknown', 'client.example', '192.0.2', '192.0.2.7,']) {
      assertProblem(await client.get('/api/whoami', { ...https, 'X-Forwarded-For': value }), 400, value);
    }
    assertProblem(await client.get('/api/whoami', { Forwarded: 'for=_hidden;proto=https' }), 400);
  });

  it('a cookie over https is for this host and for https only', async () => {
    const response = await client.post('/api/sessions', { username: 'ada', password: 'correct horse battery', cookie: true }, { ...https, 'X-Forwarded-For': '192.0.2.7' });
    assert.equal(response.status, 201, response.text);
    const [cookie] = response.headers['set-cookie'];
    assert.match(cookie, new RegExp(`^__Host-velocity_${server.port}=`));
    assert.match(cookie, /; Secure/);
    assert.doesNotMatch(cookie, /Domain/);
  });
});

describe('Strict-Transport-Security', () => {
  const told = async (server, headers) => (await server.client.get('/livez', headers)).headers['strict-transport-security'];
  const forwarded = { ...https, 'X-Forwarded-For': '192.0.2.7', Host: 'db.example' };
  const behind = { trusted_proxies: ['127.0.0.1'], allow_plaintext: true };

  it('is said of the name that is the server\'s, over TLS and nowhere else', async () => {
    const { server } = await serverWithAdmin({ config: { server: { ...behind, external_url: 'https://db.example' } } });
    assert.equal(await told(server, forwarded), 'max-age=31536000');
    assert.equal(await told(server, { ...forwarded, Host: 'DB.example:443' }), 'max-age=31536000');
    assert.equal(await told(server, { ...forwarded, 'X-Forwarded-Proto': 'http' }), undefined, 'over plain HTTP anyone could say it');
    assert.equal(await told(server, { ...forwarded, Host: 'other.example' }), undefined, 'another name is not ours to bind');
    assert.equal(await told(server, { Host: 'db.example' }), undefined);
    const refused = await server.client.get('/api/whoami', forwarded);
    assert.deepEqual([refused.status, refused.headers['strict-transport-security']], [401, 'max-age=31536000'], 'in errors, too');
    await server.stop();
  });

  it('is not said of a port, an address, plain HTTP, or where no name is known', async () => {
    for (const external_url of ['https://db.example:2005', 'https://192.0.2.9', 'https://[2001:db8::9]', 'https://localhost', 'http://db.example', '']) {
      const { server } = await serverWithAdmin({ config: { server: { ...behind, external_url } } });
      for (const Host of ['db.example', 'db.example:2005', '192.0.2.9', '[2001:db8::9]', 'localhost']) {
        assert.equal(await told(server, { ...forwarded, Host }), undefined, `${external_url} ${Host}`);
      }
      await server.stop();
    }
  });
});

describe('what a client says of itself', () => {
  it('counts nothing where no proxy is trusted', async () => {
    const { server, admin } = await serverWithAdmin({ config: { security: { audit_level: 'writes' } } });
    assert.equal((await admin.put('/api/keys/a', 'x', { 'X-Forwarded-For': '192.0.2.7' })).status, 204);
    assert.equal((await admin.get('/api/audit?action=put&limit=1')).json.rows[0].address, '127.0.0.1');
    await server.stop();
  });

  it('or any proxy\'s word is refused while there are no users', async () => {
    const server = await Server.start();
    for (const headers of [{ 'X-Forwarded-For': '127.0.0.1' }, { Forwarded: 'for=127.0.0.1' }, { Via: '1.1 proxy' }, { 'X-Forwarded-Host': 'localhost' }]) {
      assert.equal(assertProblem(await server.client.get('/api/keys', headers), 421, JSON.stringify(headers)).code, 'foreign_host');
    }
    await server.stop();
  });
});

describe('Host', () => {
  const ask = async (server, host) => {
    const wire = await Wire.open(server.port);
    wire.send(`GET /api/whoami HTTP/1.1\r\nHost: ${host}\r\nAuthorization: ${basic('ada').Authorization}\r\nConnection: close\r\n\r\n`);
    const { status } = await wire.response();
    wire.close();
    return status;
  };

  it('that is a foreign name is refused while there are no users: some page\'s name was made to point here', async () => {
    const server = await Server.start();
    for (const host of ['localhost', 'localhost:2005', '127.0.0.1', '[::1]:1']) assert.equal(await ask(server, host), 200, host);
    for (const host of ['evil.example', 'localhost.evil.example', '192.0.2.1', 'app.localhost']) assert.equal(await ask(server, host), 421, host);
    await server.stop();
  });

  it('may be any name with users, and only an allowed one where some are listed', async () => {
    const { server } = await serverWithAdmin();
    for (const host of ['localhost', 'db.example']) assert.equal(await ask(server, host), 200, host);
    await server.stop();
    const { server: listed } = await serverWithAdmin({ config: { server: { allowed_hosts: ['db.example'] } } });
    for (const host of ['db.example', 'DB.EXAMPLE:443', 'localhost']) assert.equal(await ask(listed, host), 200, host);
    assert.equal(await ask(listed, 'evil.example'), 421);
    await listed.stop();
  });
});

describe('a page of another site', () => {
  let server;
  let client;
  const friend = { Origin: 'https://app.example' };
  before(async () => {
    const made = await serverWithAdmin({ config: { server: { cors_origins: ['https://app.example'] } } });
    server = made.server;
    client = made.admin;
  });
  after(() => server?.stop());

  it('changes nothing, whatever credentials come with it', async () => {
    for (const headers of [{ Origin: 'https://evil.example' }, { Origin: 'null' }, { 'Sec-Fetch-Site': 'cross-site' }, { 'Sec-Fetch-Site': 'same-site' }]) {
      for (const response of [await client.put('/api/keys/cross', 'x', headers), await client.post('/api/users', {}, headers), await client.delete('/api/keys/cross', headers)]) {
        assert.equal(assertProblem(response, 403, JSON.stringify(headers)).code, 'cross_site');
      }
    }
    assertProblem(await client.get('/api/keys/cross'), 404);
  });

  it('reads nothing either, unless it is on the list', async () => {
    const foreign = await client.get('/api/whoami', { Origin: 'https://evil.example' });
    assert.equal(foreign.headers['access-control-allow-origin'], undefined);
    assert.match(foreign.headers.vary, /Origin/, 'no cache gives it to a page that may');
    assert.match((await client.get('/api/whoami')).headers.vary, /Origin/);
    const listed = await client.get('/api/whoami', friend);
    assert.equal(listed.headers['access-control-allow-origin'], 'https://app.example');
    assert.match(listed.headers.vary, /Origin/);
    assert.equal(listed.headers['access-control-allow-credentials'], undefined, 'never with a cookie');
    assert.equal((await client.put('/api/keys/friend', 'x', { ...friend, 'Sec-Fetch-Site': 'cross-site' })).status, 204);
    const refused = await client.get('/api/keys/not-there', friend);
    assert.equal(refused.status, 404);
    assert.equal(refused.headers['access-control-allow-origin'], 'https://app.example', 'errors can be read, too');
  });

  it('that is on the list can read why its body was not taken', async () => {
    const wire = await Wire.open(server.port);
    wire.send(`PUT /api/keys/large HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nContent-Length: 5\r\n\r\n`);
    const refused = await wire.response();
    assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, 'https://app.example']);
    wire.close();
  });

  it('that is on the list gets an answer to its preflight, others do not', async () => {
    const preflight = (origin, method = 'PUT', target = '/api/keys/a') =>
      server.client.request('OPTIONS', target, { headers: { Origin: origin, 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': 'authorization' } });
    const good = await preflight('https://app.example');
    assert.equal(good.status, 204);
    assert.equal(good.headers['access-control-allow-origin'], 'https://app.example');
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'POST']) assert.ok(good.headers['access-control-allow-methods'].includes(method));
    assert.match(good.headers['access-control-allow-headers'], /Authorization/);
    const bad = await preflight('https://evil.example');
    assert.notEqual(bad.status, 204);
    assert.equal(bad.headers['access-control-allow-origin'], undefined);
    assert.equal((await preflight('https://app.example', 'GET', '/nowhere')).status, 404);
  });

  it('of our own may do what its credentials may', async () => {
    const own = { Origin: `http://127.0.0.1:${server.port}`, 'Sec-Fetch-Site': 'same-origin' };
    assert.equal((await client.put('/api/keys/own', 'x', own)).status, 204);
  });
});
