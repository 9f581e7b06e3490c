import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Who may import whom. A layer may always import itself; a component only its own folder. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'src/telemetry': [],
  'src/resilience': [],
  'src/component': ['src/telemetry'],
  'src/platform': ['src/component', 'src/telemetry'],
  'src/config/schema': ['src/component'],
  'src/config': ['src/component', 'src/config/schema', 'src/telemetry'],
  'src/delivery': ['src/component', 'src/telemetry', 'src/resilience'],
  'src/agent': ['src/component', 'src/config', 'src/config/schema', 'src/delivery', 'src/platform', 'src/telemetry'],
  component: ['src/component', 'src/telemetry', 'src/resilience', 'src/config/schema'],
  // A thread's entry, like a main: it has no host that could bring it the time.
  'src/extensions/file-storage/worker.ts': ['src/component', 'src/platform'],
  'src/builtins.ts': ['component', 'src/component'],
  'src/command-line.ts': [...['src/commands', 'src/commands/dlq.ts', 'src/component', 'src/config', 'src/telemetry']],
  'src/commands': [
    ...['src/agent', 'src/builtins.ts', 'src/component', 'src/config', 'src/config/schema', 'src/platform'],
    'src/telemetry',
  ],
  // The command line's half of the store: it works on the files of an agent that may not run.
  'src/commands/dlq.ts': [
    ...['src/commands', 'src/component', 'src/config', 'src/config/schema', 'src/platform', 'src/telemetry'],
    'component',
  ],
  // For tests of plugins: they bring the real scheduler.
  'src/testing': ['src/component', 'src/platform', 'src/telemetry', 'component'],
  'src/main.ts': ['src/command-line.ts'],
  'src/index.ts': [
    ...[
      'src/agent',
      'src/builtins.ts',
      'src/component',
      'src/config',
      'src/config/schema',
      'src/platform',
      'src/telemetry',
    ],
  ],
};

/** A component's folder, such as `receivers/bmc-logs`; undefined for anything else. */
function componentOf(file: string): string | undefined {
  return /^(?:receivers|exporters|src\/extensions|src\/processors)\/[^/]+/.exec(file)?.[0];
}

function layerOf(file: string): string {
  if (componentOf(file) && !(file in ALLOWED)) return 'component';
  const layers = Object.keys(ALLOWED).filter((layer) => file === layer || file.startsWith(`${layer}/`));
  const layer = layers.sort((a, b) => b.length - a.length)[0];
  assert.ok(layer, `${file} belongs to no layer; add it to the table in test/repository/imports.test.ts`);
  return layer;
}

const files = globSync(['src/**/*.ts', 'receivers/**/*.ts', 'exporters/**/*.ts'], { cwd: ROOT });

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, target]) => target!);
}

test('imports go downwards only, and no component imports another', () => {
  const wrong: string[] = [];
  for (const file of files)
    for (const target of importsOf(file).filter((path) => path.startsWith('.'))) {
      const imported = normalize(join(dirname(file), target));
      const from = layerOf(file);
      const to = layerOf(imported);
      const ownFolder = componentOf(file) !== undefined && componentOf(file) === componentOf(imported);
      const inside = from === to && from !== 'component';
      if (!ownFolder && !inside && !ALLOWED[from]!.includes(to)) wrong.push(`${file} must not import ${imported}`);
    }
  assert.deepEqual(wrong, []);
});

test('pure layers import no timer, no socket and no file', () => {
  const wrong = files
    .filter((file) => /^src\/(resilience|telemetry)\//.test(file))
    .flatMap((file) =>
      importsOf(file)
        .filter((path) => path.startsWith('node:'))
        .map((path) => `${file} imports ${path}`),
    );
  assert.deepEqual(wrong, []);
});

test('only src/platform knows the real clock, timers and chance', () => {
  const forbidden =
    /(?<![.\w])(Date\.now\(|new Date\(\)|setTimeout\(|setInterval\(\(|Math\.random\b|performance\.now\()/;
  const wrong = files
    .filter((file) => !file.startsWith('src/platform/'))
    .filter((file) => forbidden.test(readFileSync(join(ROOT, file), 'utf8')));
  assert.deepEqual(wrong, [], 'use host.clock and host.random');
});

test('only the command line ends the process', () => {
  const wrong = files.filter(
    (file) => file !== 'src/main.ts' && /process\.exit\b/.test(readFileSync(join(ROOT, file), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});
