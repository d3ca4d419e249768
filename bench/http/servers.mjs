// Servers to measure and the load on them: each has a free port and an empty directory, and is ended by its process id.
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import https from 'node:https';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const START_MS = 10000;
const STOP_MS = 20000;

export function installed(program) {
    for (const folder of program.includes('/') ? [''] : process.env.PATH.split(':')) {
        try {
            accessSync(join(folder, program), constants.X_OK);
            return true;
        } catch { /* look further */ }
    }
    return false;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function freePort() {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
}

export async function run(program, args, limitMs) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk; });
    const [code] = await once(child, 'close');
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${text}`);
    return text;
}

// Runs `use(port, pid)` while the server lives, and ends the server whatever happens. What it logs is shown if it fails.
export async function withServer(program, args, ready, port, use, environment = {}) {
    const env = { ...process.env, ...environment };
    const server = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
    const ended = once(server, 'exit');
    let log = '';
    server.stderr.on('data', (chunk) => { log += chunk; });
    try {
        const deadline = Date.now() + START_MS;
        while (!(await ready(port))) {
            if (server.exitCode !== null || Date.now() > deadline) throw new Error(`${program} does not start: ${log}`);
            await sleep(20);
        }
        return await use(port, server.pid);
    } finally {
        const timer = setTimeout(() => server.kill('SIGKILL'), STOP_MS);
        server.kill('SIGTERM');
        const [, signal] = await ended;
        clearTimeout(timer);
        if (signal === 'SIGKILL') {
            console.error(`${program} had not ended ${STOP_MS / 1000} s after SIGTERM and was killed: ${log}`);
            process.exitCode = 1;
        }
    }
}

/** Whether it answers 200; a self-signed certificate is as good. */
export function answers(url) {
    if (!url.startsWith('https:')) return fetch(url).then(({ ok }) => ok, () => false);
    return new Promise((resolve) => {
        https.get(url, { rejectUnauthorized: false }, (response) => {
            response.resume();
            resolve(response.statusCode === 200);
        }).on('error', () => resolve(false));
    });
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

/** One wrk run: operations a second, latencies in microseconds. An answer that is an error ends the benchmark. */
export async function wrk(script, connections, duration, url, { headers = {}, argument = '' } = {}) {
    const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const args = ['-t2', `-c${connections}`, `-d${duration}s`, '-s', join(here, script), ...fields, url, '--', String(++runs), argument];
    const line = (await run('wrk', args, duration * 1000 + START_MS)).match(/^RESULT (.*)$/m);
    if (!line) throw new Error('wrk printed no result');
    const r = JSON.parse(line[1]);
    if (r.bad > 0) throw new Error(`${r.bad} of ${r.requests} requests to ${url} failed`);
    return { rate: (r.requests * 1e6) / r.us, p50: r.p50, p99: r.p99, max: r.max };
}

/** `use(url, pid)` on a Velocity with this configuration (TOML) and these environment variables. */
export async function velocity(binary, directory, use, { config = '', environment = {}, tls = false } = {}) {
    const port = await freePort();
    const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
    const file = join(directory, 'velocity.toml');
    writeFileSync(file, config);
    const args = ['server', '--bind', `127.0.0.1:${port}`, '--data-dir', join(directory, 'data'), '--config', file];
    return withServer(binary, args, () => answers(`${url}/readyz`), port, (_, pid) => use(url, pid), environment);
}

/** `use(port)` on a Redis that syncs each write. */
export async function redis(directory, use) {
    const port = await freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'yes',
        '--appendfsync', 'always', '--daemonize', 'no'];
    return withServer('redis-server', args, redisReady, port, use);
}

/** `use(url)` on an etcd of one member. */
export async function etcd(directory, use) {
    const [port, peers] = [await freePort(), await freePort()];
    const [url, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peers}`];
    const args = ['--data-dir', join(directory, 'data'), '--listen-client-urls', url, '--advertise-client-urls', url,
        '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`, '--log-level', 'error'];
    return withServer('etcd', args, () => answers(`${url}/health`), port, () => use(url));
}

/** `use(url)` on a program that prints its port. */
export async function printsPort(program, use) {
    const server = spawn(program, [], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(server, 'exit');
    try {
        const [port] = await once(createInterface(server.stdout), 'line');
        return await use(`http://127.0.0.1:${port}`);
    } finally {
        server.kill('SIGTERM');
        await ended;
    }
}

/** The path of a program that the build makes. */
export const built = (name) => join(here, '../../build/bin', name);

/** What every benchmark here can be told, and what only this one can: defaults by name, a number where that is one. */
export function optionsOf(script, own = {}) {
    const defaults = { velocity: built('velocity'), dir: 'bench-data', rounds: 3, seconds: 5, ...own, json: '' };
    const known = Object.entries(defaults).map(([name, value]) => [name, { type: 'string', default: String(value) }]);
    const { values } = parseArgs({ options: { ...Object.fromEntries(known), help: { type: 'boolean', default: false } } });
    const numbers = Object.keys(defaults).filter((name) => typeof defaults[name] === 'number');
    for (const name of numbers) values[name] = Number(values[name]);
    if (!values.help && numbers.every((name) => values[name] >= 1)) return values;
    console.error(`usage: ${script} ${Object.keys(defaults).map((name) => `[--${name} ${numbers.includes(name) ? 'N' : name.toUpperCase()}]`).join(' ')}`);
    process.exit(values.help ? 0 : 2);
}

/** Measures all, shows what came of it, and keeps it as JSON where that was asked for. */
export async function measureAndReport(loads, { rounds, dir, json }, report) {
    await measureAll(loads, rounds, dir);
    report();
    const all = loads.map(({ row, server, results = [] }) => ({ row, server, results }));
    if (json) writeFileSync(json, `${JSON.stringify(all, null, 1)}\n`);
}

/** Measures every load that can be, round by round: each gets `results`. */
async function measureAll(loads, rounds, dir) {
    mkdirSync(dir, { recursive: true });
    for (const load of loads) load.results = [];
    for (let round = 1; round <= rounds; round++) {
        for (const load of loads.filter(({ can }) => can)) {
            console.error(`round ${round} of ${rounds}: ${load.row} on ${load.server}`);
            const directory = mkdtempSync(join(resolve(dir), `${load.server}-`));
            try {
                load.results.push(await load.measure(directory));
            } finally {
                rmSync(directory, { recursive: true, force: true });
            }
        }
    }
}

export function median(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const number = (value) => Math.round(value).toLocaleString('en-US');
