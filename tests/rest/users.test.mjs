// Users and tokens: who is made, what they may be, and that what is taken away is gone at once.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, basic, bearer, logIn, OTHER_PASSWORD, PASSWORD, serverWithAdmin } from './people.mjs';
import { assertProblem, Client, KiB, Server, until } from './support.mjs';

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
// The password is "correct horse battery".
const CONFIGURED = '$argon2id$v=19$m=19456,t=2,p=1$D9KAgoub3fnBxbpkF6E/Qw$MH8jW1S2hgoeHAIwMfiDUobEoSOcS+z6b4zTeB6CBM0';

let server;
let nobody;
let admin;
before(async () => {
  // Where users are configured nobody is the first one: so ada is there before them.
  const first = await serverWithAdmin();
  await first.server.stop();
  server = await first.server.again({
    config: {
      security: { max_auth_failures: 0 },
      users: { conf: CONFIGURED },
      'users.reader': { password: CONFIGURED, role: 'read', prefixes: ['public:'] },
    },
  });
  nobody = server.client;
  admin = nobody.with(bearer(await logIn(nobody, 'ada')));
});
after(() => server?.stop());

describe('the first user', () => {
  it('is an admin whatever is asked for, and afterwards everyone must log in, at once', async () => {
    const open = await Server.start();
    const one = new Client(open.port, { connections: 1 });
    assert.equal((await one.put('/api/keys/a', '1')).status, 204);
    assert.deepEqual((await one.get('/api/whoami')).json, {
      user: null, role: 'admin', databases: null, prefixes: null, login: 'open', users_configured: false,
    });
    const made = await one.post('/api/users', { name: 'eve', password: PASSWORD, role: 'read', prefixes: ['a'] });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.json.role, 'admin');
    assert.equal(made.json.prefixes, null);
    assertProblem(await one.get('/api/keys/a'), 401);
    assertProblem(await one.post('/api/users', { name: 'mallory', password: PASSWORD }), 401);
    assert.equal((await one.get('/api/keys/a', basic('eve'))).text, '1');
    one.close();
    await open.stop();
  });

  it('has to be there before a token can be made', async () => {
    const open = await Server.start();
    assert.equal(assertProblem(await open.client.post('/api/tokens', { name: 'a' }), 403).code, 'forbidden');
    await open.stop();
  });
});

describe('a user', () => {
  it('is made, looked at, changed and deleted', async () => {
    const made = await admin.post('/api/users', { name: 'bob', password: PASSWORD, role: 'read', databases: ['default'], prefixes: ['b:', 'a:'] });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.location, '/api/users/bob');
    assert.equal(made.headers['cache-control'], 'no-store');
    const { created_at: at, ...bob } = made.json;
    assert.match(at, TIME);
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    assert.deepEqual(bob, { name: 'bob', role: 'read', databases: ['default'], prefixes: ['a:', 'b:'], configured: false });
    assert.deepEqual((await admin.get('/api/users/bob')).json, made.json);
    assert.ok((await admin.get('/api/users')).json.users.some((user) => user.name === 'bob'));
    const changed = await admin.patch('/api/users/bob', { role: 'write', prefixes: null });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(changed.json, { ...made.json, role: 'write', prefixes: null }, 'what was not named stays');
    const gone = await admin.delete('/api/users/bob');
    assert.equal(gone.status, 204);
    assert.equal(gone.body.length, 0);
    assertProblem(await admin.get('/api/users/bob'), 404);
    assertProblem(await admin.delete('/api/users/bob'), 404);
    assertProblem(await admin.patch('/api/users/bob', {}), 404);
  });

  it('never shows a password, and neither does the log', async () => {
    await addUser(admin, nobody, 'quiet');
    const { token } = await addToken(admin);
    for (const target of ['/api/users', '/api/users/quiet', '/api/tokens', '/api/sessions?all=true', '/api/config', '/api/audit?limit=1000']) {
      const { status, text } = await admin.get(target);
      assert.equal(status, 200, target);
      for (const secret of [PASSWORD, token, '$argon2id$']) assert.ok(!text.includes(secret), `${target} shows ${secret}`);
    }
    for (const secret of [PASSWORD, token, '$argon2id$']) assert.ok(!server.log.includes(secret));
  });

  it('whose name is taken is 409, in the configuration, too', async () => {
    for (const name of ['ada', 'conf']) {
      assert.equal(assertProblem(await admin.post('/api/users', { name, password: PASSWORD }), 409, name).code, 'name_taken');
    }
  });

  it('that is impossible is refused, and the member is named', async () => {
    for (const [body, word] of [
      [{ password: PASSWORD }, 'name'],
      [{ name: 'x' }, 'password'],
      [{ name: 'x', password: 'short' }, 'password'],
      [{ name: 'x', password: 'p'.repeat(1025) }, 'password'],
      [{ name: 'x', password: 12345678 }, 'password'],
      [{ name: 'n'.repeat(65), password: PASSWORD }, 'name'],
      [{ name: '-x', password: PASSWORD }, 'name'],
      [{ name: 'a/b', password: PASSWORD }, 'name'],
      [{ name: 'x', password: PASSWORD, role: 'root' }, 'role'],
      [{ name: 'x', password: PASSWORD, role: null }, 'role'],
      [{ name: 'x', password: PASSWORD, databases: [] }, 'databases'],
      [{ name: 'x', password: PASSWORD, databases: 'default' }, 'databases'],
      [{ name: 'x', password: PASSWORD, databases: ['UPPER'] }, 'UPPER'],
      [{ name: 'x', password: PASSWORD, prefixes: [1] }, 'prefixes'],
      [{ name: 'x', password: PASSWORD, prefixes: Array(101).fill('a') }, 'prefixes'],
      [{ name: 'x', password: PASSWORD, prefixes: ['p'.repeat(16384), 'q'] }, 'prefixes'],
      [{ name: 'x', password: PASSWORD, prefixes64: ['+/'] }, 'prefixes64'],
      [{ name: 'x', password: PASSWORD, admin: true }, 'admin'],
      ['{"name":"x","password":"correct horse","password":"other horse"}', 'password'],
      ['{"name":"x\\u0000y","password":"correct horse"}', 'NUL'],
      [[], 'object'],
    ]) {
      const problem = assertProblem(await admin.post('/api/users', body), 400, JSON.stringify(body).slice(0, 100));
      assert.equal(problem.code, 'invalid_body');
      assert.ok(problem.detail.includes(word), `${problem.detail} names ${word}`);
      assert.ok(!problem.detail.includes('horse'));
    }
    assert.equal(assertProblem(await admin.post('/api/users', '{"name":'), 400).offset, 8);
    assertProblem(await admin.post('/api/users', '{}', { 'Content-Type': 'text/plain' }), 415);
    assertProblem(await admin.request('POST', '/api/users', { body: '{}' }), 415);
    assertProblem(await admin.post('/api/users', `{"name":"${'x'.repeat(70 * KiB)}"}`), 413);
    assertProblem(await admin.post('/api/users?force=true', {}), 400);
    assert.equal((await admin.get('/api/users')).json.users.filter((user) => user.name === 'x').length, 0);
  });

  it('of the configuration is shown, works, and is changed there only', async () => {
    const { users } = (await admin.get('/api/users')).json;
    const conf = users.find((user) => user.name === 'conf');
    assert.deepEqual([conf.configured, conf.role, conf.created_at], [true, 'write', null]);
    assert.deepEqual(users.find((user) => user.name === 'reader').prefixes, ['public:']);
    assert.equal((await nobody.put('/api/keys/conf', 'x', basic('conf'))).status, 204);
    for (const response of [
      await admin.patch('/api/users/conf', { role: 'admin' }),
      await admin.delete('/api/users/conf'),
      await nobody.with(basic('conf')).send('PUT', '/api/whoami/password', { old_password: PASSWORD, password: OTHER_PASSWORD }),
    ]) {
      assert.equal(assertProblem(response, 409).code, 'configured');
    }
  });

  it('who is the last admin can neither go nor be less', async () => {
    for (const response of [
      await admin.delete('/api/users/ada'),
      await admin.patch('/api/users/ada', { role: 'write' }),
      await admin.patch('/api/users/ada', { databases: ['default'] }),
    ]) {
      assert.equal(assertProblem(response, 409).code, 'last_admin');
    }
    await addUser(admin, nobody, 'deputy', { role: 'admin', prefixes: ['x'] });
    assertProblem(await admin.delete('/api/users/ada'), 409, 'an admin with a scope is none');
    await admin.patch('/api/users/deputy', { prefixes: null });
    assert.equal((await admin.patch('/api/users/ada', { role: 'write' })).status, 200);
    assert.equal((await nobody.with(basic('deputy')).patch('/api/users/ada', { role: 'admin' })).status, 200);
    assert.equal((await admin.delete('/api/users/deputy')).status, 204);
  });

  it('may have prefixes of any bytes', async () => {
    const made = await admin.post('/api/users', { name: 'bytes', password: PASSWORD, prefixes: ['ä'], prefixes64: ['_wA'] });
    assert.equal(made.status, 201, made.text);
    assert.deepEqual([made.json.prefixes, made.json.prefixes64], [['ä'], ['_wA']]);
    const bytes = nobody.with(basic('bytes'));
    assert.equal((await bytes.put('/api/keys/%ff%00x', '1')).status, 204);
    assert.equal((await bytes.put('/api/keys/%c3%a4x', '1')).status, 204);
    assertProblem(await bytes.put('/api/keys/%ff', '1'), 403);
    assert.deepEqual((await bytes.get('/api/whoami')).json.prefixes64, ['_wA']);
  });

  it('whose databases one admin changes and whose prefixes another, at once, gets both changes', async () => {
    await addUser(admin, nobody, 'shared');
    for (let round = 0; round < 30; round++) {
      const [databases, prefixes] = [[`d${round}`], [`p${round}:`]];
      const answers = await Promise.all([admin.patch('/api/users/shared', { databases }), admin.patch('/api/users/shared', { prefixes })]);
      assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
      const found = (await admin.get('/api/users/shared')).json;
      assert.deepEqual([found.databases, found.prefixes], [databases, prefixes], `round ${round}`);
    }
    await admin.delete('/api/users/shared');
  });

  it('whose rights change has the new ones with the next request of an open connection', async () => {
    const client = await addUser(admin, nobody, 'moving');
    const one = Object.assign(Object.create(client), { agent: new Client(server.port, { connections: 1 }).agent });
    assert.equal((await one.put('/api/keys/moving', 'x')).status, 204);
    await admin.patch('/api/users/moving', { role: 'read' });
    assert.equal(assertProblem(await one.put('/api/keys/moving', 'y'), 403).code, 'forbidden');
    assert.equal((await one.get('/api/keys/moving')).text, 'x');
    await admin.patch('/api/users/moving', { prefixes: ['elsewhere'] });
    assertProblem(await one.get('/api/keys/moving'), 404);
    one.close();
  });

  it('who is deleted is nobody with the next request of an open connection, tokens and sessions too', async () => {
    const session = await addUser(admin, nobody, 'leaving');
    const { token } = await addToken(session);
    const clients = [session, nobody.with(bearer(token)), nobody.with(basic('leaving'))].map((client) =>
      Object.assign(Object.create(client), { agent: new Client(server.port, { connections: 1 }).agent }));
    for (const client of clients) assert.equal((await client.put('/api/keys/leaving', 'x')).status, 204);
    await admin.delete('/api/users/leaving');
    for (const client of clients) {
      assert.equal(assertProblem(await client.get('/api/keys/leaving'), 401).code, 'login_refused');
      client.close();
    }
  });

  it('and tokens outlive the server, sessions too', async () => {
    const first = await serverWithAdmin();
    const { token } = await addToken(first.admin);
    await addUser(first.admin, first.nobody, 'bob', { role: 'read', databases: ['default'], prefixes: ['p:'] });
    const users = (await first.admin.get('/api/users')).json;
    const session = await logIn(first.nobody, 'bob');
    await first.server.kill();
    const again = await first.server.again();
    assert.deepEqual((await again.client.get('/api/users', bearer(token))).json, users);
    assert.equal((await again.client.get('/api/whoami', bearer(session))).json.user, 'bob');
    assertProblem(await again.client.get('/api/whoami'), 401);
    await again.stop();
  });
});

describe('a password', () => {
  it('that an admin changes ends the sessions of its user and leaves the tokens', async () => {
    const session = await addUser(admin, nobody, 'carol');
    const { client } = await addToken(session);
    assert.equal((await admin.patch('/api/users/carol', { password: OTHER_PASSWORD })).status, 200);
    assertProblem(await session.get('/api/whoami'), 401);
    assert.equal((await client.get('/api/whoami')).json.user, 'carol');
    assertProblem(await nobody.get('/api/whoami', basic('carol')), 401);
    assert.equal((await nobody.get('/api/whoami', basic('carol', OTHER_PASSWORD))).status, 200);
  });

  it('is changed by who knows the old one; other sessions end, the one that asks stays', async () => {
    const session = await addUser(admin, nobody, 'dave');
    const other = nobody.with(bearer(await logIn(nobody, 'dave')));
    const change = (body, client = session) => client.send('PUT', '/api/whoami/password', body);
    assert.equal(assertProblem(await change({ old_password: OTHER_PASSWORD, password: 'another one' }), 403).code, 'forbidden');
    assertProblem(await change({ old_password: PASSWORD, password: 'short' }), 400);
    assertProblem(await change({ password: OTHER_PASSWORD }), 400);
    const done = await change({ old_password: PASSWORD, password: OTHER_PASSWORD });
    assert.equal(done.status, 204, done.text);
    assert.equal((await session.get('/api/whoami')).status, 200);
    assertProblem(await other.get('/api/whoami'), 401);
    assertProblem(await nobody.post('/api/sessions', { username: 'dave', password: PASSWORD }), 401);
    const back = await change({ old_password: OTHER_PASSWORD, password: PASSWORD }, nobody.with(basic('dave', OTHER_PASSWORD)));
    assert.equal(back.status, 204, back.text);
    assert.ok(await logIn(nobody, 'dave'));
  });

  it('is not changed by a token', async () => {
    const { client } = await addToken(await addUser(admin, nobody, 'erin'));
    assertProblem(await client.send('PUT', '/api/whoami/password', { old_password: PASSWORD, password: OTHER_PASSWORD }), 403);
  });
});

describe('a token', () => {
  it('is shown once, and has what was asked for', async () => {
    const made = await admin.post('/api/tokens', { name: 'backup ü', role: 'read', databases: ['default'], prefixes: ['p:'], expires_in_seconds: 3600 });
    assert.equal(made.status, 201, made.text);
    const { token, ...rest } = made.json;
    assert.match(token, /^vt_[A-Za-z0-9_-]{43}$/);
    assert.match(rest.id, /^[0-9a-f]{32}$/);
    assert.ok(Math.abs(Date.parse(rest.expires_at) - Date.parse(rest.created_at) - 3_600_000) < 2_000);
    assert.deepEqual([rest.name, rest.user, rest.role, rest.databases, rest.prefixes], ['backup ü', 'ada', 'read', ['default'], ['p:']]);
    const { tokens } = (await admin.get('/api/tokens')).json;
    assert.deepEqual(tokens.find((one) => one.id === rest.id), rest);
    const who = (await nobody.get('/api/whoami', bearer(token))).json;
    assert.deepEqual([who.user, who.role, who.login, who.id, who.prefixes], ['ada', 'read', 'token', rest.id, ['p:']]);
  });

  it('ends by itself', async () => {
    const { client, expires_at: end } = await addToken(admin, { expires_in_seconds: 3 });
    assert.equal((await client.get('/api/whoami')).status, 200);
    const refused = await until('the end of the token', async () => {
      const response = await client.get('/api/whoami');
      return response.status !== 200 && response;
    });
    assertProblem(refused, 401);
    assert.ok(Date.now() >= Date.parse(end), 'not before its time');
  });

  it('is gone when it was revoked, with the next request of an open connection', async () => {
    const { id, token } = await addToken(admin);
    const one = new Client(server.port, { connections: 1 }).with(bearer(token));
    assert.equal((await one.get('/api/whoami')).status, 200);
    assert.equal((await admin.delete(`/api/tokens/${id}`)).status, 204);
    assertProblem(await one.get('/api/whoami'), 401);
    assertProblem(await admin.delete(`/api/tokens/${id}`), 404);
    one.close();
  });

  it('reaches no further than who makes it', async () => {
    const writer = await addUser(admin, nobody, 'frank', { databases: ['default'], prefixes: ['f:'] });
    for (const rights of [{ role: 'admin' }, { prefixes: ['g:'] }, { prefixes: null }, { databases: null }, { databases: ['other'] }]) {
      assertProblem(await writer.post('/api/tokens', { name: 'x', ...rights }), 400, JSON.stringify(rights));
    }
    const { client, ...token } = await addToken(writer, { role: 'read', prefixes: ['f:a'] });
    assert.deepEqual([token.role, token.databases, token.prefixes], ['read', ['default'], ['f:a']]);
    assertProblem(await client.put('/api/keys/f:a1', 'x'), 403);
    assert.equal((await writer.put('/api/keys/f:a1', 'x')).status, 204);
    assert.equal((await client.get('/api/keys/f:a1')).text, 'x');
    await admin.patch('/api/users/frank', { prefixes: ['z:'] });
    assert.notEqual((await client.get('/api/keys/f:a1')).status, 200, 'it narrows with its user');
  });

  it('makes and revokes others only where it is an admin\'s; itself it may always revoke', async () => {
    const writer = await addUser(admin, nobody, 'grace');
    const weak = await addToken(writer);
    const other = await addToken(writer);
    assert.equal(assertProblem(await weak.client.post('/api/tokens', { name: 'x' }), 403).code, 'forbidden');
    assertProblem(await weak.client.delete(`/api/tokens/${other.id}`), 403);
    assert.equal((await weak.client.delete(`/api/tokens/${weak.id}`)).status, 204);
    const strong = await addToken(admin);
    const child = await addToken(strong.client);
    assert.equal((await strong.client.delete(`/api/tokens/${other.id}`)).status, 204, 'of another user, too');
    assert.equal((await child.client.delete(`/api/tokens/${strong.id}`)).status, 204);
  });

  it('of others is seen and revoked by admins only', async () => {
    const henry = await addUser(admin, nobody, 'henry');
    const ivy = await addUser(admin, nobody, 'ivy');
    const { id } = await addToken(henry);
    assert.deepEqual((await henry.get('/api/tokens')).json.tokens.map((token) => token.id), [id]);
    assert.deepEqual((await henry.get('/api/tokens?user=henry')).json.tokens.map((token) => token.id), [id]);
    assert.deepEqual((await ivy.get('/api/tokens')).json.tokens, []);
    for (const query of ['user=henry', 'all=true']) assertProblem(await ivy.get(`/api/tokens?${query}`), 403, query);
    assertProblem(await ivy.delete(`/api/tokens/${id}`), 404, 'it does not even say that it is there');
    assert.deepEqual((await admin.get('/api/tokens?user=henry')).json.tokens.map((token) => token.user), ['henry']);
    assert.ok((await admin.get('/api/tokens?all=true')).json.tokens.some((token) => token.id === id));
    assert.deepEqual((await admin.get('/api/tokens?user=nobody-of-that-name')).json, { tokens: [] });
    assertProblem(await admin.get('/api/tokens?all=true&user=henry'), 400);
    assertProblem(await admin.get('/api/tokens?all=yes'), 400);
    assert.equal((await admin.delete(`/api/tokens/${id}`)).status, 204);
  });

  it('that is impossible is refused', async () => {
    for (const body of [{}, { name: '' }, { name: 'x'.repeat(129) }, { name: 'x', expires_in_seconds: 0 }, { name: 'x', expires_in_seconds: 1.5 },
      { name: 'x', expires_in_seconds: 367 * 86400 }, { name: 'x', role: 'root' }, { name: 'x', secret: 'mine' }]) {
      assert.equal(assertProblem(await admin.post('/api/tokens', body), 400, JSON.stringify(body)).code, 'invalid_body');
    }
  });

  it('is never taken from the query', async () => {
    const { token } = await addToken(admin);
    for (const name of ['token', 'access_token', 'api_key']) assert.ok([400, 401].includes((await nobody.get(`/api/whoami?${name}=${token}`)).status));
  });
});
