#!/usr/bin/env node
// What people, limits, audit and TLS cost, and etcd beside it: GET and durable PUT of 100 bytes on an open server, on
// one with logins, rate limits and the audit log, at each audit level, over TLS; against etcd's JSON gateway; GET at
// half load; full TLS handshakes a second; the memory of idle connections. Loads are interleaved round by round, and
// the tables show medians. Needs wrk; etcd and openssl for their rows; what is missing shows as a dash.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { etcd, installed, measureAndReport, median, number, optionsOf, run, sleep, velocity, wrk } from './servers.mjs';

const options = optionsOf('service.mjs', { idle: 10000 });
const { seconds, rounds } = options;
const WARM_SECONDS = 1;
const PASSWORD = 'benchmark password';

const OPEN = { config: '[security]\naudit_logging = false\n' };
const guarded = (level, enabled = true, server = '') => ({
    config: `[server]\n${server}[security]\naudit_logging = ${enabled}\naudit_level = "${level}"\n`,
    environment: { VELOCITY_ADMIN_PASSWORD: PASSWORD },
});
const LIMITED = guarded('admin', true, `rate_limit_per_second = 10000000
connection_rate_limit_per_second = 1000000
global_rate_limit_per_second = 10000000
`);
const TLS = { config: '[tls]\nenabled = true\n[security]\naudit_logging = false\n', tls: true };

/** The headers of someone who is logged in, where that is asked for. */
async function login(url, configuration) {
    if (!configuration.environment) return {};
    const body = JSON.stringify({ username: 'admin', password: PASSWORD });
    const answer = await fetch(`${url}/api/sessions`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    if (answer.status !== 201) throw new Error(`login: ${answer.status}`);
    return { Authorization: `Bearer ${(await answer.json()).token}` };
}

const server = (configuration, use) => (directory) =>
    velocity(options.velocity, directory, async (url, pid) => use(url, await login(url, configuration), pid), configuration);

async function store(url, headers) {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // the certificate is the server's own, made a moment ago
    const put = await fetch(`${url}/api/keys/bench`, { method: 'PUT', body: 'v'.repeat(100), headers });
    if (!put.ok) throw new Error(`the value was not stored: ${put.status}`);
}

async function get(url, headers) {
    await store(url, headers);
    await wrk('get.lua', 32, WARM_SECONDS, `${url}/api/keys/bench`, { headers });
    return wrk('get.lua', 32, seconds, `${url}/api/keys/bench`, { headers });
}

async function put(url, headers) {
    await wrk('put.lua', 64, WARM_SECONDS, `${url}/`, { headers });
    return wrk('put.lua', 64, seconds, `${url}/`, { headers });
}

/** At some half of what it can: 64 connections, each waiting so long between its requests. */
async function pacedGet(url, headers) {
    await store(url, headers);
    const full = await wrk('get.lua', 64, WARM_SECONDS, `${url}/api/keys/bench`, { headers });
    const milliseconds = Math.max(1, Math.round((64 * 2 * 1000) / full.rate));
    const paced = await wrk('paced.lua', 64, seconds, `${url}/api/keys/bench`, { headers, argument: String(milliseconds) });
    return { ...paced, share: paced.rate / full.rate };
}

async function etcdLoad(url, what) {
    if (what === 'get') {
        const body = JSON.stringify({ key: btoa('bench'), value: btoa('v'.repeat(100)) });
        await fetch(`${url}/v3/kv/put`, { method: 'POST', body });
    }
    const connections = what === 'get' ? 32 : 64;
    await wrk('etcd.lua', connections, WARM_SECONDS, `${url}/`, { argument: what });
    return wrk('etcd.lua', connections, seconds, `${url}/`, { argument: what });
}

/** Full handshakes: two openssl clients, each connecting again and again without resumption. */
async function handshakes(url) {
    const address = new URL(url).host;
    const one = () => run('openssl', ['s_time', '-connect', address, '-new', '-tls1_3', '-time', String(seconds)], (seconds + 10) * 1000);
    const rates = (await Promise.all([one(), one()])).map((text) => {
        const found = /(\d+) connections in (\d+) real seconds/.exec(text);
        if (!found) throw new Error(`openssl said: ${text}`);
        return Number(found[1]) / Number(found[2]);
    });
    return { rate: rates[0] + rates[1] };
}

const residentBytes = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

/** A connection that has had one answer and is kept open. */
function idler(port, secure) {
    return new Promise((resolve, reject) => {
        const target = { port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };
        const socket = secure ? tls.connect(target) : net.connect(target);
        socket.on(secure ? 'secureConnect' : 'connect', () => socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'));
        socket.once('data', () => resolve(socket));
        socket.on('error', reject);
    });
}

const descriptors = Number(spawnSync('sh', ['-c', 'ulimit -n']).stdout.toString());
/** As many as asked for, or as the server may have: behind TLS a connection takes three descriptors. */
const idleCount = (secure) => Math.min(options.idle, secure ? Math.floor((descriptors - 2000) / 3) : descriptors - 2000);

/** Bytes of the server's memory that one idle connection takes, and how long a GET takes beside all of them. */
async function idleConnections(url, headers, pid) {
    const { port, protocol } = new URL(url);
    const wanted = idleCount(protocol === 'https:');
    await get(url, headers);
    const before = residentBytes(pid);
    const sockets = [];
    while (sockets.length < wanted) {
        const group = Array.from({ length: Math.min(100, wanted - sockets.length) }, () => idler(Number(port), protocol === 'https:'));
        sockets.push(...(await Promise.all(group)));
    }
    await sleep(1000);
    const each = (residentBytes(pid) - before) / wanted;
    const beside = await wrk('get.lua', 4, 1, `${url}/api/keys/bench`, { headers });
    for (const socket of sockets) socket.destroy();
    return { ...beside, bytes: each };
}

const can = installed('wrk') && installed(options.velocity);
const canEtcd = installed('wrk') && installed('etcd');
const load = (row, name, measure, able = can) => ({ row, server: name, can: able, measure });
const DEFAULT = guarded('admin');
const loads = [
    load('get', 'open', server(OPEN, get)),
    load('get', 'guarded', server(DEFAULT, get)),
    load('get', 'limited', server(LIMITED, get)),
    load('get', 'tls', server(TLS, get)),
    load('get', 'etcd', (directory) => etcd(directory, (url) => etcdLoad(url, 'get')), canEtcd),
    load('put', 'open', server(OPEN, put)),
    load('put', 'guarded', server(DEFAULT, put)),
    load('put', 'limited', server(LIMITED, put)),
    load('put', 'unaudited', server(guarded('admin', false), put)),
    load('put', 'audit writes', server(guarded('writes'), put)),
    load('put', 'audit all', server(guarded('all'), put)),
    load('put', 'etcd', (directory) => etcd(directory, (url) => etcdLoad(url, 'put')), canEtcd),
    load('half load', 'guarded', server(DEFAULT, pacedGet)),
    load('handshakes', 'tls', server(TLS, handshakes), can && installed('openssl')),
    load('idle', 'open', server(OPEN, idleConnections)),
    load('idle', 'tls', server(TLS, idleConnections)),
];

const results = (row, name) => loads.find((one) => one.row === row && one.server === name).results;
function of(row, name, field) {
    const some = results(row, name);
    return some.length ? median(some.map((one) => one[field])) : null;
}
const ratio = (a, b) => (a !== null && b !== null ? (a / b).toFixed(2) : '–');
const show = (value) => (value === null ? '–' : number(value));

function report() {
    console.log(`| median of ${rounds} | ops/s | ÷ open | ÷ etcd | p50, µs | p99, µs |\n|---|---:|---:|---:|---:|---:|`);
    const rows = [
        ['GET, nobody configured', 'get', 'open'],
        ['GET with login, permission and the audit log, all at their defaults', 'get', 'guarded'],
        ['the same with all three rate limits, and their headers', 'get', 'limited'],
        ['GET over TLS', 'get', 'tls'],
        ['GET of etcd', 'get', 'etcd'],
        ['durable PUT, nobody configured', 'put', 'open'],
        ['durable PUT with login, permission and the audit log, all at their defaults', 'put', 'guarded'],
        ['the same with all three rate limits, and their headers', 'put', 'limited'],
        ['durable PUT with login, without an audit log', 'put', 'unaudited'],
        ['durable PUT with login, each write audited', 'put', 'audit writes'],
        ['durable PUT with login, everything audited', 'put', 'audit all'],
        ['durable PUT of etcd', 'put', 'etcd'],
    ];
    for (const [title, row, name] of rows) {
        const rate = of(row, name, 'rate');
        const cells = [show(rate), ratio(rate, of(row, 'open', 'rate')), ratio(rate, of(row, 'etcd', 'rate')), show(of(row, name, 'p50')), show(of(row, name, 'p99'))];
        console.log(`| ${title} | ${cells.join(' | ')} |`);
    }
    const share = of('half load', 'guarded', 'share');
    console.log(`\n- GET at ${share === null ? '–' : share.toFixed(2)} of its full rate (${show(of('half load', 'guarded', 'rate'))}/s): p50 ${show(of('half load', 'guarded', 'p50'))} µs, p99 ${show(of('half load', 'guarded', 'p99'))} µs`);
    console.log(`- full TLS 1.3 handshakes: ${show(of('handshakes', 'tls', 'rate'))}/s, two clients on the same machine`);
    for (const [name, title] of [['open', 'plain'], ['tls', 'TLS']]) {
        console.log(`- ${idleCount(name === 'tls')} idle ${title} connections: ${show(of('idle', name, 'bytes'))} bytes of resident memory each; a GET beside them: p99 ${show(of('idle', name, 'p99'))} µs`);
    }
}

await measureAndReport(loads, options, report);
