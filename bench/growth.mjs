#!/usr/bin/env node
// How cost grows with the number of keys: the engine benchmark at several sizes, as one table and one picture.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plot, short } from './plot.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const usage = 'usage: growth.mjs [--keys N,N] [--writes N] [--engines A,B] [--seconds S] [--rounds N] [--memory-limit MIB]\n' +
    '                  [--benchmark BINARY] [--dir DIR] [--results DIR]\n' +
    '       growth.mjs --draw ...   table and picture of what an earlier run left in the results';
const { values: options } = parseArgs({
    options: {
        keys: { type: 'string', default: '1000000,10000000,50000000' },
        writes: { type: 'string', default: '2000000' },
        engines: { type: 'string', default: 'velocity,rocksdb,leveldb,lmdb' },
        seconds: { type: 'string', default: '5' },
        rounds: { type: 'string', default: '1' },
        'memory-limit': { type: 'string' },
        benchmark: { type: 'string', default: join(here, '../build/bin/velocity_bench_engines') },
        dir: { type: 'string', default: 'bench-data' },
        results: { type: 'string', default: join(here, '../build/bench-results') },
        draw: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
    },
});
if (options.help) {
    console.log(usage);
    process.exit(0);
}

const TITLES = { velocity: 'Velocity', rocksdb: 'RocksDB', leveldb: 'LevelDB', lmdb: 'LMDB' };
// [row, what it says, digits behind the point, whether latencies are shown]
const ROWS = [
    ['sequential', 'sequential put, ops/s', 0, true],
    ['overwrite-1', 'random overwrite, ops/s', 0, true],
    ['get-1', 'random get, ops/s', 0, true],
    ['seek', 'seek + 100 next, rows/s', 0, true],
    ['scan', 'full scan, rows/s', 0, false],
    ['mixed', '50/50 get/put, 2 threads, ops/s', 0, true],
    ['write-times', 'bytes written ÷ bytes put', 2, false],
    ['read-bytes', 'bytes read from files by a random get', 0, false],
    ['disk-times', 'bytes on disk ÷ live keys and values', 2, false],
    ['memory', 'peak memory, MiB', 0, false],
    ['open', 'time to open, ms', 1, false],
];
const PANELS = ['sequential', 'overwrite-1', 'get-1', 'seek', 'mixed', 'open'];

const engines = options.engines.split(',');
const sizes = options.keys.split(',').map(Number);
mkdirSync(options.results, { recursive: true });

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const jsonOf = (keys) => join(options.results, `growth-${keys}.json`);

/** An engine that fails has fewer figures; the benchmark has said so, and the others are kept. */
function run(keys) {
    const limit = options['memory-limit'] ? ['--memory-limit', options['memory-limit']] : [];
    const result = spawnSync(options.benchmark, ['--keys', keys, '--writes', Math.min(keys, Number(options.writes)),
        '--engines', engines, '--rounds', options.rounds, '--seconds', options.seconds, '--dir', options.dir,
        '--rows', ROWS.map(([row]) => row), '--json', jsonOf(keys), ...limit].map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
    process.stdout.write(result.stdout);
    if (result.status !== 0) process.exitCode = 1;
}

/** One size: { row: { engine: { value, p99, max } } }. */
function measure(keys) {
    if (!options.draw) run(keys);
    const found = {};
    for (const { row, engine, rounds } of JSON.parse(readFileSync(jsonOf(keys), 'utf8')).results)
        (found[row] ??= {})[engine] = {
            value: median(rounds.map((round) => round.value)),
            p99: median(rounds.map((round) => round.p99_us)),
            max: Math.max(...rounds.map((round) => round.max_us)),
        };
    return found;
}

function cell(result, digits, latency) {
    if (!result) return '–';
    const value = result.value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return latency ? `${value} (${result.p99.toPrecision(3)} / ${short(result.max)})` : value;
}

function table(measured) {
    const lines = [`| (p99 / max, µs) | keys | ${engines.map((e) => TITLES[e] ?? e).join(' | ')} |`,
        `|---|---:|${'---:|'.repeat(engines.length)}`];
    for (const [row, title, digits, latency] of ROWS)
        sizes.forEach((keys, i) => {
            const cells = engines.map((engine) => cell(measured[i][row]?.[engine], digits, latency));
            lines.push(`| ${i === 0 ? title : ''} | ${short(keys)} | ${cells.join(' | ')} |`);
        });
    return `${lines.join('\n')}\n`;
}

function picture(measured) {
    const panels = PANELS.map((row) => {
        const lines = {};
        for (const engine of engines) {
            const points = sizes.map((keys, i) => [keys, measured[i][row]?.[engine]?.value]).filter(([, y]) => y > 0);
            if (points.length) lines[TITLES[engine] ?? engine] = points;
        }
        return { title: ROWS.find(([id]) => id === row)[1], lines };
    });
    return plot(panels.filter(({ lines }) => Object.keys(lines).length), 'What an engine does, by the number of keys');
}

const measured = sizes.map(measure);
const text = table(measured);
writeFileSync(join(options.results, 'growth.md'), text);
writeFileSync(join(options.results, 'growth.svg'), picture(measured));
process.stdout.write(`\n${text}`);
