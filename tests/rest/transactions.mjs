// What the tests of transactions share: a transaction as an object.
import assert from 'node:assert/strict';

export class Transaction {
  /** `in`: "/api" or "/api/databases/NAME". */
  static async begin(client, isolation, { in: place = '/api' } = {}) {
    const begun = await client.post(`${place}/transactions`, isolation === undefined ? {} : { isolation });
    assert.equal(begun.status, 201, begun.text);
    const transaction = new Transaction();
    Object.assign(transaction, { client, place, ...begun.json });
    transaction.inside = client.with({ 'Velocity-Transaction': begun.json.id });
    return transaction;
  }

  path(key) {
    return `${this.place}/keys/${key}`;
  }

  /** The value as text, or null. */
  async get(key) {
    const response = await this.inside.get(this.path(key));
    if (response.status === 404) return null;
    assert.equal(response.status, 200, response.text);
    return response.text;
  }

  async put(key, value, headers) {
    const response = await this.inside.put(this.path(key), value, headers);
    assert.ok([201, 204].includes(response.status), response.text);
    return response;
  }

  commit() {
    return this.client.request('POST', `${this.place}/transactions/${this.id}/commit`);
  }

  rollback() {
    return this.client.delete(`${this.place}/transactions/${this.id}`);
  }
}

/** Runs `work` in transactions until one commits: { answer, version, attempts }. */
export async function untilCommitted(client, isolation, work, { attempts = 1000 } = {}) {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const transaction = await Transaction.begin(client, isolation);
    const answer = await work(transaction);
    const committed = await transaction.commit();
    if (committed.status === 200) return { answer, version: BigInt(committed.json.version), attempts: attempt };
    assert.equal(committed.status, 409, committed.text);
    assert.equal(committed.json.code, 'transaction_conflict', committed.text);
  }
  throw new Error(`nothing was committed in ${attempts} attempts`);
}
