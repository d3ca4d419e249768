// Listings with a delimiter: what lies below it is one prefix. And counts.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addUser, serverWithAdmin } from './people.mjs';
import { assertProblem, escapeAll, key64, MiB, random, Server, standstill } from './support.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = server.client;
});
after(() => server?.stop());

const fill = async (by, keys) => {
  for (let at = 0; at < keys.length; at += 5000) {
    const written = await by.post('/api/batch', { ops: keys.slice(at, at + 5000).map((key) => ({ op: 'put', key64: key64(key), text: 'v' })) });
    assert.equal(written.status, 200, written.text);
  }
};
/** A prefix as listings show it, as bytes in hexadecimal. */
const prefixOf = (prefix) => (typeof prefix === 'string' ? Buffer.from(prefix) : Buffer.from(prefix.prefix64, 'base64url')).toString('hex');
const keyOf = (item) => (item.key64 === undefined ? Buffer.from(item.key) : Buffer.from(item.key64, 'base64url')).toString('hex');

/** All pages: { items, prefixes, pages }. */
async function all(by, query) {
  const found = { items: [], prefixes: [], pages: 0 };
  for (let cursor = ''; cursor !== null;) {
    const page = await by.get(`/api/keys?${query}${cursor ? `&cursor=${cursor}` : ''}`);
    assert.equal(page.status, 200, `${query}: ${page.text}`);
    found.items.push(...page.json.items.map(keyOf));
    found.prefixes.push(...page.json.prefixes.map(prefixOf));
    assert.equal(page.json.complete, page.json.cursor === null);
    cursor = page.json.cursor;
    found.pages += 1;
  }
  return found;
}

/** What a filter over all keys would make of it. */
const filtered = (visible, prefix, delimiter, reverse) => {
  const found = { items: [], prefixes: [] };
  for (const key of reverse ? [...visible].reverse() : visible) {
    if (!key.startsWith(prefix)) continue;
    const bytes = Buffer.from(key, 'hex');
    const at = bytes.indexOf(Buffer.from(delimiter, 'hex'), prefix.length / 2);
    const folded = at < 0 ? null : bytes.subarray(0, at + delimiter.length / 2).toString('hex');
    if (folded === null) found.items.push(key);
    else if (!found.prefixes.includes(folded)) found.prefixes.push(folded);
  }
  return found;
};

describe('a delimiter', () => {
  before(() => fill(client, ['docs/a', 'docs/b/1', 'docs/b/2', 'docs/b', 'docs/c/', 'docs/d//e', 'docs', 'docs/', 'else']));
  const list = async (query) => {
    const { items, prefixes } = (await client.get(`/api/keys?${query}`)).json;
    return [items.map(({ key }) => key), prefixes];
  };

  it('folds what lies below it into prefixes, as folders', async () => {
    assert.deepEqual(await list('delimiter=/'), [['docs', 'else'], ['docs/']]);
    assert.deepEqual(await list('prefix=docs/&delimiter=/'), [['docs/', 'docs/a', 'docs/b'], ['docs/b/', 'docs/c/', 'docs/d/']]);
    assert.deepEqual(await list('prefix=docs/d/&delimiter=/'), [[], ['docs/d//']]);
    assert.deepEqual(await list('prefix=docs&delimiter=/'), [['docs'], ['docs/']]);
    assert.deepEqual(await list('prefix=docs/b&delimiter=/'), [['docs/b'], ['docs/b/']]);
    assert.deepEqual(await list('prefix=nothing&delimiter=/'), [[], []]);
  });

  it('turned round gives the same, from the last to the first', async () => {
    assert.deepEqual(await list('prefix=docs/&delimiter=/&reverse=true'), [['docs/b', 'docs/a', 'docs/'], ['docs/d/', 'docs/c/', 'docs/b/']]);
  });

  it('may be of several bytes, and any', async () => {
    assert.deepEqual(await list('prefix=docs/&delimiter=//'), [['docs/', 'docs/a', 'docs/b', 'docs/b/1', 'docs/b/2', 'docs/c/'], ['docs/d//']]);
    await fill(client, [Buffer.from('x\0\xff1', 'latin1'), Buffer.from('x\0\xff2', 'latin1'), Buffer.from([0xff, 0xff, 1]), Buffer.from([0xff, 0xff, 2])]);
    const { items, prefixes } = (await client.get('/api/keys?start=x&delimiter=%ff')).json;
    assert.deepEqual([items, prefixes], [[], [{ prefix64: key64(Buffer.from('x\0\xff', 'latin1')) }, { prefix64: key64(Buffer.from([0xff])) }]]);
    assert.deepEqual((await client.get('/api/keys?prefix=%ff&delimiter=%ff')).json.prefixes, [{ prefix64: key64(Buffer.from([0xff, 0xff])) }]);
    assert.equal((await all(client, 'start=x&delimiter=%ff&limit=1')).prefixes.length, 2, 'nothing follows the last of them');
    await client.delete('/api/keys?start=x');
  });

  it('holds within start and end, where what lies between them is folded', async () => {
    assert.deepEqual(await list('prefix=docs/&delimiter=/&start=docs/b/2'), [[], ['docs/b/', 'docs/c/', 'docs/d/']]);
    assert.deepEqual(await list('prefix=docs/&delimiter=/&end=docs/b/2'), [['docs/', 'docs/a', 'docs/b'], ['docs/b/']]);
    assert.deepEqual(await list('prefix=docs/&delimiter=/&end=docs/b/1&reverse=true'), [['docs/b', 'docs/a', 'docs/'], []]);
  });

  it('goes on behind a prefix, page by page, though keys come and go below it', async () => {
    const first = (await client.get('/api/keys?prefix=docs/&delimiter=/&limit=4')).json;
    assert.deepEqual([first.items.length, first.prefixes], [3, ['docs/b/']]);
    await client.put('/api/keys/docs/b/3', 'v');
    const second = (await client.get(`/api/keys?prefix=docs/&delimiter=/&limit=4&cursor=${first.cursor}`)).json;
    assert.deepEqual([second.items, second.prefixes, second.complete], [[], ['docs/c/', 'docs/d/'], true]);
    await client.delete('/api/keys/docs/b/3');
  });

  it('is bound to its cursor', async () => {
    const { cursor } = (await client.get('/api/keys?prefix=docs/&delimiter=/&limit=2')).json;
    for (const query of ['prefix=docs/', 'prefix=docs/&delimiter=b']) assertProblem(await client.get(`/api/keys?${query}&cursor=${cursor}`), 400);
  });

  it('of nothing is 400', async () => assertProblem(await client.get('/api/keys?delimiter='), 400));
});

describe('folding', () => {
  const source = random(7);
  const letters = [0, 0x2f, 0x61, 0x62, 0xff];
  const keys = [...new Set(Array.from({ length: 700 }, () => Buffer.from(Array.from({ length: 1 + source.below(6) }, () => letters[source.below(5)])).toString('hex')))].sort();
  let people;
  let scoped;
  const scopes = [[0x2f], [0x61, 0x2f], [0x61, 0x61], [0x62, 0xff]].map((bytes) => Buffer.from(bytes));
  before(async () => {
    people = await serverWithAdmin();
    await fill(people.admin, keys.map((key) => Buffer.from(key, 'hex')));
    scoped = await addUser(people.admin, people.nobody, 'scoped', { prefixes64: scopes.map((prefix) => key64(prefix)) });
  });
  after(() => people?.server.stop());

  for (const reverse of [false, true]) {
    it(`is what a filter would make of it, page by page${reverse ? ', turned round' : ''}`, async () => {
      const visible = keys.filter((key) => scopes.some((scope) => key.startsWith(scope.toString('hex'))));
      for (const [by, seen] of [[people.admin, keys], [scoped, visible]]) {
        for (const prefix of ['', '2f', '61', '612f', 'ff', 'ffff']) {
          for (const delimiter of ['2f', 'ff', '00', '6162', 'ffff']) {
            const want = filtered(seen, prefix, delimiter, reverse);
            const total = want.items.length + want.prefixes.length;
            for (const limit of [1000, 7, ...(total < 20 ? [1] : [])]) {
              const query = `prefix=${escapeAll(Buffer.from(prefix, 'hex'))}&delimiter=${escapeAll(Buffer.from(delimiter, 'hex'))}&limit=${limit}&reverse=${reverse}`;
              const { items, prefixes, pages } = await all(by, query);
              assert.deepEqual({ items, prefixes }, want, query);
              assert.ok(pages <= Math.max(1, Math.ceil(total / limit)) + 1, `${pages} pages of ${limit} for ${total}`);
            }
          }
        }
      }
    });
  }
});

describe('folding between bounds', () => {
  const bounds = ['', '2f', '2f61', '61', '612f', '612f61', '61622f', '62', '622f', 'ff', 'ffff'];
  const source = random(11);
  const letters = [0x2f, 0x61, 0x62, 0xff];
  const keys = [...new Set(Array.from({ length: 250 }, () => Buffer.from(Array.from({ length: 1 + source.below(6) }, () => letters[source.below(4)])).toString('hex')))].sort();
  let own;
  before(async () => {
    own = await Server.start();
    await fill(own.client, keys.map((key) => Buffer.from(key, 'hex')));
  });
  after(() => own?.stop());

  for (const delimiter of ['2f', '2f61', '6161', 'ff', '61ff2f']) {
    it(`by ${delimiter} is what a filter would make of it, in both directions, page by page, and counts are of the keys`, async () => {
      for (const start of bounds) {
        for (const end of bounds) {
          const within = keys.filter((key) => key >= start && (end === '' || key < end));
          const query = `start=${escapeAll(Buffer.from(start, 'hex'))}&end=${escapeAll(Buffer.from(end, 'hex'))}`;
          assert.deepEqual((await own.client.get(`/api/keys?count=true&${query}`)).json, { count: within.length, exact: true }, query);
          for (const reverse of [false, true]) {
            const want = filtered(within, '', delimiter, reverse);
            const limit = [1, 2, 5, 1000][source.below(4)];
            const { items, prefixes } = await all(own.client, `${query}&delimiter=${escapeAll(Buffer.from(delimiter, 'hex'))}&limit=${limit}&reverse=${reverse}`);
            assert.deepEqual({ items, prefixes }, want, `${query} ${reverse} ${limit}`);
          }
        }
      }
    });
  }

  it('goes on behind a folded prefix whose keys have gone, and before it in the other direction', async () => {
    await fill(own.client, ['z/', 'z/1', 'z/2', 'z0', 'z1/', 'z1/a', 'z2']);
    for (const [reverse, first, rest] of [[false, ['z/'], { items: ['z0', 'z2'], prefixes: ['z1/'] }], [true, ['z1/'], { items: ['z0'], prefixes: ['z/'] }]]) {
      const query = `start=z&end=${reverse ? 'z2' : 'z3'}&delimiter=/&reverse=${reverse}`;
      const page = (await own.client.get(`/api/keys?${query}&limit=1`)).json;
      assert.deepEqual([page.prefixes, page.items, page.complete], [first, [], false]);
      assert.equal((await own.client.delete(`/api/keys?prefix=${first[0]}`)).status, 204);
      const next = (await own.client.get(`/api/keys?${query}&limit=10&cursor=${page.cursor}`)).json;
      assert.deepEqual({ items: next.items.map(({ key }) => key), prefixes: next.prefixes }, rest, `${reverse}`);
      await fill(own.client, ['z/', 'z/1', 'z/2', 'z1/', 'z1/a']);
    }
  });

  it('passes over what is folded, however much: it does not read it, as a count does', async () => {
    const below = 60_000;
    await fill(own.client, Array.from({ length: below }, (_, i) => `wide/${i}`));
    const fastest = async (query) => {
      let best = Infinity;
      for (let i = 0; i < 7; i++) {
        const begin = performance.now();
        const { json } = await own.client.get(`/api/keys?prefix=wide&${query}`);
        best = Math.min(best, performance.now() - begin);
        assert.ok(json.count === below || json.prefixes.join() === 'wide/', query);
      }
      return best;
    };
    const counted = await fastest('count=true');
    for (const query of ['delimiter=/', 'delimiter=/&reverse=true']) {
      const folded = await fastest(query);
      assert.ok(folded * 3 < counted, `${query}: ${folded} ms; to read all of it takes ${counted} ms`);
    }
  });

  it('fills a page with 8 MiB of prefixes, as they are written, and goes on behind them', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `${'\x01'.repeat(9000)}${String(i).padStart(3, '0')}/`); // each byte takes six
    await fill(own.client, names.map((name) => `${name}x`));
    for (const reverse of [false, true]) {
      const found = [];
      let pages = 0;
      for (let cursor = ''; cursor !== null; pages++) {
        const page = await own.client.get(`/api/keys?prefix=%01&delimiter=/&limit=10000&reverse=${reverse}${cursor && `&cursor=${cursor}`}`);
        assert.equal(page.status, 200, page.text.slice(0, 200));
        assert.ok(page.body.length <= 8 * MiB, `${page.body.length}`);
        found.push(...page.json.prefixes);
        cursor = page.json.cursor;
      }
      assert.deepEqual(found, reverse ? [...names].reverse() : names);
      assert.equal(pages, 2);
    }
    assert.equal((await own.client.delete('/api/keys?prefix=%01')).status, 204);
  });

  it('with a delimiter as long as a key can be is folding all the same; a longer one is 400', async () => {
    const long = '/'.repeat(16384);
    assert.equal((await own.client.get(`/api/keys?delimiter=${long}&prefix=z`)).json.prefixes.length, 0);
    assert.equal((await own.client.put(`/api/keys/${long}`, 'v')).status, 204);
    assert.deepEqual((await own.client.get(`/api/keys?delimiter=${long}&prefix=`)).json.prefixes, [long]);
    assertProblem(await own.client.get(`/api/keys?delimiter=${long}/`), 400);
  });
});

const count = async (query, by = client) => {
  const response = await by.get(`/api/keys?count=true${query}`);
  assert.equal(response.status, 200, response.text);
  return response.json;
};

describe('a count', () => {
  before(() => fill(client, ['count:a', 'count:b', 'count:c', 'count']));

  it('is of the keys between the bounds', async () => {
    for (const [query, expected] of [['&prefix=count', 4], ['&prefix=count:', 3], ['&prefix=count:&start=count:b', 2], ['&prefix=count:&end=count:b', 1], ['&start=count&end=count:b', 2], ['&prefix=nothing', 0], ['&start=b&end=a', 0]]) {
      assert.deepEqual(await count(query), { count: expected, exact: true }, query);
    }
    assert.ok((await count('')).count >= 13);
    assert.ok('items' in (await client.get('/api/keys?count=false&limit=1')).json);
  });

  it('is of what the scope shows', async () => {
    const people = await serverWithAdmin();
    try {
      await fill(people.admin, ['a:1', 'a:2', 'b:1', 'c:1']);
      const scoped = await addUser(people.admin, people.nobody, 'scoped', { role: 'read', prefixes: ['a:', 'b:'] });
      assert.deepEqual(await count('', scoped), { count: 3, exact: true });
      assert.deepEqual(await count('&prefix=c', scoped), { count: 0, exact: true });
    } finally {
      await people.server.stop();
    }
  });

  it('has no body for HEAD, and the same length', async () => {
    const get = await client.get('/api/keys?count=true&prefix=count');
    const head = await client.request('HEAD', '/api/keys?count=true&prefix=count');
    assert.deepEqual([head.status, head.body.length, head.headers['content-length']], [200, 0, get.headers['content-length']]);
  });

  for (const more of ['limit=5', 'cursor=x', 'reverse=true', 'values=true', 'delimiter=/', `key64=${key64('a')}`, 'count=true', 'dry_run=true']) {
    it(`with ${more} is 400`, async () => assertProblem(await client.get(`/api/keys?count=true&${more}`), 400));
  }

  it('of anything but true and false is 400', async () => {
    for (const value of ['', '1', 'yes']) assertProblem(await client.get(`/api/keys?count=${value}`), 400);
  });
});

describe('a long count', { timeout: 600_000 }, () => {
  const total = 300_000;
  let many;
  before(async () => {
    many = await Server.start();
    await fill(many.client, Array.from({ length: total }, (_, i) => `many:${String(i).padStart(7, '0')}`));
  });
  after(() => many?.stop());

  it('is of one state, though others have their turn in between', async () => {
    assert.equal((await many.client.put('/api/keys/first', 'v')).status, 204);
    let counting = true;
    let moves = 0;
    const moved = (async () => {
      for (; counting; moves++) {
        const [from, to] = moves % 2 ? ['zlast', 'first'] : ['first', 'zlast'];
        assert.equal((await many.client.post('/api/batch', { ops: [{ op: 'delete', key: from }, { op: 'put', key: to, text: 'v' }] })).status, 200);
      }
    })();
    for (let i = 0; i < 10 || moves <= 10; i++) assert.deepEqual(await count('', many.client), { count: total + 1, exact: true });
    counting = false;
    await moved;
    await many.client.post('/api/batch', { ops: [{ op: 'delete', key: 'first' }, { op: 'delete', key: 'zlast' }] });
  });

  it('that runs out of time says that there are at least so many', async () => {
    assert.deepEqual(await count('', many.client), { count: total, exact: true });
    let found;
    for (let round = 0; round < 10 && (!found || found.exact); round++) {
      found = await standstill(many, 5_200, () => count('', many.client));
      assert.equal(found.exact, found.count === total);
    }
    assert.equal(found.exact, false, 'it was never stopped while it counted');
    assert.ok(found.count > 0 && found.count < total);
  });
});
