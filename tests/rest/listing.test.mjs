// GET /api/keys: keys in order, in pages that a cursor joins.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, escapeAll, key64, keyPath, listAll, MiB, random, Server, versionOf } from './support.mjs';

/** In an order that is the same in every run (Fisher and Yates). */
function shuffled(list, source) {
  for (let i = list.length - 1; i > 0; i--) {
    const k = source.below(i + 1);
    [list[i], list[k]] = [list[k], list[i]];
  }
  return list;
}

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const put = async (key, value, type) => {
  const response = await client.put(`/api/keys/${escapeAll(key)}`, value, type ? { 'Content-Type': type } : {});
  assert.equal(response.status, 204, response.text);
  return versionOf(response);
};
const list = async (query) => {
  const response = await client.get(`/api/keys?${query}`);
  assert.equal(response.status, 200, `${query}: ${response.text.slice(0, 300)}`);
  return response.json;
};
const keys = (page) => page.items.map((item) => item.key);

describe('the order of keys', () => {
  // Every byte string here stands in the order of its bytes.
  const ordered = ['', '\0', '\0\0', '\x01', 'A', 'B', 'a', 'a\0', 'a\0a', 'a ', 'a/', 'a0', 'aa', 'ab', 'b', '\x7f'].map((key) => Buffer.from(key));
  ordered.push(Buffer.from('é'), Buffer.from('日'), Buffer.from('\u{1F600}'), Buffer.from([0xff]), Buffer.from([0xff, 0x00]), Buffer.from([0xff, 0xff]));
  const named = ordered.map((tail) => Buffer.concat([Buffer.from('order:'), tail]));
  const bytesOf = (item) => (item.key64 === undefined ? Buffer.from(item.key) : Buffer.from(item.key64, 'base64url'));
  before(async () => {
    for (const key of shuffled([...named], random(1))) await put(key, 'v');
  });

  it('is that of their bytes', async () => {
    const page = await list('prefix=order:');
    assert.deepEqual(page.items.map(bytesOf), named);
    assert.equal(page.complete, true);
    assert.equal(page.cursor, null);
    assert.deepEqual(page.prefixes, []);
  });

  it('is turned round by reverse=true', async () => {
    assert.deepEqual((await list('prefix=order:&reverse=true')).items.map(bytesOf), [...named].reverse());
    assert.deepEqual((await list('prefix=order:&reverse=false')).items.map(bytesOf), named);
  });

  it('gives a key as text where it is UTF-8, else as key64', async () => {
    for (const item of (await list('prefix=order:')).items) {
      const utf8 = Buffer.from(bytesOf(item).toString('utf8')).equals(bytesOf(item));
      assert.deepEqual([item.key !== undefined, item.key64 !== undefined], [utf8, !utf8], JSON.stringify(item));
    }
  });

  it('holds from start, inclusive, to end, exclusive, for all pairs', async () => {
    for (let from = 0; from < named.length; from += 3) {
      for (let to = 0; to < named.length; to += 4) {
        const query = `prefix=order:&start=${escapeAll(named[from])}&end=${escapeAll(named[to])}`;
        const expected = named.slice(from, Math.max(from, to));
        assert.deepEqual((await list(query)).items.map(bytesOf), expected, query);
        assert.deepEqual((await list(`${query}&reverse=true`)).items.map(bytesOf), expected.reverse(), query);
      }
    }
  });

  it('takes any bytes as prefix', async () => {
    const under = (prefix) => named.filter((key) => key.subarray(0, prefix.length).equals(prefix));
    for (const tail of ordered) {
      const prefix = Buffer.concat([Buffer.from('order:'), tail]);
      assert.deepEqual((await list(`prefix=${escapeAll(prefix)}`)).items.map(bytesOf), under(prefix));
      assert.deepEqual((await list(`prefix=${escapeAll(prefix)}&reverse=true`)).items.map(bytesOf), under(prefix).reverse());
    }
  });

  it('takes a prefix of nothing but 0xff, which no key follows', async () => {
    await put(Buffer.from([0xff, 0xff, 1]), 'v');
    await put(Buffer.from([0xff, 0xff]), 'v');
    for (const direction of ['false', 'true']) {
      const found = (await list(`prefix=%ff%ff&reverse=${direction}`)).items.map(bytesOf).map((key) => key.toString('hex'));
      assert.deepEqual(found.sort(), ['ffff', 'ffff01']);
    }
  });

  it('leaves out what a bound beyond the prefix leaves out', async () => {
    assert.equal((await list('prefix=order:&start=order;')).items.length, 0);
    assert.equal((await list('prefix=order:&end=order')).items.length, 0);
    assert.equal((await list('prefix=order:&start=a&end=z')).items.length, named.length);
  });
});

describe('an item', () => {
  const one = async (key, query = '&values=true') => {
    const page = await list(`prefix=${escapeAll(key)}${query}`);
    assert.equal(page.items.length, 1);
    return page.items[0];
  };

  it('has key, version, type and size, and a value only where values are asked for', async () => {
    const version = await put('item:plain', 'hello', 'text/plain');
    const expected = { key: 'item:plain', version: String(version), type: 'text/plain', size: 5 };
    assert.deepEqual(await one('item:plain', ''), expected);
    assert.deepEqual(await one('item:plain', '&values=false'), expected);
    assert.deepEqual(await one('item:plain'), { ...expected, text: 'hello' });
  });

  it('carries JSON as itself, byte for byte', async () => {
    const raw = '{"big":12345678901234567890,"float":1.0, "same":"\\u00e9" ,"e":1E+2}';
    await put('item:json', raw, 'application/json');
    const page = await client.get('/api/keys?prefix=item:json&values=true');
    assert.ok(page.text.includes(`"value":${raw}`), page.text);
    assert.equal(page.json.items[0].size, raw.length);
    assert.equal(page.json.items[0].type, 'application/json');
  });

  it('carries bytes that are UTF-8 as text, escaped so that they come back', async () => {
    for (const text of ['', 'plain', 'quote " backslash \\ slash /', 'line\nfeed\r\ttab', '\0\x01\x1f\x7f', 'é日\u{1F600}', '\u2028']) {
      await put('item:text', text);
      const item = await one('item:text');
      assert.equal(item.text, text);
      assert.equal(item.size, Buffer.byteLength(text));
      assert.ok(!('base64' in item) && !('value' in item));
    }
  });

  it('carries other bytes as base64', async () => {
    for (const bytes of [[0xff], [0xff, 0xfe], [0xc3, 0x28, 0x41], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]].map((b) => Buffer.from(b))) {
      await put('item:binary', bytes, 'text/plain');
      const item = await one('item:binary');
      assert.equal(item.base64, bytes.toString('base64'));
      assert.equal(item.size, bytes.length);
      assert.ok(!('text' in item) && !('value' in item));
    }
  });

  it('carries a value of 1 MiB, and omits one that is larger', async () => {
    await put('item:large:at', Buffer.alloc(MiB, 'x'));
    await put('item:large:past', Buffer.alloc(MiB + 1, 'x'));
    const [at, past] = (await list('prefix=item:large:&values=true')).items;
    assert.equal(at.text.length, MiB);
    assert.ok(!('omitted' in at));
    assert.equal(past.omitted, true);
    assert.equal(past.size, MiB + 1);
    assert.ok(!('text' in past) && !('base64' in past) && !('value' in past));
  });

  it('is gone from the listing when its key is deleted', async () => {
    await put('item:deleted:1', 'a');
    await put('item:deleted:2', 'b');
    await client.delete(keyPath('item:deleted:1'));
    assert.deepEqual(keys(await list('prefix=item:deleted:')), ['item:deleted:2']);
  });
});

describe('pages', () => {
  const count = 2345;
  const named = Array.from({ length: count }, (_, i) => `page:${String(i).padStart(5, '0')}`);
  let last;
  before(async () => {
    for (let at = 0; at < count; at += 500) {
      const ops = named.slice(at, at + 500).map((key) => ({ op: 'put', key, text: `value of ${key}` }));
      const written = await client.post('/api/batch', { ops });
      assert.equal(written.status, 200, written.text);
      last = BigInt(written.json.version);
    }
  });

  for (const reverse of ['false', 'true']) {
    for (const limit of ['1', '7', '100', '1000', '2345', '10000']) {
      if (limit === '1' && reverse === 'false') continue; // one direction is enough of 2345 requests
      it(`of ${limit}, reverse=${reverse}, joined are everything exactly once in order`, async () => {
        const prefix = limit === '1' ? 'page:000' : 'page:';
        const expected = named.filter((key) => key.startsWith(prefix));
        const { items, pages } = await listAll(client, { prefix, limit, reverse });
        assert.deepEqual(items.map((item) => item.key), reverse === 'true' ? [...expected].reverse() : expected);
        assert.ok(pages <= Math.ceil(expected.length / Number(limit)) + 1);
      });
    }
  }

  it('hold 100 items where no limit is given', async () => {
    const page = await list('prefix=page:');
    assert.equal(page.items.length, 100);
    assert.equal(page.complete, false);
    assert.equal(typeof page.cursor, 'string');
  });

  it('carry the version of the state that they show', async () => {
    const page = await list('prefix=page:&limit=10000');
    assert.ok(BigInt(page.version) >= last);
    assert.ok(page.items.every((item) => BigInt(item.version) <= BigInt(page.version)));
  });

  it('keep to start, end and values', async () => {
    const query = { start: 'page:00100', end: 'page:00250', values: 'true', limit: '40' };
    const { items, pages } = await listAll(client, query);
    assert.deepEqual(items.map((item) => [item.key, item.text]), named.slice(100, 250).map((key) => [key, `value of ${key}`]));
    assert.equal(pages, 4);
    const reversed = await listAll(client, { ...query, reverse: 'true' });
    assert.deepEqual(reversed.items, items.reverse());
  });

  it('see later writes: a cursor stands between keys, not in a frozen state', async () => {
    for (const key of ['b', 'd', 'f']) await put(`live:${key}`, '1');
    const first = await list('prefix=live:&limit=1');
    await put('live:a', 'before the cursor');
    await put('live:c', 'after it');
    await client.delete('/api/keys/live:b');
    await client.delete('/api/keys/live:d');
    const second = await list(`prefix=live:&limit=10&cursor=${encodeURIComponent(first.cursor)}`);
    assert.deepEqual(keys(second), ['live:c', 'live:f']);
  });

  it('are cut where 8 MiB are full, and joined hold everything', async () => {
    const values = Array.from({ length: 24 }, (_, i) => Buffer.alloc(700_000, random(i).bytes(997)));
    for (const [i, value] of values.entries()) await put(`heavy:${String(i).padStart(2, '0')}`, value);
    const page = await client.get('/api/keys?prefix=heavy:&values=true&limit=10000');
    assert.ok(page.body.length <= 8 * MiB, `${page.body.length} bytes in one page`);
    assert.equal(page.json.complete, false);
    assert.ok(page.json.items.length >= 5, `${page.json.items.length} items`);
    const { items } = await listAll(client, { prefix: 'heavy:', values: 'true', limit: '10000' });
    assert.equal(items.length, values.length);
    for (const [i, item] of items.entries()) assert.ok(Buffer.from(item.base64, 'base64').equals(values[i]), item.key);
  });

  it('always make progress, also where one item fills a page', async () => {
    const controls = Buffer.alloc(MiB, 1); // six bytes each when escaped
    for (const i of [0, 1, 2]) await put(`control:${i}`, controls);
    const { items } = await listAll(client, { prefix: 'control:', values: 'true' });
    assert.deepEqual(items.map((item) => [item.key, item.text.length]), [0, 1, 2].map((i) => [`control:${i}`, MiB]));
  });

  it('of a database in which nothing is found are complete and empty', async () => {
    const page = await list('prefix=nothing-is-here');
    assert.deepEqual([page.items, page.cursor, page.complete], [[], null, true]);
    assert.match(page.version, /^\d+$/);
  });
});

describe('pages of large values of types that stand with them', () => {
  it('end before too much was read for the types, and have each key once', async () => {
    const image = Buffer.alloc(12 * MiB, 'pixels');
    const names = Array.from({ length: 14 }, (_, i) => `image:${i + 10}`);
    for (const name of names) await put(name, image, 'image/x-pixels');
    await put('image:text', 'x'.repeat(100), 'text/plain; charset=utf-8');
    for (const query of ['prefix=image:', 'prefix=image:&values=true', 'prefix=image:&reverse=true']) {
      const pages = [];
      for (let cursor = ''; cursor !== null; cursor = pages.at(-1).cursor) pages.push(await list(`${query}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`));
      assert.deepEqual(pages.map(({ items, complete }) => [items.length, complete]), query.includes('reverse') ? [[7, false], [6, false], [2, true]] : [[6, false], [6, false], [3, true]], query);
      const items = pages.flatMap(({ items }) => items);
      assert.deepEqual(items.map(({ key }) => key).sort(), [...names, 'image:text']);
      assert.ok(items.every(({ key, type, size }) => key === 'image:text' || (type === 'image/x-pixels' && size === image.length)));
    }
    for (const name of names) await client.delete(keyPath(name));
  });
});

describe('a cursor', () => {
  let cursor;
  before(async () => {
    for (const i of [1, 2, 3, 4]) await put(`cursor:${i}`, 'v');
    cursor = (await list('prefix=cursor:&limit=2')).cursor;
  });

  it('goes on where its page ended', async () => {
    assert.deepEqual(keys(await list(`prefix=cursor:&limit=2&cursor=${encodeURIComponent(cursor)}`)), ['cursor:3', 'cursor:4']);
  });

  it('survives a restart of the server: it holds all it needs', async () => {
    await server.stop();
    server = await server.again();
    client = server.client;
    assert.deepEqual(keys(await list(`prefix=cursor:&limit=2&cursor=${encodeURIComponent(cursor)}`)), ['cursor:3', 'cursor:4']);
  });

  for (const other of ['prefix=cursor', 'prefix=', 'prefix=cursor:&reverse=true', 'prefix=cursor:&start=cursor:2', 'prefix=cursor:&end=cursor:9', 'start=cursor:']) {
    it(`of other parameters than ${other} is 400`, async () => {
      assertProblem(await client.get(`/api/keys?${other}&limit=2&cursor=${encodeURIComponent(cursor)}`), 400);
    });
  }

  it('that was not made by the server is 400', async () => {
    const last = cursor.at(-1) === 'A' ? 'B' : 'A';
    for (const bad of ['', 'x', 'AAAA', cursor.slice(0, -1), cursor.slice(1), `${cursor}A`, `${cursor.slice(0, 8)}${last}${cursor.slice(9)}`, cursor.repeat(3), '%00']) {
      if (bad === cursor) continue;
      const escaped = bad === '%00' ? bad : encodeURIComponent(bad);
      assertProblem(await client.get(`/api/keys?prefix=cursor:&limit=2&cursor=${escaped}`), 400, bad);
    }
  });
});

describe('a listing that is asked wrongly', () => {
  for (const query of [
    'limit=0', 'limit=10001', 'limit=-1', 'limit=ten', 'limit=', 'limit=1e3', 'limit=18446744073709551617', 'reverse=yes', 'reverse=', 'values=1x', 'unknown=1',
    'prefix=%zz', 'prefix=a&prefix=b', 'Prefix=a', 'limit=5&limit=5', `key64=${key64('a')}&prefix=a`,
  ]) {
    it(`?${query} is 400`, async () => assertProblem(await client.get(`/api/keys?${query}`), 400));
  }
});
