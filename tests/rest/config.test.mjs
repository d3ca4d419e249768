// The configuration of a program that runs: what is shown of it, by whom, and that what can change while it runs does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { basic, OTHER_PASSWORD, PASSWORD, serverWithAdmin } from './people.mjs';
import { assertProblem, run, Server, temporaryDirectory, toToml, until, Wire } from './support.mjs';

// The password is "correct horse battery".
const HASH = '$argon2id$v=19$m=19456,t=2,p=1$D9KAgoub3fnBxbpkF6E/Qw$MH8jW1S2hgoeHAIwMfiDUobEoSOcS+z6b4zTeB6CBM0';

/** Writes these sections and has the server take them. */
async function configure(server, sections) {
  const times = () => server.log.split('event=config_reloaded').length;
  const before = times();
  writeFileSync(path.join(server.directory, 'velocity.toml'), toToml(sections));
  server.child.kill('SIGHUP');
  await until('the new configuration', () => times() > before);
}

/** The file is read on SIGHUP alone: when it was, is known. */
const UNWATCHED = { env: { VELOCITY_ADDONS_SERVICE_WATCH_CONFIG: 'false' } };

describe('GET /api/config', () => {
  it('has each value and where it came from: flag, environment, file, or none', async () => {
    const server = await Server.start({ config: { server: { max_connections: 123 } }, env: { VELOCITY_SERVER_HTTP_THREADS: '3' }, args: ['--verbose'] });
    const { file, settings, users } = (await server.client.get('/api/config')).json;
    const origin = (key) => {
      const { value, source, line, option } = settings.find((one) => one.key === key);
      return [value, source, line ?? option];
    };
    assert.equal(file, path.join(server.directory, 'velocity.toml'));
    assert.deepEqual(users, []);
    assert.deepEqual(origin('server.max_connections'), [123, 'file', 2]);
    assert.deepEqual(origin('server.http_threads'), [3, 'environment', undefined]);
    assert.deepEqual(origin('logging.level'), ['debug', 'flag', 'verbose']);
    assert.deepEqual(origin('database.durability'), ['always', 'default', undefined]);
    await server.stop();
  });

  it('has no secrets, and is an admin\'s to see', async () => {
    const server = await Server.start({ config: { users: { conf: HASH } }, env: { VELOCITY_ADMIN_PASSWORD: OTHER_PASSWORD } });
    const configured = server.client.with(basic('conf'));
    assertProblem(await server.client.get('/api/config'), 401);
    assertProblem(await configured.get('/api/config'), 403);
    await server.stop();
    const { server: other } = await serverWithAdmin();
    await other.stop();
    const again = await other.again({ config: { users: { conf: HASH } }, env: { VELOCITY_ADMIN_PASSWORD: OTHER_PASSWORD } });
    const shown = await again.client.get('/api/config', basic('ada'));
    assert.equal(shown.json.settings.find(({ key }) => key === 'admin_password').value, '(redacted)');
    assert.deepEqual(shown.json.users, [{ name: 'conf', role: 'write', databases: [], prefixes: [] }]);
    for (const secret of [OTHER_PASSWORD, 'argon2id', HASH.slice(-20)]) assert.ok(!shown.text.includes(secret) && !again.log.includes(secret), secret);
    await again.stop();
  });

  it('says what waits for a restart, and so does the log', async () => {
    const server = await Server.start(UNWATCHED);
    await configure(server, { server: { max_connections: 77 }, logging: { level: 'debug' } });
    const { settings } = (await server.client.get('/api/config')).json;
    const setting = (key) => settings.find((one) => one.key === key);
    assert.deepEqual([setting('server.max_connections').value, setting('server.max_connections').restart_pending], [20000, true]);
    assert.deepEqual([setting('logging.level').value, setting('logging.level').restart_pending], ['debug', false]);
    await server.logs(/event=setting_needs_restart section=server key=max_connections/);
    await server.logs(/event=setting_changed section=logging key=level/);
    await server.stop();
  });
});

describe('a reload', () => {
  it('changes whom the server answers to and whose word it takes', async () => {
    const { server, admin } = await serverWithAdmin({ ...UNWATCHED, config: { security: { audit_level: 'writes' } } });
    const host = async (Host) => (await admin.get('/api/whoami', { Host })).status;
    const origin = async (Origin) => (await admin.put('/api/keys/a', 'x', { Origin, 'Sec-Fetch-Site': 'cross-site' })).status;
    const seenFrom = async () => {
      await admin.put('/api/keys/a', 'x', { Host: 'db.example', 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'https' });
      return (await admin.get('/api/audit?action=put&limit=1')).json.rows[0].address;
    };
    assert.deepEqual([await host('evil.example'), await origin('https://app.example'), await seenFrom()], [200, 403, '127.0.0.1']);
    await configure(server, { server: { allowed_hosts: ['db.example'], cors_origins: ['https://app.example'], trusted_proxies: ['127.0.0.1'] }, security: { audit_level: 'writes' } });
    assert.deepEqual([await host('evil.example'), await host('db.example'), await origin('https://app.example'), await seenFrom()], [421, 200, 204, '192.0.2.7']);
    await server.stop();
  });

  it('changes what is recorded, who is banned, and how large databases may be', async () => {
    const { server, nobody, admin } = await serverWithAdmin({ ...UNWATCHED, config: { security: { max_auth_failures: 0 } } });
    const guess = async () => (await nobody.post('/api/sessions', { username: 'ada', password: 'a guess' })).status;
    const puts = async () => {
      await admin.put('/api/keys/a', 'x');
      return (await admin.get('/api/audit?action=put')).json.rows.length;
    };
    const limit = async () => (await admin.get('/api/databases/default')).json.max_disk_bytes;
    assert.deepEqual([await guess(), await guess(), await guess(), await puts(), await limit()], [401, 401, 401, 0, null]);
    await configure(server, { security: { audit_level: 'writes', max_auth_failures: 2, auth_ban_duration: 300 }, database: { default_max_disk_bytes: 64 * 1024 * 1024 } });
    assert.deepEqual([await guess(), await guess(), await guess(), await puts(), await limit()], [401, 401, 429, 1, 64 * 1024 * 1024]);
    await server.stop();
  });

  it('changes the users of the file, and never leaves the server without any', async () => {
    const server = await Server.start({ ...UNWATCHED, config: { users: { admin: HASH, conf: HASH } } });
    const status = async (name) => (await server.client.get('/api/whoami', basic(name))).status;
    assert.deepEqual([await status('admin'), await status('conf')], [200, 200]);
    await configure(server, { users: { admin: HASH } });
    assert.deepEqual([await status('admin'), await status('conf')], [200, 401]);
    await configure(server, {});
    await server.logs(/event=not_reloaded part=users/);
    assert.deepEqual([await status('admin'), (await server.client.get('/api/whoami')).status], [200, 401]);
    await server.stop();
  });
});

describe('VELOCITY_ADMIN_PASSWORD', () => {
  it('makes the admin at the first start, and is nobody\'s password afterwards', async () => {
    const file = path.join(temporaryDirectory(), 'password');
    writeFileSync(file, `${PASSWORD}\n`, { mode: 0o600 });
    const env = { VELOCITY_ADMIN_PASSWORD_FILE: file };
    const first = await Server.start({ env });
    const admin = first.client.with(basic('admin'));
    assert.deepEqual([(await admin.get('/api/whoami')).json.role, (await first.client.get('/api/whoami')).status], ['admin', 401]);
    const [row] = (await admin.get('/api/audit?action=user.create')).json.rows;
    assert.deepEqual([row.key, row.detail], ['admin', 'by VELOCITY_ADMIN_PASSWORD']);
    assert.equal((await admin.send('PUT', '/api/whoami/password', { old_password: PASSWORD, password: OTHER_PASSWORD })).status, 204);
    await first.stop();
    const again = await first.again({ env });
    assert.deepEqual([(await again.client.get('/api/whoami', basic('admin'))).status, (await again.client.get('/api/whoami', basic('admin', OTHER_PASSWORD))).status], [401, 200]);
    assert.ok(!again.log.includes(PASSWORD) && !first.log.includes(PASSWORD));
    await again.stop();
  });
});

describe('check-config', () => {
  const check = (text, env = {}) => {
    const file = path.join(temporaryDirectory(), 'velocity.toml');
    writeFileSync(file, text);
    return run(['check-config', '--config', file], { env });
  };

  it('prints what is in force and from where, and no secret', async () => {
    const { code, stdout, stderr } = await check(`[server]\nmax_connections = 5\n[users]\nconf = "${HASH}"\n`, { VELOCITY_SERVER_HTTP_THREADS: '3', VELOCITY_ADMIN_PASSWORD: PASSWORD });
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^max_connections = 5 # .*velocity\.toml:2$/m);
    assert.match(stdout, /^http_threads = 3 # VELOCITY_SERVER_HTTP_THREADS$/m);
    assert.match(stdout, /^durability = "always" # default$/m);
    assert.match(stdout, /^# conf = \(redacted\), role write # .*velocity\.toml:4$/m);
    assert.ok(!stdout.includes(PASSWORD) && !stdout.includes('argon2id'));
  });

  it('exits 78 where something is wrong, and warns where only the users are missing', async () => {
    const wrong = await check('[server]\nmax_connections = 0\n');
    assert.deepEqual([wrong.code, wrong.stdout], [78, '']);
    assert.match(wrong.stderr, /^velocity: .*velocity\.toml:2: server\.max_connections [^\n]*\n$/);
    const open = await check('[server]\nbind_address = "0.0.0.0:2005"\n');
    assert.equal(open.code, 0);
    assert.match(open.stderr, /^velocity: other machines can reach 0\.0\.0\.0:2005: [^\n]*users\n$/);
    const unknown = await check('', { VELOCITY_SERVER_MAX_CONECTIONS: '5' });
    assert.equal(unknown.code, 0);
    assert.match(unknown.stderr, /^velocity: [^\n]*VELOCITY_SERVER_MAX_CONECTIONS[^\n]*\n$/);
  });
});

describe('the start', () => {
  it('says so where nobody has to log in, and only there', async () => {
    const open = await Server.start();
    assert.match(open.log, /level=warning event=no_users .*create-user/);
    await open.stop();
    const { server } = await serverWithAdmin();
    await server.stop();
    const again = await server.again();
    assert.doesNotMatch(again.log, /no_users/);
    await again.stop();
  });

  it('checks that the descriptors suffice, and says what to raise', async () => {
    const limited = (descriptors) => ({ wrap: (line) => ['sh', '-c', `ulimit -n ${descriptors} && exec "$@"`, 'sh', ...line] });
    const config = { database: { max_open_files: 16, max_databases: 1 } };
    const few = await Server.start({ config: { ...config, server: { max_connections: 1000 } }, ...limited(300) });
    assert.match(few.log, /event=few_descriptors allowed=300 .*wanted_connections=1000 .*ulimit -n/);
    assert.equal((await few.client.get('/livez')).status, 200);
    await few.stop();
    await assert.rejects(Server.start({ config, ...limited(100) }), /"code":1[\s\S]*velocity: can't start: 100 descriptors are allowed and \d+ needed: raise "ulimit -n" \(LimitNOFILE=\)[^\n]*\n$/);
  });

  it('makes no file and no folder that others may look into', async () => {
    const { server, admin } = await serverWithAdmin({ config: { tls: { enabled: true } }, wrap: (line) => ['sh', '-c', 'umask 000 && exec "$@"', 'sh', ...line] });
    assert.equal((await admin.post('/api/databases', { name: 'orders' })).status, 201);
    const look = (folder) => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const name = path.join(folder, entry.name);
        assert.equal((statSync(name).mode & 0o777).toString(8), entry.isDirectory() ? '700' : '600', name);
        if (entry.isDirectory()) look(name);
      }
    };
    assert.equal(statSync(server.dataDir).mode & 0o777, 0o700);
    for (const name of ['audit.db', 'databases', 'server.url', 'system', 'tls', 'velocity.lock']) assert.ok(readdirSync(server.dataDir).includes(name), name);
    look(server.dataDir);
    await server.stop();
  });
});

describe('a service manager', () => {
  /** Datagrams of a Unix socket, for which node has no words. */
  const LISTEN = 'use Socket; $| = 1; socket(S, PF_UNIX, SOCK_DGRAM, 0) or die; bind(S, sockaddr_un($ARGV[0])) or die; print "listening\n"; while (defined recv(S, $m, 4096, 0)) { print "$m\n" }';

  it('hears when the server is ready, that it is alive, and when it stops', async (t) => {
    const socket = path.join(temporaryDirectory(), 'notify');
    const listener = spawn('perl', ['-e', LISTEN, socket], { stdio: ['ignore', 'pipe', 'ignore'] });
    let heard = '';
    let missing = false;
    listener.on('error', () => (missing = true));
    listener.stdout.on('data', (text) => (heard += text));
    await until('a socket that listens', () => missing || heard.includes('listening'));
    if (missing) return t.skip('this machine has no perl');
    const server = await Server.start({ env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' } });
    await until('that it is ready and alive', () => heard.includes('READY=1') && heard.includes('WATCHDOG=1'));
    assert.equal((await server.client.get('/readyz')).status, 200);
    assert.ok(!heard.includes('STOPPING=1'));
    await server.stop();
    await until('that it stops', () => heard.includes('STOPPING=1'));
    listener.kill();
  });

  it('finds the process id in pid_file while the server runs, and the commands its address', async () => {
    const file = path.join(temporaryDirectory(), 'velocity.pid');
    const server = await Server.start({ config: { 'addons.service': { pid_file: file } } });
    const url = path.join(server.dataDir, 'server.url');
    assert.equal(readFileSync(file, 'utf8'), `${server.pid}\n`);
    assert.equal(readFileSync(url, 'utf8'), `http://127.0.0.1:${server.port}\n`);
    await server.stop();
    assert.deepEqual([existsSync(file), existsSync(url)], [false, false]);
  });
});

describe('an audit log that can\'t be written', () => {
  it('keeps what it would record from being done, is told by /readyz, and recovers', async () => {
    const server = await Server.start({ config: { security: { audit_level: 'writes' } } });
    const file = path.join(server.dataDir, 'audit.db');
    const put = () => server.client.put('/api/keys/a', 'x');
    assert.equal((await put()).status, 204);
    renameSync(file, `${file}.away`);
    await until('a write that is refused', async () => (await put()).status === 503);
    const refused = await put();
    assert.equal(assertProblem(refused, 503).code, 'audit_failing');
    assert.ok(refused.headers['retry-after']);
    assert.equal((await server.client.get('/api/keys/a')).status, 200, 'what is not recorded goes on');
    const { audit, all_well: allWell } = (await server.client.get('/readyz?verbose')).json;
    assert.deepEqual([audit, allWell], ['failing', false]);
    await server.logs(/event=audit_failing/);
    renameSync(`${file}.away`, file);
    await until('a write that is done', async () => (await put()).status === 204);
    assert.equal((await server.client.get('/api/audit/verify')).json.intact, true);
    await server.stop();
  });
});

describe('another machine', () => {
  it('gets nothing over plain HTTP, whatever it shows, unless allow_plaintext', async (t) => {
    const own = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal);
    if (!own) return t.skip('this machine has no address but its loopback one');
    const ask = async (server, ...fields) => {
      const wire = await Wire.open(server.port, own.address);
      // Its body never comes, so the answer is there before it.
      const response = await wire.send(['PUT /api/keys/a HTTP/1.1', `Host: ${own.address}`, 'Content-Length: 5', ...fields, '', ''].join('\r\n')).response();
      wire.close();
      return [response.status, response.json.code];
    };
    const { server: first } = await serverWithAdmin();
    await first.stop();
    const open = await first.again({ bind: '0.0.0.0:0' });
    for (const fields of [[], ['Authorization: Bearer nonsense'], [`Authorization: ${basic('ada').Authorization}`], ['X-Forwarded-For: 127.0.0.1', 'X-Forwarded-Proto: https']]) {
      assert.deepEqual(await ask(open, ...fields), [403, 'tls_required'], `${fields}`);
    }
    assert.equal((await open.client.put('/api/keys/a', 'x', basic('ada'))).status, 204, 'on the machine itself');
    await open.stop();
    const plain = await first.again({ bind: '0.0.0.0:0', config: { tls: { enabled: false }, server: { allow_plaintext: true } } });
    assert.deepEqual([await ask(plain), await ask(plain, 'Authorization: Bearer nonsense')], [[401, 'login_required'], [401, 'login_refused']]);
    await plain.stop();
  });
});
