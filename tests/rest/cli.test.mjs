// The program as a process: exit codes, one clear line for each failure, and how it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { assertProblem, binary, cleanEnvironment, PATIENCE_MS, run, Server, temporaryDirectory, until, Wire, within } from './support.mjs';

/** One line on standard error that matches all of these, and nothing on standard output. */
function assertComplains(end, code, ...patterns) {
  assert.equal(end.code, code, JSON.stringify(end));
  assert.equal(end.stdout, '');
  assert.match(end.stderr, /^velocity: [^\n]+\n$/, 'one line');
  for (const pattern of patterns) assert.match(end.stderr, pattern);
}

const serverWith = (configuration, args = []) => {
  const directory = temporaryDirectory();
  const file = path.join(directory, 'velocity.toml');
  writeFileSync(file, configuration);
  return run(['server', '--config', file, '--data-dir', path.join(directory, 'data'), '--bind', '127.0.0.1:0', ...args]);
};

describe('wrong usage', () => {
  for (const [what, args, pattern] of [
    ['no command', [], /help/],
    ['an unknown command', ['serve'], /serve/],
    ['half a command', ['db'], /db/],
    ['an unknown option', ['server', '--port', '80'], /--port/],
    ['an option without its value', ['server', '--bind'], /--bind/],
    ['an option with a value that takes none', ['server', '--verbose=yes'], /--verbose/],
    ['a word too many', ['server', 'now'], /now/],
    ['an address that is none', ['server', '--bind', 'nowhere'], /--bind/],
    ['a port that is none', ['server', '--bind', '127.0.0.1:70000'], /--bind/],
  ]) {
    it(`(${what}) exits 2 with one line`, async () => assertComplains(await run(args), 2, pattern));
  }
});

describe('version and help', () => {
  it('print to standard output and exit 0', async () => {
    for (const args of [['version'], ['--version']]) {
      const end = await run(args);
      assert.equal(end.code, 0);
      assert.match(end.stdout, /^velocity \d+\.\d+\.\d+\n$/);
      assert.equal(end.stderr, '');
    }
    const { version, name } = JSON.parse((await run(['version', '--json'])).stdout);
    assert.equal(name, 'velocity');
    assert.match(version, /^\d+\.\d+\.\d+$/);
  });

  it('names each command, and each option of one', async () => {
    for (const args of [['help'], ['--help'], ['-h']]) {
      const { code, stdout } = await run(args);
      assert.equal(code, 0);
      for (const command of ['server', 'version', 'help']) assert.match(stdout, new RegExp(`\\b${command}\\b`));
    }
    for (const args of [['help', 'server'], ['server', '--help'], ['db', 'server', '--help']]) {
      const { code, stdout } = await run(args);
      assert.equal(code, 0);
      for (const option of ['--bind', '--data-dir', '--config', '--verbose']) assert.ok(stdout.includes(option), option);
    }
  });

  it('of a command that does not exist exits 2', async () => {
    assert.equal((await run(['help', 'nothing'])).code, 2);
  });
});

describe('a bad configuration', () => {
  for (const [what, text, line, ...patterns] of [
    ['an unknown key', '[server]\n\nbind_adress = "127.0.0.1:0"\n', 3, /bind_adress/],
    ['an unknown section', '[server]\n[databse]\nmemtable_bytes = 1\n', '[23]', /databse/],
    ['a wrong type', '[server]\nmax_connections = "many"\n', 2, /max_connections/],
    ['a number out of range', '[database]\n# a comment\ncompaction_threshold = 1\n', 3, /compaction_threshold/],
    ['a word that is none of the choices', '[database]\ndurability = "sometimes"\n', 2, /durability/],
    ['a compression that is not offered', '[database]\ncompression = "snappy"\n', 2, /compression/, /lz4/],
    ['no TOML', '[server\n', 1],
    ['a key twice', '[logging]\nlevel = "info"\nlevel = "debug"\n', 3, /level/],
  ]) {
    it(`(${what}) exits 78 and names file and line`, async () => {
      assertComplains(await serverWith(text), 78, new RegExp(`velocity\\.toml:${line}\\b`), ...patterns);
    });
  }

  it('that is not there exits 78 and names the file', async () => {
    assertComplains(await run(['server', '--config', '/nonexistent/velocity.toml']), 78, /\/nonexistent\/velocity\.toml/);
  });

  it('in the environment exits 78 and names the variable', async () => {
    const end = await run(['server', '--bind', '127.0.0.1:0'], { env: { VELOCITY_DATABASE_DURABILITY: 'never' } });
    assertComplains(end, 78, /VELOCITY_DATABASE_DURABILITY/);
  });

  it('that binds elsewhere without users is refused with 78', async () => {
    const end = await run(['server'], { env: { VELOCITY_SERVER_BIND_ADDRESS: '0.0.0.0:0' } });
    assertComplains(end, 78, /VELOCITY_SERVER_BIND_ADDRESS/, /users/, /loopback/);
  });
});

describe('the configuration', () => {
  it('is taken from the flags first, then the environment, then the file', async () => {
    const file = { server: { max_value_bytes: 10, bind_address: '127.0.0.1:1' } };
    const server = await Server.start({ config: file, env: { VELOCITY_SERVER_MAX_VALUE_BYTES: '20' } });
    assert.equal((await server.client.put('/api/keys/a', 'x'.repeat(20))).status, 204);
    assertProblem(await server.client.put('/api/keys/a', 'x'.repeat(21)), 413);
    await server.stop();
  });

  it('is found as velocity.toml in the working directory', async () => {
    const directory = temporaryDirectory();
    writeFileSync(path.join(directory, 'velocity.toml'), '[nonsense]\n');
    assertComplains(await run(['server', '--bind', '127.0.0.1:0'], { cwd: directory }), 78, /velocity\.toml:1\b/);
  });
});

describe('a data directory', () => {
  it('that is in use: exit 1 with one line, and who has it goes on', async () => {
    const server = await Server.start();
    await server.client.put('/api/keys/a', 'x');
    const second = await run(['server', '--bind', '127.0.0.1:0', '--data-dir', server.dataDir]);
    assertComplains(second, 1, /in use/, new RegExp(server.dataDir));
    assert.equal((await server.client.get('/api/keys/a')).text, 'x');
    await server.stop();
  });

  it('is free again after kill -9', async () => {
    const server = await Server.start();
    await server.client.put('/api/keys/a', 'x');
    await server.kill();
    const next = await server.again();
    assert.equal((await next.client.get('/api/keys/a')).text, 'x');
    await next.stop();
  });

  it('is nobody else\'s to read', async () => {
    const server = await Server.start();
    await server.client.put('/api/keys/a', 'x');
    assert.equal(statSync(server.dataDir).mode & 0o077, 0);
    await server.stop();
  });

  it('that can\'t be made: exit 1 with one line that names it', async () => {
    const file = path.join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    assertComplains(await run(['server', '--bind', '127.0.0.1:0', '--data-dir', path.join(file, 'data')]), 1, new RegExp(file));
  });
});

describe('a port', () => {
  it('that is in use: exit 1 with one line that names it', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.on('listening', resolve));
    const bind = `127.0.0.1:${holder.address().port}`;
    assertComplains(await run(['server', '--bind', bind, '--data-dir', path.join(temporaryDirectory(), 'data')]), 1, new RegExp(bind));
    holder.close();
  });

  it('of IPv6 is served too', async (t) => {
    const server = await Server.start({ bind: '[::1]:0' }).catch((error) => error);
    if (server instanceof Error) {
      assert.match(server.message, /Cannot assign requested address|Address family not supported/, 'only a machine without IPv6 may refuse');
      return t.skip('this machine has no IPv6');
    }
    const wire = await Wire.open(server.port, '::1');
    wire.send('GET /livez HTTP/1.1\r\nHost: [::1]\r\n\r\n');
    assert.equal((await wire.response()).status, 200);
    wire.close();
    await server.stop();
  });
});

describe('SIGTERM', () => {
  /** Until who asks on this connection hears that the server drains: 503, or the end of the connection. */
  const drains = (wire) =>
    until('503 from /readyz', async () => {
      wire.send('GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const seen = await wire.response().catch((error) => assert.match(error.message, /the connection ended/));
      assert.ok(!seen || [200, 503].includes(seen.status), `${seen?.status}`);
      return seen?.status !== 200;
    });

  for (const signal of ['SIGTERM', 'SIGINT']) {
    it(`(${signal}) lets a request under way end, refuses new ones, and exits 0`, async () => {
      const server = await Server.start();
      const idle = await Wire.open(server.port);
      idle.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await idle.response();
      const slow = await Wire.midway(server.port, 'PUT /api/keys/slow', 10);
      slow.send('first');
      server.child.kill(signal);
      await drains(idle);
      assert.equal(server.child.exitCode, null, 'it waits for the request');
      slow.send('-half');
      assert.equal((await slow.response()).status, 204);
      const fresh = await Wire.open(server.port).catch(() => null);
      if (fresh) {
        fresh.send('PUT /api/keys/late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx');
        const late = await fresh.response({ timeoutMs: 3_000 }).catch(() => null);
        assert.ok(late === null || late.status === 503, 'nothing new is taken');
        fresh.close();
      }
      await server.ends();
      for (const wire of [idle, slow]) wire.close();
      const next = await server.again();
      assert.equal((await next.client.get('/api/keys/slow')).text, 'first-half');
      assert.equal((await next.client.get('/api/keys/late')).status, 404);
      await next.stop();
    });
  }

  it('is not held up by connections that only idle', async () => {
    const server = await Server.start();
    const wires = await Promise.all(Array.from({ length: 10 }, () => Wire.open(server.port)));
    for (const wire of wires.slice(5)) {
      wire.send('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await wire.response();
    }
    const began = performance.now();
    await server.stop();
    assert.ok(performance.now() - began < PATIENCE_MS, 'it waited as long as for a request');
    for (const wire of wires) wire.close();
  });

  it('cuts a request off that never ends, at the deadline, and exits 0', async () => {
    const server = await Server.start({ config: { server: { request_deadline_seconds: 2 } } });
    const stuck = await Wire.midway(server.port, 'PUT /api/keys/stuck', 10);
    stuck.send('first');
    const began = performance.now();
    await server.stop();
    assert.ok(performance.now() - began < PATIENCE_MS, 'it waited for the usual deadline, not for its own');
    stuck.close();
  });

  it('a second time ends it at once, and what was acknowledged is there', async () => {
    const server = await Server.start();
    await server.client.put('/api/keys/acknowledged', 'x');
    const stuck = await Wire.midway(server.port, 'PUT /api/keys/stuck', 10);
    stuck.send('first');
    server.child.kill('SIGTERM');
    await server.logs(/event=stopping/); // two that wait together would be one
    server.child.kill('SIGTERM');
    await within(PATIENCE_MS, 'its end after the second signal', server.exited);
    stuck.close();
    const next = await server.again();
    assert.equal((await next.client.get('/api/keys/acknowledged')).text, 'x');
    await next.stop();
  });

  it('is seen by /readyz on a connection that is open, while it drains', async () => {
    const server = await Server.start();
    const watcher = await Wire.open(server.port);
    const slow = await Wire.midway(server.port, 'PUT /api/keys/slow', 2);
    slow.send('x');
    watcher.send('GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.equal((await watcher.response()).status, 200);
    server.child.kill('SIGTERM');
    await drains(watcher);
    slow.send('y');
    assert.equal((await slow.response()).status, 204);
    await server.ends();
    for (const wire of [watcher, slow]) wire.close();
  });
});

describe('the log', () => {
  it('says nothing of values', async () => {
    const server = await Server.start({ args: ['--verbose'] });
    await server.client.put('/api/keys/secret', 'swordfish-value', { 'Content-Type': 'text/plain' });
    await server.client.get('/api/keys/secret');
    await server.client.post('/api/batch', '{"ops":[{"op":"put","key":"secret","text":"swordfish-batch"},{"op":"bad"}]}');
    await server.stop();
    assert.ok(!server.log.includes('swordfish'), server.log);
  });

  it('goes to a file where the configuration says so, and to a new one after SIGHUP', async () => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'logs.txt');
    const child = spawn(binary, ['server', '--bind', '127.0.0.1:0', '--data-dir', path.join(directory, 'data')], {
      cwd: directory, stdio: 'ignore', env: cleanEnvironment({ VELOCITY_LOGGING_FILE: file, VELOCITY_LOGGING_FORMAT: 'json' }),
    });
    const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
    try {
      await until('the ready line in the file', () => existsSync(file) && /"ready"/.test(readFileSync(file, 'utf8')));
      for (const line of readFileSync(file, 'utf8').trim().split('\n')) JSON.parse(line);
      renameSync(file, `${file}.1`);
      child.kill('SIGHUP');
      await until('a new file after SIGHUP', () => existsSync(file));
    } finally {
      child.kill('SIGTERM');
    }
    assert.equal(await within(PATIENCE_MS, 'its end', ended), 0);
    assert.ok(readFileSync(file, 'utf8').length > 0);
  });
});
