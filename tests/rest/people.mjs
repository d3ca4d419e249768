// What the tests about users share: a server with an admin, and clients that are somebody.
import assert from 'node:assert/strict';
import { Server } from './support.mjs';

export const PASSWORD = 'correct horse battery';
export const OTHER_PASSWORD = 'staple in the stable';

export const bearer = (secret) => ({ Authorization: `Bearer ${secret}` });
export const basic = (name, password = PASSWORD) => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});

/** A session's secret. */
export async function logIn(client, username, password = PASSWORD) {
  const response = await client.post('/api/sessions', { username, password });
  assert.equal(response.status, 201, response.text);
  return response.json.token;
}

/** A server with one user, the admin ada: { server, nobody, admin }. */
export async function serverWithAdmin(options) {
  const server = await Server.start(options);
  const made = await server.client.post('/api/users', { name: 'ada', password: PASSWORD });
  assert.equal(made.status, 201, made.text);
  return { server, nobody: server.client, admin: server.client.with(bearer(await logIn(server.client, 'ada'))) };
}

/** Makes a user and answers a client that is logged in as them. */
export async function addUser(admin, nobody, name, rights = {}) {
  const made = await admin.post('/api/users', { name, password: PASSWORD, ...rights });
  assert.equal(made.status, 201, made.text);
  return nobody.with(bearer(await logIn(nobody, name)));
}

/** Makes a token of whom the client is and answers { id, token, client }. */
export async function addToken(client, options = {}) {
  const made = await client.post('/api/tokens', { name: 'test', ...options });
  assert.equal(made.status, 201, made.text);
  return { ...made.json, client: client.with(bearer(made.json.token)) };
}
