// What the tests of the program as a client share: running one command, and what it says of a failure.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { binary, cleanEnvironment, temporaryDirectory, within } from './support.mjs';

const END_MS = 50_000; // less than what a request has, 60 s: who waited for that is late

/**
 * A command that runs, away from any terminal and from this user's settings: { child, ended }; `ended` resolves to { code, signal, stdout (a Buffer),
 * stderr }. `open`: standard input stays open behind these bytes. `shell`: a script that gets the command line as "$@".
 */
export function begin(args, { input = '', open = false, env = {}, cwd = temporaryDirectory(), shell } = {}) {
  const line = shell ? ['sh', '-c', shell, 'sh', binary, ...args] : [binary, ...args];
  const child = spawn(line[0], line.slice(1), { cwd, env: cleanEnvironment({ XDG_CONFIG_HOME: cwd, ...env }), detached: true });
  const out = [];
  let stderr = '';
  child.stdout.on('data', (data) => out.push(data));
  child.stderr.on('data', (data) => (stderr += data));
  child.stdin.on('error', () => {}); // it may end without reading all
  if (open) child.stdin.write(input);
  else child.stdin.end(input);
  process.once('exit', () => child.kill('SIGKILL')); // a test that failed left it
  const end = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(out), stderr }));
  });
  const ended = within(END_MS, args.join(' '), end).finally(() => child.kill('SIGKILL'));
  ended.catch(() => {}); // whoever waits for it hears of it
  return { child, ended };
}

/** One line on standard error that matches all of these, and nothing on standard output. */
export function assertComplains(end, code, ...patterns) {
  assert.equal(end.code, code, JSON.stringify({ ...end, stdout: `${end.stdout}` }));
  assert.match(end.stderr, /^velocity: [^\n]+\n$/, 'one line');
  for (const pattern of patterns) assert.match(end.stderr, pattern);
  assert.equal(end.stdout.length, 0);
}

/** Commands on the server at `url()`; `at` in their options says another one, null none. */
export function commandsAt(url) {
  const start = (args, { at = url(), ...options } = {}) => begin([args[0], ...(at ? ['--url', at] : []), ...args.slice(1)], options);
  const client = (args, options) => start(args, options).ended;
  const good = async (args, options) => {
    const end = await client(args, options);
    assert.equal(end.code, 0, `${args.join(' ')}: ${end.stderr}`);
    return end.stdout.toString();
  };
  const fails = async (args, code, pattern, options) => assertComplains(await client(args, options), code, pattern);
  return { start, client, good, fails };
}
