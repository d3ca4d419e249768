// HTTPS on the one port: certificates, what is refused, reload, and that everything else is as over plain HTTP.
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import { selfSigned } from './certificate.mjs';
import { PASSWORD } from './people.mjs';
import { Client, Events, keyPath, MiB, PATIENCE_MS, random, Server, Stream, toToml, until, within } from './support.mjs';

const ENABLED = { tls: { enabled: true } };
const certificateOf = (server) => readFileSync(path.join(server.dataDir, 'tls', 'cert.pem'), 'utf8');
const trusting = (ca) => ({ ca, servername: 'localhost' });
const fingerprintOf = (log) => /fingerprint=(SHA256:\S+)/.exec(log)?.[1];

/** The connection, when its handshake is done. */
function handshake(port, options) {
  return within(PATIENCE_MS, 'a handshake', new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => resolve(socket));
    socket.on('error', reject);
  }));
}

/** In TLS 1.3 a client is done before the server has judged its certificate: what comes instead of an answer. */
async function answerOrEnd(port, options) {
  try {
    const socket = await handshake(port, options);
    return await within(PATIENCE_MS, 'an answer or the end', new Promise((resolve) => {
      socket.on('data', (data) => resolve(data.toString('latin1')));
      socket.on('error', (error) => resolve(error));
      socket.on('close', () => resolve(new Error('closed')));
      socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    }));
  } catch (error) {
    return error;
  }
}

describe('over TLS', () => {
  let server;
  let client;
  before(async () => {
    server = await Server.start({ config: ENABLED });
    client = new Client(server.port, { tls: trusting(certificateOf(server)) });
  });
  after(async () => {
    client.close();
    await server?.stop();
  });

  it('changes are watched and ranges exported as over plain HTTP, and who leaves is noticed', async () => {
    const secure = { tls: trusting(certificateOf(server)) };
    const streams = async () => (await server.client.get('/api/stats')).json.server.streams.open;
    const events = await Events.open(server.port, '/api/watch?prefix=s:', secure);
    await events.heartbeat();
    const large = random(3).bytes(5 * MiB);
    for (let i = 0; i < 3; i++) assert.equal((await client.put(keyPath(`s:${i}`), i ? `${i}` : large)).status, 204);
    assert.deepEqual((await events.events(3)).map(({ data }) => data.key), ['s:0', 's:1', 's:2']);
    const dump = await Stream.open(server.port, '/api/export?prefix=s:', secure);
    const lines = (await dump.rest()).toString().trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.equal(lines.length, 3);
    assert.ok(Buffer.from(lines[0].base64, 'base64').equals(large));
    await until('the end of the export on the server', async () => (await streams()) === 1);
    events.close();
    await until('the end of the watch', async () => (await streams()) === 0);
  });

  it('keys are put, read and listed as over plain HTTP, on one connection', async () => {
    const one = new Client(server.port, { connections: 1, tls: trusting(certificateOf(server)) });
    for (let i = 0; i < 50; i++) {
      assert.equal((await one.put(keyPath(`k${i}`), `value ${i}`)).status, 204);
      assert.equal((await one.get(keyPath(`k${i}`))).text, `value ${i}`);
    }
    assert.equal((await one.get('/api/keys?prefix=k&limit=1000')).json.items.length, 50);
    one.close();
    assert.equal((await server.client.get(keyPath('k7'))).text, 'value 7', 'plain HTTP is served on the same port, on this machine');
  });

  it('large bodies come through whole, up and down, several at once', async () => {
    const bodies = Array.from({ length: 4 }, (_, i) => random(i + 1).bytes(5 * MiB + i));
    const answers = await Promise.all(bodies.map((body, i) => client.put(keyPath(`large${i}`), body)));
    assert.deepEqual(answers.map((one) => one.status), [204, 204, 204, 204]);
    const got = await Promise.all(bodies.map((_, i) => client.get(keyPath(`large${i}`))));
    got.forEach((one, i) => assert.ok(one.body.equals(bodies[i]), `large${i}`));
  });

  it('the certificate is for this machine, its fingerprint is logged, and both stay over a restart', async () => {
    const socket = await handshake(server.port, trusting(certificateOf(server)));
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    const { subjectaltname } = socket.getPeerCertificate();
    assert.match(subjectaltname, /DNS:localhost/);
    assert.match(subjectaltname, /127\.0\.0\.1/);
    socket.destroy();
    assert.match(fingerprintOf(server.log), /^SHA256:[A-Za-z0-9+/]{43}$/);
    assert.equal(statSync(path.join(server.dataDir, 'tls', 'key.pem')).mode & 0o777, 0o600);
    const before = fingerprintOf(server.log);
    await server.stop();
    server = await server.again({ config: ENABLED });
    assert.equal(fingerprintOf(server.log), before);
    client = new Client(server.port, { tls: trusting(certificateOf(server)) });
    assert.equal((await client.get(keyPath('k1'))).text, 'value 1');
  });

  it('older protocols, and application protocols that nobody speaks here, are refused', async () => {
    const own = await Server.start({ config: ENABLED, args: ['--verbose'] });
    await assert.rejects(handshake(own.port, { maxVersion: 'TLSv1.2' }));
    await own.logs(/event=tls_failed address=127\.0\.0\.1 reason=".+"/);
    await own.stop();
    await assert.rejects(handshake(server.port, { maxVersion: 'TLSv1.2' }), /version|handshake failure|reset|disconnected|ECONN/i);
    await assert.rejects(handshake(server.port, { ALPNProtocols: ['h2'] }), /no_application_protocol|no application protocol|alert|disconnected|ECONN/i);
    const socket = await handshake(server.port, { ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(socket.alpnProtocol, 'http/1.1');
    socket.destroy();
  });

  it('garbage and half a handshake disturb nobody, and are cut off at the deadline', async () => {
    const own = await Server.start({ config: { ...ENABLED, server: { request_deadline_seconds: 2 } } });
    const ends = [Buffer.from([0x16]), Buffer.from([0x16, 3, 1, 0xff, 0xff]), Buffer.from('160301020001', 'hex')].map((bytes) => new Promise((resolve) => {
      const socket = net.connect(own.port, '127.0.0.1', () => socket.write(bytes));
      socket.on('error', () => {});
      socket.on('close', resolve);
    }));
    const good = new Client(own.port, { tls: trusting(certificateOf(own)) });
    assert.equal((await good.put(keyPath('a'), 'b')).status, 204);
    await within(PATIENCE_MS, 'their end', Promise.all(ends));
    good.close();
    await own.stop();
  });

  it('a cookie is Secure and bound to the host, and works', async () => {
    const own = await Server.start({ config: ENABLED, env: { VELOCITY_ADMIN_PASSWORD: PASSWORD } });
    const secure = new Client(own.port, { tls: trusting(certificateOf(own)) });
    const made = await secure.post('/api/sessions', { username: 'admin', password: PASSWORD, cookie: true });
    const cookie = [made.headers['set-cookie']].flat()[0];
    assert.match(cookie, new RegExp(`^__Host-velocity_${own.port}=`));
    for (const attribute of ['Secure', 'HttpOnly', 'SameSite=Strict', 'Path=/']) assert.ok(cookie.includes(attribute), cookie);
    const named = { Cookie: cookie.split(';')[0] };
    assert.equal((await secure.get('/api/whoami', named)).json.user, 'admin');
    assert.equal((await secure.put(keyPath('a'), 'b', named)).status, 403, 'without its CSRF token');
    assert.equal((await secure.put(keyPath('a'), 'b', { ...named, 'Velocity-CSRF': made.json.csrf_token })).status, 204);
    assert.equal((await new Client(own.port).get('/api/whoami', named)).status, 401, 'plain HTTP has another cookie');
    secure.close();
    await own.stop();
  });
});

describe('certificates', () => {
  const write = (server, name, pair) => {
    const files = { cert_path: path.join(server.directory, `${name}.crt`), key_path: path.join(server.directory, `${name}.key`) };
    writeFileSync(files.cert_path, pair.cert);
    writeFileSync(files.key_path, pair.key, { mode: 0o600 });
    return files;
  };
  const configure = (server, sections) => writeFileSync(path.join(server.directory, 'velocity.toml'), toToml(sections));
  const shown = async (port) => {
    const socket = await handshake(port, {});
    const { raw } = socket.getPeerCertificate();
    socket.destroy();
    return raw.toString('base64');
  };
  const bytesOf = (pair) => pair.cert.replace(/-----[^-]+-----|\n/g, '');

  it('are read again on SIGHUP while connections go on, and a bad one changes nothing', async () => {
    const [first, second] = [selfSigned(), selfSigned()];
    const server = await Server.start({ config: ENABLED });
    const files = write(server, 'server', first);
    configure(server, { tls: { enabled: true, ...files } });
    await server.stop();
    const again = await server.again({ config: { tls: { enabled: true, ...files } } });
    assert.equal(await shown(again.port), bytesOf(first));
    const open = new Client(again.port, { connections: 1, tls: trusting(first.cert) });
    assert.equal((await open.put(keyPath('a'), '1')).status, 204);

    write(again, 'server', second);
    again.child.kill('SIGHUP');
    await until('the second certificate', async () => (await shown(again.port)) === bytesOf(second));
    assert.equal((await open.get(keyPath('a'))).text, '1', 'the connection from before goes on');

    writeFileSync(files.cert_path, first.cert); // of another key
    again.child.kill('SIGHUP');
    await again.logs(/not_reloaded.*server\.(crt|key)/);
    assert.equal(await shown(again.port), bytesOf(second));
    open.close();
    await again.stop();
  });

  it('of clients are asked for where client_ca_path is set', async () => {
    const [authority, stranger] = [selfSigned('trusted client'), selfSigned('stranger')];
    const server = await Server.start();
    const ca = path.join(server.directory, 'clients.pem');
    writeFileSync(ca, authority.cert);
    await server.stop();
    const again = await server.again({ config: { tls: { enabled: true, client_ca_path: ca } } });
    assert.match(await answerOrEnd(again.port, { cert: authority.cert, key: authority.key }), /^HTTP\/1\.1 200/);
    assert.ok((await answerOrEnd(again.port, {})) instanceof Error, 'without a certificate');
    assert.ok((await answerOrEnd(again.port, { cert: stranger.cert, key: stranger.key })) instanceof Error, 'with a foreign one');
    await again.stop();
  });

  it('of the configuration bind browsers to TLS for the name of external_url, one of our own making does not', async () => {
    const told = async (server, cert) => {
      const client = new Client(server.port, { tls: trusting(cert) });
      const { headers } = await client.get('/livez', { Host: 'db.example' });
      client.close();
      return headers['strict-transport-security'];
    };
    const named = { server: { external_url: 'https://db.example', allowed_hosts: ['db.example'] } };
    const server = await Server.start({ config: { ...ENABLED, ...named } });
    assert.equal(await told(server, certificateOf(server)), undefined);
    const pair = selfSigned(); // who signed a certificate that we were given is not ours to judge
    const files = write(server, 'server', pair);
    await server.stop();
    const again = await server.again({ config: { tls: { enabled: true, ...files }, ...named } });
    assert.equal(await told(again, pair.cert), 'max-age=31536000');
    await again.stop();
  });

  it('that do not fit keep the server from starting, with 78 and the file named', async () => {
    const server = await Server.start();
    const files = write(server, 'server', selfSigned());
    writeFileSync(files.cert_path, selfSigned().cert);
    await server.stop();
    await assert.rejects(server.again({ config: { tls: { enabled: true, ...files } } }), /"code":78[\s\S]*server\.(crt|key)/);
  });
});

describe('a changed configuration file', () => {
  it('takes effect while the server runs, and a broken one does not', async () => {
    const server = await Server.start({ config: { server: { rate_limit_per_second: 0 } } });
    const configure = (text) => writeFileSync(path.join(server.directory, 'velocity.toml'), text);
    const limitSeen = async () => (await server.client.get('/api/whoami')).headers['ratelimit-limit'];
    assert.equal(await limitSeen(), undefined);
    configure('[server]\nconnection_rate_limit_per_second = 1234\n');
    await until('the limit of the file', async () => (await limitSeen()) === '1234');
    configure('[server]\nconnection_rate_limit_per_second = "many"\n');
    await server.logs(/config_refused.*connection_rate_limit_per_second/);
    assert.equal(await limitSeen(), '1234');
    const { settings } = (await server.client.get('/api/config')).json;
    const setting = settings.find((one) => one.key === 'server.connection_rate_limit_per_second');
    assert.deepEqual([setting.value, setting.source], [1234, 'file']);
    await server.stop();
  });
});
