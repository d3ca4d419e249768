// GET /api/watch: every change once and in order, from wherever one was; what ends a watch, and what it costs.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, bearer, logIn, serverWithAdmin } from './people.mjs';
import { assertProblem, Events, keyPath, key64, KiB, MiB, PATIENCE_MS, random, Server, sleep, until, versionOf, within } from './support.mjs';

const BEAT = { server: { watch_heartbeat_seconds: 1 } };

const watch = (server, query = '', headers = {}) => Events.open(server.port, `/api/watch${query}`, { headers });
const streamsOf = async (client) => (await client.get('/api/stats')).json.server.streams;

async function put(client, key, value, headers) {
  const response = await client.put(keyPath(key), value, headers);
  assert.equal(response.status, 204, response.text);
  return versionOf(response);
}

describe('a watch', () => {
  let server;
  let client;
  before(async () => {
    server = await Server.start({ config: BEAT });
    client = server.client;
  });
  after(() => server?.stop());

  it('begins with where it stands, and shows what happens from then on, each with its version', async () => {
    const before = await put(client, 'w:before', '1');
    const events = await watch(server, '?prefix=w:');
    assert.equal(events.status, 200);
    assert.equal(events.headers['content-type'], 'text/event-stream');
    assert.equal(events.headers['cache-control'], 'no-store');
    const first = await events.any();
    assert.equal(first.event, 'heartbeat');
    assert.equal(first.id, String(before));
    assert.deepEqual(first.data, { version: first.id });
    const added = await put(client, 'w:1', '{"a": 1.0}', { 'Content-Type': 'application/json' });
    const deleted = BigInt((await client.delete(keyPath('w:1'))).headers['velocity-version']);
    const [one, two] = await events.events(2);
    assert.deepEqual(one, { id: String(added), event: 'put', data: { key: 'w:1', version: String(added), type: 'application/json', size: 10, value: { a: 1 } } });
    assert.deepEqual(two, { id: String(deleted), event: 'delete', data: { key: 'w:1', version: String(deleted) } });
    events.close();
  });

  it('shows a range delete as one event, patches and touches as the puts that they are', async () => {
    const events = await watch(server, '?prefix=r:');
    await put(client, 'r:1', '{"a":1}', { 'Content-Type': 'application/json' });
    assert.equal((await client.request('PATCH', '/api/keys/r:1', { body: '{"b":2}', headers: { 'Content-Type': 'application/merge-patch+json' } })).status, 204);
    await client.post('/api/batch', { ops: [{ op: 'touch', key: 'r:1', expires_at: '2100-01-01T00:00:00Z' }, { op: 'increment', key: 'r:n' }] });
    const deleted = [];
    for (const query of ['prefix=r:', 'start=r:2', 'start=q&end=r:5', 'all=true']) deleted.push((await client.delete(`/api/keys?${query}`)).headers['velocity-version']);
    const seen = await events.events(8);
    assert.deepEqual(seen.slice(0, 4).map(({ event, data }) => [event, data.key, data.value ?? data.text, data.expires_at]), [
      ['put', 'r:1', { a: 1 }, undefined], ['put', 'r:1', { a: 1, b: 2 }, undefined], ['put', 'r:1', { a: 1, b: 2 }, '2100-01-01T00:00:00.000Z'], ['put', 'r:n', '1', undefined]]);
    assert.deepEqual(seen.slice(4).map(({ id, event, data }) => [id, event, data.start, data.end]), [
      [deleted[0], 'range_delete', 'r:', 'r;'], [deleted[1], 'range_delete', 'r:2', 'r;'], [deleted[2], 'range_delete', 'r:', 'r:5'], [deleted[3], 'range_delete', 'r:', 'r;']]);
    events.close();
  });

  it('shows what came after `since`, and not what had that version', async () => {
    const versions = [];
    for (let i = 0; i < 5; i++) versions.push(await put(client, `since:${i}`, `${i}`));
    const events = await watch(server, `?prefix=since:&since=${versions[2]}`);
    assert.deepEqual((await events.events(2)).map(({ data }) => data.key), ['since:3', 'since:4']);
    await put(client, 'since:5', '5');
    assert.equal((await events.event()).data.key, 'since:5', 'and goes on');
    events.close();
  });

  it('goes on in the middle of a batch, and prefers Last-Event-ID to since', async () => {
    const ops = Array.from({ length: 10 }, (_, i) => ({ op: 'put', key: `batch:${i}`, text: `${i}` }));
    const last = BigInt((await client.post('/api/batch', { ops })).json.version);
    const first = last - 9n;
    const events = await watch(server, `?prefix=batch:&since=${first - 1n}`, { 'Last-Event-ID': String(first + 3n) });
    assert.deepEqual((await events.events(6)).map(({ id }) => BigInt(id)), [4n, 5n, 6n, 7n, 8n, 9n].map((i) => first + i));
    events.close();
  });

  it('shows values as listings do, and JSON that holds a line end as text', async () => {
    const events = await watch(server, '?prefix=shape:');
    await events.heartbeat();
    const values = [
      ['shape:json', '{"big":12345678901234567890,"a":1,"a":2}', 'application/json'],
      ['shape:lines', '{\n"a":1\r\n}', 'application/json'],
      ['shape:text', 'zwölf\n\u0000', 'text/plain; charset=utf-8'],
      ['shape:bytes', Buffer.from([0xff, 0, 0x80]), 'application/octet-stream'],
      ['shape:empty', '', 'text/x-nothing'],
      ['shape:large', Buffer.alloc(MiB + 1, 'x'), 'text/plain; charset=utf-8'],
    ];
    for (const [key, value, type] of values) await put(client, key, value, { 'Content-Type': type });
    const shown = (await events.events(values.length)).map(({ data }) => data);
    shown.forEach((item, i) => {
      const [key, value, type] = values[i];
      assert.deepEqual([item.key, item.type, item.size], [key, type, Buffer.byteLength(value)]);
    });
    assert.deepEqual(shown[0].value, { big: 12345678901234567890, a: 2 });
    assert.equal(shown[1].text, values[1][1]);
    assert.equal(shown[2].text, values[2][1]);
    assert.equal(shown[3].base64, values[3][1].toString('base64'));
    assert.equal(shown[4].text, '');
    assert.deepEqual([shown[5].omitted, shown[5].text], [true, undefined]);
    events.close();
  });

  it('passes JSON on byte for byte', async () => {
    const events = await watch(server, '?prefix=raw:');
    await events.heartbeat();
    const text = '{"big":12345678901234567890,  "one":1.0}';
    await put(client, 'raw:1', text, { 'Content-Type': 'application/json' });
    let seen = '';
    while (!seen.includes('raw:1')) seen += await events.next();
    assert.ok(seen.includes(`"value":${text}}\n\n`), seen);
    events.close();
  });

  it('takes prefixes of any bytes, and shows keys that are not UTF-8 as key64', async () => {
    const key = Buffer.from([0x62, 0xff, 0x0d, 0x0a]);
    const events = await watch(server, '?prefix=b%FF');
    await events.heartbeat();
    await client.put(`/api/keys?key64=${key64(key)}`, 'x');
    await put(client, 'b', 'not this one');
    await client.put(`/api/keys?key64=${key64(Buffer.from([0x62, 0xff]))}`, 'y');
    assert.deepEqual((await events.events(2)).map(({ data }) => data.key64), [key64(key), key64([0x62, 0xff])]);
    events.close();
  });

  it('is told the current version while nothing concerns it, so that it can go on from there', async () => {
    const events = await watch(server, '?prefix=quiet:');
    let last = 0n;
    for (let i = 0; i < 3; i++) {
      const version = await put(client, `loud:${i}`, 'x');
      assert.ok(version > last);
      await until('a heartbeat with the version', async () => {
        const { id, event } = await events.any();
        assert.equal(event, 'heartbeat');
        last = BigInt(id);
        return last >= version;
      });
      assert.ok(last >= version);
    }
    assert.equal(events.lastId, String(last), 'which is what a browser would come back with');
    events.close();
  });

  it('knows each database apart, and versions of each', async () => {
    assert.equal((await client.post('/api/databases', { name: 'apart' })).status, 201);
    const events = await Events.open(server.port, '/api/databases/apart/watch');
    const other = await watch(server, '?prefix=k');
    await events.heartbeat();
    await other.heartbeat();
    await client.put('/api/databases/apart/keys/k', 'there');
    await put(client, 'k', 'here');
    assert.equal((await events.event()).data.text, 'there');
    assert.equal((await other.event()).data.text, 'here');
    events.close();
    other.close();
  });

  it('serves whoever keeps its connection, once the client has read to the end', async () => {
    assert.equal((await client.get('/api/export?prefix=nothing')).text, '');
    assert.equal((await client.get('/api/export?prefix=nothing')).status, 200);
  });

  it('refuses what makes no sense', async () => {
    const refused = async (target, status, code, headers) => assert.equal(assertProblem(await client.get(target, headers), status, target).code, code);
    const { version } = (await client.get('/api/keys?limit=1')).json;
    await refused('/api/watch?since=x', 400, 'invalid_parameter');
    await refused('/api/watch?since=', 400, 'invalid_parameter');
    await refused('/api/watch?since=18446744073709551616', 400, 'invalid_parameter');
    await refused(`/api/watch?prefix=${'x'.repeat(16 * KiB + 1)}`, 400, 'invalid_parameter');
    await refused('/api/watch?from=1', 400, 'unknown_parameter');
    await refused('/api/watch', 400, 'invalid_header', { 'Last-Event-ID': 'x' });
    await refused('/api/databases/none/watch', 404, 'database_not_found');
    await refused(`/api/watch?since=${BigInt(version) + 1n}`, 410, 'history_gone');
    assertProblem(await client.request('POST', '/api/watch', { body: '' }), 405);
  });

  it('leaves nothing behind when its client leaves, though nothing is sent to it', async () => {
    const idle = await Promise.all(Array.from({ length: 20 }, () => watch(server, '?prefix=nobody:')));
    for (const events of idle) await events.heartbeat();
    assert.ok((await streamsOf(client)).open >= 20);
    for (const events of idle) events.close();
    await until('the streams and what reads the log for them to be given back', async () => {
      const { open, watches } = await streamsOf(client);
      return open === 0 && watches.open === 0 && watches.databases === 0;
    });
  });
});

describe('many that watch while many write', () => {
  it('see the same, all of it, once and in order, wherever they began', async () => {
    const server = await Server.start({ config: { ...BEAT, database: { durability: 'os' } } });
    const { client } = server;
    const WRITERS = 8;
    const EACH = 400;
    const start = await put(client, 'm:start', 'x');
    const all = [];
    const readers = [];
    const read = async (events, from) => {
      const seen = [];
      all.push({ seen, from });
      for (let event = await events.event(); event && event.data.key !== 'm:end'; event = await events.event()) seen.push(event);
      events.close();
    };
    readers.push(read(await watch(server, `?prefix=m:&since=${start}`), start));
    let written = 0;
    const versions = new Map();
    const writers = Array.from({ length: WRITERS }, async (_, w) => {
      const dice = random(w + 1);
      for (let i = 0; i < EACH; i++) {
        const key = `m:${w}:${dice.below(50)}`;
        if (dice.chance(0.2)) {
          const ops = Array.from({ length: 1 + dice.below(20) }, (_, n) => ({ op: 'put', key: `${key}:${n}`, text: `${w} ${i} ${n}` }));
          const response = await client.post('/api/batch', { ops });
          const last = BigInt(response.json.version);
          ops.forEach((op, n) => versions.set(last - BigInt(ops.length - 1 - n), op.text));
        } else {
          versions.set(await put(client, key, `${w} ${i}`, { 'Content-Type': 'text/plain; charset=utf-8' }), `${w} ${i}`);
        }
        written += 1;
        if (written % 200 === 0) readers.push(read(await watch(server, `?prefix=m:&since=${start}`), start));
        if (written % 300 === 0) {
          const from = [...versions.keys()].reduce((a, b) => (a > b ? a : b));
          readers.push(read(await watch(server, `?prefix=m:&since=${from}`), from));
        }
      }
    });
    await Promise.all(writers);
    await put(client, 'm:end', 'x');
    await within(60_000, 'the end of all who watch', Promise.all(readers));
    const expected = [...versions].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.ok(all.length > 20);
    for (const { seen, from } of all) {
      const rest = expected.filter(([version]) => version > from);
      assert.deepEqual(seen.map(({ id, data }) => [BigInt(id), data.text]), rest);
    }
    await server.stop();
  });
});

describe('what a watch may see', () => {
  let server;
  let nobody;
  let admin;
  before(async () => {
    ({ server, nobody, admin } = await serverWithAdmin({ config: { ...BEAT, security: { max_auth_failures: 0 } } }));
  });
  after(() => server?.stop());

  const opened = async (client, query = '') => {
    const events = await watch(server, query, client.own);
    assert.equal(events.status, 200);
    await events.heartbeat();
    return events;
  };
  /** It ends, in good order. */
  const ends = async (events, what) => {
    await within(PATIENCE_MS, what, (async () => {
      while ((await events.any()) !== null);
    })());
  };

  it('is clipped to the scope, whatever it asks for', async () => {
    const limited = await addUser(admin, nobody, 'clipped', { role: 'read', prefixes: ['a:', 'c:'] });
    const all = await opened(limited);
    const some = await opened(limited, '?prefix=c:x');
    const none = await opened(limited, '?prefix=b:');
    for (const key of ['a', 'a:1', 'b:1', 'c:1', 'c:x', 'd']) await admin.put(keyPath(key), key);
    await admin.delete(keyPath('b:1'));
    await admin.delete(keyPath('a:1'));
    assert.deepEqual((await all.events(4)).map(({ event, data }) => [event, data.key]), [['put', 'a:1'], ['put', 'c:1'], ['put', 'c:x'], ['delete', 'a:1']]);
    assert.equal((await some.event()).data.key, 'c:x');
    const behind = await watch(server, '?since=0', limited.own);
    assert.deepEqual((await behind.events(4)).map(({ data }) => data.key), ['a:1', 'c:1', 'c:x', 'a:1'], 'also of the past');
    const beat = await none.heartbeat();
    assert.ok(BigInt(beat.id) > 0n);
    for (const events of [all, some, none, behind]) events.close();
  });

  it('ends when its token is revoked', async () => {
    const { id, client } = await addToken(admin, {});
    const events = await opened(client);
    assert.equal((await admin.delete(`/api/tokens/${id}`)).status, 204);
    await ends(events, 'the end after the token');
  });

  it('ends when its session ends, its user goes, or gets fewer rights', async () => {
    const who = await addUser(admin, nobody, 'passing', { role: 'write' });
    const narrowed = await opened(who);
    const changed = await admin.patch('/api/users/passing', { prefixes: ['p:'] });
    assert.equal(changed.status, 200, changed.text);
    await ends(narrowed, 'the end after the rights');
    const again = nobody.with(bearer(await logIn(nobody, 'passing')));
    const session = await opened(again);
    assert.equal((await again.delete('/api/sessions/current')).status, 204);
    await ends(session, 'the end after the session');
    const last = nobody.with(bearer(await logIn(nobody, 'passing')));
    const gone = await opened(last);
    assert.equal((await admin.delete('/api/users/passing')).status, 204);
    await ends(gone, 'the end after the user');
  });

  it('ends when the time of its token is over', async () => {
    const { client } = await addToken(admin, { expires_in_seconds: 5 });
    await ends(await opened(client), 'the end with its token');
  });

  it('is shown nothing that comes after its rights', async () => {
    const { id, client } = await addToken(admin, {});
    const events = await opened(client, '?prefix=late:');
    await admin.delete(`/api/tokens/${id}`);
    await admin.put(keyPath('late:1'), 'x');
    assert.equal(await events.event(), null);
  });

  it('stands in the audit log', async () => {
    const audited = await serverWithAdmin({ config: { security: { audit_level: 'all' } } });
    const events = await watch(audited.server, '?prefix=seen:', audited.admin.own);
    await events.heartbeat();
    await until('its row', async () => (await audited.admin.get('/api/audit?action=watch')).json.rows.length === 1);
    const [row] = (await audited.admin.get('/api/audit?action=watch')).json.rows;
    assert.deepEqual([row.user, row.key, row.status, row.database], ['ada', 'seen:', 200, 'default']);
    events.close();
    await audited.server.stop();
  });
});

/** Connections that asked and read nothing. */
function deaf(server, target, count) {
  return Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const socket = net.connect({ port: server.port, host: '127.0.0.1' }, () => {
      socket.pause();
      socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`, () => resolve(socket));
    });
    socket.on('error', reject);
  })));
}

describe('who does not read', () => {
  it('is cut off, others are not, and it costs little', async () => {
    const server = await Server.start({ config: { server: { request_deadline_seconds: 2, watch_heartbeat_seconds: 1 }, database: { durability: 'os' } } });
    const { client } = server;
    const sockets = await deaf(server, '/api/watch?prefix=flood:', 5);
    for (const socket of sockets) socket.on('error', () => {});
    const good = await watch(server, '?prefix=flood:');
    const idle = await watch(server, '?prefix=never:');
    await good.heartbeat();
    await until('all to be there', async () => (await streamsOf(client)).open === 7);
    const value = 'v'.repeat(512 * KiB);
    let sent = 0;
    const writing = (async () => {
      for (; (await streamsOf(client)).open > 2; sent += 1) {
        await put(client, `flood:${sent}`, value, { 'Content-Type': 'text/plain; charset=utf-8' });
        await sleep(20);
      }
    })();
    let seen = 0;
    const reading = (async () => {
      for (;;) {
        const { data } = await good.event();
        if (data.key === 'flood:end') return;
        assert.equal(data.key, `flood:${seen++}`);
      }
    })();
    await within(60_000, 'the end of those who do not read', writing);
    await put(client, 'flood:end', 'x');
    await within(60_000, 'the one who reads', reading);
    assert.equal(seen, sent);
    await idle.heartbeat();
    for (const socket of sockets) socket.destroy();
    good.close();
    idle.close();
    await server.stop();
  });

  it('does not keep a database from being dropped, nor those who wait for nothing', async () => {
    const server = await Server.start({ config: { server: { watch_heartbeat_seconds: 300 }, database: { durability: 'os' } } });
    const { client } = server;
    assert.equal((await client.post('/api/databases', { name: 'dropped' })).status, 201);
    const value = Buffer.alloc(MiB, 'x');
    for (let i = 0; i < 20; i++) await client.put(`/api/databases/dropped/keys/${i}`, value);
    const blocked = [...(await deaf(server, '/api/databases/dropped/export', 2)), ...(await deaf(server, '/api/databases/dropped/watch?since=0', 2))];
    for (const socket of blocked) socket.on('error', () => {});
    const idle = await Events.open(server.port, '/api/databases/dropped/watch');
    const here = await watch(server);
    await idle.heartbeat();
    await here.heartbeat();
    await until('all to be there', async () => (await streamsOf(client)).open === 6);
    assert.equal((await client.delete('/api/databases/dropped')).status, 204, 'a drop that waits does so for 10 s, and fails');
    assert.equal(await idle.event(), null, 'it ends in good order');
    await put(client, 'still', 'x');
    assert.equal((await here.event()).data.key, 'still', 'other databases go on');
    here.close();
    for (const socket of blocked) socket.destroy();
    await server.stop();
  });

  it('does not keep the server from ending, and who reads is told the end', async () => {
    const server = await Server.start({ config: { server: { watch_heartbeat_seconds: 300 } } });
    const value = Buffer.alloc(MiB, 'x');
    for (let i = 0; i < 20; i++) await server.client.put(keyPath(`${i}`), value);
    const blocked = [...(await deaf(server, '/api/export', 3)), ...(await deaf(server, '/api/watch?since=0', 3))];
    for (const socket of blocked) socket.on('error', () => {});
    const idle = await Promise.all(Array.from({ length: 20 }, () => watch(server, '?prefix=never:')));
    for (const events of idle) await events.heartbeat();
    await until('all to be there', async () => (await streamsOf(server.client)).open === 26);
    const began = Date.now();
    await server.stop();
    assert.ok(Date.now() - began < PATIENCE_MS, 'it waited for the deadline of those who do not read, 30 s');
    for (const events of idle) assert.equal(await events.event(), null);
    for (const socket of blocked) socket.destroy();
  });
});

describe('how many', () => {
  it('streams there may be is half of the connections; beyond: 503, and room for others', async () => {
    const server = await Server.start({ config: { server: { max_connections: 20 } } });
    const all = await Promise.all(Array.from({ length: 10 }, () => watch(server)));
    for (const events of all) assert.equal(events.status, 200);
    const problem = assertProblem(await server.client.get('/api/watch'), 503);
    assert.equal(problem.code, 'overloaded');
    assertProblem(await server.client.get('/api/export'), 503);
    assert.deepEqual((({ open, max, refused }) => ({ open, max, refused }))(await streamsOf(server.client)), { open: 10, max: 10, refused: 2 });
    await put(server.client, 'room', 'x');
    all[0].close();
    await until('room for another', async () => (await streamsOf(server.client)).open < 10);
    const another = await watch(server);
    assert.equal(another.status, 200);
    another.close();
    for (const events of all) events.close();
    await server.stop();
  });

  it('a thousand on one database read the log once, and cost little: no thread, and no descriptor but their own', async (t) => {
    const COUNT = 1_000;
    const MOST_KIB = Number(process.env.WATCH_KIB ?? 64); // more under a sanitizer
    const server = await Server.start({ config: { server: { watch_heartbeat_seconds: 300 } } });
    const { client } = server;
    const rss = () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
    await put(client, 'warm', 'x');
    const before = rss();
    const count = (what) => readdirSync(`/proc/${server.pid}/${what}`).length;
    const [threads, descriptors] = [count('task'), count('fd')];
    const all = [];
    while (all.length < COUNT) all.push(...(await Promise.all(Array.from({ length: 100 }, (_, i) => watch(server, i % 2 ? '?prefix=t:' : '')))));
    for (const events of all) await events.heartbeat();
    const each = (rss() - before) / COUNT;
    t.diagnostic(`${each.toFixed(1)} KiB a watch`);
    const EVENTS = 20;
    const began = Date.now();
    for (let i = 0; i < EVENTS; i++) await put(client, `t:${i}`, 'x'.repeat(100));
    for (const events of all) assert.deepEqual((await events.events(EVENTS)).map(({ data }) => data.key), Array.from({ length: EVENTS }, (_, i) => `t:${i}`));
    t.diagnostic(`${EVENTS} events reached all of them within ${Date.now() - began} ms; afterwards ${((rss() - before) / COUNT).toFixed(1)} KiB a watch`);
    const { watches } = await streamsOf(client);
    assert.deepEqual([watches.open, watches.databases, watches.events, watches.behind], [COUNT, 1, EVENTS, 0]);
    assert.ok(each < MOST_KIB, `${each} KiB a watch`);
    assert.equal(count('task'), threads, 'no threads');
    assert.ok(count('fd') <= descriptors + COUNT + 8, `${count('fd')} descriptors`); // its connection, and what they share
    for (const events of all) events.close();
    await until('all to be given back', async () => (await streamsOf(client)).open === 0);
    await server.stop();
  });
});

describe('history that has gone', () => {
  it('is 410 at the beginning, and an event where it goes while somebody is behind', async () => {
    const server = await Server.start({ config: { server: { watch_heartbeat_seconds: 1, request_deadline_seconds: 600 }, database: { memtable_bytes: 256 * KiB, change_history_bytes: 24 * MiB, durability: 'os' } } });
    const { client } = server;
    const first = await put(client, 'h:0', 'x');
    const behind = await watch(server, '?prefix=h:');
    await behind.heartbeat();
    const quiet = await watch(server, '?prefix=quiet:');
    await quiet.heartbeat();
    // More than history, ring and sockets hold, and nobody reads.
    let beat = await quiet.heartbeat();
    for (let i = 0; i < 1_000; i++) {
      const newest = await put(client, `h:${i}`, random(i + 1).bytes(64 * KiB));
      while (i % 100 === 99 && BigInt(beat.id) < newest) beat = await quiet.heartbeat();
    }
    const gone = await client.get(`/api/watch?since=${first}`);
    assert.equal(assertProblem(gone, 410).code, 'history_gone');
    quiet.close();
    const again = await watch(server, '?prefix=quiet:', { 'Last-Event-ID': beat.id });
    assert.equal(again.status, 200, 'who was told where it stands goes on, though nothing happened to it');
    again.close();
    let last;
    for (let event = await behind.any(); event !== null; event = await behind.any()) last = event;
    assert.equal(last.event, 'gone', JSON.stringify(last).slice(0, 200));
    assert.equal(last.data.code, 'history_gone');
    const back = await client.get('/api/watch?prefix=h:', { 'Last-Event-ID': behind.lastId });
    assert.equal(assertProblem(back, 410).code, 'history_gone');
    await server.stop();
  });
});
