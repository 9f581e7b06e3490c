// The contract of every exporter: `node --test --test-force-exit append-lines.test.ts`.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exporterContract } from 'outband/testing';
import appendLines from './append-lines.ts';

let path = '';
exporterContract('append_lines', {
  factory: appendLines,
  async settings(t) {
    const folder = await mkdtemp(join(tmpdir(), 'append-lines-'));
    t.after(() => rm(folder, { recursive: true }));
    path = join(folder, 'lines');
    return { path };
  },
  received: async () => (await readFile(path, 'utf8')).trimEnd().split('\n'),
  away: async () => ({ path: '/dev/null/lines' }),
});
