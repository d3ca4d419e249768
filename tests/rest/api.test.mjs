// docs/api.md keeps its word: its curl examples are run in order, in one shell, against a new server, and print what
// the page shows. "…" stands for anything on that line.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { root, Server } from './support.mjs';

const page = readFileSync(path.join(root, 'docs/api.md'), 'utf8');
const MARK = '=====next=====';

/** [{ command, shown }] of all console blocks. */
function examples() {
  const found = [];
  for (const [, block] of page.matchAll(/^```console\n(.*?)^```$/gms)) {
    for (const line of block.split('\n').slice(0, -1)) {
      if (line.startsWith('$ ')) found.push({ command: line.slice(2), shown: '' });
      else found.at(-1).shown += `${line}\n`;
    }
  }
  return found;
}

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.stop());

test('every example prints what is shown', async () => {
  const all = examples();
  assert.ok(all.length >= 20, `only ${all.length} examples were found`);
  const script = all.map(({ command }) => `${command.replaceAll('localhost:2005', `127.0.0.1:${server.port}`)}\necho '${MARK}'\n`).join('');
  const { stdout } = await promisify(execFile)('sh', ['-c', script], { timeout: 300_000 });
  const printed = stdout.split(`${MARK}\n`);
  all.forEach(({ command, shown }, i) => {
    const pattern = shown.trimEnd().split('…').map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[^\\n]*?');
    assert.match(printed[i].trimEnd(), new RegExp(`^${pattern}$`), command);
  });
});

test('every file that is linked to exists', () => {
  const links = [...page.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]);
  assert.ok(links.length > 0);
  for (const link of links) assert.doesNotThrow(() => readFileSync(path.join(root, 'docs', link)), link);
});
