#!/usr/bin/env node
// Loads Debian's package index into a running server, as JSON documents under `pkg:<name>`, over HTTP:
//
//     node examples/load-packages.mjs                          # runs apt-cache dumpavail by itself
//     apt-cache dumpavail | node examples/load-packages.mjs -  # or reads what it printed
//     node examples/load-packages.mjs --verify                 # reads everything back and compares byte for byte
//
// What is already there, equal, is not written again: a load that was interrupted goes on when it is started again.
// It needs nothing but node. The functions are exported for the tests.
import { spawn } from 'node:child_process';
import http from 'node:http';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const USAGE = `usage: load-packages.mjs [options] [-]
  -                  read the index from stdin instead of running apt-cache dumpavail
  --url URL          the server (http://127.0.0.1:2005)
  --connections N    connections at once (32)
  --batch N          documents in one request, atomically; 1: a PUT each (1)
  --limit N          only the first N packages
  --verify           write nothing: compare everything byte for byte, list pkg:lib with cursors
exit codes: 0 done, 1 failed or different, 2 wrong usage`;

/** The records of an index in Debian's control format: { key, body } each, body the JSON document. */
export async function* packages(input) {
  let fields = {};
  let last;
  const seen = new Set();
  const record = () => {
    const name = fields.Package;
    if (name === undefined || seen.has(name)) return undefined; // another architecture's record of the same name
    seen.add(name);
    return { key: `pkg:${name}`, body: Buffer.from(JSON.stringify(fields)) };
  };
  for await (const line of readline.createInterface({ input, crlfDelay: Infinity })) {
    if (line === '') {
      const one = record();
      if (one) yield one;
      fields = {};
      last = undefined;
    } else if (line[0] === ' ' || line[0] === '\t') {
      if (last !== undefined) fields[last] += `\n${line.slice(1)}`;
    } else {
      const colon = line.indexOf(':');
      if (colon < 1) throw new Error(`not a line of a package index: ${line.slice(0, 80)}`);
      last = line.slice(0, colon);
      fields[last] = line.slice(colon + 1).trim();
    }
  }
  const one = record();
  if (one) yield one;
}

/** The first `limit` documents of an index, which is then let go. */
export async function readIndex(input, limit = Infinity) {
  const documents = [];
  for await (const one of packages(input)) {
    documents.push(one);
    if (documents.length >= limit) break;
  }
  input.destroy();
  return documents;
}

/** The index of this machine, as a stream. */
export function aptIndex() {
  const child = spawn('apt-cache', ['dumpavail'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text) => (complaint += text));
  child.on('error', (error) => child.stdout.destroy(error));
  child.on('exit', (code) => {
    // Whoever reads only a part lets go of the stream first, and then apt-cache complains of that.
    if (code !== 0 && !child.stdout.destroyed) child.stdout.destroy(new Error(`apt-cache dumpavail failed: ${complaint.trim()}`));
  });
  return child.stdout;
}

/** A client with so many connections; `request` answers { status, body }. */
export class Store {
  constructor(url, connections) {
    this.url = new URL(url);
    this.agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  }

  close() {
    this.agent.destroy();
  }

  request(method, path, body, headers = {}) {
    return new Promise((resolve, reject) => {
      const options = { method, path, host: this.url.hostname.replace(/^\[|\]$/g, ''), port: this.url.port || 80, agent: this.agent, headers };
      if (body !== undefined) options.headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers };
      const request = http.request(options, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(parts) }));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  get(key) {
    return this.request('GET', `/api/keys/${encodeURIComponent(key)}`);
  }

  async put(documents) {
    const [first] = documents;
    const batch = () => `{"ops":[${documents.map(({ key, body }) => `{"op":"put","key":${JSON.stringify(key)},"value":${body}}`).join(',')}]}`;
    const answer = documents.length === 1
      ? await this.request('PUT', `/api/keys/${encodeURIComponent(first.key)}`, first.body)
      : await this.request('POST', '/api/batch', batch());
    if (answer.status !== 204 && answer.status !== 200) throw new Error(`${first.key}: status ${answer.status}: ${answer.body.toString().slice(0, 300)}`);
  }

  /** All items under a prefix, page by page. */
  async *list(prefix, { values = false, limit = 1000 } = {}) {
    let cursor = null;
    do {
      const query = new URLSearchParams({ prefix, limit, values });
      if (cursor !== null) query.set('cursor', cursor);
      const answer = await this.request('GET', `/api/keys?${query}`);
      if (answer.status !== 200) throw new Error(`listing ${prefix}: status ${answer.status}: ${answer.body.toString().slice(0, 300)}`);
      const page = JSON.parse(answer.body);
      yield page.items;
      cursor = page.cursor;
    } while (cursor !== null);
  }
}

/** Runs `work(item)` over an iterable, so many at once; the first failure ends it when the others under way have ended. */
async function each(items, parallel, work) {
  const iterator = items[Symbol.asyncIterator]?.() ?? items[Symbol.iterator]();
  let failure;
  const worker = async () => {
    while (failure === undefined) {
      const { done, value } = await iterator.next();
      if (done) return;
      await work(value).catch((error) => (failure ??= error));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  if (failure !== undefined) throw failure;
}

function* slices(array, size) {
  for (let at = 0; at < array.length; at += size) yield array.slice(at, at + size);
}

/** The keys of `documents` that the server already holds, equal. The documents hold strings only, so parsing loses nothing. */
async function present(store, documents) {
  const wanted = new Map(documents.map(({ key, body }) => [key, body]));
  const equal = new Set();
  for await (const items of store.list('pkg:', { values: true, limit: 10_000 })) {
    for (const { key, value } of items) {
      if (value !== undefined && wanted.get(key)?.equals(Buffer.from(JSON.stringify(value)))) equal.add(key);
    }
  }
  return equal;
}

/**
 * Writes the documents that are not there yet. `onAcknowledged(documents)` is called as the server acknowledges them.
 * Answers { written, kept, bytes }.
 */
export async function load(store, documents, { connections = 32, batch = 1, onSend = () => {}, onAcknowledged = () => {} } = {}) {
  const kept = await present(store, documents);
  const missing = documents.filter(({ key }) => !kept.has(key));
  let bytes = 0;
  let written = 0;
  await each(slices(missing, batch), connections, async (some) => {
    onSend(some);
    await store.put(some);
    written += some.length;
    bytes += some.reduce((sum, { body }) => sum + body.length, 0);
    onAcknowledged(some);
  });
  return { written, kept: kept.size, bytes };
}

/**
 * Compares the server with the documents: { equal, bytes, missing, different, unknown }, the last three as keys;
 * `unknown` are keys under pkg: that are not among the documents.
 */
export async function verify(store, documents, { connections = 32, onRead = () => {} } = {}) {
  const result = { equal: 0, bytes: 0, missing: [], different: [], unknown: [] };
  await each(documents, connections, async ({ key, body }) => {
    const answer = await store.get(key);
    if (answer.status === 404) result.missing.push(key);
    else if (answer.status !== 200) throw new Error(`${key}: status ${answer.status}`);
    else if (!answer.body.equals(body)) result.different.push(key);
    else {
      result.equal += 1;
      result.bytes += body.length;
    }
    onRead();
  });
  const known = new Set(documents.map(({ key }) => key));
  for await (const items of store.list('pkg:', { limit: 10_000 })) {
    for (const { key } of items) if (!known.has(key)) result.unknown.push(key);
  }
  return result;
}

// ---- the command ----------------------------------------------------------------------------------------------------

const rate = (count, ms) => `${Math.round((count * 1000) / Math.max(ms, 1)).toLocaleString('en')}/s`;
const mib = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;

function parse(args) {
  const options = { url: 'http://127.0.0.1:2005', connections: 32, batch: 1, limit: Infinity, verify: false, stdin: false };
  for (let i = 0; i < args.length; i++) {
    const name = args[i].replace(/^--/, '');
    if (args[i] === '-') options.stdin = true;
    else if (args[i] === '--verify') options.verify = true;
    else if (args[i] === '--url' && URL.canParse(args[i + 1] ?? '')) options.url = args[++i];
    else if (['--connections', '--batch', '--limit'].includes(args[i]) && Number(args[i + 1]) >= 1) options[name] = Number(args[++i]);
    else return undefined;
  }
  return options;
}

/** A line that is drawn over itself on a terminal, and never elsewhere. */
function progress(what, total) {
  let done = 0;
  let drawn = 0;
  const began = Date.now();
  return (more = 1) => {
    done += more;
    if (!process.stderr.isTTY || (Date.now() - drawn < 100 && done < total)) return;
    drawn = Date.now();
    process.stderr.write(`\r${what} ${done} of ${total}, ${rate(done, drawn - began)} ${done < total ? '' : '\n'}`);
  };
}

async function runLoad(store, documents, options) {
  const advance = progress('written', documents.length);
  const began = Date.now();
  const { written, kept, bytes } = await load(store, documents, { ...options, onAcknowledged: (some) => advance(some.length) });
  const ms = Date.now() - began;
  console.log(`written ${written} documents, ${mib(bytes)}, in ${ms} ms: ${rate(written, ms)}, ${mib((bytes * 1000) / Math.max(ms, 1))}/s; ${kept} were already there`);
  return 0;
}

async function runVerify(store, documents, options) {
  let began = Date.now();
  const { equal, bytes, missing, different, unknown } = await verify(store, documents, { ...options, onRead: progress('read', documents.length) });
  let ms = Date.now() - began;
  console.log(`read ${documents.length} documents in ${ms} ms: ${rate(documents.length, ms)}; ${equal} equal byte for byte (${mib(bytes)})`);
  for (const [what, keys] of Object.entries({ missing, different, unknown })) {
    console.log(`${what}: ${keys.length}${keys.length ? `, such as ${keys.slice(0, 5).join(' ')}` : ''}`);
  }
  began = Date.now();
  let listed = 0;
  let pages = 0;
  for await (const items of store.list('pkg:lib')) {
    listed += items.length;
    pages += 1;
  }
  ms = Date.now() - began;
  const expected = documents.filter(({ key }) => key.startsWith('pkg:lib')).length;
  console.log(`listed ${listed} of pkg:lib (the index has ${expected}) on ${pages} pages in ${ms} ms: ${rate(listed, ms)}`);
  return missing.length + different.length + unknown.length === 0 && listed === expected ? 0 : 1;
}

async function main() {
  const options = parse(process.argv.slice(2));
  if (options === undefined) {
    console.error(USAGE);
    return 2;
  }
  const documents = await readIndex(options.stdin ? process.stdin : aptIndex(), options.limit);
  if (documents.length === 0) throw new Error('the index has no records; is apt-cache here, and was apt-get update run?');
  const store = new Store(options.url, options.connections);
  try {
    return await (options.verify ? runVerify : runLoad)(store, documents, options);
  } finally {
    store.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().then(
    (code) => (process.exitCode = code),
    (error) => {
      console.error(`load-packages: ${error.message}`);
      process.exitCode = 1;
    },
  );
}
