#!/usr/bin/env node
// The HTTP front beside its yardsticks: GET against a bare libmicrohttpd handler, durable PUT against Redis with
// `appendfsync always`. Loads are interleaved round by round, and the table shows medians. Needs wrk, redis-server and
// redis-benchmark for the rows that use them; what is missing shows as a dash.
import { built, installed, measureAndReport, median, number, optionsOf, printsPort, redis, run, velocity, wrk } from './servers.mjs';

const options = optionsOf('run.mjs', { bare: built('bare_mhd') });
const { seconds, rounds } = options;
const WARM_SECONDS = 1;

async function velocityGet(url) {
    const key = `${url}/api/keys/bench`;
    const put = await fetch(key, { method: 'PUT', body: 'v'.repeat(100) });
    const got = await (await fetch(key)).text();
    if (!put.ok || got.length !== 100) throw new Error(`the value was not stored: ${put.status}`);
    await wrk('get.lua', 32, WARM_SECONDS, key);
    return wrk('get.lua', 32, seconds, key);
}

async function velocityPut(url) {
    await wrk('put.lua', 64, WARM_SECONDS, `${url}/`);
    return wrk('put.lua', 64, seconds, `${url}/`);
}

async function bareGet(url) {
    await wrk('get.lua', 32, WARM_SECONDS, `${url}/`);
    return wrk('get.lua', 32, seconds, `${url}/`);
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

async function redisSet(port) {
    const warm = await redisLoad(port, 10000);
    return redisLoad(port, Math.ceil(warm.rate * seconds));
}

const tools = { wrk: installed('wrk'), redis: installed('redis-server') && installed('redis-benchmark') };
const ours = tools.wrk && installed(options.velocity);
const loads = [
    { row: 'get', server: 'bare', can: tools.wrk && installed(options.bare), measure: () => printsPort(options.bare, bareGet) },
    { row: 'get', server: 'velocity', can: ours, measure: (directory) => velocity(options.velocity, directory, velocityGet) },
    { row: 'put', server: 'redis', can: tools.redis, measure: (directory) => redis(directory, redisSet) },
    { row: 'put', server: 'velocity', can: ours, measure: (directory) => velocity(options.velocity, directory, velocityPut) },
];

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

await measureAndReport(loads, options, report);
