// What the tests of the running program share: a server process of their own, an HTTP client that sends its target
// as it stands, and a raw connection for everything that a well-behaved client can't say.
//
// A server lives on a free loopback port over a data directory of its own; whoever starts one stops it. Only processes
// started here are signalled, by their own handle.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
export const binary = path.resolve(root, process.env.VELOCITY_BIN || 'build/bin/velocity');
// How long what must come is waited for: far longer than it takes on a slow and busy machine, for only a failure takes
// so long; and less than the default request deadline, 30 s, so that it is told from what that deadline brings.
export const PATIENCE_MS = 25_000;
const READY_MS = 60_000;
const EXIT_MS = 60_000;

export const KiB = 1024;
export const MiB = 1024 * 1024;

process.setMaxListeners(0); // each server and directory is cleared away at the end

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A directory that is gone when the process ends. */
export function temporaryDirectory() {
  const directory = mkdtempSync(path.join(tmpdir(), 'velocity-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** `promise`, or an error that says what did not happen in time. */
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** What `look` answers once it is true, asked again and again; else, in the end, an error that says what did not come. */
export async function until(what, look, ms = PATIENCE_MS) {
  for (const deadline = performance.now() + ms; ; await sleep(20)) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
  }
}

/** Whether a new connection is served: none is while a limit of connections is reached. */
export async function isServed(port) {
  const client = new Client(port, { connections: 1 });
  const status = await client.get('/livez').then((response) => response.status, () => 0);
  client.close();
  return status === 200;
}

/** The sections of velocity.toml: { server: { max_value_bytes: 1 } }. */
export function toToml(sections) {
  const value = (v) => (typeof v === 'string' || Array.isArray(v) ? JSON.stringify(v) : String(v));
  return Object.entries(sections)
    .map(([name, keys]) => `[${name}]\n${Object.entries(keys).map(([k, v]) => `${k} = ${value(v)}\n`).join('')}`)
    .join('\n');
}

/** The environment without this machine's own settings for the program. */
export function cleanEnvironment(extra = {}) {
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VELOCITY_')));
  return { ...environment, ...extra };
}

/** For servers whose memory is measured: the address sanitizer would keep much of what was freed. */
export const FREED_IS_GONE = { ASAN_OPTIONS: 'quarantine_size_mb=4:thread_local_quarantine_size_kb=64' };

/** Runs the program to its end: { code, signal, stdout, stderr }. It is killed after `timeoutMs`. */
export function run(args, { timeoutMs = EXIT_MS, env = {}, cwd = temporaryDirectory(), command = binary } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** A running `velocity server`. */
export class Server {
  /**
   * Options: `dataDir` (a new one), `config` (sections of velocity.toml), `args` (more of them), `env`, and `wrap`,
   * a function from the command line to another one that ends in it.
   */
  static async start(options = {}) {
    const server = new Server();
    server.directory = options.directory ?? temporaryDirectory();
    server.dataDir = options.dataDir ?? path.join(server.directory, 'data');
    server.log = '';
    let line = [binary, 'server', '--bind', options.bind ?? '127.0.0.1:0', '--data-dir', server.dataDir];
    const configuration = path.join(server.directory, 'velocity.toml');
    writeFileSync(configuration, toToml(options.config ?? {}));
    line.push('--config', configuration, ...(options.args ?? []));
    if (options.wrap) line = options.wrap(line, server);
    server.child = spawn(line[0], line.slice(1), {
      cwd: server.directory,
      env: cleanEnvironment(options.env),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    // A test that fails leaves its server behind: it must neither keep this process alive nor outlive it.
    server.child.unref();
    server.child.stderr.unref();
    process.prependListener('exit', () => server.child.kill('SIGKILL')); // before its directory goes
    server.exited = new Promise((resolve, reject) => {
      server.child.on('error', reject);
      server.child.on('close', (code, signal) => resolve({ code, signal }));
    });
    server.port = await within(READY_MS, `the server's ready line`, server.#ready());
    server.client = new Client(server.port);
    return server;
  }

  #ready() {
    return new Promise((resolve, reject) => {
      this.child.stderr.setEncoding('utf8');
      this.child.stderr.on('data', (text) => {
        this.log += text;
        const found = /^.*\bready\b.*?(?:127\.0\.0\.1|0\.0\.0\.0|\[::1\]|localhost):(\d+).*\n/m.exec(this.log);
        if (found) resolve(Number(found[1]));
      });
      this.exited.then(
        (end) => reject(new Error(`the server ended before it was ready: ${JSON.stringify(end)}\n${this.log}`)),
        reject,
      );
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** What it has logged, once it matches. */
  logs(pattern) {
    return until(`the log's ${pattern}`, () => pattern.exec(this.log));
  }

  /** SIGTERM: it drains and ends with 0. */
  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    await this.ends();
  }

  /** It was told to end, and does, with 0. */
  async ends() {
    this.client?.close();
    let end;
    try {
      end = await within(EXIT_MS, 'the end after SIGTERM', this.exited);
    } catch (error) {
      this.child.kill('SIGKILL');
      await within(EXIT_MS, 'the end after SIGKILL', this.exited);
      throw error;
    }
    assert.deepEqual(end, { code: 0, signal: null }, `after SIGTERM; its log:\n${this.log.slice(-4000)}`);
  }

  /** SIGKILL, as a crash would end it. */
  async kill() {
    this.child.kill('SIGKILL');
    const end = await within(EXIT_MS, 'the end after SIGKILL', this.exited);
    this.client?.close();
    assert.equal(end.signal, 'SIGKILL', `it should have lived until it was killed; its log:\n${this.log.slice(-4000)}`);
  }

  /** The same data directory once more, in a new process. */
  again(options = {}) {
    return Server.start({ directory: this.directory, dataDir: this.dataDir, ...options });
  }
}

/**
 * What `ask` is answered though the server stood still for `ms` while it worked on it; its clock went on. Where the answer was faster than we could look
 * it did not stand still.
 */
export async function standstill(server, ms, ask) {
  let answered = false;
  const asked = ask().finally(() => (answered = true));
  const underWay = async () => (await server.client.get('/api/stats')).json.server.requests.under_way > 1; // the one that asks is one, too
  while (!answered && !(await underWay()));
  if (!answered) {
    server.child.kill('SIGSTOP');
    await sleep(ms);
    server.child.kill('SIGCONT');
  }
  return asked;
}

/** A keep-alive client. Nothing about a target is normalised. */
export class Client {
  /** `tls`: what node's tls.connect takes, for HTTPS. */
  constructor(port, { connections = 8, host = '127.0.0.1', tls = null } = {}) {
    this.port = port;
    this.host = host;
    this.http = tls ? https : http;
    this.agent = new this.http.Agent({ keepAlive: true, maxSockets: connections, ...tls });
  }

  close() {
    this.agent.destroy();
  }

  /** The same connections, with header fields of its own: credentials, say. */
  with(headers) {
    return Object.assign(Object.create(this), { own: { ...this.own, ...headers } });
  }

  /** { status, headers, body (Buffer), text, json }; `body` may be a string, a Buffer or an array of chunks. */
  request(method, target, { headers: given = {}, body, timeoutMs = 60_000 } = {}) {
    return new Promise((resolve, reject) => {
      const headers = { ...this.own, ...given };
      const options = { method, path: target, host: this.host, port: this.port, agent: this.agent, headers };
      if (body !== undefined && !Array.isArray(body)) {
        options.headers = { 'Content-Length': Buffer.byteLength(body), ...headers };
      }
      const request = this.http.request(options, (response) => {
        const parts = [];
        if (/^text\/event-stream\b/.test(response.headers['content-type'])) {
          request.destroy(); // it has no end of its own
          resolve(answer(response.statusCode, response.headers, Buffer.alloc(0)));
          return;
        }
        response.on('data', (part) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => resolve(answer(response.statusCode, response.headers, Buffer.concat(parts))));
      });
      request.setTimeout(timeoutMs, () => request.destroy(new Error(`${method} ${target.slice(0, 80)}: no answer within ${timeoutMs} ms`)));
      request.on('error', reject);
      for (const chunk of Array.isArray(body) ? body : []) request.write(chunk);
      request.end(Array.isArray(body) ? undefined : body);
    });
  }

  get(target, headers) {
    return this.request('GET', target, { headers });
  }

  put(target, body, headers) {
    return this.request('PUT', target, { body, headers });
  }

  delete(target, headers) {
    return this.request('DELETE', target, { headers });
  }

  post(target, value, headers) {
    return this.send('POST', target, value, headers);
  }

  patch(target, value, headers) {
    return this.send('PATCH', target, value, headers);
  }

  /** A body of JSON: a value, or its text as it is. */
  send(method, target, value, headers) {
    const body = typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value);
    return this.request(method, target, { body, headers: { 'Content-Type': 'application/json', ...headers } });
  }
}

/**
 * A reply that is read while it comes, and not before it is asked for: `next()` answers the next part (a Buffer), null at its end, and throws where the
 * connection ended without it.
 */
export class Stream {
  static open(port, target, { headers = {}, host = '127.0.0.1', tls = null, timeoutMs = 30_000 } = {}) {
    return within(timeoutMs, `the head of ${target.slice(0, 80)}`, new Promise((resolve, reject) => {
      const request = (tls ? https : http).request({ path: target, host, port, agent: false, headers, ...tls }, (response) => {
        request.socket.unref();
        resolve(new this(request, response));
      });
      request.on('error', reject); // of no effect once it is open
      request.end();
    }));
  }

  constructor(request, response) {
    this.request = request;
    this.response = response;
    this.status = response.statusCode;
    this.headers = response.headers;
    this.parts = response[Symbol.asyncIterator]();
  }

  async next(timeoutMs = 20_000) {
    if (!this.pending) {
      this.pending = this.parts.next(); // stays, where it does not come in time
      this.pending.catch(() => {});
    }
    const { done, value } = await within(timeoutMs, 'the next part of a stream', this.pending);
    this.pending = undefined;
    return done ? null : value;
  }

  /** All that is still to come. */
  async rest(timeoutMs = 120_000) {
    const parts = [];
    for (let part = await this.next(timeoutMs); part !== null; part = await this.next(timeoutMs)) parts.push(part);
    return Buffer.concat(parts);
  }

  close() {
    this.request.destroy();
  }
}

/** Server-sent events, read as the HTML standard says: `next()` answers { id, event, data }, `lastId` what a browser would send. */
export class Events extends Stream {
  constructor(request, response) {
    super(request, response);
    this.lastId = '';
    this.text = '';
    this.queue = [];
    this.decoder = new TextDecoder();
  }

  #read() {
    for (let end = this.text.indexOf('\n\n'); end >= 0; end = this.text.indexOf('\n\n')) {
      const fields = {};
      for (const line of this.text.slice(0, end).split('\n')) {
        const colon = line.indexOf(':');
        if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, '');
      }
      this.text = this.text.slice(end + 2);
      this.queue.push(fields);
    }
  }

  /** The next event, heartbeats too; null at the end. */
  async any(timeoutMs = 20_000) {
    while (this.queue.length === 0) {
      const part = await this.next(timeoutMs);
      if (part === null) return null;
      this.text += this.decoder.decode(part, { stream: true });
      this.#read();
    }
    const { id, event, data } = this.queue.shift();
    if (id !== undefined) this.lastId = id;
    return { id, event, data: JSON.parse(data) };
  }

  /** The next one that is no heartbeat. */
  async event(timeoutMs = 20_000) {
    for (;;) {
      const event = await this.any(timeoutMs);
      if (event?.event !== 'heartbeat') return event;
    }
  }

  async events(count, timeoutMs) {
    const all = [];
    while (all.length < count) {
      const event = await this.event(timeoutMs);
      assert.ok(event, `the stream ended after ${all.length} of ${count} events`);
      all.push(event);
    }
    return all;
  }

  async heartbeat(timeoutMs) {
    for (;;) {
      const event = await this.any(timeoutMs);
      assert.ok(event, 'the stream ended without a heartbeat');
      if (event.event === 'heartbeat') return event;
    }
  }
}

function answer(status, headers, body) {
  return {
    status,
    headers,
    body,
    get text() {
      return body.toString('utf8');
    },
    get json() {
      return JSON.parse(body.toString('utf8'));
    },
  };
}

/** A connection that sends exactly the bytes it is given and reads one response at a time. */
export class Wire {
  static open(port, host = '127.0.0.1') {
    return new Promise((resolve, reject) => {
      const wire = new Wire();
      wire.buffer = Buffer.alloc(0);
      wire.ended = false;
      wire.wake = () => {};
      wire.socket = net.connect({ port, host, noDelay: true, allowHalfOpen: true }, () => {
        wire.socket.unref(); // a test that fails leaves it open
        resolve(wire);
      });
      wire.socket.on('data', (data) => {
        wire.buffer = Buffer.concat([wire.buffer, data]);
        wire.wake();
      });
      const end = () => {
        wire.ended = true;
        wire.wake();
      };
      wire.socket.on('end', end);
      wire.socket.on('close', end);
      wire.socket.on('error', (error) => {
        reject(error); // of no effect once it is open: a reset is an end like any other
        end();
      });
    });
  }

  /**
   * A connection in the middle of a request whose header the server is known to have judged, for it has asked for the
   * body: `length` bytes, which are the caller's to send.
   */
  static async midway(port, line, length, headers = {}) {
    const wire = await Wire.open(port);
    const fields = { Host: 'localhost', 'Content-Length': length, Expect: '100-continue', ...headers };
    wire.send(`${line} HTTP/1.1\r\n${Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    assert.equal((await wire.response()).status, 100, line);
    return wire;
  }

  /** Bytes as they are; a string stands for its latin1 bytes. */
  send(bytes) {
    if (!this.ended) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  close() {
    this.socket.destroy();
  }

  #more(ms) {
    if (this.ended) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  async #until(condition, deadline, what) {
    for (;;) {
      const found = condition();
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (left <= 0 || this.ended || !(await this.#more(left))) {
        if (condition() !== undefined) continue;
        throw new Error(`${what}: ${this.ended ? 'the connection ended' : 'nothing came in time'} after ${this.buffer.length} bytes`);
      }
    }
  }

  #take(count) {
    const bytes = this.buffer.subarray(0, count);
    this.buffer = this.buffer.subarray(count);
    return bytes;
  }

  /** The first bytes of a response have come, and no more of it is read: most of a large one stays with the server. */
  async begins(timeoutMs = PATIENCE_MS) {
    this.socket.once('data', () => this.socket.pause());
    await this.#until(() => (this.buffer.length ? true : undefined), performance.now() + timeoutMs, 'the beginning of a response');
  }

  /** The next response; `head` where it has no body whatever it declares. */
  async response({ head = false, timeoutMs = PATIENCE_MS } = {}) {
    const deadline = performance.now() + timeoutMs;
    const end = await this.#until(
      () => {
        const at = this.buffer.indexOf('\r\n\r\n');
        return at < 0 ? undefined : at;
      },
      deadline,
      'a response',
    );
    const [statusLine, ...lines] = this.#take(end + 4).toString('latin1').slice(0, -4).split('\r\n');
    const parsed = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine);
    assert.ok(parsed, `not a status line: ${statusLine}`);
    const status = Number(parsed[1]);
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const bodyless = head || status < 200 || status === 204 || status === 304;
    const body = bodyless ? Buffer.alloc(0) : await this.#body(headers, deadline);
    return answer(status, headers, body);
  }

  async #body(headers, deadline) {
    if (/chunked/i.test(headers['transfer-encoding'] ?? '')) return this.#chunks(deadline);
    if (headers['content-length'] === undefined) {
      await this.#until(() => (this.ended ? true : undefined), deadline, 'a body that ends with the connection');
      return this.#take(this.buffer.length);
    }
    const length = Number(headers['content-length']);
    await this.#until(() => (this.buffer.length >= length ? true : undefined), deadline, `a body of ${length} bytes`);
    return this.#take(length);
  }

  async #chunks(deadline) {
    const parts = [];
    for (;;) {
      const at = await this.#until(
        () => {
          const found = this.buffer.indexOf('\r\n');
          return found < 0 ? undefined : found;
        },
        deadline,
        'a chunk',
      );
      const size = Number.parseInt(this.#take(at + 2).toString('latin1'), 16);
      await this.#until(() => (this.buffer.length >= size + 2 ? true : undefined), deadline, 'a chunk');
      parts.push(this.#take(size));
      this.#take(2);
      if (size === 0) return Buffer.concat(parts);
    }
  }

  /** Whether the other side has closed, or closes within `ms`; what it still sends is put aside. */
  async closes(ms = PATIENCE_MS) {
    const deadline = performance.now() + ms;
    while (!this.ended && performance.now() < deadline) await this.#more(deadline - performance.now());
    return this.ended;
  }
}

/** The key as one path segment, every byte escaped. */
export function escapeAll(bytes) {
  return [...Buffer.from(bytes)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

export const keyPath = (key) => `/api/keys/${encodeURIComponent(key)}`;
export const key64 = (bytes) => Buffer.from(bytes).toString('base64url');

/** The version that an ETag names. */
export function versionOf(response) {
  const found = /^"(\d+)"$/.exec(response.headers.etag ?? '');
  assert.ok(found, `an ETag that names a version, not ${response.headers.etag}`);
  return BigInt(found[1]);
}

/** RFC 9457 as this server promises it. Answers the document. */
export function assertProblem(response, status, what = '') {
  assert.equal(response.status, status, `${what} ${response.text.slice(0, 300)}`);
  assert.match(response.headers['content-type'] ?? '', /^application\/problem\+json\b/, what);
  const problem = response.json;
  assert.equal(typeof problem.type, 'string');
  assert.ok(problem.title.length > 0);
  assert.equal(problem.status, status);
  assert.ok(problem.detail.length > 0);
  assert.match(problem.code, /^[a-z][a-z0-9_]*$/);
  assert.ok(problem.request_id.length > 0);
  assert.equal(problem.request_id, response.headers['x-request-id']);
  return problem;
}

/** All pages of a listing: { items, pages, versions }. */
export async function listAll(client, parameters = {}) {
  const items = [];
  const versions = [];
  let cursor = null;
  let pages = 0;
  do {
    const query = new URLSearchParams(cursor === null ? parameters : { ...parameters, cursor });
    const page = await client.get(`/api/keys?${query}`);
    assert.equal(page.status, 200, page.text.slice(0, 300));
    const { items: some, cursor: next, complete, version } = page.json;
    items.push(...some);
    versions.push(BigInt(version));
    assert.equal(complete, next === null, 'a listing is complete when there is no cursor, and only then');
    cursor = next;
    pages += 1;
  } while (cursor !== null);
  return { items, pages, versions };
}

/** Numbers that a seed repeats (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  const word = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    below: (n) => word() % n,
    chance: (p) => word() < p * 4294967296,
    bytes: (n) => Buffer.from(Uint32Array.from({ length: Math.ceil(n / 4) }, word).buffer, 0, n),
  };
}
