// Writes the generated parts of the documentation from schemas and tables. `--check` writes nothing and fails with the
// first file that is not fresh.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { generateDocs } from './generate-docs.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const check = process.argv.includes('--check');
for (const { path, content } of generateDocs((file) => readFileSync(`${root}${file}`, 'utf8'))) {
  if (!check) {
    mkdirSync(`${root}${path}`.replace(/\/[^/]*$/, ''), { recursive: true });
    writeFileSync(`${root}${path}`, content);
  } else if (readOrEmpty(`${root}${path}`) !== content) {
    process.stderr.write(`${path} is not fresh: run \`npm run docs\` and commit the result\n`);
    process.exitCode = 1;
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
