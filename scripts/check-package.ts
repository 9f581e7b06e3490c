// Packs the package, unpacks it beside the production dependencies, and uses it as a stranger would: every export is imported, the command
// runs, and publint has no remark. Needs `npm run build` before.
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MOST_BYTES = 3 * 1024 * 1024;
const FOLDERS = {
  receivers: 'receivers',
  exporters: 'exporters',
  processors: 'src/processors',
  extensions: 'src/extensions',
};
const ENTRIES = [
  ...['outband', 'outband/component', 'outband/testing'],
  ...Object.entries(FOLDERS).flatMap(([kind, folder]) =>
    globSync(`${folder}/*/index.ts`, { cwd: ROOT }).map((file) => `outband/${kind}/${file.split('/').at(-2)}`),
  ),
];

const folder = mkdtempSync(join(tmpdir(), 'outband-package-'));
try {
  const run = (command: string, args: readonly string[], cwd: string) =>
    execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], ROOT)) as {
    filename: string;
  }[];
  const archive = join(folder, packed!.filename);
  const bytes = statSync(archive).size;
  if (bytes > MOST_BYTES) throw new Error(`the package has ${bytes} bytes`);

  const home = join(folder, 'node_modules', 'outband');
  mkdirSync(home, { recursive: true });
  run('tar', ['-xzf', archive, '-C', home, '--strip-components=1'], folder);
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(lock.packages))
    if (path !== '' && !dev) cpSync(join(ROOT, path), join(folder, path), { recursive: true });

  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const imports = ENTRIES.map((entry) => `await import(${JSON.stringify(entry)});`).join('\n');
  const refused = `await import('outband/src/agent/agent.js').then(() => process.exit(1), () => {});`;
  writeFileSync(join(folder, 'imports.js'), `${imports}\n${refused}\n`);
  run(process.execPath, ['imports.js'], folder);
  const main = join(home, 'dist/src/main.js');
  run(process.execPath, [main, '--version'], folder);
  run(process.execPath, [main, 'validate', '--config', join(ROOT, 'test/fixtures/config/good.yaml')], folder);

  // The example as its author has it: typed by the package, and held to its contract.
  const plugin = join(folder, 'plugin');
  cpSync(join(ROOT, 'examples/plugin'), plugin, { recursive: true });
  run(process.execPath, [main, 'validate', '--config', join(plugin, 'config.yaml')], folder);
  cpSync(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'), { recursive: true });
  cpSync(join(ROOT, 'node_modules/undici-types'), join(folder, 'node_modules/undici-types'), { recursive: true });
  const options =
    '--noEmit --strict --module nodenext --target esnext --lib esnext --allowImportingTsExtensions --types node';
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const used = ENTRIES.map((entry, n) => `import * as e${n} from ${JSON.stringify(entry)};\nvoid e${n};`);
  writeFileSync(join(folder, 'all.ts'), used.join('\n'));
  const typed = ['all.ts', ...globSync('plugin/*.ts', { cwd: folder })];
  run(process.execPath, [tsc, ...options.split(' '), ...typed], folder);
  process.stdout.write(
    run(
      process.execPath,
      ['--test', '--test-force-exit', '--test-reporter=dot', ...globSync('plugin/*.test.ts', { cwd: folder })],
      folder,
    ),
  );

  const { messages, pkg } = await publint({ pkgDir: home, strict: true });
  for (const message of messages) process.stderr.write(`publint: ${formatMessage(message, pkg)}\n`);
  if (messages.length > 0) process.exitCode = 1;
  process.stdout.write(`${packed!.filename}: ${Math.round(bytes / 1024)} KiB, ${ENTRIES.length} entries imported\n`);
} finally {
  rmSync(folder, { recursive: true });
}
