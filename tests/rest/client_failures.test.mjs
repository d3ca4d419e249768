// What the program as a client says and answers where something fails: the server, the way to it, or whoever reads what
// it writes.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { selfSigned } from './certificate.mjs';
import { assertComplains, begin, commandsAt } from './command.mjs';
import { fake, json, problem, settings, TOKEN } from './fake.mjs';
import { MiB, PATIENCE_MS, Server, sleep, temporaryDirectory, until } from './support.mjs';

let server;
let url;
before(async () => {
  server = await Server.start({ config: { server: { max_value_bytes: 2 * MiB } } });
  url = `http://127.0.0.1:${server.port}`;
});
after(() => server?.stop());

const { start, client, good, fails } = commandsAt(() => url);

/** Begins an answer of 200 and breaks off. */
const breakOff = (body) => (request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': '1000000' });
  response.write(body, () => request.socket.destroy());
};

describe('a refusal', () => {
  for (const [status, code, exit, ...patterns] of [
    [400, 'invalid_key', 1],
    [401, 'login_required', 1, /--login NAME/, /VELOCITY_TOKEN/],
    [403, 'forbidden', 1],
    [404, 'key_not_found', 3],
    [409, 'conflict', 1],
    [410, 'history_gone', 1],
    [412, 'precondition_failed', 1],
    [413, 'value_too_large', 1],
    [415, 'unsupported', 1],
    [429, 'too_many_requests', 1, /again in 7 s/],
    [503, 'draining', 1, /again in 7 s/],
    [507, 'no_space', 1],
  ]) {
    it(`(${status}) is one line with what the server says, and exit code ${exit}, of every command`, async () => {
      const refusing = await fake(problem(status, code, `The detail of ${status}.`, status === 429 || status === 503 ? { 'Retry-After': '7' } : {}));
      const at = refusing.url;
      for (const args of [['get', 'k'], ['get', 'k', '--json'], ['put', 'k', 'v'], ['delete', 'k'], ['scan'], ['scan', '--count'], ['batch'], ['watch']]) {
        const end = await client(args, { at, input: '{"ops":[]}' });
        assertComplains(end, exit, new RegExp(`The detail of ${status}\\. \\(HTTP ${status} ${code}\\)`), ...patterns);
      }
    });
  }

  it('names the key where the server does not, in one line whatever the key is', async () => {
    const { url: at } = await fake(problem(404, 'key_not_found', 'Nothing is there.'));
    await fails(['get', 'the key'], 3, /the key: Nothing is there/, { at });
    await fails(['get', 'two\nlines\u001b[2J'], 3, /two lines \[2J: Nothing is there/, { at });
  });

  it('says what it says for programs, in the same line whatever that is', async () => {
    const members = { index: 3, key: 'two\nlines\u001b[2J', key64: ['no text'], current_version: null, offset: '\u0007' };
    const body = JSON.stringify({ detail: 'Lost.', code: 'conflict', ...members });
    const { url: at } = await fake((_, response) => response.writeHead(409, { 'Content-Type': 'application/problem+json' }).end(body));
    await fails(['batch'], 1, /^velocity: Lost\. \(HTTP 409 conflict, index 3, key two lines \[2J, current_version null, offset {2}\)\n$/, { at, input: '{}' });
  });

  it('of a value that is too large comes through while it is still sent', async () => {
    const file = path.join(temporaryDirectory(), 'large');
    writeFileSync(file, Buffer.alloc(40 * MiB));
    await fails(['put', 'large', '--file', file], 1, /HTTP 413/);
    await fails(['put', 'large'], 1, /HTTP 413/, { input: Buffer.alloc(2 * MiB + 1) });
    await fails(['get', 'large'], 3, /key_not_found/);
  });

  it('that is not of Velocity is told from one that is', async () => {
    const { url: at } = await fake((_, response) => response.writeHead(404, { 'Content-Type': 'text/html' }).end('<h1>Not here</h1>'));
    await fails(['get', 'k'], 1, /HTTP 404, and not as Velocity does/, { at });
    const { url: other } = await fake(json(200, { hello: 'world' }));
    for (const args of [['get', 'k', '--json'], ['scan'], ['scan', '--count']]) await fails(args, 1, /is it a server of Velocity/, { at: other });
  });

  it('and an answer can put nothing of its own into what is printed', async () => {
    const { url: at } = await fake((_, response) => response.writeHead(204, { ETag: '"1","x":"y"' }).end());
    assert.equal(await good(['put', 'k', 'v', '--json'], { at }), '{"version":""}\n');
  });
});

describe('a server', () => {
  it('that is not there: one line, at once', async () => {
    const began = performance.now();
    for (const args of [['get', 'k'], ['put', 'k', 'v'], ['delete', 'k'], ['scan'], ['watch'], ['batch']]) {
      await fails(args, 1, /can't reach .*does the server run there/, { at: 'http://127.0.0.1:1', input: '{"ops":[]}' });
    }
    assert.ok(performance.now() - began < 2 * PATIENCE_MS, 'it waited as long as for an answer');
    await fails(['get', 'k'], 1, /no machine of that name: nowhere\.invalid:2005/, { at: 'https://nowhere.invalid:2005' });
  });

  it('that breaks off: exit code 1; of a change it is said that nobody knows, and no file is left half', async () => {
    const { url: at } = await fake(breakOff('{"items":[]'));
    const directory = temporaryDirectory();
    const half = await client(['get', 'k'], { at });
    assert.deepEqual([half.code, half.stdout.toString()], [1, '{"items":[]']);
    assert.match(half.stderr, /^velocity: no answer from [^\n]+\n$/);
    await fails(['get', 'k', '--output', path.join(directory, 'k')], 1, /no answer/, { at });
    assert.deepEqual(readdirSync(directory), []);
    await fails(['scan'], 1, /no answer/, { at });
    const changes = await fake((request) => request.socket.destroy());
    for (const args of [['put', 'k', 'v'], ['put', 'k'], ['delete', 'k'], ['batch']]) {
      await fails(args, 1, /no answer.*whether it was done is not known/, { at: changes.url, input: '{"ops":[]}' });
    }
    await fails(['get', 'k'], 1, /no answer from [^;]+$/m, { at: changes.url });
  });

  it('that never answers is left after --timeout, whatever is asked, and in the middle, too', async () => {
    const silent = await fake(() => {});
    const stuck = await fake((_, response) => response.writeHead(200, { 'Content-Length': '10' }).write('x'));
    const file = path.join(temporaryDirectory(), 'value');
    writeFileSync(file, 'value');
    const began = performance.now();
    await Promise.all([
      ...[['get', 'k'], ['get', 'k', '--json'], ['scan'], ['watch'], ['export']].map((args) => fails([...args, '--timeout', '1'], 1, /did not answer in time$/m, { at: silent.url })),
      ...[['put', 'k', 'v'], ['put', 'k'], ['put', 'k', '--file', file], ['delete', 'k'], ['batch']].map((args) =>
        fails([...args, '--timeout', '1'], 1, /did not answer in time; whether it was done is not known/, { at: silent.url, input: '{"ops":[]}' })),
    ]);
    // Alone: what comes at once is to come before the time is up.
    const { code, stdout, stderr } = await client(['get', 'k', '--timeout', '4'], { at: stuck.url });
    assert.deepEqual([code, stdout.toString()], [1, 'x']);
    assert.match(stderr, /did not answer in time/);
    assert.ok(performance.now() - began < PATIENCE_MS, 'they waited for the usual time, 60 s');
  });

  it('waits for whoever types a value, however long they think', async () => {
    const { child, ended } = start(['put', 'typed', '--timeout', '3'], { input: 'first', open: true });
    await sleep(5_000); // thinking is what is tested: longer than the timeout
    child.stdin.end(' second');
    const end = await ended;
    assert.deepEqual([end.code, end.stderr], [0, '']);
    assert.equal(await good(['get', 'typed']), 'first second');
  });

  it('and waits for whoever reads a value, however long they take', async () => {
    await server.client.put('/api/keys/read', Buffer.alloc(2 * MiB, 'x'));
    const { child, ended } = start(['get', 'read', '--timeout', '3']);
    child.stdout.pause();
    await sleep(5_000); // the pipe is full meanwhile
    child.stdout.resume();
    const end = await ended;
    assert.deepEqual([end.code, end.stdout.length, end.stderr], [0, 2 * MiB, '']);
  });
});

describe('a file', () => {
  it('that becomes shorter while it is sent stores nothing', async () => {
    const file = path.join(temporaryDirectory(), 'shrinking');
    writeFileSync(file, Buffer.alloc(64 * MiB));
    const slow = await fake((request, response) => {
      request.pause();
      writeFileSync(file, '');
      request.resume();
      request.on('end', () => response.writeHead(204).end());
    }, { early: true });
    await fails(['put', 'k', '--file', file], 1, /shrinking: it has become shorter meanwhile/, { at: slow.url });
    assert.equal(slow.requests.length, 0, 'the request was never whole');
  });

  it('that is written to is gone when a signal ends the program, and what stood there stays', async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      const stuck = await fake((_, response) => response.writeHead(200, { 'Content-Length': '10' }).write('half'));
      const directory = temporaryDirectory();
      writeFileSync(path.join(directory, 'k'), 'before');
      const { child, ended } = start(['get', 'k', '--output', path.join(directory, 'k')], { at: stuck.url });
      await until('half of the value', () => readdirSync(directory).some((name) => name !== 'k' && statSync(path.join(directory, name)).size === 4));
      child.kill(signal);
      const end = await ended;
      assert.deepEqual([end.signal, readdirSync(directory)], [signal, ['k']]);
      assert.equal(readFileSync(path.join(directory, 'k'), 'utf8'), 'before');
    }
  });
});

describe('standard output', () => {
  const commands = [
    ['get', 'out'], ['get', 'out', '--json'], ['put', 'in', 'x', '--json'], ['scan'], ['scan', '--values'], ['scan', '--json'], ['scan', '--count'], ['batch'],
    ['delete', '--prefix', 'nothing:', '--dry-run'], ['help'], ['completion', 'zsh'], ['manual'], ['version'],
  ];
  const input = '{"ops":[{"op":"get","key":"out"}]}';
  const run = (args, shell) => (['help', 'completion', 'manual', 'version'].includes(args[0]) ? begin(args, { shell }).ended : client(args, { shell, input }));
  // As much as a listing shows of a value, and more than a pipe holds: whoever writes it notices that nobody reads.
  before(() => server.client.put('/api/keys/out', Buffer.alloc(MiB, 'x'), { 'Content-Type': 'text/plain' }));

  it('on a full disk: one line, and exit code 1', async () => {
    for (const args of commands) {
      const end = await run(args, 'exec "$@" >/dev/full');
      assertComplains(end, 1, /can't write to standard output/);
    }
    assertComplains(await run(['get', 'out'], 'exec "$@" >/dev/full'), 1, /No space left on device/);
  });

  it('that is closed is not taken for another file: one line, and exit code 1', async () => {
    for (const args of commands) assertComplains(await run(args, 'exec "$@" >&-'), 1, /can't write to standard output/);
  });

  it('that nobody reads any more: one line, and exit code 1', async () => {
    for (const args of [['get', 'out'], ['scan', '--values'], ['batch']]) {
      const { child, ended } = start(args, { input });
      child.stdout.destroy();
      assertComplains(await ended, 1, /can't write to standard output/);
    }
  });

  it('standard input that is closed is no empty value', async () => {
    await fails(['put', 'closed'], 1, /can't read standard input/, { shell: 'exec "$@" <&-' });
    await fails(['batch'], 1, /can't read standard input/, { shell: 'exec "$@" <&-' });
    await fails(['get', 'closed'], 3, /key_not_found/);
  });

  it('standard error that is closed costs nothing but the words', async () => {
    const end = await client(['get', 'nothing'], { shell: 'exec "$@" 2>&-' });
    assert.deepEqual([end.code, end.stdout.length], [3, 0]);
  });
});

describe('over TLS', () => {
  const pair = selfSigned();

  it('a server that nobody vouches for gets neither value nor token, and its fingerprint is named', async () => {
    const secure = await fake(json(200, {}), { tls: pair });
    const { env, folder } = settings({ token: TOKEN });
    for (const args of [['get', 'k'], ['put', 'k', 'v'], ['put', 'k'], ['scan'], ['batch'], ['watch'], ['delete', 'k']]) {
      await fails(args, 1, new RegExp(`can't be verified.*--fingerprint ${pair.fingerprint.replaceAll('+', '\\+')}$`, 'm'), { at: secure.url, env, input: '{"ops":[]}' });
    }
    assert.equal(secure.requests.length, 0);
    assert.ok(!existsSync(path.join(folder, 'known_servers')));
    await fails(['get', 'k', '--fingerprint', selfSigned().fingerprint], 1, /another key than --fingerprint says.*nothing was sent/, { at: secure.url, env });
    assert.equal(secure.requests.length, 0);
  });

  it('values go to and fro with a fingerprint, an authority, or the server\'s own files', async () => {
    const secure = await Server.start({ config: { tls: { enabled: true } } });
    const at = `https://127.0.0.1:${secure.port}`;
    const certificate = path.join(secure.dataDir, 'tls', 'cert.pem');
    const [, fingerprint] = await secure.logs(/fingerprint=(SHA256:\S+)/);
    const bytes = Buffer.alloc(3 * MiB, 'velocity ');
    await good(['put', 'k', '--fingerprint', fingerprint], { at, input: bytes });
    assert.deepEqual((await client(['get', 'k', '--fingerprint', fingerprint], { at })).stdout, bytes);
    assert.ok((await client(['get', 'k', '--data-dir', secure.dataDir], { at: null })).stdout.equals(bytes));
    const known = settings({ knownServers: `127.0.0.1:${secure.port} ${fingerprint}\n` });
    assert.match(await good(['scan'], { at, env: known.env }), /^k\t/);
    await fails(['get', 'k'], 1, /can't be verified/, { at });
    assert.ok(existsSync(certificate));
    await secure.stop();
  });

  it('an authority of --ca-file vouches for the name that is asked', async () => {
    const secure = await fake(json(200, { items: [], prefixes: [], cursor: null }), { tls: pair });
    const file = path.join(temporaryDirectory(), 'ca.pem');
    writeFileSync(file, pair.cert);
    await good(['scan', '--ca-file', file], { at: secure.url });
    await fails(['scan', '--ca-file', `${file}.none`], 1, /authorities in .*none/, { at: secure.url });
    rmSync(file);
    await fails(['scan', '--ca-file', file], 1, /authorities/, { at: secure.url });
    assert.equal(secure.requests.length, 1);
  });
});
