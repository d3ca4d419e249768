// The README keeps its word: its curl examples are run in order against an empty database and must print what it shows,
// and the program that it shows is the example that is compiled and run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Server, root } from './support.mjs';

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const blocks = (language) => [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map((m) => m[1]);

/** [{ command, shown }] of all console blocks: a line that begins with "$ ", and the lines until the next one. */
function examples() {
  const found = [];
  for (const line of blocks('console').join('').split('\n').slice(0, -1)) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), shown: '' });
    else found.at(-1).shown += `${line}\n`;
  }
  return found;
}

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.stop());

test('every curl example prints what is shown', async (t) => {
  const all = examples();
  assert.ok(all.length >= 10, `only ${all.length} examples were found`);
  for (const { command, shown } of all) {
    await t.test(command, async () => {
      const here = command.replaceAll('localhost:2005', `127.0.0.1:${server.port}`);
      assert.notEqual(here, command, 'an example that does not speak to the server');
      const { stdout } = await promisify(execFile)('sh', ['-c', here.replace(/^curl /, 'curl --no-progress-meter ')], { timeout: 60_000 });
      // A value has no newline of its own where the page must have one; headers end in CR LF.
      assert.equal(stdout.replaceAll('\r', '').trimEnd(), shown.trimEnd());
    });
  }
});

test('the program that is shown is the example that is compiled and run', () => {
  const [shown] = blocks('c');
  const source = readFileSync(path.join(root, 'examples/embed.c'), 'utf8');
  assert.equal(source.slice(source.indexOf('\n') + 1), shown);
});

test('every file that is linked to exists', () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((m) => m[1]);
  assert.ok(links.length > 0);
  for (const link of links) assert.doesNotThrow(() => readFileSync(path.join(root, link)), link);
});
