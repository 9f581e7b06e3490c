// The contract of every receiver, held against this one: `node --test --test-force-exit line-file.test.ts`, with outband installed beside
// it (docs/plugins.md says how).
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { receiverContract } from 'outband/testing';
import lineFile from './line-file.ts';

receiverContract('line_file', {
  factory: lineFile,
  async source(t) {
    const folder = await mkdtemp(join(tmpdir(), 'line-file-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, 'lines');
    await writeFile(file, '');
    let written = 0;
    return {
      settings: { file, storage: 'file_storage' },
      async add(count) {
        const lines = Array.from({ length: count }, () => `line ${written++}`);
        await appendFile(file, `${lines.join('\n')}\n`);
        return lines;
      },
    };
  },
});
