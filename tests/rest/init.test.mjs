// velocity db init: what a first start would make, made before it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { basic, PASSWORD } from './people.mjs';
import { run, Server, temporaryDirectory } from './support.mjs';

const mode = (file) => statSync(file).mode & 0o777;

/** Each setting that check-config shows, without where its value came from. */
async function inForce(cwd) {
  const { code, stdout, stderr } = await run(['check-config'], { cwd });
  assert.equal(code, 0, stderr);
  return stdout.split('\n').map((line) => line.split(' # ')[0].trimEnd()).filter((line) => line.includes(' = '));
}

describe('velocity db init', () => {
  it('makes a configuration file and a data directory, which a server uses', async () => {
    const directory = temporaryDirectory();
    const made = await run(['db', 'init'], { cwd: directory });
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /^configuration: \.?\/?velocity\.toml$/m);
    assert.match(made.stdout, /^data directory: \.\/velocitydb$/m);
    assert.match(made.stdout, /^users: none yet; velocity admin create-user/m);
    assert.equal(mode(path.join(directory, 'velocity.toml')), 0o600);
    assert.equal(mode(path.join(directory, 'velocitydb')), 0o700);
    assert.ok(existsSync(path.join(directory, 'velocitydb', 'databases', 'default')));
    const server = await Server.start({ dataDir: path.join(directory, 'velocitydb') });
    assert.equal((await server.client.put('/api/keys/a', 'x')).status, 204);
    await server.stop();
  });

  it('writes every setting as its default: with the comment signs taken away the file means the same', async () => {
    const directory = temporaryDirectory();
    const before = await inForce(directory);
    assert.equal((await run(['db', 'init'], { cwd: directory })).code, 0);
    const file = path.join(directory, 'velocity.toml');
    const lines = readFileSync(file, 'utf8').split('\n');
    assert.deepEqual(await inForce(directory), before);
    assert.ok(lines.every((line) => line.length <= 100), lines.find((line) => line.length > 100));
    const settings = lines.filter((line) => /^# [a-z_0-9]+ = /.test(line));
    assert.ok(settings.length > 40, `${settings.length}`);
    writeFileSync(file, lines.map((line) => (settings.includes(line) ? line.slice(2) : line)).join('\n'));
    assert.deepEqual(await inForce(directory), before);
  });

  it('leaves what is there as it is', async () => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'mine.toml');
    writeFileSync(file, '[server]\ndata_dir = "here"\n');
    const first = await run(['db', 'init', '--config', file], { cwd: directory });
    assert.equal(first.code, 0, first.stderr);
    assert.ok(existsSync(path.join(directory, 'here', 'databases')) && !existsSync(path.join(directory, 'velocity.toml')));
    const server = await Server.start({ dataDir: path.join(directory, 'here') });
    assert.equal((await server.client.put('/api/keys/a', 'kept')).status, 204);
    const busy = await run(['db', 'init', '--config', file], { cwd: directory });
    assert.deepEqual([busy.code, busy.stdout], [1, `configuration: ${file} (was there)\n`]);
    assert.match(busy.stderr, /in use/);
    await server.stop();
    const again = await run(['db', 'init', '--config', file], { cwd: directory });
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /^data directory: here \(was there\)$/m);
    assert.equal(readFileSync(file, 'utf8'), '[server]\ndata_dir = "here"\n');
    const later = await Server.start({ dataDir: path.join(directory, 'here') });
    assert.equal((await later.client.get('/api/keys/a')).text, 'kept');
    await later.stop();
  });

  it('makes the first admin where its password is given, and the certificate where TLS is on', async () => {
    const directory = temporaryDirectory();
    const env = { VELOCITY_ADMIN_PASSWORD: PASSWORD, VELOCITY_TLS_ENABLED: 'true' };
    const made = await run(['db', 'init'], { cwd: directory, env });
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /^certificate: SHA256:/m);
    assert.doesNotMatch(made.stdout, /users: none/);
    const server = await Server.start({ dataDir: path.join(directory, 'velocitydb') });
    assert.equal((await server.client.get('/api/keys')).status, 401);
    assert.equal((await server.client.get('/api/keys', basic('admin'))).status, 200);
    await server.stop();
  });

  it('needs no users yet for an address that other machines reach', async () => {
    const directory = temporaryDirectory();
    const made = await run(['db', 'init'], { cwd: directory, env: { VELOCITY_SERVER_BIND_ADDRESS: '0.0.0.0:2005' } });
    assert.equal(made.code, 0, made.stderr);
  });

  it('refuses a configuration that is wrong, and a place where nothing can be written', async () => {
    const directory = temporaryDirectory();
    writeFileSync(path.join(directory, 'velocity.toml'), '[server]\nport = 1\n');
    const wrong = await run(['db', 'init'], { cwd: directory });
    assert.equal(wrong.code, 78);
    assert.match(wrong.stderr, /velocity\.toml:2: .*port/);
    assert.ok(!existsSync(path.join(directory, 'velocitydb')));
    const nowhere = await run(['db', 'init', '--config', path.join(directory, 'no', 'such.toml')], { cwd: directory });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /can't write .*such\.toml/);
    const file = path.join(directory, 'file');
    mkdirSync(path.join(directory, 'empty'));
    writeFileSync(file, '');
    const taken = await run(['db', 'init', '--data-dir', file], { cwd: path.join(directory, 'empty') });
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, /can't use the data directory/);
  });
});
