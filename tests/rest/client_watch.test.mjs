// velocity watch: every change once and in order, over connections that break and servers that start again.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertComplains, commandsAt } from './command.mjs';
import { fake, problem } from './fake.mjs';
import { keyPath, key64, KiB, MiB, PATIENCE_MS, Server, until, versionOf, within } from './support.mjs';

const BEAT = { server: { watch_heartbeat_seconds: 1 } };
const LINE_MS = 30_000;

let server;
let url;
before(async () => {
  server = await Server.start({ config: BEAT });
  url = `http://127.0.0.1:${server.port}`;
});
after(() => server?.stop());

const { start, client, good, fails } = commandsAt(() => url);

const put = async (at, key, value, type = 'text/plain; charset=utf-8') => {
  const response = await at.client.put(keyPath(key), value, { 'Content-Type': type });
  assert.equal(response.status, 204, response.text);
  return versionOf(response);
};
const open = async (at) => (await at.client.get('/api/stats')).json.server.streams.open;

/**
 * A watch whose lines are read one by one. It is of what comes after this moment, whenever the server gets to it; `now`: after the moment when it does.
 */
async function watch(args, { from = server, now = false } = {}) {
  await until('the end of the watches before', async () => (await open(from)) === 0);
  const since = now ? [] : ['--since', (await from.client.get('/api/keys?limit=1')).json.version];
  const { child, ended } = start(['watch', ...args, ...since], { at: `http://127.0.0.1:${from.port}` });
  let text = '';
  let wake = () => {};
  child.stdout.on('data', (data) => {
    text += data;
    wake();
  });
  const line = async () => {
    while (!text.includes('\n')) await new Promise((resolve) => (wake = resolve));
    const end = text.indexOf('\n');
    const found = text.slice(0, end);
    text = text.slice(end + 1);
    return found;
  };
  await until('the watch', async () => (await open(from)) === 1);
  return { child, ended, line: () => within(LINE_MS, 'a line', line()), rest: () => text };
}

/** It ends by the signal, and has said nothing but what was read. */
async function interrupt(watching, signal = 'SIGINT') {
  watching.child.kill(signal);
  const end = await watching.ended;
  assert.deepEqual([end.signal, end.stderr, watching.rest()], [signal, '', '']);
}

describe('velocity watch', () => {
  it('shows puts, deletes and range deletes as they happen, a line each, until it is interrupted', async () => {
    const watching = await watch(['w:']);
    const first = await put(server, 'w:1', 'one');
    await put(server, 'elsewhere', 'not shown');
    const second = await put(server, 'w:2', '{"a": 1}', 'application/json');
    const deleted = (await server.client.delete(keyPath('w:1'))).headers['velocity-version'];
    const range = (await server.client.delete('/api/keys?prefix=w:2')).headers['velocity-version'];
    assert.equal(await watching.line(), `${first}\tput\tw:1\tone`);
    assert.equal(await watching.line(), `${second}\tput\tw:2\t{"a": 1}`);
    assert.equal(await watching.line(), `${deleted}\tdelete\tw:1`);
    assert.equal(await watching.line(), `${range}\trange_delete\tw:2\tw:3`);
    await interrupt(watching);
    await until('the end of the watch on the server', async () => (await open(server)) === 0);
  });

  it('shows what comes from now on, and nothing that was there', async () => {
    await put(server, 'n:before', 'x');
    const watching = await watch(['n:', '--events', '1'], { now: true });
    let shown;
    watching.ended.then((end) => (shown = end));
    for (let i = 0; !shown; i += 1) await put(server, `n:${i}`, 'x'); // until it is there
    assert.match(shown.stdout.toString(), /^\d+\tput\tn:\d+\tx\n$/);
  });

  it('ends after --events with 0, and by SIGTERM, too', async () => {
    const watching = await watch(['e:', '--events', '2']);
    for (const key of ['e:1', 'e:2', 'e:3']) await put(server, key, 'x');
    const end = await watching.ended;
    assert.deepEqual([end.code, end.stderr, end.stdout.toString().split('\n').length], [0, '', 3]);
    await interrupt(await watch(['e:']), 'SIGTERM');
  });

  it('shows with --json an object a line', async () => {
    const watching = await watch(['j:', '--json', '--events', '3']);
    const lines = '{\n "a": [1,\r\n 2]\n}';
    const version = await put(server, 'j:1', lines, 'application/json');
    await put(server, 'j:2', Buffer.from([0xff, 0]), 'application/octet-stream');
    await server.client.delete('/api/keys?start=j:1&end=j:2');
    const [one, two, three] = (await watching.ended).stdout.toString().trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(one, { event: 'put', item: { key: 'j:1', version: String(version), type: 'application/json', size: lines.length, text: lines } });
    assert.deepEqual([two.item.key, two.item.base64], ['j:2', '/wA=']);
    assert.deepEqual([three.event, three.item.start, three.item.end], ['range_delete', 'j:1', 'j:2']);
  });

  it('shows values whole, what is no text in base64, and no control character', async () => {
    const watching = await watch(['v:', '--events', '5']);
    const long = 'long '.repeat(40 * KiB);
    await put(server, 'v:1', long);
    await put(server, 'v:2', Buffer.alloc(200 * KiB, 0xfe), 'application/octet-stream');
    await put(server, 'v:3\u001b[2J', 'a\nb\u009b2J\tc');
    await put(server, 'v:4', '');
    await put(server, 'v:5', 'x'.repeat(MiB + 1));
    const rows = (await watching.ended).stdout.toString().trimEnd().split('\n').map((line) => line.split('\t').slice(2));
    assert.deepEqual(rows, [['v:1', long], ['v:2', Buffer.alloc(200 * KiB, 0xfe).toString('base64')], ['v:3 [2J', 'a b  2J c'], ['v:4', ''], ['v:5']]);
  });

  it('shows keys that are no text as base64url', async () => {
    const watching = await watch(['--events', '1']);
    const key = Buffer.from([0x6b, 0xff]);
    await server.client.request('PUT', `/api/keys?key64=${key64(key)}`, { body: 'x', headers: { 'Content-Type': 'text/plain' } });
    assert.match((await watching.ended).stdout.toString(), new RegExp(`^\\d+\tput\t${key64(key)}\tx\n$`));
  });

  it('with --since goes on behind that version, while others write: nothing is lost, nothing comes twice', async () => {
    const count = 120;
    let since = (await put(server, 's:begin', '')) - 1n;
    const written = [];
    const writing = (async () => {
      for (let i = 0; i < count; i++) written.push(String(await put(server, `s:${i}`, `${i}`)));
    })();
    const seen = [];
    while (seen.length <= count) {
      const lines = (await good(['watch', 's:', '--since', String(since), '--events', String(1 + (seen.length % 7))])).trimEnd().split('\n');
      seen.push(...lines.map((line) => line.split('\t')[0]));
      since = BigInt(seen.at(-1));
      if (seen.length + 7 > count) break;
    }
    await writing;
    seen.push(...(await good(['watch', 's:', '--since', String(since), '--events', String(count + 1 - seen.length)])).trimEnd().split('\n').map((line) => line.split('\t')[0]));
    assert.deepEqual(seen.slice(1), written);
  });

  it('says what is wrong, in one line', async () => {
    await fails(['watch', 'a', 'b'], 2, /one prefix/);
    await fails(['watch', '--since', 'yesterday'], 2, /--since/);
    await fails(['watch', '--events', '0'], 2, /--events/);
    await fails(['watch', '--database', 'nowhere'], 3, /database_not_found/);
    await fails(['watch', '--since', '18446744073709551000'], 1, /HTTP 4/);
  });
});

/** A server at a port that is none of those that the system gives away: it is free, too, when the server starts again. */
async function atOwnPort(config) {
  for (let port = 10_000 + (process.pid % 20_000); ; port += 1) {
    const bind = `127.0.0.1:${port}`;
    const server = await Server.start({ bind, config }).catch((error) => assert.match(error.message, new RegExp(`${bind}.*Address already in use`)));
    if (server) return { server, bind };
  }
}

describe('a server that starts again', () => {
  for (const [how, end] of [['stopped', (one) => one.stop()], ['killed', (one) => one.kill()]]) {
    it(`(${how}) is watched on, from where it was`, async () => {
      let { server: own, bind } = await atOwnPort(BEAT);
      const watching = await watch(['r:'], { from: own });
      const versions = [];
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 3; i++) versions.push(String(await put(own, `r:${round}:${i}`, `${i}`)));
        while (versions.length) assert.equal((await watching.line()).split('\t')[0], versions.shift());
        await end(own);
        own = await own.again({ bind, config: BEAT });
        // Before it is back, if it is slow: that is not lost either.
        versions.push(String(await put(own, `r:${round}:between`, 'x')));
      }
      assert.equal((await watching.line()).split('\t')[0], versions.shift());
      await interrupt(watching);
      await own.stop();
    });
  }
});

/** Answers each request as the next of these says; the last one again and again. */
const inTurn = (...replies) => (request, response) => (replies.length > 1 ? replies.shift() : replies[0])(request, response);
const stream = (text, end = true) => (_, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write(text);
  if (end) response.end();
};
const event = (id, key) => `id: ${id}\nevent: put\ndata: {"key":"${key}","version":"${id}","type":"text/plain","size":1,"text":"x"}\n\n`;
const breakOff = (text) => (request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write(text, () => request.socket.destroy());
};

describe('a connection', () => {
  it('that breaks or is refused for a while is made again without a word, from the last version', async () => {
    const flaky = await fake(inTurn(
      stream(event(5, 'a')),
      problem(503, 'draining', 'Not now.', { 'Retry-After': '1' }),
      (request) => request.socket.destroy(),
      breakOff(`${event(6, 'b')}id: 7\nevent: put\ndata: {"key":"lo`),
      problem(429, 'too_many', 'Not so many.'),
      stream(`${event(7, 'c')}id: 9\nevent: heartbeat\ndata: {"version":"9"}\n\n`),
      stream(event(10, 'd')),
    ));
    const end = await client(['watch', '--since', '4', '--events', '4'], { at: flaky.url });
    assert.deepEqual([end.code, end.stderr], [0, '']);
    assert.equal(end.stdout.toString(), '5\tput\ta\tx\n6\tput\tb\tx\n7\tput\tc\tx\n10\tput\td\tx\n');
    assert.deepEqual(flaky.requests.map(({ headers }) => headers['last-event-id']), [undefined, '5', '5', '5', '6', '6', '9']);
    for (const { target } of flaky.requests) assert.equal(target, '/api/watch?since=4');
  });

  it('that is silent for --timeout is made again', async () => {
    const silent = await fake(inTurn(stream(event(5, 'a'), false), stream(event(6, 'b'))));
    const began = performance.now();
    const end = await client(['watch', '--events', '2', '--timeout', '3'], { at: silent.url });
    assert.deepEqual([end.code, end.stderr, end.stdout.toString()], [0, '', '5\tput\ta\tx\n6\tput\tb\tx\n']);
    assert.equal(silent.requests.at(-1).headers['last-event-id'], '5');
    assert.ok(performance.now() - began < PATIENCE_MS, 'it waited for the usual time, 45 s');
  });

  it('that is refused for good ends it with one line', async () => {
    const gone = await fake(inTurn(stream(event(5, 'a')), problem(410, 'history_gone', 'That is gone.')));
    const end = await client(['watch'], { at: gone.url });
    assert.deepEqual([end.code, end.stdout.toString()], [1, '5\tput\ta\tx\n']);
    assert.match(end.stderr, /^velocity: That is gone\. \(HTTP 410 history_gone\)\n$/);
  });

  it('to what is no server of Velocity ends it with one line', async () => {
    const odd = await fake(stream('id: 1\nevent: put\ndata: {"key":\n\n', false));
    await fails(['watch'], 1, /is no event/, { at: odd.url });
  });

  it('can put no control character into a line', async () => {
    const evil = await fake(stream('id: \u001b[2J\u009b1\nevent: put\ndata: {"key":"k","text":"x"}\n\n', false));
    assert.equal(await good(['watch', '--events', '1'], { at: evil.url }), ' [2J  1\tput\tk\tx\n');
  });

  it('is given up where nobody reads what it shows', async () => {
    const full = await start(['watch', '--since', '0'], { at: (await fake(stream(event(1, 'k'), false))).url, shell: 'exec "$@" >/dev/full' }).ended;
    assertComplains(full, 1, /can't write to standard output/);
    const { child, ended } = start(['watch', 'epipe:', '--since', '1']);
    child.stdout.destroy();
    await put(server, 'epipe:1', 'x');
    const end = await ended;
    assert.deepEqual([end.code, end.signal], [1, null]);
    assert.match(end.stderr, /^velocity: can't write to standard output\n$/);
  });
});
