// velocity import from a real Redis: all types, with times to live, from the running server and from the dump that it
// writes, compared with what was put in.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fake, json, problem } from './fake.mjs';
import { binary, cleanEnvironment, PATIENCE_MS, random, Server, temporaryDirectory, until, within } from './support.mjs';

const RECORDS = 100_000;
const folder = temporaryDirectory();
let server;
let redis;

/** A connection that sends commands, many at once, and answers their replies. */
class Resp {
  static async open(port) {
    const link = new Resp();
    link.socket = net.connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => link.socket.once('connect', resolve).once('error', reject));
    link.waiting = [];
    link.queue = [];
    link.buffer = Buffer.alloc(0);
    link.socket.on('data', (data) => link.#take(data));
    return link;
  }

  /** Only what is answered in one line, or as one text. */
  #take(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    let at = 0;
    for (let end = this.buffer.indexOf('\r\n', at); end >= 0; end = this.buffer.indexOf('\r\n', at)) {
      const line = this.buffer.toString('latin1', at, end);
      let value = line.slice(1);
      let next = end + 2;
      if (line[0] === '$' && Number(value) >= 0) {
        next += Number(value) + 2;
        if (this.buffer.length < next) break;
        value = this.buffer.subarray(end + 2, next - 2);
      }
      at = next;
      const { resolve, reject } = this.waiting.shift();
      if (line[0] === '-') reject(new Error(value));
      else resolve(value);
    }
    this.buffer = this.buffer.subarray(at);
  }

  send(...words) {
    const parts = words.map((word) => (Buffer.isBuffer(word) ? word : Buffer.from(String(word))));
    if (this.queue.length === 0) setImmediate(() => this.socket.write(Buffer.concat(this.queue.splice(0))));
    this.queue.push(Buffer.from(`*${parts.length}\r\n`), ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')]));
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }
}

/** A connection to the Redis that this is; null where another program has its port. */
async function linkTo(child, port) {
  const gone = () => child.exitCode !== null || child.signalCode !== null;
  const link = await until('Redis to answer', () => gone() || Resp.open(port).catch(() => null));
  if (link === true) return null;
  const own = await within(PATIENCE_MS, 'what Redis says of itself', link.send('INFO', 'server')).then((said) => `${said}`.includes(`process_id:${child.pid}\r`), () => false);
  if (!own) link.socket.destroy();
  return own ? link : null;
}

/** A Redis of this test's own, over an empty folder. It takes no port that the system chooses, so one is tried that was free. */
async function startRedis() {
  for (let attempt = 0; attempt < 5; attempt++) {
    const redis = await tryRedis();
    if (redis.link) return redis;
    redis.child.kill('SIGKILL');
  }
  throw new Error('no port was free for redis-server');
}

async function tryRedis() {
  const reserved = net.createServer();
  const port = await new Promise((resolve) => reserved.listen(0, '127.0.0.1', () => resolve(reserved.address().port)));
  await new Promise((resolve) => reserved.close(resolve));
  const child = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', folder, '--daemonize', 'no'], { stdio: 'ignore' });
  const ended = new Promise((resolve, reject) => child.on('close', resolve).on('error', reject));
  ended.catch(() => {});
  await Promise.race([new Promise((resolve) => child.on('spawn', resolve)), ended]).catch((error) => {
    throw new Error(`this test needs redis-server: scripts/setup test installs it (${error.message})`);
  });
  process.prependListener('exit', () => child.kill('SIGKILL'));
  child.unref();
  return { child, port, link: await linkTo(child, port), ended };
}

/** What was put in: key, in base64url -> { value, expires }; value: bytes (as base64), or what JSON says of it. */
const expected = new Map();

/** Every type, small and large, in the encodings that Redis has for them; texts and bytes. */
async function fill(link) {
  const dice = random(42);
  const pool = dice.bytes(1 << 20);
  const letters = pool.toString('base64');
  const bytes = (n) => pool.subarray(dice.below(pool.length - n)).subarray(0, n);
  const text = (n) => letters.substr(dice.below(letters.length - n), n);
  const wrapped = (bytes) => (Buffer.from(bytes.toString('utf8')).equals(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') });
  const kinds = [
    (i) => [['SET'], [i % 7 ? text(1 + dice.below(200)) : `${i}`]],
    () => [['SET'], [bytes(1 + dice.below(100))]],
    () => [['SET'], ['compressible '.repeat(20 + dice.below(400))]],
    () => [['RPUSH'], Array.from({ length: 1 + dice.below(dice.chance(0.02) ? 2_000 : 12) }, (_, n) => (dice.chance(0.3) ? `${n - 5}` : dice.chance(0.1) ? bytes(5) : text(3 + dice.below(40))))],
    () => [['SADD'], [...new Set(Array.from({ length: 1 + dice.below(10) }, () => dice.below(100_000) - 50_000))]],
    () => [['SADD'], [...new Set(Array.from({ length: 1 + dice.below(dice.chance(0.05) ? 300 : 9) }, () => text(12)))]],
    () => [['HSET'], Array.from({ length: 1 + dice.below(dice.chance(0.03) ? 600 : 6) }, (_, n) => [`field${n}`, dice.chance(0.3) ? dice.below(1000) : dice.chance(0.1) ? bytes(4) : text(5 + dice.below(80))]).flat()],
    () => [['ZADD'], Array.from({ length: 1 + dice.below(dice.chance(0.03) ? 300 : 6) }, (_, n) => [n % 5 ? dice.below(1_000_000) / 8 : 0 - n, `member${n}`]).flat()],
    () => [['ZADD'], ['inf', 'top', '-inf', 'bottom', 0.1, 'mid']],
  ];
  const bytesOf = (word) => (Buffer.isBuffer(word) ? word : Buffer.from(String(word)));
  const number = (score) => (Number.isFinite(Number(score)) ? Number(score) : String(score));
  const pairs = (words, of) => Object.fromEntries(Array.from({ length: words.length / 2 }, (_, n) => of(words[2 * n], words[2 * n + 1])));
  const meant = {
    SET: ([value]) => bytesOf(value).toString('base64'),
    RPUSH: (words) => words.map((word) => wrapped(bytesOf(word))),
    SADD: (words) => words.map((word) => wrapped(bytesOf(word))).sort(),
    HSET: (words) => pairs(words, (field, value) => [field, wrapped(bytesOf(value))]),
    ZADD: (words) => pairs(words, (score, member) => [member, number(score)]),
  };
  const now = Date.now();
  let waiting = [];
  for (let i = 0; i < RECORDS; i++) {
    const key = i % 50 === 49 ? Buffer.concat([Buffer.from('bin:'), Buffer.from([255, i & 255, (i >> 8) & 255, i >> 16])]) : Buffer.from(`rec:${i}`);
    const [[command], words] = kinds[i % kinds.length](i);
    waiting.push(link.send(command, key, ...words));
    let expires = null;
    if (i % 4 === 0) {
      expires = now + 3_600_000 + dice.below(1_000_000_000);
      waiting.push(link.send('PEXPIREAT', key, expires));
    }
    expected.set(key.toString('base64url'), { value: meant[command](words), set: command === 'SADD', expires });
    if (waiting.length < 2_000) continue;
    await Promise.all(waiting);
    waiting = [];
  }
  await Promise.all(waiting);
  await link.send('XADD', 'stream', '1-1', 'f', 'v');
  await link.send('XGROUP', 'CREATE', 'stream', 'readers', '0');
}

/** Imports, and answers the counts and how long it took. */
async function imported(words) {
  const began = performance.now();
  const child = spawn(binary, ['import', '--json', '--url', `http://127.0.0.1:${server.port}`, ...words], { env: cleanEnvironment() });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  const code = await within(300_000, 'an import from Redis', new Promise((resolve) => child.on('close', resolve)));
  assert.equal(code, 0, stderr);
  return { ...JSON.parse(stdout), stderr, seconds: (performance.now() - began) / 1000 };
}

/** The database holds what was put in, and nothing else; times are as exact as `within_ms`. */
async function assertAll(database, withinMs) {
  const { status, text } = await server.client.get(`/api/databases/${database}/export`);
  assert.equal(status, 200);
  let rows = 0;
  for (const line of text.split('\n')) {
    if (!line) continue;
    const item = JSON.parse(line);
    const key = item.key64 ?? Buffer.from(item.key).toString('base64url');
    const { value, set, expires } = expected.get(key) ?? assert.fail(`${line.slice(0, 200)} was never put in`);
    const found = item.value ?? (item.base64 ?? Buffer.from(item.text).toString('base64'));
    assert.deepEqual(set ? found.sort() : found, value, key);
    if (expires === null) assert.equal(item.expires_at, undefined, key);
    else assert.ok(Math.abs(Date.parse(item.expires_at) - expires) <= withinMs, `${key}: ${item.expires_at} is not ${new Date(expires).toISOString()}`);
    rows += 1;
  }
  assert.equal(rows, RECORDS);
}

describe(`an import of ${RECORDS} records of Redis`, () => {
  before(async () => {
    redis = await startRedis();
    server = await Server.start({ config: { database: { durability: 'os' } } });
    for (const name of ['live', 'dump']) assert.equal((await server.client.post('/api/databases', { name })).status, 201);
    await fill(redis.link);
  });
  after(async () => {
    await server?.stop();
    redis?.link.socket.destroy();
    redis?.child.ref(); // its end is waited for
    redis?.child.kill('SIGTERM');
    await redis?.ended;
  });

  it('from the running server has each of them, and tells of the stream', async (t) => {
    const { seconds, stderr, ...counts } = await imported([`redis://127.0.0.1:${redis.port}`, '--format', 'redis', '--database', 'live']);
    t.diagnostic(`${Math.round(RECORDS / seconds)} rows a second`);
    assert.deepEqual(counts, { imported: RECORDS, expired: 0, skipped: 1 });
    assert.match(stderr, /stream is skipped: it is a stream/);
    await assertAll('live', 5_000); // a time to live counts from when it was asked for
  });

  it('that is cut off and gone on with counts each of them once', async () => {
    const state = path.join(folder, 'cut.import-state');
    const lines = (body) => body.split('\n').filter(Boolean).length;
    const run = async (target, words) => {
      const child = spawn(binary, ['import', `redis://127.0.0.1:${redis.port}`, '--format', 'redis', '--json', '--url', target.url, '--state', state, ...words], { env: cleanEnvironment() });
      let stdout = '';
      child.stdout.on('data', (data) => (stdout += data));
      child.stderr.resume();
      const code = await within(120_000, 'an import from Redis', new Promise((resolve) => child.on('close', resolve)));
      return { code, ...JSON.parse(stdout) };
    };
    let answered = 0;
    const takes = (request, response) => json(200, { imported: lines(target.requests.at(-1).body) })(request, response);
    const fills = (request, response) => (++answered < 3 ? takes : problem(507, 'no_space', 'full'))(request, response);
    let target = await fake(fills);
    const cut = await run(target, []);
    assert.equal(cut.code, 1);
    assert.ok(cut.imported > 0 && cut.imported < RECORDS, `${cut.imported}`);
    const first = target.requests.slice(0, 2).map(({ body }) => body);
    target = await fake(takes);
    assert.deepEqual(await run(target, ['--resume']), { code: 0, imported: RECORDS, expired: 0, skipped: 1 });
    const sent = first.concat(target.requests.map(({ body }) => body)).reduce((count, body) => count + lines(body), 0);
    assert.ok(sent > RECORDS, 'the page at which it ended was read again');
  });

  it('from its dump has each of them, and tells of the stream', async (t) => {
    await redis.link.send('SAVE');
    const file = path.join(folder, 'dump.rdb');
    assert.ok(existsSync(file));
    const { seconds, stderr, ...counts } = await imported([file, '--format', 'redis', '--database', 'dump']);
    t.diagnostic(`${Math.round(RECORDS / seconds)} rows a second`);
    assert.deepEqual(counts, { imported: RECORDS, expired: 0, skipped: 1 });
    assert.match(stderr, /stream is skipped: it is a stream/);
    await assertAll('dump', 0);
  });

  it('takes keys of a pattern, and of a database that the URL names', async () => {
    await redis.link.send('SELECT', 3);
    for (let i = 0; i < 20; i++) await redis.link.send('SET', `${i % 2 ? 'odd' : 'even'}:${i}`, i);
    assert.equal((await server.client.post('/api/databases', { name: 'few' })).status, 201);
    const { imported: rows } = await imported([`redis://127.0.0.1:${redis.port}/3`, '--format', 'redis', '--match', 'odd:*', '--prefix', 'r:', '--database', 'few']);
    assert.equal(rows, 10);
    const { items } = (await server.client.get('/api/databases/few/keys?values=true')).json;
    assert.deepEqual(items.map(({ key, text }) => [key, text]).sort(), Array.from({ length: 10 }, (_, i) => [`r:odd:${2 * i + 1}`, `${2 * i + 1}`]).sort());
    await redis.link.send('SAVE');
    const file = path.join(folder, 'dump.rdb');
    const counts = await imported([file, '--format', 'redis', '--redis-database', '3', '--database', 'few']);
    assert.deepEqual([counts.imported, counts.skipped], [20, RECORDS + 1]);
    assert.match(counts.stderr, /is in database 0 of the dump/);
  });

  it('needs its password, and says so', async () => {
    await redis.link.send('CONFIG', 'SET', 'requirepass', 'p@ss');
    const from = async (url, env = {}) => {
      const child = spawn(binary, ['import', '--json', '--url', `http://127.0.0.1:${server.port}`, url, '--format', 'redis', '--match', 'none'], { env: cleanEnvironment(env) });
      let stderr = '';
      child.stderr.on('data', (data) => (stderr += data));
      return { code: await new Promise((resolve) => child.on('close', resolve)), stderr };
    };
    for (const database of ['', '/0']) {
      const refused = await from(`redis://127.0.0.1:${redis.port}${database}`);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /NOAUTH.*REDISCLI_AUTH/);
    }
    assert.match((await from('redis://127.0.0.1:1')).stderr, /can't be reached at 127\.0\.0\.1:1: /);
    assert.match((await from(`redis://:wrong@127.0.0.1:${redis.port}`)).stderr, /WRONGPASS/);
    assert.equal((await from(`redis://:p%40ss@127.0.0.1:${redis.port}`)).code, 0);
    assert.equal((await from(`redis://127.0.0.1:${redis.port}`, { REDISCLI_AUTH: 'p@ss' })).code, 0);
  });
});
