// Many clients at once.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client, listAll, PATIENCE_MS, random, Server, versionOf, within } from './support.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.stop());

/** `count` clients of one connection each. */
const clients = (count) => Array.from({ length: count }, () => new Client(server.port, { connections: 1 }));

describe('of two clients that race', () => {
  it('on one version of a key exactly one wins, over many keys', async () => {
    const racers = clients(2);
    let wins = [0, 0];
    for (let i = 0; i < 200; i++) {
      const target = `/api/keys/race:${i}`;
      const etag = (await server.client.put(target, 'start')).headers.etag;
      const answers = await Promise.all(racers.map((client, who) => client.put(target, `racer ${who}`, { 'If-Match': etag })));
      assert.deepEqual(answers.map((one) => one.status).sort(), [204, 412], target);
      const winner = answers.findIndex((one) => one.status === 204);
      const got = await server.client.get(target);
      assert.equal(got.text, `racer ${winner}`);
      assert.equal(versionOf(got), versionOf(answers[winner]));
      assert.equal(answers[1 - winner].json.current_version, String(versionOf(got)));
      wins[winner] += 1;
    }
    assert.equal(wins[0] + wins[1], 200);
    for (const client of racers) client.close();
  });

  it('to create a key exactly one does', async () => {
    const racers = clients(8);
    for (let i = 0; i < 50; i++) {
      const target = `/api/keys/create-race:${i}`;
      const answers = await Promise.all(racers.map((client, who) => client.put(target, `${who}`, { 'If-None-Match': '*' })));
      const winners = answers.flatMap((one, who) => (one.status === 201 ? [who] : []));
      assert.equal(winners.length, 1, target);
      assert.ok(answers.every((one) => one.status === 201 || one.status === 412));
      assert.equal((await server.client.get(target)).text, `${winners[0]}`);
    }
    for (const client of racers) client.close();
  });

  it('to count, none is lost', async () => {
    const racers = clients(8);
    await server.client.put('/api/keys/counter', '0');
    await Promise.all(
      racers.map(async (client) => {
        for (let done = 0; done < 25; ) {
          const got = await client.get('/api/keys/counter');
          const put = await client.put('/api/keys/counter', `${Number(got.text) + 1}`, { 'If-Match': got.headers.etag });
          assert.ok(put.status === 204 || put.status === 412, put.text);
          if (put.status === 204) done += 1;
        }
      }),
    );
    assert.equal((await server.client.get('/api/keys/counter')).text, '200');
    for (const client of racers) client.close();
  });
});

describe('64 connections', () => {
  it('put durably at once, and everything reads back equal, also after a restart', async () => {
    const writers = clients(64);
    const each = 60;
    const value = (writer, i) => random(writer * 1000 + i).bytes((writer * 37 + i * 101) % 3000);
    const versions = new Map();
    await Promise.all(
      writers.map(async (client, writer) => {
        let latest = 0n;
        for (let i = 0; i < each; i++) {
          const key = `many:${writer}:${i}`;
          const put = await client.put(`/api/keys/${key}`, value(writer, i));
          assert.equal(put.status, 204, put.text);
          assert.ok(versionOf(put) > latest, 'what a client writes later has a greater version');
          latest = versionOf(put);
          versions.set(key, latest);
        }
      }),
    );
    assert.equal(new Set(versions.values()).size, 64 * each, 'no version was given twice');

    const check = async (readers) => {
      await Promise.all(
        readers.map(async (client, writer) => {
          for (let i = 0; i < each; i++) {
            const got = await client.get(`/api/keys/many:${writer}:${i}`);
            assert.ok(got.body.equals(value(writer, i)), `many:${writer}:${i}`);
            assert.equal(versionOf(got), versions.get(`many:${writer}:${i}`));
          }
          client.close();
        }),
      );
      assert.equal((await listAll(server.client, { prefix: 'many:', limit: '10000' })).items.length, 64 * each);
    };
    await check(writers);
    await server.stop();
    server = await server.again();
    await check(clients(64));
  });

  it('read, write, delete and list one set of keys, and each answer is one that was true', async () => {
    const writers = clients(64);
    const keys = Array.from({ length: 16 }, (_, i) => `mixed:${i}`);
    const dice = random(7);
    const written = new Map(keys.map((key) => [key, new Set()]));
    await Promise.all(
      writers.map(async (client, who) => {
        for (let i = 0; i < 40; i++) {
          const key = keys[dice.below(keys.length)];
          const choice = dice.below(10);
          if (choice < 4) {
            const value = `${key}=${who}.${i}`;
            written.get(key).add(value);
            assert.equal((await client.put(`/api/keys/${key}`, value)).status, 204);
          } else if (choice < 5) {
            assert.equal((await client.delete(`/api/keys/${key}`)).status, 204);
          } else if (choice < 9) {
            const got = await client.get(`/api/keys/${key}`);
            assert.ok(got.status === 404 || written.get(key).has(got.text), `${key}: ${got.status} ${got.text}`);
          } else {
            for (const item of (await client.get('/api/keys?prefix=mixed:&values=true')).json.items) {
              assert.ok(written.get(item.key).has(item.text), `${item.key}: ${item.text}`);
            }
          }
        }
        client.close();
      }),
    );
  });
});

describe('clients that leave while their writes wait', () => {
  it('hold up nobody else, and the server still ends', async () => {
    const own = await Server.start();
    const request = (n) => `PUT /api/keys/leaver:${n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello`;
    for (let round = 0; round < 40; round++) {
      const leaving = Array.from({ length: 32 }, (_, i) =>
        new Promise((resolve) => {
          const socket = net.connect(own.port, '127.0.0.1', () => {
            socket.write(request(round * 32 + i), () => socket.destroy());
          });
          socket.on('error', () => {});
          socket.on('close', resolve);
        }),
      );
      await Promise.all(leaving);
      const put = await within(PATIENCE_MS, 'a PUT beside clients that left', own.client.put(`/api/keys/stayer:${round}`, 'here'));
      assert.equal(put.status, 204);
    }
    await own.stop();
  });
});
