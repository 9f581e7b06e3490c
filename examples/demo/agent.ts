// The agent as it ships, with one addition: it ends when the demo is gone.
import { runCommand } from '../../src/command-line.ts';

process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume();
process.exitCode = await runCommand(process.argv.slice(2), process.exit);
process.stdin.destroy();
