#!/usr/bin/env node
// What goes beyond GET and PUT: counters, merge patches, batches, pages, counts, folders, parts of values; transactions;
// watches of 1 to 1,000 connections; export and import. Beside them etcd (transactions and watches through its JSON
// gateway) and Redis with `appendfsync always` (INCR, a dump, a pipe), where they have the like. Loads are interleaved
// round by round, and the tables show medians. Needs wrk, curl; etcd and redis-server for their rows; what is missing
// shows as a dash.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { etcd, installed, measureAndReport, median, number, optionsOf, redis, run, velocity, wrk } from './servers.mjs';

const options = optionsOf('api.mjs', { seconds: 3, items: 1000000, only: '' });
const { seconds, rounds, items } = options;
const WARM_SECONDS = 1;
const LIMIT_MS = 600000;
const VALUE = 'v'.repeat(100);
const base64 = (text) => Buffer.from(text).toString('base64');
const key = (i) => `bench:${String(i % 100).padStart(2, '0')}:${String(i).padStart(9, '0')}`; // a hundred folders

/* ------------------------------------------------- requests of one kind ------------------------------------------------- */

async function ok(response) {
    if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
    return response;
}

/** What the rows read: 100,000 small values, an object, and one of a million bytes. */
async function fill(url) {
    for (let first = 0; first < 100000; first += 10000) {
        const ops = Array.from({ length: 10000 }, (_, i) => ({ op: 'put', key: key(first + i), text: VALUE }));
        await ok(await fetch(`${url}/api/batch`, { method: 'POST', body: JSON.stringify({ ops }), headers: { 'Content-Type': 'application/json' } }));
    }
    await ok(await fetch(`${url}/api/keys/object`, { method: 'PUT', body: '{"name":"Ada","seen":0}', headers: { 'Content-Type': 'application/json' } }));
    await ok(await fetch(`${url}/api/keys/large`, { method: 'PUT', body: 'v'.repeat(1000000) }));
}

const requests = (what, connections) => (directory) => velocity(options.velocity, directory, async (url) => {
    await fill(url);
    await wrk('request.lua', connections, WARM_SECONDS, `${url}/`, { argument: what });
    return wrk('request.lua', connections, seconds, `${url}/`, { argument: what });
});

async function redisRun(port, keys, requestCount) {
    const line = (await run('redis-benchmark', ['-p', String(port), '-c', '64', '-t', 'incr', '-r', String(keys), '-n', String(requestCount), '--csv'], LIMIT_MS))
        .split('\n').find((text) => text.startsWith('"INCR"'));
    const [, rate, , , p50, , p99] = line.split(',').map((cell) => Number(cell.replaceAll('"', '')));
    return { rate, p50: p50 * 1000, p99: p99 * 1000 };
}

/** redis-benchmark takes a number of requests, not a time: a short run tells how many fill it. */
const redisIncrements = (keys) => (directory) => redis(directory, async (port) => {
    const { rate } = await redisRun(port, keys, 10000);
    return redisRun(port, keys, Math.ceil(rate * seconds));
});

/* ----------------------------------------------------- transactions ----------------------------------------------------- */

/** A client of one connection. */
function connection(url) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const send = (method, path, body, headers = {}) => new Promise((resolve, reject) => {
        const request = http.request(`${url}${path}`, { method, agent, headers: { ...headers, 'Content-Length': Buffer.byteLength(body ?? '') } }, (response) => {
            let text = '';
            response.on('data', (chunk) => { text += chunk; });
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
        });
        request.on('error', reject);
        request.end(body);
    });
    return { send, close: () => agent.destroy() };
}

function must(reply, status) {
    if (reply.status !== status) throw new Error(`${reply.status}: ${reply.text}`);
    return reply;
}

const JSON_BODY = { 'Content-Type': 'application/json' };

/** Reads a key and writes it back, within a transaction. */
async function transaction({ send }, name) {
    const { id } = JSON.parse(must(await send('POST', '/api/transactions', '{}', JSON_BODY), 201).text);
    const inside = { 'Velocity-Transaction': id };
    must(await send('GET', `/api/keys/${name}`, undefined, inside), 200);
    must(await send('PUT', `/api/keys/${name}`, VALUE, inside), 204);
    must(await send('POST', `/api/transactions/${id}/commit`, ''), 200);
}

/** The same on condition that its version is that which was read. */
async function conditional({ send }, name) {
    const { etag } = must(await send('GET', `/api/keys/${name}`), 200).headers;
    must(await send('PUT', `/api/keys/${name}`, VALUE, { 'If-Match': etag }), 204);
}

/** The same as etcd has it. */
async function etcdTransaction({ send }, name) {
    const encoded = base64(name);
    const { kvs } = JSON.parse(must(await send('POST', '/v3/kv/range', JSON.stringify({ key: encoded })), 200).text);
    const compare = [{ key: encoded, target: 'MOD', result: 'EQUAL', mod_revision: kvs[0].mod_revision }];
    const success = [{ request_put: { key: encoded, value: base64(VALUE) } }];
    const reply = must(await send('POST', '/v3/kv/txn', JSON.stringify({ compare, success })), 200);
    if (!JSON.parse(reply.text).succeeded) throw new Error(reply.text);
}

async function clients(url, put, act) {
    const connections = Array.from({ length: 16 }, () => connection(url));
    const latencies = [];
    const started = performance.now();
    const until = started + seconds * 1000;
    await Promise.all(connections.map(async (one, i) => {
        await put(one, `own:${i}`); // each has a key of its own: nobody loses
        while (performance.now() < until) {
            const begun = performance.now();
            await act(one, `own:${i}`);
            latencies.push(performance.now() - begun);
        }
        one.close();
    }));
    return { rate: (latencies.length * 1000) / (performance.now() - started), ...percentiles(latencies) };
}

function percentiles(milliseconds) {
    const sorted = milliseconds.toSorted((a, b) => a - b);
    const at = (share) => sorted[Math.floor(share * (sorted.length - 1))] * 1000;
    return { p50: at(0.5), p99: at(0.99) };
}

const velocityPut = async ({ send }, name, value = VALUE) => must(await send('PUT', `/api/keys/${name}`, value), 204);
const etcdPut = async ({ send }, name, value = VALUE) =>
    must(await send('POST', '/v3/kv/put', JSON.stringify({ key: base64(name), value: base64(value) })), 200);

const transactions = (act) => (directory) => velocity(options.velocity, directory, (url) => clients(url, velocityPut, act));
const etcdTransactions = (directory) => etcd(directory, (url) => clients(url, etcdPut, etcdTransaction));

/* -------------------------------------------------------- watches -------------------------------------------------------- */

const velocityWatch = 'GET /api/watch?prefix=bench: HTTP/1.1\r\nHost: localhost\r\n\r\n';
const etcdBody = JSON.stringify({ create_request: { key: base64('bench:'), range_end: base64('bench;') } });
const etcdWatch = `POST /v3/watch HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${etcdBody.length}\r\n\r\n${etcdBody}`;

/** A watch that says when a text has come; no text stands twice. */
async function watcher(url, greeting) {
    const { port, hostname } = new URL(url);
    const socket = net.connect(Number(port), hostname);
    const waiting = [];
    let tail = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
        tail += chunk;
        while (waiting.length && tail.includes(waiting[0].text)) waiting.shift().resolve();
        tail = tail.slice(-300); // a text may come in two pieces
    });
    const ended = once(socket, 'close').then(() => { throw new Error('a watch ended'); });
    ended.catch(() => {});
    const saw = (text) => Promise.race([ended, new Promise((resolve) => { waiting.push({ text, resolve }); })]);
    const ready = saw('\r\n\r\n');
    socket.write(greeting);
    await ready;
    return { saw, close: () => socket.destroy() };
}

/** A hundred puts in one request. */
const velocityHundred = ({ send }, first) => send('POST', '/api/batch',
    JSON.stringify({ ops: Array.from({ length: 100 }, (_, i) => ({ op: 'put', key: key(first + i), text: VALUE })) }), JSON_BODY);
const etcdHundred = ({ send }, first) => send('POST', '/v3/kv/txn',
    JSON.stringify({ success: Array.from({ length: 100 }, (_, i) => ({ request_put: { key: base64(key(first + i)), value: base64(VALUE) } })) }));

/** Until every watcher has had all the events of the puts, and then from a durable put to its event, one at a time. */
async function watched(url, count, { greeting, shown, put, hundred }) {
    const writer = connection(url);
    await put(writer, 'bench:before');
    const watchers = [];
    while (watchers.length < count) {
        watchers.push(...(await Promise.all(Array.from({ length: Math.min(100, count - watchers.length) }, () => watcher(url, greeting)))));
    }
    const all = (name) => Promise.all(watchers.map(({ saw }) => saw(shown(name))));
    await Promise.all([all('bench:first'), put(writer, 'bench:first')]); // all of them are there
    const events = Math.max(1000, 100000 / count);
    const started = performance.now();
    const last = all('bench:last');
    for (let first = 0; first < events; first += 100) must(await hundred(writer, first), 200);
    await put(writer, 'bench:last');
    await last;
    const rate = ((events + 1) * count * 1000) / (performance.now() - started);
    const latencies = [];
    for (let i = 0; i < 200; i++) {
        const begun = performance.now();
        await Promise.all([all(`bench:one:${i}.`), put(writer, `bench:one:${i}.`)]);
        latencies.push(performance.now() - begun);
    }
    watchers.forEach(({ close }) => close());
    writer.close();
    return { rate, ...percentiles(latencies) };
}

const watches = (count) => (directory) => velocity(options.velocity, directory, (url) =>
    watched(url, count, { greeting: velocityWatch, shown: (name) => `"key":"${name}"`, put: velocityPut, hundred: velocityHundred }));
const etcdWatches = (count) => (directory) => etcd(directory, (url) =>
    watched(url, count, { greeting: etcdWatch, shown: (name) => `"key":"${base64(name)}"`, put: etcdPut, hundred: etcdHundred }));

/* --------------------------------------------------- export and import --------------------------------------------------- */

const peakBytes = (pid) => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

function write(file, line) {
    const lines = [];
    for (let i = 0; i < items; i++) lines.push(line(i));
    writeFileSync(file, lines.join(''));
    return file;
}

async function timed(act) {
    const started = performance.now();
    await act();
    return (items * 1000) / (performance.now() - started);
}

async function curl(args) {
    const reply = await run('curl', ['-sS', '--fail-with-body', ...args], LIMIT_MS);
    return reply;
}

/** Items a second into an empty database, and out again. */
const throughVelocity = (directory) => velocity(options.velocity, directory, async (url, pid) => {
    const file = write(join(directory, 'items'), (i) => `{"key":"${key(i)}","text":"${VALUE}"}\n`);
    let reply;
    const rate = await timed(async () => { reply = await curl(['-T', file, '-X', 'POST', '-H', 'Content-Type: application/x-ndjson', `${url}/api/import`]); });
    if (JSON.parse(reply).imported !== items) throw new Error(reply);
    const out = join(directory, 'out');
    const exported = await timed(() => curl(['-o', out, `${url}/api/export`]));
    if (statSync(out).size < statSync(file).size) throw new Error('the export is too short');
    return { rate, exported, peak: peakBytes(pid) };
});

/** The same with what Redis has for it: the protocol through a pipe, and a dump. */
const throughRedis = (directory) => redis(directory, async (port, pid) => {
    const file = write(join(directory, 'items'), (i) => `*3\r\n$3\r\nSET\r\n$${key(i).length}\r\n${key(i)}\r\n$100\r\n${VALUE}\r\n`);
    const rate = await timed(async () => {
        const pipe = spawn('redis-cli', ['-p', String(port), '--pipe'], { stdio: ['pipe', 'ignore', 'inherit'] });
        createReadStream(file).pipe(pipe.stdin);
        const [code] = await once(pipe, 'close');
        if (code !== 0) throw new Error(`redis-cli ended with ${code}`);
    });
    const exported = await timed(() => run('redis-cli', ['-p', String(port), '--rdb', join(directory, 'dump')], LIMIT_MS));
    return { rate, exported, peak: peakBytes(pid) };
});

/* --------------------------------------------------------- tables --------------------------------------------------------- */

const can = installed('wrk') && installed('curl') && installed(options.velocity);
const canEtcd = installed('etcd');
const canRedis = ['redis-server', 'redis-benchmark', 'redis-cli'].every(installed);
const KINDS = [
    ['increment', 64, 'increment of many counters, durable, 64 connections', 'Redis, INCR'],
    ['counter', 64, 'increment of one counter, durable, 64 connections', 'Redis, INCR'],
    ['patch', 64, 'merge patch of one object, durable, 64 connections'],
    ['batch', 16, 'batch of 100 durable puts, 16 connections'],
    ['page', 16, 'page of 100 items with their values, 16 connections'],
    ['count', 4, 'count of 100,000 keys, 4 connections'],
    ['folders', 16, '100,000 keys folded into 100 prefixes, 16 connections'],
    ['part', 32, '100 bytes out of a value of a million, 32 connections'],
];
const WATCHERS = [1, 100, 1000];
const loads = [
    ...KINDS.map(([row, connections]) => ({ row, server: 'velocity', can, measure: requests(row, connections) })),
    { row: 'increment', server: 'redis', can: canRedis, measure: redisIncrements(1000000000) },
    { row: 'counter', server: 'redis', can: canRedis, measure: redisIncrements(1) },
    { row: 'transaction', server: 'velocity', can, measure: transactions(transaction) },
    { row: 'conditional', server: 'velocity', can, measure: transactions(conditional) },
    { row: 'conditional', server: 'etcd', can: canEtcd, measure: etcdTransactions },
    ...WATCHERS.flatMap((count) => [
        { row: `watch ${count}`, server: 'velocity', can, measure: watches(count) },
        { row: `watch ${count}`, server: 'etcd', can: canEtcd && count <= 100, measure: etcdWatches(count) },
    ]),
    { row: 'stream', server: 'velocity', can, measure: throughVelocity },
    { row: 'stream', server: 'redis', can: canRedis, measure: throughRedis },
];

function of(row, server, field) {
    const { results = [] } = loads.find((one) => one.row === row && one.server === server) ?? {};
    return results.length ? median(results.map((one) => one[field])) : null;
}
const show = (value) => (value === null ? '–' : number(value));
const ratio = (a, b) => (a !== null && b !== null ? (a / b).toFixed(2) : '–');
const latency = (row, server) => `${show(of(row, server, 'p50'))} / ${show(of(row, server, 'p99'))}`;

function report() {
    console.log(`| median of ${rounds} | a second | peer | the peer's | ratio | p50 / p99, µs | the peer's |\n|---|---:|---|---:|---:|---:|---:|`);
    const line = (title, row, peer, name, field = 'rate') => {
        const [mine, other] = [of(row, 'velocity', field), of(row, peer, field)];
        const latencies = field === 'rate' && row !== 'stream' ? [latency(row, 'velocity'), latency(row, peer)] : ['–', '–'];
        console.log(`| ${[title, show(mine), name, show(other), ratio(mine, other), ...latencies].join(' | ')} |`);
    };
    for (const [row, , title, peer = '–'] of KINDS) line(title, row, 'redis', peer);
    line('transaction: begin, read, write, commit; 16 clients', 'transaction', '–', '–');
    line('read, and write if it is still that version; 16 clients', 'conditional', 'etcd', 'etcd, range and txn');
    for (const count of WATCHERS) line(`events to ${count} watch${count > 1 ? 'es' : ''}; from put to all of them`, `watch ${count}`, 'etcd', 'etcd');
    line(`items of an import of ${number(items)}, durable`, 'stream', 'redis', 'Redis, --pipe');
    line(`items of an export of ${number(items)}`, 'stream', 'redis', 'Redis, --rdb', 'exported');
    const mebibytes = (server) => show(of('stream', server, 'peak') === null ? null : of('stream', server, 'peak') / 1048576);
    console.log(`\nPeak memory in import and export: ${mebibytes('velocity')} MiB; Redis ${mebibytes('redis')} MiB`);
}

await measureAndReport(loads.filter(({ row }) => new RegExp(options.only).test(row)), options, report);
