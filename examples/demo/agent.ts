// The agent as it ships, with one addition: it ends when the demo is gone, and takes its state with it.
import { rmSync } from 'node:fs';
import { runCommand } from '../../src/command-line.ts';

let isLeft = false;
process.stdin
  .on('end', () => {
    isLeft = true;
    process.kill(process.pid, 'SIGTERM');
  })
  .resume();
const end = (code: number): never => {
  if (isLeft) rmSync(process.env.STATE_DIRECTORY!, { recursive: true, force: true });
  process.exit(code);
};
process.exitCode = await runCommand(process.argv.slice(2), end);
process.stdin.destroy();
