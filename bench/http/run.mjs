#!/usr/bin/env node
// The HTTP front beside its yardsticks: GET against a bare libmicrohttpd handler, durable PUT against Redis with
// `appendfsync always`. Every load has a server of its own, on a free port with an empty directory, which is ended by
// its process id; loads are interleaved round by round, and the table shows medians. Needs wrk, redis-server and
// redis-benchmark for the rows that use them; what is missing shows as a dash.
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync, accessSync, constants, mkdirSync } from 'node:fs';
import { once } from 'node:events';
import { join, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
    options: {
        velocity: { type: 'string', default: join(here, '../../build/bin/velocity') },
        bare: { type: 'string', default: join(here, '../../build/bin/bare_mhd') },
        dir: { type: 'string', default: 'bench-data' },
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '5' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
    },
});
const usage = 'usage: run.mjs [--velocity BINARY] [--bare BINARY] [--dir DIR] [--rounds N] [--seconds S] [--json FILE]';
const seconds = Number(options.seconds);
const rounds = Number(options.rounds);
const WARM_SECONDS = 1;
const START_MS = 10000;
const STOP_MS = 20000;

function installed(program) {
    for (const folder of program.includes('/') ? [''] : process.env.PATH.split(':')) {
        try {
            accessSync(join(folder, program), constants.X_OK);
            return true;
        } catch { /* look further */ }
    }
    return false;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function freePort() {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
}

async function run(program, args, limitMs) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk; });
    const [code] = await once(child, 'close');
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${text}`);
    return text;
}

// Runs `use(port)` while the server lives, and ends the server whatever happens.
async function withServer(program, args, ready, port, use) {
    const server = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = once(server, 'exit');
    try {
        const deadline = Date.now() + START_MS;
        while (!(await ready(port))) {
            if (server.exitCode !== null || Date.now() > deadline) throw new Error(`${program} does not start`);
            await sleep(20);
        }
        return await use(port);
    } finally {
        const timer = setTimeout(() => server.kill('SIGKILL'), STOP_MS);
        server.kill('SIGTERM');
        await ended;
        clearTimeout(timer);
    }
}

async function httpReady(port) {
    try {
        return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
    } catch {
        return false;
    }
}

function redisReady(port) {
    try {
        return execFileSync('redis-cli', ['-p', String(port), 'ping'], { stdio: ['ignore', 'pipe', 'ignore'] })
            .toString().trim() === 'PONG';
    } catch {
        return false;
    }
}

let runs = 0;

// One wrk run; answers operations a second and latencies in microseconds. An answer that is an error ends the benchmark.
async function wrk(script, connections, duration, url) {
    const args = ['-t2', `-c${connections}`, `-d${duration}s`, '-s', join(here, script), url, '--', String(++runs)];
    const line = (await run('wrk', args, duration * 1000 + START_MS)).match(/^RESULT (.*)$/m);
    if (!line) throw new Error('wrk printed no result');
    const r = JSON.parse(line[1]);
    if (r.bad > 0) throw new Error(`${r.bad} of ${r.requests} requests to ${url} failed`);
    return { rate: (r.requests * 1e6) / r.us, p50: r.p50, p99: r.p99, max: r.max };
}

function withVelocity(use) {
    return async (directory) => {
        const port = await freePort();
        const args = ['server', '--bind', `127.0.0.1:${port}`, '--data-dir', join(directory, 'data')];
        return withServer(options.velocity, args, httpReady, port, use);
    };
}

async function velocityGet(port) {
    const url = `http://127.0.0.1:${port}/api/keys/bench`;
    const put = await fetch(url, { method: 'PUT', body: 'v'.repeat(100) });
    const got = await (await fetch(url)).text();
    if (!put.ok || got.length !== 100) throw new Error(`the value was not stored: ${put.status}`);
    await wrk('get.lua', 32, WARM_SECONDS, url);
    return wrk('get.lua', 32, seconds, url);
}

async function velocityPut(port) {
    const url = `http://127.0.0.1:${port}/api/keys/`;
    await wrk('put.lua', 64, WARM_SECONDS, url);
    return wrk('put.lua', 64, seconds, url);
}

async function bareGet() {
    const server = spawn(options.bare, [], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(server, 'exit');
    try {
        const [port] = await once(createInterface(server.stdout), 'line');
        await wrk('get.lua', 32, WARM_SECONDS, `http://127.0.0.1:${port}/`);
        return await wrk('get.lua', 32, seconds, `http://127.0.0.1:${port}/`);
    } finally {
        server.kill('SIGTERM');
        await ended;
    }
}

// redis-benchmark takes a number of requests, not a time: a short run tells how many fill it.
async function redisLoad(port, requests) {
    const args = ['-p', String(port), '-c', '64', '-t', 'set', '-d', '100', '-r', '1000000000', '-n', String(requests), '--csv'];
    const line = (await run('redis-benchmark', args, (seconds + WARM_SECONDS) * 10000)).split('\n')
        .find((text) => text.startsWith('"SET"'));
    if (!line) throw new Error('redis-benchmark printed no result');
    const [, rate, , , p50, , p99, max] = line.split(',').map((cell) => Number(cell.replaceAll('"', '')));
    return { rate, p50: p50 * 1000, p99: p99 * 1000, max: max * 1000 };
}

async function redisSet(directory) {
    const port = await freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'yes',
        '--appendfsync', 'always', '--daemonize', 'no'];
    return withServer('redis-server', args, redisReady, port, async () => {
        const warm = await redisLoad(port, 10000);
        return redisLoad(port, Math.ceil(warm.rate * seconds));
    });
}

const tools = { wrk: installed('wrk'), redis: installed('redis-server') && installed('redis-benchmark') };
const velocity = installed(options.velocity);
const loads = [
    { row: 'get', server: 'bare', can: tools.wrk && installed(options.bare), measure: bareGet },
    { row: 'get', server: 'velocity', can: tools.wrk && velocity, measure: withVelocity(velocityGet) },
    { row: 'put', server: 'redis', can: tools.redis, measure: redisSet },
    { row: 'put', server: 'velocity', can: tools.wrk && velocity, measure: withVelocity(velocityPut) },
];

function median(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function measureAll() {
    mkdirSync(options.dir, { recursive: true });
    for (const load of loads) load.results = [];
    for (let round = 1; round <= rounds; round++) {
        for (const load of loads.filter(({ can }) => can)) {
            console.error(`round ${round} of ${rounds}: ${load.row} on ${load.server}`);
            const directory = mkdtempSync(join(resolve(options.dir), `${load.server}-`));
            try {
                load.results.push(await load.measure(directory));
            } finally {
                rmSync(directory, { recursive: true, force: true });
            }
        }
    }
}

const number = (value) => Math.round(value).toLocaleString('en-US');

function rateOf(row, server) {
    const { results } = loads.find((load) => load.row === row && load.server === server);
    return results.length ? median(results.map(({ rate }) => rate)) : null;
}

function cells(row, server) {
    const { results } = loads.find((load) => load.row === row && load.server === server);
    if (!results.length) return ['–', '–'];
    const of = (field) => median(results.map((result) => result[field]));
    const max = Math.max(...results.map((result) => result.max));
    return [number(of('rate')), `${number(of('p50'))} / ${number(of('p99'))} / ${number(max)}`];
}

function report() {
    console.log(`| median of ${rounds} | Velocity, ops/s | yardstick, ops/s | ratio | Velocity p50 / p99 / max, µs | yardstick's |`);
    console.log('|---|---:|---:|---:|---:|---:|');
    for (const [row, title, yardstick] of [
        ['get', 'GET of 100 bytes, 32 connections ÷ bare libmicrohttpd', 'bare'],
        ['put', 'durable PUT of 100 bytes, 64 connections ÷ Redis, appendfsync always', 'redis'],
    ]) {
        const [mine, other] = [rateOf(row, 'velocity'), rateOf(row, yardstick)];
        const [myRate, myLatency] = cells(row, 'velocity');
        const [otherRate, otherLatency] = cells(row, yardstick);
        const ratio = mine && other ? (mine / other).toFixed(2) : '–';
        console.log(`| ${title} | ${myRate} | ${otherRate} | ${ratio} | ${myLatency} | ${otherLatency} |`);
    }
}

if (options.help || !(seconds >= 1) || !(rounds >= 1)) {
    console.error(usage);
    process.exit(options.help ? 0 : 2);
}
await measureAll();
report();
if (options.json) writeFileSync(options.json, `${JSON.stringify(loads.map(({ row, server, results }) => ({ row, server, results })), null, 1)}\n`);
