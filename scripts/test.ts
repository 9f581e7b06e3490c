// The tests. Each file is a process of its own, and many start agents: compiled code is kept between them, which halves their start.
// Arguments go to the runner: `npm test -- --test-name-pattern=pins`. What needs a browser is `npm run test:browser`.
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLAGS = ['--test', '--test-concurrency=4', '--test-timeout=120000', '--test-force-exit'];
const runner = spawn(process.execPath, [...FLAGS, ...process.argv.slice(2), 'test/!(browser)/**/*.test.ts'], {
  stdio: 'inherit',
  // Property tests take a short look here; `RUNS=1000 npm test` takes a longer one.
  env: { NODE_COMPILE_CACHE: join(tmpdir(), 'outband-compile-cache'), RUNS: '30', ...process.env },
});
runner.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
