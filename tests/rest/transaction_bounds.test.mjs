// Transactions over HTTP: how many and how much, how long, whose they are, and what takes them away.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addToken, addUser, basic, OTHER_PASSWORD, PASSWORD, serverWithAdmin } from './people.mjs';
import { assertProblem, MiB, PATIENCE_MS, random, Server, until, within } from './support.mjs';
import { Transaction } from './transactions.mjs';

let server;
let client;
before(async () => {
  server = await Server.start({ config: { server: { max_transaction_bytes: 2 * MiB } } });
  client = server.client;
});
after(() => server?.stop());

const begin = (isolation, options) => Transaction.begin(client, isolation, options);

describe('limits', () => {
  it('of what one may write: 413, and what was written before stays', async () => {
    const transaction = await begin('snapshot');
    const large = Buffer.alloc(700_000, 'x');
    await transaction.put('large:1', large);
    assert.equal(assertProblem(await transaction.inside.put('/api/keys/large:2', large), 413).code, 'transaction_too_large');
    const batch = await transaction.inside.post('/api/batch', { ops: [{ op: 'put', key: 'large:3', text: 'x' }, { op: 'put', key: 'large:4', text: large.toString() }] });
    assert.equal(assertProblem(batch, 413).code, 'transaction_too_large');
    await transaction.put('large:5', 'small');
    assert.equal((await transaction.commit()).status, 200);
    const there = (await client.get('/api/keys?prefix=large:')).json.items.map(({ key }) => key);
    assert.deepEqual(there, ['large:1', 'large:5']);
  });

  it('of what one may write count the bound that a deleted range without an end has', async () => {
    const transaction = await begin('snapshot');
    let last;
    let count = 0;
    do {
      last = await transaction.inside.delete('/api/keys?start=endless:');
      count += 1;
    } while (last.status === 204 && count < 50);
    assert.equal(assertProblem(last, 413).code, 'transaction_too_large');
    assert.equal((await transaction.rollback()).status, 204);
  });

  it('of a reply: what the gets of a batch find; and the transaction goes on', async () => {
    const names = ['reply:1', 'reply:2', 'reply:3'];
    for (const name of names) await client.put(`/api/keys/${name}`, Buffer.alloc(3 * MiB, 'x'));
    const transaction = await begin();
    const gets = (some) => transaction.inside.post('/api/batch', { ops: [...some.map((key) => ({ op: 'get', key })), { op: 'put', key: 'reply:put', text: 'x' }] });
    assert.equal(assertProblem(await gets(names), 413).code, 'too_large');
    assert.equal(await transaction.get('reply:put'), null, 'nothing of it was done');
    assert.equal((await gets(names.slice(1))).status, 200);
    assert.equal((await transaction.commit()).status, 200);
    assert.equal((await client.get('/api/keys/reply:put')).text, 'x');
  });

  it('of the database\'s disk: 507, and when there is room it can be committed', async () => {
    const place = '/api/databases/full';
    assert.equal((await client.post('/api/databases', { name: 'full' })).status, 201);
    const transaction = await begin('snapshot', { in: place });
    await transaction.put('late', 'x');
    const dice = random(7);
    for (let i = 0; i < 40; i++) assert.equal((await client.put(`${place}/keys/${i}`, dice.bytes(MiB))).status, 204);
    assert.equal((await client.patch(place, { max_disk_bytes: 32 * MiB })).status, 200);
    for (let i = 0; i < 2; i++) assert.equal(assertProblem(await transaction.commit(), 507).code, 'no_space');
    assert.equal(await transaction.get('late'), 'x', 'it goes on');
    assert.equal((await client.patch(place, { max_disk_bytes: null })).status, 200);
    assert.equal((await transaction.commit()).status, 200);
    assert.equal((await client.get(`${place}/keys/late`)).text, 'x');
  });

  it('of a user: sixteen by default', async () => {
    const own = await serverWithAdmin();
    const bob = await addUser(own.admin, own.nobody, 'bob');
    const open = [];
    for (let i = 0; i < 16; i++) open.push(await Transaction.begin(bob));
    const refused = assertProblem(await bob.post('/api/transactions', {}), 409);
    assert.equal(refused.code, 'too_many');
    assert.match(refused.detail, /16 open transactions of this user/);
    const { client: token } = await addToken(bob);
    assert.equal(assertProblem(await token.post('/api/transactions', {}), 409).code, 'too_many', 'tokens are the user\'s');
    await Transaction.begin(own.admin);
    assert.equal((await open[5].rollback()).status, 204);
    await Transaction.begin(bob);
    assertProblem(await bob.post('/api/transactions', {}), 409);
    await own.server.stop();
  });

  it('of time: idle or too old, it is over', async () => {
    const own = await Server.start({ config: { server: { transaction_idle_seconds: 3, transaction_max_seconds: 8 } } });
    const figures = async () => (await own.client.get('/api/stats')).json.server.transactions;
    const idle = await Transaction.begin(own.client, 'snapshot');
    const used = await Transaction.begin(own.client, 'snapshot');
    assert.equal(idle.idle_seconds, 3);
    await idle.put('time:idle', 'x');
    // Nobody asks for the idle one, for that would be using it.
    await until('the end of the one that is idle', async () => {
      await used.put('time:used', 'x');
      return (await figures()).open === 1;
    });
    for (const response of [await idle.inside.get('/api/keys/time:idle'), await idle.commit()]) {
      const problem = assertProblem(response, 410);
      assert.equal(problem.code, 'transaction_expired');
      assert.match(problem.detail, /idle/);
    }
    assert.equal((await idle.rollback()).status, 204, 'it is rolled back');
    const last = await until('the end of the one that is used', async () => {
      const response = await used.inside.get('/api/keys/time:used');
      return response.status !== 200 && response;
    });
    assert.equal(assertProblem(last, 410).code, 'transaction_expired');
    assert.match(last.json.detail, /max/);
    assert.equal((await own.client.get('/api/keys?prefix=time:')).json.items.length, 0);
    const { bytes, timed_out } = await figures();
    assert.deepEqual([bytes, timed_out], [0, 2]);
    await own.stop();
  });
});

describe('people', () => {
  let own;
  let ann;
  let bob;
  before(async () => {
    own = await serverWithAdmin({ config: { security: { audit_level: 'writes', max_auth_failures: 0 } } });
    ann = await addUser(own.admin, own.nobody, 'ann');
    bob = await addUser(own.admin, own.nobody, 'bob', { prefixes: ['bob:'] });
  });
  after(() => own?.server.stop());

  it('have their own: those of others, and of other logins, are not there', async () => {
    const transaction = await Transaction.begin(ann);
    await transaction.put('ann:1', 'x');
    const { client: token } = await addToken(ann);
    for (const other of [bob, own.admin, token]) {
      const inside = other.with({ 'Velocity-Transaction': transaction.id });
      for (const response of [await inside.get('/api/keys/ann:1'), await inside.put('/api/keys/bob:1', 'x'),
        await other.request('POST', `/api/transactions/${transaction.id}/commit`), await other.delete(`/api/transactions/${transaction.id}`)]) {
        assert.equal(assertProblem(response, 404).code, 'transaction_not_found');
      }
    }
    assert.equal((await own.nobody.get('/api/keys/ann:1', { 'Velocity-Transaction': transaction.id })).status, 401);
    assert.equal(await transaction.get('ann:1'), 'x');
    assert.equal((await transaction.commit()).status, 200);
    for (const other of [bob, token]) assertProblem(await other.request('POST', `/api/transactions/${transaction.id}/commit`), 404);
  });

  it('may do inside what they may outside', async () => {
    const reader = await addUser(own.admin, own.nobody, 'reader', { role: 'read' });
    const monitor = await addUser(own.admin, own.nobody, 'monitor', { role: 'monitor' });
    await own.admin.put('/api/keys/bob:1', 'one');
    await own.admin.put('/api/keys/other', 'x');
    assertProblem(await monitor.post('/api/transactions', {}), 403);
    const reading = await Transaction.begin(reader);
    assert.equal(await reading.get('bob:1'), 'one');
    assert.equal(assertProblem(await reading.inside.put('/api/keys/bob:1', 'x'), 403).code, 'forbidden');
    assert.equal(assertProblem(await reading.inside.post('/api/batch', { ops: [{ op: 'delete', key: 'bob:1' }] }), 403).code, 'forbidden');
    assert.equal((await reading.commit()).status, 200);
    const scoped = await Transaction.begin(bob);
    assert.equal(await scoped.get('other'), null);
    assert.equal(assertProblem(await scoped.inside.put('/api/keys/other', 'x'), 403).code, 'out_of_scope');
    await scoped.put('bob:2', 'two');
    assert.deepEqual((await scoped.inside.get('/api/keys')).json.items.map(({ key }) => key), ['bob:1', 'bob:2']);
    assert.deepEqual((await scoped.inside.post('/api/batch', { ops: [{ op: 'get', key: 'other' }, { op: 'get', key: 'bob:2' }] })).json.results.map((one) => one?.text ?? null), [null, 'two']);
    assert.equal((await scoped.commit()).status, 200);
    assert.equal((await own.admin.get('/api/keys/bob:2')).text, 'two');
  });

  it('lose it with their rights, and nothing of it is done', async () => {
    for (const [name, take] of [
      ['narrowed', () => own.admin.patch('/api/users/narrowed', { role: 'read' })],
      ['moved', () => own.admin.patch('/api/users/moved', { prefixes: ['elsewhere:'] })],
    ]) {
      const somebody = await addUser(own.admin, own.nobody, name);
      const transaction = await Transaction.begin(somebody);
      await transaction.put(`rights:${name}`, 'x');
      assert.equal((await take()).status, 200);
      const problem = assertProblem(await transaction.commit(), 410, name);
      assert.equal(problem.code, 'transaction_ended');
      assert.match(problem.detail, /no longer/);
      assertProblem(await own.admin.get(`/api/keys/rights:${name}`), 404);
    }
    const { id, client: token } = await addToken(ann);
    const transaction = await Transaction.begin(token);
    await transaction.put('rights:token', 'x');
    assert.equal((await ann.delete(`/api/tokens/${id}`)).status, 204);
    assert.equal((await transaction.commit()).status, 401);
    await until('its end, by itself', async () => (await own.admin.get('/api/transactions?all=true')).json.transactions.length === 0);
    assertProblem(await own.admin.get('/api/keys/rights:token'), 404);
  });

  it('have them by name and password, too, until the password is another', async () => {
    const session = await addUser(own.admin, own.nobody, 'lee');
    const lee = own.nobody.with(basic('lee'));
    const transaction = await Transaction.begin(lee);
    await transaction.put('lee:1', 'x');
    assert.equal(assertProblem(await session.request('POST', `/api/transactions/${transaction.id}/commit`), 404).code, 'transaction_not_found');
    assert.equal((await transaction.commit()).status, 200);
    assert.equal((await lee.get('/api/keys/lee:1')).text, 'x');
    const open = await Transaction.begin(lee);
    await open.put('lee:2', 'x');
    const changed = await lee.send('PUT', '/api/whoami/password', { old_password: PASSWORD, password: OTHER_PASSWORD });
    assert.equal(changed.status, 204, changed.text);
    open.client = own.nobody.with(basic('lee', OTHER_PASSWORD));
    const problem = assertProblem(await open.commit(), 410);
    assert.equal(problem.code, 'transaction_ended');
    assert.match(problem.detail, /no longer/);
    assertProblem(await own.admin.get('/api/keys/lee:2'), 404);
  });

  it('see their own in a list, by the beginning of the id, and an admin those of all', async () => {
    const transaction = await Transaction.begin(ann, 'snapshot');
    const { transactions: [row], ...rest } = (await ann.get('/api/transactions')).json;
    assert.deepEqual(rest, {});
    assert.deepEqual(Object.keys(row), ['id_prefix', 'user', 'isolation', 'expires_at', 'begun_at']);
    assert.deepEqual([row.id_prefix, row.user, row.isolation, row.expires_at], [transaction.id.slice(0, 8), 'ann', 'snapshot', transaction.expires_at]);
    assert.deepEqual((await bob.get('/api/transactions')).json.transactions, []);
    assertProblem(await bob.get('/api/transactions?user=ann'), 403);
    assertProblem(await bob.get('/api/transactions?all=true'), 403);
    assert.equal((await own.admin.get('/api/transactions?user=ann')).json.transactions.length, 1);
    await transaction.rollback();
    assert.deepEqual((await own.admin.get('/api/transactions?all=true')).json.transactions, []);
  });

  it('are in the audit log with what they did', async () => {
    const transaction = await Transaction.begin(ann, 'snapshot');
    await transaction.put('audit:a', 'x');
    await transaction.inside.post('/api/batch', { ops: [{ op: 'put', key: 'audit:b', text: 'x' }, { op: 'delete', key: 'audit:c' }] });
    await transaction.commit();
    const second = await Transaction.begin(ann);
    await second.rollback();
    const loser = await Transaction.begin(ann, 'snapshot');
    await loser.put('audit:a', 'lost');
    assert.equal((await own.admin.put('/api/keys/audit:a', 'won')).status, 204);
    assertProblem(await loser.commit(), 409);
    const { rows } = (await own.admin.get('/api/audit?user=ann&limit=9')).json;
    const prefix = transaction.id.slice(0, 8);
    assert.deepEqual(rows.reverse().map(({ action, key, status, detail, database }) => [action, key, status, detail, database]), [
      ['transaction.begin', prefix, 201, 'snapshot', 'default'],
      ['put', 'audit:a', 204, `in transaction ${prefix}`, 'default'],
      ['batch', null, 200, `in transaction ${prefix}, 2 writes: audit:b, audit:c`, 'default'],
      ['transaction.commit', prefix, 200, null, 'default'],
      ['transaction.begin', second.id.slice(0, 8), 201, 'serializable', 'default'],
      ['transaction.rollback', second.id.slice(0, 8), 204, null, 'default'],
      ['transaction.begin', loser.id.slice(0, 8), 201, 'snapshot', 'default'],
      ['put', 'audit:a', 204, `in transaction ${loser.id.slice(0, 8)}`, 'default'],
      ['transaction.commit', loser.id.slice(0, 8), 409, null, 'default'],
    ]);
    assert.ok(!JSON.stringify(rows).includes(transaction.id), 'nobody can enter with what stands there');
  });
});

describe('a database that is dropped', () => {
  it('takes its transactions with it, at once', async () => {
    await client.post('/api/databases', { name: 'gone' });
    const place = { in: '/api/databases/gone' };
    const open = [];
    for (let i = 0; i < 5; i++) open.push(await begin('serializable', place));
    await open[0].put('a', 'x');
    const dropped = await within(PATIENCE_MS, 'the drop', client.delete('/api/databases/gone'));
    assert.equal(dropped.status, 204, dropped.text);
    assert.equal(assertProblem(await open[0].commit(), 404).code, 'database_not_found');
    await client.post('/api/databases', { name: 'gone' });
    const problem = assertProblem(await open[0].commit(), 410);
    assert.equal(problem.code, 'transaction_ended');
    assert.match(problem.detail, /dropped/);
    assert.equal((await client.get('/api/databases/gone/keys')).json.items.length, 0);
    assert.equal((await client.delete('/api/databases/gone')).status, 204);
  });
});

describe('the server', () => {
  it('ends with transactions open', async () => {
    const own = await Server.start();
    const transaction = await Transaction.begin(own.client, 'snapshot');
    await transaction.put('open', 'x');
    await own.stop();
    const again = await own.again();
    assert.equal((await again.client.get('/api/keys/open')).status, 404);
    await again.stop();
  });

  it('that was started anew has what was committed, and has forgotten the answer: 404', async () => {
    const own = await Server.start();
    const [winner, loser] = [await Transaction.begin(own.client, 'snapshot'), await Transaction.begin(own.client, 'snapshot')];
    for (const one of [winner, loser]) await one.put('forgotten', one.id);
    assert.deepEqual([(await winner.commit()).status, (await loser.commit()).status, (await winner.commit()).status], [200, 409, 200]);
    await own.stop();
    const again = await own.again();
    for (const one of [winner, loser]) {
      const inside = again.client.with({ 'Velocity-Transaction': one.id });
      for (const response of [await again.client.request('POST', `/api/transactions/${one.id}/commit`), await again.client.delete(`/api/transactions/${one.id}`), await inside.get('/api/keys/forgotten')]) {
        assert.equal(assertProblem(response, 404).code, 'transaction_not_found');
      }
    }
    assert.equal((await again.client.get('/api/keys/forgotten')).text, winner.id);
    await again.stop();
  });

  it('that is killed has what was committed, whole, and nothing else', async () => {
    const own = await Server.start();
    const committed = [];
    let running = true;
    const writers = Array.from({ length: 6 }, async (_, who) => {
      for (let i = 0; running; i++) {
        const name = `${who}:${i}`;
        try {
          const transaction = await Transaction.begin(own.client, 'serializable');
          for (const part of ['a', 'b', 'c']) await transaction.put(`kill:${name}:${part}`, name);
          const answer = await transaction.commit();
          if (answer.status === 200) committed.push(name);
        } catch {
          return; // the server is gone
        }
      }
    });
    const open = await Transaction.begin(own.client, 'snapshot');
    await open.put('kill:open', 'x');
    await until('sixty that are committed', () => committed.length >= 60);
    await own.kill();
    running = false;
    await Promise.all(writers);
    const again = await own.again();
    const { items } = (await again.client.get('/api/keys?prefix=kill:&values=true&limit=10000')).json;
    const parts = new Map();
    for (const { key, text } of items) {
      const [, who, i, part] = key.split(':');
      assert.equal(text, `${who}:${i}`);
      parts.set(`${who}:${i}`, (parts.get(`${who}:${i}`) ?? '') + part);
    }
    for (const [name, there] of parts) assert.equal(there, 'abc', `all of ${name} or nothing`);
    for (const name of committed) assert.ok(parts.has(name), `${name} was acknowledged`);
    assert.equal((await again.client.get('/api/keys/kill:open')).status, 404);
    assert.equal(assertProblem(await again.client.request('POST', `/api/transactions/${open.id}/commit`), 404).code, 'transaction_not_found');
    await again.stop();
  });

  it('tells how many there are and were', async () => {
    const own = await Server.start();
    const [open, loser, winner] = [await Transaction.begin(own.client), await Transaction.begin(own.client), await Transaction.begin(own.client)];
    await loser.put('a', '1');
    await winner.put('a', '2');
    await winner.commit();
    await loser.commit();
    await (await Transaction.begin(own.client)).rollback();
    const { transactions: t } = (await own.client.get('/api/stats')).json.server;
    assert.deepEqual([t.open, t.begun, t.committed, t.conflicts, t.rolled_back, t.timed_out, t.answers_remembered], [1, 4, 1, 1, 1, 0, 3]);
    assert.ok(t.bytes > 0 && t.bytes <= t.max_bytes);
    await open.rollback();
    assert.equal((await own.client.get('/api/stats')).json.server.transactions.bytes, 0);
    await own.stop();
  });
});
