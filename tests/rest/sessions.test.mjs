// Logging in: sessions as tokens and as cookies, Basic, what a browser is told, and who guesses too often.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, basic, bearer, logIn, OTHER_PASSWORD, PASSWORD, serverWithAdmin } from './people.mjs';
import { assertProblem, Client, Server, sleep, until, Wire } from './support.mjs';

let server;
let nobody;
let admin;
before(async () => {
  ({ server, nobody, admin } = await serverWithAdmin({ config: { security: { max_auth_failures: 0 } } }));
});
after(() => server?.stop());

describe('a session', () => {
  it('begins with name and password, and is a bearer token', async () => {
    const response = await nobody.post('/api/sessions', { username: 'ada', password: PASSWORD });
    assert.equal(response.status, 201);
    assert.equal(response.headers['cache-control'], 'no-store');
    assert.equal(response.headers['set-cookie'], undefined);
    const { token, id, user, role, expires_at: end, csrf_token: csrf } = response.json;
    assert.match(token, /^vs_[A-Za-z0-9_-]{43}$/);
    assert.deepEqual([user, role, csrf], ['ada', 'admin', undefined]);
    const hours = (Date.parse(end) - Date.now()) / 3_600_000;
    assert.ok(hours > 11.9 && hours < 12.1, `${hours} hours`);
    const who = (await nobody.get('/api/whoami', bearer(token))).json;
    assert.deepEqual([who.user, who.login, who.id, who.expires_at, who.users_configured], ['ada', 'session', id, end, true]);
  });

  it('does not begin with anything else, and what was wrong is not said', async () => {
    const wrong = assertProblem(await nobody.post('/api/sessions', { username: 'ada', password: OTHER_PASSWORD }), 401);
    const unknown = assertProblem(await nobody.post('/api/sessions', { username: 'nobody', password: PASSWORD }), 401);
    assert.equal(wrong.code, 'login_refused');
    assert.deepEqual({ ...wrong, request_id: '' }, { ...unknown, request_id: '' });
    for (const body of [{}, { username: 'ada' }, { username: 'ada', password: '' }, { username: 1, password: PASSWORD }, { username: 'ada', password: PASSWORD, cookie: 1 }]) {
      assert.equal(assertProblem(await nobody.post('/api/sessions', body), 400, JSON.stringify(body)).code, 'invalid_body');
    }
    for (const [type, status] of [['application/json; charset=UTF-8', 201], ['application/json; charset=latin1', 415], ['text/json', 415]]) {
      const response = await nobody.request('POST', '/api/sessions', { body: JSON.stringify({ username: 'ada', password: PASSWORD }), headers: { 'Content-Type': type } });
      assert.equal(response.status, status, `${type}: ${response.text}`);
    }
  });

  it('is listed and ended by its user, and by an admin', async () => {
    const bob = await addUser(admin, nobody, 'bob');
    const second = await logIn(nobody, 'bob');
    const { sessions } = (await bob.get('/api/sessions')).json;
    assert.equal(sessions.length, 2);
    assert.equal(sessions.filter((session) => session.current).length, 1);
    assert.ok(sessions.every((session) => session.user === 'bob' && session.token === undefined));
    const other = sessions.find((session) => !session.current);
    assert.equal((await bob.delete(`/api/sessions/${other.id}`)).status, 204);
    assertProblem(await nobody.get('/api/whoami', bearer(second)), 401);
    const carol = await addUser(admin, nobody, 'carol');
    const own = sessions.find((session) => session.current);
    assertProblem(await carol.delete(`/api/sessions/${own.id}`), 404);
    assertProblem(await carol.get('/api/sessions?user=bob'), 403);
    assertProblem(await carol.get('/api/sessions?all=true'), 403);
    assert.deepEqual((await admin.get('/api/sessions?user=bob')).json.sessions.map(({ id }) => id), [own.id]);
    assert.equal((await admin.delete(`/api/sessions/${own.id}`)).status, 204);
    assertProblem(await bob.get('/api/whoami'), 401);
  });

  it('ends with DELETE /api/sessions/current, and only that one', async () => {
    const dave = await addUser(admin, nobody, 'dave');
    const other = nobody.with(bearer(await logIn(nobody, 'dave')));
    assert.equal((await dave.delete('/api/sessions/current')).status, 204);
    assertProblem(await dave.get('/api/whoami'), 401);
    assert.equal((await other.get('/api/whoami')).status, 200);
    const { client } = await addToken(other);
    assertProblem(await client.delete('/api/sessions/current'), 404);
    assertProblem(await nobody.delete('/api/sessions/current', basic('dave')), 404);
  });

  it('is not for tokens to end', async () => {
    const erin = await addUser(admin, nobody, 'erin');
    const { client } = await addToken(erin);
    const [session] = (await erin.get('/api/sessions')).json.sessions;
    assertProblem(await client.delete(`/api/sessions/${session.id}`), 403);
  });

  it('replaces whoever asked: a login with other credentials is that user\'s', async () => {
    await addUser(admin, nobody, 'frank');
    const response = await nobody.with(basic('ada')).post('/api/sessions', { username: 'frank', password: PASSWORD });
    assert.equal(response.status, 201);
    assert.equal(response.json.user, 'frank');
  });
});

describe('a browser\'s session', () => {
  const login = async () => {
    const response = await nobody.post('/api/sessions', { username: 'ada', password: PASSWORD, cookie: true });
    assert.equal(response.status, 201, response.text);
    const [cookie] = response.headers['set-cookie'];
    const [pair, ...attributes] = cookie.split('; ');
    return { response, pair, attributes, csrf: response.json.csrf_token };
  };

  it('is a cookie that scripts can\'t read and other sites can\'t send', async () => {
    const { response, pair, attributes } = await login();
    assert.match(pair, new RegExp(`^velocity_${server.port}=vs_[A-Za-z0-9_-]{43}$`));
    for (const attribute of ['HttpOnly', 'SameSite=Strict', 'Path=/']) assert.ok(attributes.includes(attribute), attributes.join());
    assert.ok(attributes.some((attribute) => /^Max-Age=43\d{3}$/.test(attribute)), attributes.join());
    assert.ok(!attributes.includes('Secure'), 'over plain HTTP it would never come back');
    assert.equal(response.json.token, undefined, 'a script has no use for it');
    assert.ok(response.json.csrf_token.length >= 32);
  });

  it('reads with the cookie alone, and changes only with its CSRF token', async () => {
    const { pair, csrf } = await login();
    const browser = nobody.with({ Cookie: `other=1; ${pair}; more=2` });
    assert.equal((await browser.get('/api/whoami')).json.csrf_token, csrf, 'a page that was loaded anew asks for it');
    for (const headers of [{}, { 'Velocity-CSRF': '' }, { 'Velocity-CSRF': csrf.slice(1) }, { 'Velocity-CSRF': `${csrf}x` }]) {
      assert.equal(assertProblem(await browser.put('/api/keys/csrf', 'x', headers), 403, JSON.stringify(headers)).code, 'csrf');
      assert.equal(assertProblem(await browser.post('/api/users', { name: 'mallory', password: PASSWORD }, headers), 403).code, 'csrf');
      assert.equal(assertProblem(await browser.delete('/api/keys/csrf', headers), 403).code, 'csrf');
    }
    assertProblem(await browser.get('/api/keys/csrf'), 404);
    assert.equal((await browser.put('/api/keys/csrf', 'x', { 'Velocity-CSRF': csrf })).status, 204);
    const another = await login();
    assertProblem(await browser.put('/api/keys/csrf', 'x', { 'Velocity-CSRF': another.csrf }), 403, 'of another session');
  });

  it('is cleared when it ends', async () => {
    const { pair, csrf } = await login();
    const browser = nobody.with({ Cookie: pair, 'Velocity-CSRF': csrf });
    const ended = await browser.delete('/api/sessions/current');
    assert.equal(ended.status, 204);
    assert.match(ended.headers['set-cookie'][0], new RegExp(`^velocity_${server.port}=; .*Max-Age=0`));
    assertProblem(await browser.get('/api/whoami'), 401);
  });

  it('that was ended elsewhere takes its cookie back, and keeps nobody from logging in again', async () => {
    const { server: strict, nobody: one, admin: boss } = await serverWithAdmin({ config: { security: { max_auth_failures: 1, auth_ban_duration: 60 } } });
    const credentials = { username: 'ada', password: PASSWORD, cookie: true };
    const first = await one.post('/api/sessions', credentials);
    const browser = one.with({ Cookie: first.headers['set-cookie'][0].split('; ')[0] });
    assert.equal((await boss.delete(`/api/sessions/${first.json.id}`)).status, 204);
    for (let i = 0; i < 30; i++) {
      assert.equal((await browser.get('/livez')).status, 200, 'what is for everyone');
      const refused = await browser.get('/api/whoami');
      assertProblem(refused, 401, 'a browser goes on, and is not banned for that');
      assert.match(refused.headers['set-cookie'][0], new RegExp(`^velocity_${strict.port}=; .*Max-Age=0`));
    }
    const again = await browser.post('/api/sessions', credentials);
    assert.equal(again.status, 201, again.text);
    assert.equal((await one.get('/api/whoami', { Cookie: again.headers['set-cookie'][0].split('; ')[0] })).json.user, 'ada');
    await strict.stop();
  });

  it('counts only where it was made for a cookie, and only under this server\'s name', async () => {
    const token = await logIn(nobody, 'ada');
    assertProblem(await nobody.get('/api/whoami', { Cookie: `velocity_${server.port}=${token}` }), 401);
    const { pair } = await login();
    assertProblem(await nobody.get('/api/whoami', { Cookie: pair.replace(/^velocity_\d+/, 'velocity_1') }), 401);
  });

  it('yields to an Authorization field, which needs no CSRF token', async () => {
    const { pair } = await login();
    assert.equal((await nobody.put('/api/keys/both', 'x', { Cookie: pair, ...basic('ada') })).status, 204);
    assertProblem(await nobody.get('/api/keys/both', { Cookie: pair, Authorization: 'Bearer wrong' }), 401);
  });
});

describe('HTTP\'s Basic', () => {
  it('works, and does not hash at every request', async () => {
    const client = new Client(server.port, { connections: 1 }).with(basic('ada'));
    const hashed = async () => (await admin.get('/api/stats')).json.server.logins.passwords_hashed;
    assert.equal((await client.get('/api/whoami')).json.login, 'password');
    const before = await hashed();
    for (let i = 0; i < 50; i++) assert.equal((await client.get('/api/whoami')).status, 200);
    assert.equal(await hashed(), before);
    assertProblem(await nobody.get('/api/whoami', basic('ada', OTHER_PASSWORD)), 401);
    assert.equal(await hashed(), before + 1, 'a hash is counted');
    client.close();
  });

  it('that is wrong or malformed is 401, never nobody', async () => {
    for (const value of ['Basic', 'Basic !', 'Basic YWRh', `Basic ${Buffer.from('ada').toString('base64')}`, 'Bearer', 'Bearer ', 'Digest x', 'x',
      basic('ada', '').Authorization, basic('ada', OTHER_PASSWORD).Authorization, basic('', PASSWORD).Authorization]) {
      assertProblem(await nobody.get('/api/whoami', { Authorization: value }), 401, value);
      for (const free of ['/api/openapi.json', '/readyz?verbose']) assertProblem(await nobody.get(free, { Authorization: value }), 401, value);
      assert.equal((await nobody.get('/livez', { Authorization: value })).status, 200, 'a probe asks how the server is, and not who asks');
    }
  });

  it('that has to be hashed first loses nothing of what comes behind it', async () => {
    let count = 0;
    const somebody = async () => {
      const name = `first${count++}`;
      assert.equal((await admin.post('/api/users', { name, password: PASSWORD })).status, 201);
      return basic(name).Authorization;
    };
    const large = Buffer.alloc(3_000_000, 'abcdefg');
    for (const body of [Buffer.from('small'), large, Buffer.alloc(0)]) {
      assert.equal((await nobody.put('/api/keys/behind', body, { Authorization: await somebody() })).status, 204);
      assert.ok((await admin.get('/api/keys/behind')).body.equals(body), `${body.length} bytes`);
    }
    const chunked = await nobody.request('PUT', '/api/keys/behind', { body: ['in ', 'chunks'], headers: { Authorization: await somebody() } });
    assert.equal(chunked.status, 204);
    assert.equal((await admin.get('/api/keys/behind')).text, 'in chunks');
    const wire = await Wire.open(server.port);
    const put = async (more, key) => `PUT /api/keys/${key} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${await somebody()}\r\nContent-Length: 4\r\n${more}\r\n`;
    wire.send(await put('', 'late'));
    await sleep(300);
    wire.send('late');
    assert.equal((await wire.response()).status, 204);
    wire.send(await put('Expect: 100-continue\r\n', 'asked'));
    assert.equal((await wire.response()).status, 100);
    wire.send('asks');
    assert.equal((await wire.response()).status, 204);
    wire.send(`${await put('', 'one')}one1${await put('', 'two')}two2GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    for (const status of [204, 204, 200]) assert.equal((await wire.response()).status, status);
    wire.close();
    for (const [key, value] of [['late', 'late'], ['asked', 'asks'], ['one', 'one1'], ['two', 'two2']]) assert.equal((await admin.get(`/api/keys/${key}`)).text, value);
  });

  it('that is wrong is told while the body still comes', async () => {
    const headers = (more) => `PUT /api/keys/wrong HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic('ada', 'not it at all').Authorization}\r\nContent-Length: 1000000\r\n${more}\r\n`;
    for (const more of ['', 'Expect: 100-continue\r\n']) {
      const wire = await Wire.open(server.port);
      wire.send(headers(more));
      if (!more) wire.send(Buffer.alloc(100_000));
      assertProblem(await wire.response(), 401);
      wire.close();
    }
  });

  it('whose client leaves meanwhile harms nobody', async () => {
    const wires = await Promise.all(Array.from({ length: 12 }, () => Wire.open(server.port)));
    const body = JSON.stringify({ username: 'ada', password: PASSWORD });
    await admin.post('/api/users', { name: 'leaver', password: PASSWORD });
    wires.forEach((wire, i) => {
      if (i % 2) wire.send(`GET /api/whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic('leaver').Authorization}\r\n\r\n`);
      else wire.send(`POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
    await sleep(20);
    for (const wire of wires) wire.close();
    assert.equal((await nobody.get('/api/whoami', basic('ada'))).status, 200);
  });

  it('answers many at once that all have to be hashed', async () => {
    const names = Array.from({ length: 6 }, (_, i) => `crowd${i}`);
    for (const name of names) await admin.post('/api/users', { name, password: PASSWORD });
    const replies = await Promise.all(names.flatMap((name) => [1, 2, 3].map(() => nobody.get('/api/whoami', basic(name)))));
    assert.deepEqual(replies.map((reply) => reply.status), Array(18).fill(200));
  });
});

describe('a 401', () => {
  it('says how to log in, but not to the scripts of our own pages', async () => {
    const challenge = (await nobody.get('/api/whoami')).headers['www-authenticate'];
    assert.match(challenge, /Bearer realm="velocity"/);
    assert.match(challenge, /Basic realm="velocity", charset="UTF-8"/);
    const own = await nobody.get('/api/whoami', { 'Sec-Fetch-Site': 'same-origin' });
    assert.equal(own.status, 401);
    assert.equal(own.headers['www-authenticate'], undefined);
  });
});

describe('who guesses too often', () => {
  it('is banned for that user, 429 with Retry-After, and let in again when the ban ends', async () => {
    const { server: strict, nobody: one, admin: boss } = await serverWithAdmin({ config: { security: { max_auth_failures: 3, auth_ban_duration: 5 } } });
    await addUser(boss, one, 'bob');
    const guess = (username, password) => one.post('/api/sessions', { username, password });
    for (let i = 0; i < 3; i++) assertProblem(await guess('bob', `wrong guess ${i}`), 401);
    const banned = await guess('bob', PASSWORD);
    assert.equal(assertProblem(banned, 429, 'even the right one').code, 'banned');
    const seconds = Number(banned.headers['retry-after']);
    assert.ok(seconds >= 1 && seconds <= 5, `Retry-After: ${seconds}`);
    assertProblem(await one.get('/api/whoami', basic('bob')), 429);
    assert.equal((await guess('ada', PASSWORD)).status, 201, 'others from there are not');
    assert.equal((await boss.get('/api/whoami')).status, 200, 'and a token needs no guesses');
    await sleep(seconds * 1000);
    await until('the end of the ban', async () => (await guess('bob', PASSWORD)).status === 201, 2_000);
    await strict.stop();
  });

  it('is banned by address, others log in', async () => {
    const { server: strict, nobody: one, admin: boss } = await serverWithAdmin({
      config: { server: { trusted_proxies: ['127.0.0.1'] }, security: { max_auth_failures: 2, auth_ban_duration: 60 } },
    });
    await addUser(boss, one, 'bob');
    const from = (address, password) => one.post('/api/sessions', { username: 'bob', password }, { 'X-Forwarded-For': address, 'X-Forwarded-Proto': 'https' });
    for (let i = 0; i < 2; i++) assertProblem(await from('192.0.2.1', 'wrong guess'), 401);
    assertProblem(await from('192.0.2.1', PASSWORD), 429);
    assert.equal((await from('192.0.2.2', PASSWORD)).status, 201, 'nobody is locked out by a stranger');
    await strict.stop();
  });

  it('counts at a change of the own password, too', async () => {
    const { server: strict, nobody: one, admin: boss } = await serverWithAdmin({ config: { security: { max_auth_failures: 2, auth_ban_duration: 60 } } });
    const bob = await addUser(boss, one, 'bob');
    const change = (old) => bob.send('PUT', '/api/whoami/password', { old_password: old, password: OTHER_PASSWORD });
    for (let i = 0; i < 2; i++) assertProblem(await change('wrong guess'), 403);
    assertProblem(await change(PASSWORD), 429);
    await strict.stop();
  });
});

describe('a server without users', () => {
  it('lets nobody log in, and asks nobody to', async () => {
    const open = await Server.start();
    assertProblem(await open.client.post('/api/sessions', { username: 'ada', password: PASSWORD }), 401);
    assert.equal((await open.client.get('/api/whoami', basic('ada'))).json.login, 'open');
    assert.deepEqual((await open.client.get('/api/sessions')).json, { sessions: [] });
    await open.stop();
  });
});
