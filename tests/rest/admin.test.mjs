// velocity admin. First as a client, against servers that answer what a test wants; then on a data directory without a server; then with a server over it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { selfSigned } from './certificate.mjs';
import { fake, json, problem, settings, TOKEN } from './fake.mjs';
import { basic } from './people.mjs';
import { binary, cleanEnvironment, PATIENCE_MS, Server, temporaryDirectory, within } from './support.mjs';

/** Of a password that nobody needs to know. */
const HASH = '$argon2id$v=19$m=19456,t=2,p=1$D9KAgoub3fnBxbpkF6E/Qw$MH8jW1S2hgoeHAIwMfiDUobEoSOcS+z6b4zTeB6CBM0';

/** Runs it away from any terminal: { code, stdout, stderr }. */
function velocity(args, { input = '', env = settings().env, cwd = temporaryDirectory(), onStart = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, { cwd, env: cleanEnvironment(env), stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    onStart(child);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    child.stdin.on('error', () => {}); // it may end before it has read
    child.stdin.end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, stdout, stderr });
    });
  });
}

/** Runs it on a terminal, and types each answer when its question shows: { code, shown }. */
function onTerminal(args, dialogue, { env = settings().env } = {}) {
  return new Promise((resolve, reject) => {
    const line = [binary, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    const child = spawn('script', ['-qec', line, '/dev/null'], { cwd: temporaryDirectory(), env: cleanEnvironment(env), stdio: ['pipe', 'pipe', 'pipe'] });
    const left = [...dialogue];
    let shown = '';
    let seen = 0;
    child.stdout.on('data', (data) => {
      shown += data;
      while (left.length && left[0][0].test(shown.slice(seen))) {
        seen = shown.length;
        child.stdin.write(left.shift()[1]);
      }
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      assert.deepEqual(left.map(([question]) => String(question)), [], `questions that never came; shown: ${shown}`);
      resolve({ code: code ?? signal, shown });
    });
  });
}

/** One line on standard error that matches all of these, and nothing on standard output. */
function assertComplains(end, code, ...patterns) {
  assert.equal(end.code, code, JSON.stringify(end));
  assert.equal(end.stdout, '');
  assert.match(end.stderr, /^velocity: [^\n]+\n$/, 'one line');
  for (const pattern of patterns) assert.match(end.stderr, pattern);
}

const ADA = { name: 'ada', role: 'admin', databases: null, prefixes: null, configured: false, created_at: '2026-11-21T19:00:00Z' };
const PROGRAM = { name: 'program', role: 'read', databases: ['orders', 'stock'], prefixes: ['user:'], configured: true, created_at: null };
const USERS = { users: [ADA, PROGRAM] };

describe('velocity admin, told where the server is', () => {
  it('shows a list as a table that is aligned', async () => {
    const server = await fake(json(200, USERS));
    const end = await velocity(['admin', 'list-users', '--url', server.url]);
    assert.deepEqual([end.code, end.stderr], [0, '']);
    assert.deepEqual(end.stdout.split('\n'), [
      'NAME     ROLE   DATABASES     PREFIXES  IN             CREATED',
      'ada      admin  all           all       data           2026-11-21T19:00:00Z',
      'program  read   orders,stock  user:     configuration  -',
      '',
    ]);
    assert.equal(server.requests.length, 1);
    assert.deepEqual([server.requests[0].method, server.requests[0].target, server.requests[0].body], ['GET', '/api/users', null]);
    assert.equal(server.requests[0].headers.authorization, undefined, 'without a token none is sent');
  });

  it('shows with --json what the server says, byte for byte', async () => {
    const server = await fake(json(200, USERS));
    assert.equal((await velocity(['admin', 'list-users', '--url', server.url, '--json'])).stdout, `${JSON.stringify(USERS)}\n`);
  });

  it('sends a new user with what was asked for, and the password of standard input', async () => {
    const server = await fake(json(201, PROGRAM));
    const end = await velocity(
      ['create-user', '--url', server.url, '--username', 'program', '--password-stdin', '--role', 'read', '--databases', 'orders,stock', '--prefixes=user:'],
      { input: 'pass "wörd"\n' },
    );
    assert.deepEqual([end.code, end.stderr], [0, '']);
    assert.match(end.stdout, /^program  read  orders,stock  user:     configuration  -$/m);
    const [request] = server.requests;
    assert.deepEqual([request.method, request.target], ['POST', '/api/users']);
    assert.equal(request.headers['content-type'], 'application/json');
    assert.deepEqual(request.body, { name: 'program', password: 'pass "wörd"', role: 'read', databases: ['orders', 'stock'], prefixes: ['user:'] });
  });

  it('sends only what was given', async () => {
    const server = await fake(json(201, ADA));
    await velocity(['create-user', '--url', server.url, '--username', 'ada', '--password', 'correct horse']);
    assert.deepEqual(server.requests[0].body, { name: 'ada', password: 'correct horse' });
  });

  it('carries out every other command with the request that belongs to it', async () => {
    const server = await fake((request, response) => (request.method === 'GET' ? json(200, { tokens: [], databases: [] }) : json(204))(request, response));
    const at = ['--url', server.url];
    for (const [args, ...expected] of [
      [['set-password', '--username', 'ada', '--password', 'correct horse'], 'PATCH', '/api/users/ada', { password: 'correct horse' }],
      [['delete-user', '--username', 'ada'], 'DELETE', '/api/users/ada', null],
      [['list-tokens'], 'GET', '/api/tokens', null],
      [['revoke-token', '00ff'], 'DELETE', '/api/tokens/00ff', null],
      [['list-databases'], 'GET', '/api/databases', null],
      [['drop-database', 'orders', '--yes'], 'DELETE', '/api/databases/orders', null],
    ]) {
      const end = await velocity(['admin', ...args, ...at]);
      assert.deepEqual([end.code, end.stderr], [0, ''], args.join(' '));
      const request = server.requests.at(-1);
      assert.deepEqual([request.method, request.target, request.body], expected);
    }
  });

  it('makes a database with its limit, and shows sizes with units', async () => {
    const database = { name: 'orders', status: 'open', size_bytes: 1_572_864, keys_estimate: 12345678901234567890n, max_disk_bytes: null, created_at: '2026-11-21T19:00:00Z' };
    const text = JSON.stringify(database, (_, v) => (typeof v === 'bigint' ? 'BIG' : v)).replace('"BIG"', '12345678901234567890');
    const server = await fake((_, response) => response.writeHead(201, { 'Content-Type': 'application/json' }).end(text));
    const end = await velocity(['admin', 'create-database', 'orders', '--max-disk-bytes', '67108864', '--url', server.url]);
    assert.equal(end.code, 0, end.stderr);
    assert.match(end.stdout, /^orders +open +1\.5 MiB +12345678901234567890 +- +2026-11-21T19:00:00Z +-$/m);
    assert.deepEqual(server.requests[0].body, { name: 'orders', max_disk_bytes: 67108864 });
  });

  it('prints a new token alone on standard output, and everything about it on standard error', async () => {
    const answer = { id: 'a'.repeat(32), name: 'ci', user: 'ada', role: 'write', databases: null, prefixes: null, created_at: '2026-11-21T19:00:00Z', expires_at: '2026-11-28T19:00:00Z', token: TOKEN };
    const server = await fake(json(201, answer));
    const end = await velocity(['admin', 'create-token', '--name', 'ci', '--expires', '7d', '--role', 'write', '--url', server.url]);
    assert.deepEqual([end.code, end.stdout], [0, `${TOKEN}\n`]);
    assert.match(end.stderr, /^velocity: [^\n]*ada[^\n]*2026-11-28T19:00:00Z\n$/);
    assert.ok(!end.stderr.includes(TOKEN));
    assert.deepEqual(server.requests[0].body, { name: 'ci', role: 'write', expires_in_seconds: 604_800 });
  });

  it('escapes names, so that none of them leads elsewhere', async () => {
    const server = await fake(json(204));
    for (const [name, target] of [
      ['a/b?c#d', '/api/users/a%2Fb%3Fc%23d'],
      ['../tokens', '/api/users/..%2Ftokens'],
      ['%2e', '/api/users/%252e'],
      ['ü x', '/api/users/%C3%BC%20x'],
    ]) {
      assert.equal((await velocity(['admin', 'delete-user', '--username', name, '--url', server.url])).code, 0);
      assert.equal(server.requests.at(-1).target, target);
    }
  });

  it('keeps the path of a URL in front of its own', async () => {
    const server = await fake(json(200, USERS));
    assert.equal((await velocity(['admin', 'list-users', '--url', `${server.url}/velocity/`])).code, 0);
    assert.equal(server.requests[0].target, '/velocity/api/users');
  });

  it('is told by VELOCITY_URL as every command is, but where a data directory is named', async () => {
    const server = await fake(json(200, USERS));
    const cwd = temporaryDirectory();
    const env = { ...settings().env, VELOCITY_URL: server.url };
    assert.equal((await velocity(['admin', 'list-users'], { env, cwd })).code, 0);
    const made = await velocity(['create-user', '--username', 'ada', '--password', 'password of ada'], { env, cwd });
    assert.deepEqual(server.requests.map(({ method, target }) => `${method} ${target}`), ['GET /api/users', 'POST /api/users'], made.stderr);
    assert.deepEqual(readdirSync(cwd), [], 'nobody gets a data directory that they did not mean');
    assertComplains(await velocity(['admin', 'list-users', '--data-dir', 'none'], { env, cwd }), 3, /none is no data directory/);
    assertComplains(await velocity(['admin', 'list-users'], { env: { ...env, VELOCITY_URL: 'here' }, cwd }), 2, /VELOCITY_URL/);
    assertComplains(await velocity(['admin', 'list-users'], { env: { ...env, VELOCITY_URL: '' }, cwd }), 3, /velocitydb is no data directory/);
    assert.equal(server.requests.length, 2);
  });
});

describe('a server that refuses', () => {
  for (const [what, reply, code, ...patterns] of [
    ['a conflict', problem(409, 'user_exists', 'There is a user ada already.'), 1, /There is a user ada already\. \(HTTP 409 user_exists\)/],
    ['what is not there', problem(404, 'user_not_found', 'There is no user ada.'), 3, /There is no user ada/],
    ['a problem without detail', json(403, { title: 'Not yours', status: 403, code: 'forbidden' }), 1, /Not yours \(HTTP 403 forbidden\)/],
    ['a ban', problem(429, 'banned', 'Too many failures.', { 'Retry-After': '120' }), 1, /again in 120 s/],
    ['nobody logged in', problem(401, 'login_required', 'Who are you?'), 1, /Who are you/, /--login/, /VELOCITY_TOKEN/],
    ['a problem that is none', json(500, ['no object']), 1, /HTTP 500/, /right address/],
    ['a page of a proxy', (_, response) => response.writeHead(502, { 'Content-Type': 'text/html' }).end('<h1>Bad</h1>'), 1, /HTTP 502/, /right address/],
    ['a page of another service', (_, response) => response.writeHead(200).end('<h1>Hello</h1>'), 1, /not JSON/],
    ['JSON of another service', json(200, { people: [] }), 1, /is it a server of Velocity/],
    ['nothing at all', json(200), 1, /is it a server of Velocity/],
  ]) {
    it(`(${what}): exit ${code} and one line`, async () => {
      const server = await fake(reply);
      assertComplains(await velocity(['admin', 'list-users', '--url', server.url]), code, ...patterns);
    });
  }

  it('without saying whom it is about is helped out', async () => {
    const server = await fake(json(409, { title: 'The name is in use', status: 409, code: 'name_taken' }));
    const end = await velocity(['create-user', '--username', 'ada', '--password', 'correct horse', '--url', server.url]);
    assertComplains(end, 1, /ada: The name is in use \(HTTP 409 name_taken\)/);
  });

  it('a token is told that it is wrong', async () => {
    const server = await fake(problem(401, 'login_required', 'Who are you?'));
    const { env } = settings({ token: TOKEN });
    assertComplains(await velocity(['admin', 'list-users', '--url', server.url], { env }), 1, /the token is wrong/);
  });

  it('or sends elsewhere is not followed', async () => {
    const other = await fake(json(200, USERS));
    const server = await fake((_, response) => response.writeHead(307, { Location: `${other.url}/api/users` }).end());
    const { env } = settings({ token: TOKEN });
    assertComplains(await velocity(['admin', 'list-users', '--url', server.url], { env }), 1, /sends elsewhere/, new RegExp(other.url));
    assert.equal(other.requests.length, 0);
  });

  it('or is not there says so at once', async () => {
    const began = performance.now();
    assertComplains(await velocity(['admin', 'list-users', '--url', 'http://127.0.0.1:1']), 1, /can't reach/, /does the server run there/);
    assert.ok(performance.now() - began < PATIENCE_MS, 'it waited as long as for an answer'); // 60 s
  });

  it('or never answers is left after --timeout; of a change it is said that nobody knows', async () => {
    const server = await fake(() => {});
    const began = performance.now();
    const [read, change] = await Promise.all([
      velocity(['admin', 'list-users', '--url', server.url, '--timeout', '1']),
      velocity(['admin', 'delete-user', '--username', 'ada', '--url', server.url, '--timeout', '1']),
    ]);
    assert.ok(performance.now() - began < PATIENCE_MS, 'they waited for the usual time, 60 s');
    assertComplains(read, 1, /did not answer in time$/m);
    assertComplains(change, 1, /did not answer in time/, /whether it was done is not known/);
  });

  it('or breaks off in the middle is not taken for an answer', async () => {
    const server = await fake((request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100000' });
      response.write('{"users":[]}', () => request.socket.destroy());
    });
    assertComplains(await velocity(['admin', 'list-users', '--url', server.url]), 1, /no answer/);
  });

  it('or answers without end, or says that it will, is cut off', async () => {
    const endless = await fake((_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, ' ')));
      };
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.on('drain', more);
      more();
    });
    const huge = await fake((_, response) => response.writeHead(200, { 'Content-Length': String(2 ** 40) }).write('{'));
    for (const server of [endless, huge]) {
      assertComplains(await velocity(['admin', 'list-users', '--url', server.url]), 1, /more than 16 MiB/);
    }
  });

  it('can not write control characters to the terminal', async () => {
    const evil = '\x1b]0;owned\x07\x1b[31m\u009b2J\r\nfake line';
    const refusing = await fake(problem(409, 'c\x1b[0m', evil));
    const end = await velocity(['admin', 'list-users', '--url', refusing.url]);
    const listing = await fake(json(200, { users: [{ ...ADA, name: evil, prefixes: [evil] }] }));
    const { code, stdout } = await velocity(['admin', 'list-users', '--url', listing.url]);
    assertComplains(end, 1, /owned/);
    assert.equal(code, 0);
    assert.match(stdout, /owned/);
    for (const text of [end.stderr, stdout]) assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f]/); // eslint-disable-line no-control-regex
    assert.equal(stdout.split('\n').length, 3);
  });
});

describe('wrong usage', () => {
  for (const [what, args, pattern] of [
    ['no user name', ['admin', 'create-user', '--url', 'http://127.0.0.1:1'], /--username/],
    ['no id', ['admin', 'revoke-token', '--url', 'http://127.0.0.1:1'], /ID/],
    ['an unknown role', ['create-user', '--username', 'ada', '--role', 'god', '--url', 'http://127.0.0.1:1'], /--role god/],
    ['an empty list', ['create-user', '--username', 'ada', '--databases', ',', '--url', 'http://127.0.0.1:1'], /--databases/],
    ['a duration without a unit', ['admin', 'create-token', '--name', 'ci', '--expires', '90', '--url', 'http://127.0.0.1:1'], /--expires/],
    ['a size with a unit', ['admin', 'create-database', 'a', '--max-disk-bytes', '1GB', '--url', 'http://127.0.0.1:1'], /--max-disk-bytes/],
    ['two ways to give a password', ['create-user', '--username', 'ada', '--password', 'x', '--password-stdin', '--url', 'http://127.0.0.1:1'], /not both/],
    ['a URL without its scheme', ['admin', 'list-users', '--url', '127.0.0.1:2005'], /--url/],
    ['a URL of another protocol', ['admin', 'list-users', '--url', 'file:///etc/passwd'], /--url/],
    ['a URL with a password', ['admin', 'list-users', '--url', 'http://ada:secret@127.0.0.1:1'], /--login/],
    ['a URL with a query', ['admin', 'list-users', '--url', 'http://127.0.0.1:1/?token=x'], /"\?"/],
    ['a fingerprint that is none', ['admin', 'list-users', '--url', 'https://127.0.0.1:1', '--fingerprint', 'SHA256:abc'], /--fingerprint/],
    ['a timeout of nothing', ['admin', 'list-users', '--url', 'http://127.0.0.1:1', '--timeout', '0'], /--timeout/],
    ['a user for a token of a server', ['admin', 'create-token', '--name', 'ci', '--username', 'ada', '--url', 'http://127.0.0.1:1'], /--login ada/],
    ['a token without a name', ['admin', 'create-token', '--url', 'http://127.0.0.1:1'], /--name/],
    ['what can\'t be undone, unasked', ['admin', 'drop-database', 'orders', '--url', 'http://127.0.0.1:1'], /--yes/],
    ['plain HTTP to another machine', ['admin', 'list-users', '--url', 'http://192.0.2.1:2005'], /https:\/\//],
  ]) {
    it(`(${what}) exits 2 with one line`, async () => assertComplains(await velocity(args), 2, pattern));
  }

  it('help explains the group and each command', async () => {
    const group = await velocity(['help', 'admin']);
    assert.equal(group.code, 0);
    for (const name of ['create-user', 'list-users', 'set-password', 'delete-user', 'create-token', 'list-tokens', 'revoke-token', 'create-database', 'list-databases', 'drop-database']) {
      assert.match(group.stdout, new RegExp(`admin ${name}\\b`));
      const one = await velocity(['help', 'admin', name]);
      assert.equal(one.code, 0);
      for (const option of ['--url', '--token-file', '--fingerprint', '--json']) assert.ok(one.stdout.includes(option), `${name} ${option}`);
      for (const line of one.stdout.split('\n')) assert.ok(line.length <= 120, line);
    }
  });
});

describe('a token', () => {
  it('comes from --token-file, else VELOCITY_TOKEN, else the user\'s own file, and goes in a header field only', async () => {
    const server = await fake(json(200, USERS));
    const { env } = settings({ token: 'vt_own\n' });
    const file = path.join(temporaryDirectory(), 'token');
    writeFileSync(file, 'vt_file', { mode: 0o600 });
    const list = ['admin', 'list-users', '--url', server.url];
    await velocity(list, { env });
    await velocity(list, { env: { ...env, VELOCITY_TOKEN: 'vt_variable' } });
    await velocity([...list, '--token-file', file], { env: { ...env, VELOCITY_TOKEN: 'vt_variable' } });
    assert.deepEqual(server.requests.map((request) => request.headers.authorization), ['Bearer vt_own', 'Bearer vt_variable', 'Bearer vt_file']);
    for (const request of server.requests) assert.equal(request.target, '/api/users');
  });

  it('in a file that others may read is refused, and told how to mend it', async () => {
    const server = await fake(json(200, USERS));
    const { env, folder } = settings({ token: TOKEN });
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(path.join(folder, 'token'), mode);
      assertComplains(await velocity(['admin', 'list-users', '--url', server.url], { env }), 1, /chmod 600/);
    }
    assert.equal(server.requests.length, 0);
  });

  it('that is none is not sent', async () => {
    const server = await fake(json(200, USERS));
    for (const token of ['', '\n', 'two words', 'vt_a\r\nX-Evil: 1', 'vt_a\0b', 'vt_ü', 'x'.repeat(2000)]) {
      const end = await velocity(['admin', 'list-users', '--url', server.url], { env: settings({ token }).env });
      assertComplains(end, 1, /token/);
    }
    assert.equal(server.requests.length, 0);
  });

  it('file that was named and is not there is an error', async () => {
    assertComplains(await velocity(['admin', 'list-users', '--url', 'http://127.0.0.1:1', '--token-file', '/nonexistent/token']), 1, /\/nonexistent\/token/);
  });

  it('of plain HTTP goes past the proxies of the environment', async () => {
    const server = await fake(json(200, USERS));
    const proxy = await fake(json(200, USERS));
    const { env } = settings({ token: TOKEN });
    const end = await velocity(['admin', 'list-users', '--url', server.url], { env: { ...env, http_proxy: proxy.url, all_proxy: proxy.url, ALL_PROXY: proxy.url } });
    assert.equal(end.code, 0, end.stderr);
    assert.deepEqual([server.requests.length, proxy.requests.length], [1, 0]);
  });
});

describe('a password', () => {
  it('logs in with --login, instead of a token, and comes before the new one', async () => {
    const server = await fake(json(201, ADA));
    const { env } = settings({ token: TOKEN });
    const end = await velocity(['create-user', '--username', 'bob', '--login', 'ada', '--password-stdin', '--url', server.url], { env, input: 'adas password\nbobs password\nmore' });
    assert.equal(end.code, 0, end.stderr);
    assert.equal(server.requests[0].headers.authorization, `Basic ${Buffer.from('ada:adas password').toString('base64')}`);
    assert.deepEqual(server.requests[0].body, { name: 'bob', password: 'bobs password' });
  });

  it('of who logs in and names nobody else is the own one', async () => {
    const server = await fake(json(204));
    for (const args of [[], ['--username', 'ada']]) {
      const end = await velocity(['admin', 'set-password', '--login', 'ada', ...args, '--password-stdin', '--url', server.url], { input: 'old password\nnew password\n' });
      assert.deepEqual([end.code, end.stdout], [0, 'ada has a new password\n']);
      const request = server.requests.at(-1);
      assert.deepEqual([request.method, request.target, request.body], ['PUT', '/api/whoami/password', { old_password: 'old password', password: 'new password' }]);
    }
    await velocity(['admin', 'set-password', '--login', 'ada', '--username', 'bob', '--password-stdin', '--url', server.url], { input: 'adas password\nbobs password\n' });
    assert.deepEqual([server.requests.at(-1).target, server.requests.at(-1).body], ['/api/users/bob', { password: 'bobs password' }]);
  });

  it('that is none is refused before anything is sent', async () => {
    const server = await fake(json(201, ADA));
    for (const [input, pattern] of [['', /ended/], ['\n', /empty/], [Buffer.from([0xff, 0x0a]), /UTF-8/], ['a\0b\n', /NUL/], [`${'x'.repeat(2000)}\n`, /longer/]]) {
      assertComplains(await velocity(['create-user', '--username', 'ada', '--password-stdin', '--url', server.url], { input }), 1, pattern);
    }
    assertComplains(await velocity(['create-user', '--username', 'ada', '--url', server.url], { input: 'not asked for\n' }), 1, /no terminal/, /--password-stdin/);
    assert.equal(server.requests.length, 0);
  });

  it('of the command line is gone from the list of processes while the request is under way', async () => {
    let child;
    let words;
    const server = await fake((request, response) => {
      words = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
      json(201, ADA)(request, response);
    });
    await velocity(['create-user', '--username', 'ada', '--password', 'swordfish', '--url', server.url], { onStart: (started) => (child = started) });
    assert.ok(words.includes('--password') && !words.includes('swordfish'), words);
  });

  it('is asked for at the terminal, twice, and not shown', async () => {
    const server = await fake(json(201, ADA));
    const { code, shown } = await onTerminal(['create-user', '--username', 'ada', '--url', server.url], [
      [/Password of ada: /, 'swordfish\n'],
      [/Password of ada, once more: /, 'swordfish\n'],
    ]);
    assert.equal(code, 0, shown);
    assert.ok(!shown.includes('swordfish'), shown);
    assert.equal(server.requests[0].body.password, 'swordfish');
  });

  it('that is typed in two ways is not taken', async () => {
    const server = await fake(json(201, ADA));
    const { code, shown } = await onTerminal(['create-user', '--username', 'ada', '--url', server.url], [
      [/Password of ada: /, 'swordfish\n'],
      [/once more: /, 'swordfisch\n'],
    ]);
    assert.equal(code, 1);
    assert.match(shown, /two passwords/);
    assert.equal(server.requests.length, 0);
  });

  it('leaves a terminal that shows what is typed, also after Ctrl-C', async () => {
    const line = `'${binary}' create-user --username ada --url http://127.0.0.1:1; stty -a | grep -o ' -*echo '`;
    const child = spawn('script', ['-qec', `sh -c "trap : INT; ${line.replaceAll('"', '\\"')}"`, '/dev/null'], { env: cleanEnvironment(settings().env), stdio: ['pipe', 'pipe', 'pipe'] });
    let shown = '';
    let asked = false;
    child.stdout.on('data', (data) => {
      shown += data;
      if (asked || !shown.includes('Password of ada: ')) return;
      asked = true;
      child.stdin.write('\x03');
    });
    await within(PATIENCE_MS, 'the end after Ctrl-C', new Promise((resolve) => child.on('close', resolve)));
    assert.match(shown, / echo /, shown);
  });
});

describe('over TLS', () => {
  const good = selfSigned();
  const other = selfSigned();
  const list = (server, ...args) => ['admin', 'list-users', '--url', server.url, ...args];

  it('a server whose certificate nobody vouches for is refused, and its fingerprint named', async () => {
    const server = await fake(json(200, USERS), { tls: good });
    const { env, folder } = settings({ token: TOKEN });
    const end = await velocity(list(server), { env });
    assertComplains(end, 1, /can't be verified/);
    assert.ok(end.stderr.includes(`--fingerprint ${good.fingerprint}`), end.stderr);
    assert.equal(server.requests.length, 0, 'nothing was sent');
    assert.ok(!existsSync(path.join(folder, 'known_servers')));
  });

  it('the pinned key opens the way, and any other closes it before anything is sent', async () => {
    const server = await fake(json(200, USERS), { tls: good });
    const { env } = settings({ token: TOKEN });
    assert.equal((await velocity(list(server, '--fingerprint', good.fingerprint), { env })).code, 0);
    assert.equal(server.requests[0].headers.authorization, `Bearer ${TOKEN}`);
    assertComplains(await velocity(list(server, '--fingerprint', other.fingerprint), { env }), 1, /another key/);
    assert.equal(server.requests.length, 1);
  });

  it('an authority of --ca-file vouches, another does not, and then nobody is asked', async () => {
    const server = await fake(json(200, USERS), { tls: good });
    const folder = temporaryDirectory();
    for (const [name, { cert }] of Object.entries({ good, other })) writeFileSync(path.join(folder, name), cert);
    assert.equal((await velocity(list(server, '--ca-file', path.join(folder, 'good')))).code, 0);
    assertComplains(await velocity(list(server, '--ca-file', path.join(folder, 'other'))), 1, /can't be verified/);
    assertComplains(await velocity(list(server, '--ca-file', path.join(folder, 'none'))), 1, /authorities/, /none/);
    const { code, shown } = await onTerminal(list(server, '--ca-file', path.join(folder, 'other')), []);
    assert.equal(code, 1, shown);
    assert.equal(server.requests.length, 1);
  });

  it('trust on first use: asked once, remembered, and refused when the key changes', async () => {
    const server = await fake(json(200, USERS), { tls: good });
    const user = settings({ token: TOKEN, knownServers: `# a comment\nelsewhere:1 ${other.fingerprint}\n` });
    const { code, shown } = await onTerminal(list(server), [[/Trust it from now on\?/, 'yes\n']], user);
    assert.equal(code, 0, shown);
    assert.ok(shown.includes(good.fingerprint));
    assert.match(shown, /ada/);
    assert.equal(user.known(), `# a comment\nelsewhere:1 ${other.fingerprint}\n127.0.0.1:${server.port} ${good.fingerprint}\n`);
    assert.equal((await velocity(list(server), user)).code, 0, 'known now, also off a terminal');
    server.showKey(other); // an impostor at the same address
    assertComplains(await velocity(list(server), user), 1, /another key/, /known_servers/);
    assert.equal(server.requests.length, 2, 'nothing was sent to it');
  });

  it('a no, or another fingerprint, is a no', async () => {
    const server = await fake(json(200, USERS), { tls: good });
    for (const answer of ['no', '', 'y', other.fingerprint]) {
      const user = settings({ token: TOKEN });
      const { code, shown } = await onTerminal(list(server), [[/Trust it from now on\?/, `${answer}\n`]], user);
      assert.equal(code, 1, shown);
      assert.ok(!existsSync(path.join(user.folder, 'known_servers')));
    }
    const user = settings();
    rmSync(user.folder, { recursive: true });
    const { code } = await onTerminal(list(server), [[/Trust it from now on\?/, `${good.fingerprint}\n`]], user);
    assert.equal(code, 0, 'the fingerprint itself is a yes, and the folder is made');
    assert.equal(statSync(user.folder).mode & 0o777, 0o700);
    assert.equal(statSync(path.join(user.folder, 'known_servers')).mode & 0o777, 0o600);
    assert.equal(server.requests.length, 1);
  });

  it('a file known_servers that others may write, or that is damaged, is not believed', async () => {
    const server = await fake(json(200, USERS), { tls: good });
    const open = settings({ knownServers: `127.0.0.1:${server.port} ${good.fingerprint}\n` });
    chmodSync(path.join(open.folder, 'known_servers'), 0o666);
    assertComplains(await velocity(list(server), open), 1, /known_servers/);
    const damaged = settings({ knownServers: `127.0.0.1:${server.port} SHA256:short\n` });
    assertComplains(await velocity(list(server), damaged), 1, /known_servers/, /fingerprint/);
    assert.equal(server.requests.length, 0);
  });

  it('plain HTTP where TLS was expected, and the other way round, is explained', async () => {
    const plain = await fake(json(200, USERS));
    const tls = await fake(json(200, USERS), { tls: good });
    assertComplains(await velocity(['admin', 'list-users', '--url', `https://127.0.0.1:${plain.port}`]), 1, /TLS/, /http:\/\//);
    assertComplains(await velocity(['admin', 'list-users', '--url', `http://127.0.0.1:${tls.port}`]), 1, /no answer|not as Velocity/);
  });
});

describe('velocity admin, not told where the server is', () => {
  /** A server that runs over a data directory, which says that `url` is its address. */
  async function running(url) {
    const server = await Server.start();
    const file = path.join(server.dataDir, 'server.url');
    rmSync(file, { force: true });
    if (url !== undefined) writeFileSync(file, url, { mode: 0o600 });
    return { server, at: ['--data-dir', server.dataDir] };
  }

  it('asks the one that runs over the data directory', async () => {
    const { requests, url } = await fake(json(200, USERS));
    const { server, at } = await running(`${url}\n`);
    const end = await velocity(['admin', 'list-users', ...at]);
    assert.deepEqual([end.code, end.stderr], [0, '']);
    assert.equal(requests.length, 1);
    await server.stop();
  });

  it('asks one that listens on every address of the machine on the machine itself', async () => {
    const { requests, port } = await fake(json(200, USERS));
    const { server, at } = await running(`http://0.0.0.0:${port}\n`);
    assert.equal((await velocity(['admin', 'list-users', ...at])).code, 0);
    assert.equal(requests[0].headers.host, `127.0.0.1:${port}`);
    await server.stop();
  });

  it('finds the data directory as the server does', async () => {
    const { requests, url } = await fake(json(200, USERS));
    const { server } = await running(url);
    const { env } = settings();
    const file = path.join(temporaryDirectory(), 'velocity.toml');
    writeFileSync(file, `[server]\ndata_dir = ${JSON.stringify(server.dataDir)}\n`);
    for (const [args, options] of [
      [['--config', file], {}],
      [[], { env: { ...env, VELOCITY_SERVER_DATA_DIR: server.dataDir } }],
      [[], { cwd: path.dirname(file) }],
    ]) {
      const end = await velocity(['admin', 'list-users', ...args], options);
      assert.equal(end.code, 0, end.stderr);
    }
    assert.equal(requests.length, 3);
    await server.stop();
  });

  it('knows the key of a server of this machine from its own files', async () => {
    const certificate = selfSigned();
    const { requests, url } = await fake(json(200, USERS), { tls: certificate });
    const { server, at } = await running(url);
    mkdirSync(path.join(server.dataDir, 'tls'), { recursive: true });
    const file = path.join(server.dataDir, 'tls', 'cert.pem');
    writeFileSync(file, certificate.cert);
    assert.equal((await velocity(['admin', 'list-users', ...at])).code, 0);
    writeFileSync(file, selfSigned().cert);
    assertComplains(await velocity(['admin', 'list-users', ...at]), 1, /another key/, /certificate file/);
    writeFileSync(file, 'nothing');
    assertComplains(await velocity(['admin', 'list-users', ...at]), 1, /cert\.pem/);
    assert.equal(requests.length, 1);
    await server.stop();
  });

  it('says so where the directory is in use, and nobody says by whom', async () => {
    const { server, at } = await running();
    assertComplains(await velocity(['admin', 'list-users', ...at]), 1, /in use/, /--url/);
    await server.stop();
  });

  it('says so where there is no data directory: exit 3, and nothing is made', async () => {
    const cwd = temporaryDirectory();
    assertComplains(await velocity(['admin', 'list-users'], { cwd }), 3, /velocitydb/, /--data-dir/, /--url/);
    assert.ok(!existsSync(path.join(cwd, 'velocitydb')));
  });

  it('does not read a configuration where --url says it all; else a bad one is exit 78', async () => {
    const { url } = await fake(json(200, USERS));
    const cwd = temporaryDirectory();
    writeFileSync(path.join(cwd, 'velocity.toml'), '[nonsense]\n');
    assert.equal((await velocity(['admin', 'list-users', '--url', url], { cwd })).code, 0);
    assertComplains(await velocity(['admin', 'list-users'], { cwd }), 78, /velocity\.toml:1\b/);
  });
});

/** The commands over one target, told by `at`, with `run` as the way to call them: the same promises both ways. */
function administration(at, run) {
  const users = async () => JSON.parse((await run(['admin', 'list-users', '--json', ...at()])).stdout).users;
  const create = (name, ...args) => run(['create-user', '--username', name, '--password', `password of ${name}`, ...args, ...at()]);

  it('makes the first user an admin, and others what they are to be', async () => {
    const first = await create('ada');
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^ada +admin +all +all +data +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/m);
    assert.equal((await create('program', '--role', 'read', '--databases', 'orders,default', '--prefixes', 'user:')).code, 0);
    assert.equal((await create('writer')).code, 0);
    const all = await users();
    assert.deepEqual(all.map(({ name, role, configured }) => [name, role, configured]), [['ada', 'admin', false], ['program', 'read', false], ['writer', 'write', false]]);
    assert.deepEqual([[...all[1].databases].sort(), all[1].prefixes, all[2].databases], [['default', 'orders'], ['user:'], null]);
  });

  it('refuses a name twice, a bad name and a short password, in one line each', async () => {
    assertComplains(await create('ada'), 1, /ada/);
    assertComplains(await create('no good'), 1);
    assertComplains(await run(['create-user', '--username', 'short', '--password', 'short', ...at()]), 1);
    assertComplains(await create('elsewhere', '--databases', 'default,No good'), 1, /"No good"/);
    assertComplains(await create('everywhere', '--prefixes', Array.from({ length: 101 }, (_, i) => `${i}:`).join()), 1, /100/);
    assert.equal((await users()).length, 3);
  });

  it('changes a password, and deletes a user: gone is not found', async () => {
    const changed = await run(['admin', 'set-password', '--username', 'writer', '--password', 'another password', ...at()]);
    assert.deepEqual([changed.code, changed.stdout], [0, 'writer has a new password\n'], changed.stderr);
    assert.equal((await run(['admin', 'delete-user', '--username', 'writer', ...at()])).code, 0);
    assertComplains(await run(['admin', 'delete-user', '--username', 'writer', ...at()]), 3, /writer/);
    assertComplains(await run(['admin', 'set-password', '--username', 'writer', '--password', 'another password', ...at()]), 3);
    assert.deepEqual((await users()).map((user) => user.name), ['ada', 'program']);
  });

  it('does not let the last admin go', async () => {
    assertComplains(await run(['admin', 'delete-user', '--username', 'ada', ...at()]), 1, /admin/);
  });
}

describe('velocity admin on a data directory without a server', () => {
  const folder = temporaryDirectory();
  const dataDir = path.join(folder, 'data');
  const at = () => ['--data-dir', dataDir];
  administration(at, velocity);

  it('makes a token of a user, lists it without its secret, and revokes it', async () => {
    assertComplains(await velocity(['admin', 'create-token', '--name', 'ci', ...at()]), 2, /--username/);
    assertComplains(await velocity(['admin', 'create-token', '--name', 'ci', '--username', 'nobody', ...at()]), 3, /nobody/);
    const made = await velocity(['admin', 'create-token', '--username', 'program', '--name', 'ci', '--expires', '1h', ...at()]);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /^vt_[A-Za-z0-9_-]{43}\n$/);
    const listed = await velocity(['admin', 'list-tokens', '--json', ...at()]);
    const [token, ...more] = JSON.parse(listed.stdout).tokens;
    assert.deepEqual([token.user, token.name, token.role, more.length], ['program', 'ci', 'read', 0]);
    assert.ok(Math.abs(Date.parse(token.expires_at) - Date.now() - 3_600_000) < 60_000);
    assert.ok(!listed.stdout.includes(made.stdout.trim()));
    assert.match((await velocity(['admin', 'list-tokens', ...at()])).stdout, new RegExp(`^${token.id}  ci +program +read `, 'm'));
    assert.equal((await velocity(['admin', 'revoke-token', token.id, ...at()])).code, 0);
    assertComplains(await velocity(['admin', 'revoke-token', token.id, ...at()]), 3);
  });

  it('keeps everything from others', () => {
    assert.equal(statSync(dataDir).mode & 0o077, 0);
    assert.equal(statSync(path.join(dataDir, 'system')).mode & 0o077, 0);
  });

  it('is written down in the audit log, which shows it to whoever asks the server later', async () => {
    const server = await Server.start({ dataDir });
    const made = await velocity(['admin', 'create-token', '--name', 'audit', '--login', 'ada', '--password-stdin', ...at()], { input: 'password of ada\n' });
    assert.equal(made.code, 0, made.stderr);
    const reply = await server.client.get('/api/audit?limit=100', { Authorization: `Bearer ${made.stdout.trim()}` });
    assert.equal(reply.status, 200, reply.text);
    const events = JSON.stringify(reply.json);
    for (const [action, status] of [['user.create', 200], ['user.create', 409], ['user.change', 200], ['user.delete', 404], ['token.create', 200], ['token.revoke', 404]]) {
      const found = Object.values(reply.json).flat().find((event) => event?.action === action && event.status === status && event.login === 'files');
      assert.ok(found, `${action} ${status} in ${events}`);
      assert.match(found.detail, /without a server, by user /);
    }
    assert.ok(!events.includes('password of'));
    await server.stop();
  });

  it('knows the users of the configuration, whose names are taken', async () => {
    const file = path.join(temporaryDirectory(), 'velocity.toml');
    writeFileSync(file, `[users]\noperator = "${HASH}"\n`);
    const with_ = ['--config', file, ...at()];
    assert.match((await velocity(['admin', 'list-users', ...with_])).stdout, /^operator +write +all +all +configuration +-$/m);
    assertComplains(await velocity(['create-user', '--username', 'operator', '--password', 'another password', ...with_]), 1, /operator/);
    assertComplains(await velocity(['admin', 'delete-user', '--username', 'operator', ...with_]), 1, /operator/);
    writeFileSync(file, `[users]\nada = "${HASH}"\n`);
    assertComplains(await velocity(['admin', 'list-users', ...with_]), 78, /ada/);
  });

  it('reads and writes what is encrypted, with the key of the configuration', async () => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'velocity.toml');
    const key = path.join(directory, 'key');
    writeFileSync(key, 'ab'.repeat(32), { mode: 0o600 });
    writeFileSync(file, `[server]\ndata_dir = ${JSON.stringify(path.join(directory, 'data'))}\n[database]\nencryption_key_file = ${JSON.stringify(key)}\n`);
    assert.equal((await velocity(['create-user', '--username', 'ada', '--password', 'password of ada', '--config', file])).code, 0);
    assert.match((await velocity(['admin', 'list-users', '--config', file])).stdout, /^ada +admin/m);
    assertComplains(await velocity(['admin', 'list-users', '--data-dir', path.join(directory, 'data')]), 1, /key/);
    const server = await Server.start({ directory, config: { database: { encryption_key_file: key } } });
    assertComplains(await velocity(['admin', 'list-users', '--data-dir', server.dataDir]), 1, /--login/);
    await server.stop();
  });

  it('makes nothing in a folder of another user, whose server could not read it', async (t) => {
    if (process.getuid() !== 0) return t.skip('only root can give a folder away');
    const theirs = path.join(temporaryDirectory(), 'data');
    mkdirSync(theirs, { mode: 0o700 });
    chownSync(theirs, 65534, 65534);
    assertComplains(await velocity(['create-user', '--username', 'ada', '--password', 'password of ada', '--data-dir', theirs]), 1, /belongs to user/, /start it/);
    assert.deepEqual(readdirSync(theirs), []);
    const { requests, url } = await fake(json(200, USERS));
    writeFileSync(path.join(theirs, 'server.url'), url, { mode: 0o600 });
    chownSync(path.join(theirs, 'server.url'), 65534, 65534);
    assert.equal((await velocity(['admin', 'list-users', '--data-dir', theirs])).code, 0, 'the server that runs there can be asked');
    assert.equal(requests.length, 1);
  });

  it('shows prefixes of any bytes as a server does', async () => {
    const server = await Server.start();
    for (const user of [{ name: 'ada' }, { name: 'bytes', prefixes: ['plain:'], prefixes64: ['_wA'] }, { name: 'only', prefixes64: ['_wA'] }]) {
      assert.equal((await server.client.post('/api/users', { password: 'password of theirs', ...user }, basic('ada', 'password of theirs'))).status, 201);
    }
    const { users } = (await server.client.get('/api/users', basic('ada', 'password of theirs'))).json;
    await server.stop();
    const shown = await velocity(['admin', 'list-users', '--data-dir', server.dataDir]);
    assert.match(shown.stdout, /^bytes +write +all +plain:,64:_wA /m);
    assert.match(shown.stdout, /^only +write +all +64:_wA /m);
    assert.deepEqual(JSON.parse((await velocity(['admin', 'list-users', '--json', '--data-dir', server.dataDir])).stdout).users, users);
  });

  it('leaves databases to servers', async () => {
    assertComplains(await velocity(['admin', 'list-databases', ...at()]), 1, /start it/, /--url/);
  });
});

describe('velocity admin with a server over the data directory', () => {
  const { env } = settings();
  let server;
  let token;
  before(async () => (server = await Server.start()));
  after(() => server.stop());
  const at = () => ['--data-dir', server.dataDir];
  /** As ada, once she is there: the first user is made by whoever sits at the machine. */
  const run = async (args) => {
    const end = await velocity(args, { env: token ? { ...env, VELOCITY_TOKEN: token } : env });
    if (token || end.code !== 0) return end;
    const made = await velocity(['admin', 'create-token', '--name', 'tests', '--login', 'ada', '--password-stdin', ...at()], { env, input: 'password of ada\n' });
    assert.match(made.stdout, /^vt_[A-Za-z0-9_-]{43}\n$/, made.stderr);
    token = made.stdout.trim();
    return end;
  };
  administration(at, run);

  it('asks who is there, and does not believe a wrong password or a token that was revoked', async () => {
    assertComplains(await velocity(['admin', 'list-users', ...at()]), 1, /--login/);
    assertComplains(await velocity(['admin', 'list-users', '--login', 'ada', '--password-stdin', ...at()], { input: 'a wrong password\n' }), 1, /password is wrong/);
    const made = await run(['admin', 'create-token', '--name', 'short', ...at()]);
    const mine = { env: { ...env, VELOCITY_TOKEN: made.stdout.trim() } };
    assert.equal((await velocity(['admin', 'list-tokens', ...at()], mine)).code, 0);
    const { tokens } = JSON.parse((await run(['admin', 'list-tokens', '--json', ...at()])).stdout);
    const { id } = tokens.find(({ name }) => name === 'short');
    assert.equal((await run(['admin', 'revoke-token', id, ...at()])).code, 0);
    assertComplains(await velocity(['admin', 'list-tokens', ...at()], mine), 1, /the token is wrong/);
  });

  it('changes the own password with the old one', async () => {
    const own = (input) => velocity(['admin', 'set-password', '--login', 'program', '--password-stdin', ...at()], { input });
    assertComplains(await own('a wrong password\nanother password\n'), 1);
    assert.equal((await own('password of program\nanother password\n')).code, 0);
    assert.equal((await own('another password\npassword of program\n')).code, 0);
  });

  it('makes, lists and drops databases', async () => {
    const made = await run(['admin', 'create-database', 'orders', '--max-disk-bytes', '67108864', ...at()]);
    assert.equal(made.code, 0, made.stderr);
    assertComplains(await run(['admin', 'create-database', 'orders', ...at()]), 1, /orders/);
    const { databases } = JSON.parse((await run(['admin', 'list-databases', '--json', ...at()])).stdout);
    assert.deepEqual(databases.map(({ name, status }) => [name, status]), [['default', 'open'], ['orders', 'open']]);
    assert.equal(databases[1].max_disk_bytes, 67_108_864);
    assert.equal((await run(['admin', 'drop-database', 'orders', '--yes', ...at()])).code, 0);
    assertComplains(await run(['admin', 'drop-database', 'orders', '--yes', ...at()]), 3);
  });
});

describe('velocity admin with a server that speaks TLS', () => {
  it('trusts the one of this machine by its files, and from elsewhere by the fingerprint that its log says', async () => {
    const server = await Server.start({ config: { tls: { enabled: true } } });
    const end = await velocity(['create-user', '--username', 'ada', '--password', 'password of ada', '--data-dir', server.dataDir]);
    assert.deepEqual([end.code, end.stderr], [0, '']);
    const [, fingerprint] = await server.logs(/fingerprint=(SHA256:\S+)/);
    const list = ['admin', 'list-users', '--login', 'ada', '--password-stdin', '--url', `https://127.0.0.1:${server.port}`];
    const input = 'password of ada\n';
    const refused = await velocity(list, { input });
    assertComplains(refused, 1, /can't be verified/);
    assert.ok(refused.stderr.includes(fingerprint), refused.stderr);
    assert.equal((await velocity([...list, '--fingerprint', fingerprint], { input })).code, 0);
    assertComplains(await velocity([...list, '--fingerprint', selfSigned().fingerprint], { input }), 1, /another key/);
    const byFile = await velocity([...list, '--ca-file', path.join(server.dataDir, 'tls', 'cert.pem')], { input });
    assert.equal(byFile.code, 0, byFile.stderr);
    await server.stop();
  });

  it('trusts one with a certificate of the configuration, too', async () => {
    const directory = temporaryDirectory();
    const { cert, key } = selfSigned();
    const tls = { enabled: true, cert_path: path.join(directory, 'cert.pem'), key_path: path.join(directory, 'key.pem') };
    writeFileSync(tls.cert_path, cert);
    writeFileSync(tls.key_path, key, { mode: 0o600 });
    const server = await Server.start({ directory, config: { tls } });
    const end = await velocity(['admin', 'list-users', '--data-dir', server.dataDir, '--config', path.join(directory, 'velocity.toml')]);
    assert.deepEqual([end.code, end.stderr], [0, '']);
    await server.stop();
  });
});
