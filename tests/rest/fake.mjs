// What the tests of the program as a client share: a user's settings, and servers that record what they are told and
// answer what a test wants, wrong answers, too.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { after } from 'node:test';
import { temporaryDirectory } from './support.mjs';

export const TOKEN = 'vt_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';

/** A folder of settings of a user of its own. */
export function settings({ token, knownServers } = {}) {
  const home = temporaryDirectory();
  const folder = path.join(home, 'velocity');
  mkdirSync(folder, { mode: 0o700 });
  if (token !== undefined) writeFileSync(path.join(folder, 'token'), token, { mode: 0o600 });
  if (knownServers !== undefined) writeFileSync(path.join(folder, 'known_servers'), knownServers, { mode: 0o600 });
  return { env: { XDG_CONFIG_HOME: home, HOME: home }, folder, known: () => readFileSync(path.join(folder, 'known_servers'), 'utf8') };
}

const started = [];
after(() => {
  for (const server of started) {
    server.close();
    server.closeAllConnections();
  }
});

/** A body of JSON as what it says, any other as its text; null where there is none. */
function bodyOf(request, bytes) {
  if (bytes.length === 0) return null;
  const text = bytes.toString('utf8');
  return /\bjson\b/.test(request.headers['content-type'] ?? 'json') ? JSON.parse(text) : text;
}

/**
 * A server that records requests and answers what `reply(request, response)` says: { url, port, requests, showKey }.
 * `early`: as soon as the header is there, not the body.
 */
export async function fake(reply, { tls, early = false } = {}) {
  const requests = [];
  const listener = (request, response) => {
    const parts = [];
    if (early) reply(request, response);
    request.on('data', (part) => parts.push(part));
    request.on('error', () => {});
    request.on('end', () => {
      requests.push({ method: request.method, target: request.url, headers: request.headers, body: bodyOf(request, Buffer.concat(parts)) });
      if (!early) reply(request, response);
    });
  };
  const server = tls ? https.createServer({ cert: tls.cert, key: tls.key, minVersion: 'TLSv1.3' }, listener) : http.createServer(listener);
  server.on('tlsClientError', () => {});
  server.unref();
  started.push(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address().port;
  return {
    requests,
    port: bound,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${bound}`,
    showKey: ({ cert, key }) => server.setSecureContext({ cert, key, minVersion: 'TLSv1.3' }),
  };
}

export const json = (status, value, headers = {}) => (_, response) => {
  response.writeHead(status, { 'Content-Type': status < 400 ? 'application/json' : 'application/problem+json', ...headers });
  response.end(value === undefined ? undefined : JSON.stringify(value));
};
export const problem = (status, code, detail, headers) => json(status, { type: `urn:velocity:problem:${code}`, title: 'Title', status, detail, code, request_id: 'r1' }, headers);
