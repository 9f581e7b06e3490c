import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Child {
  readonly process: ChildProcess;
  /** Sends SIGTERM and waits for the end. @returns the exit code */
  stop(): Promise<number>;
}

/** Starts a TypeScript file in a process group of its own: Ctrl-C reaches this process, which stops its children in order. */
export function startChild(file: URL, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(process.execPath, [file.pathname, ...args], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  // A test that failed half way leaves none behind.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const ended = once(child, 'exit') as Promise<[number | null]>;
  return {
    process: child,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code ?? 1;
    },
  };
}

/** The one line of JSON that a simulator prints when it is ready. */
export async function readyLine<T>({ process: child }: Child): Promise<T> {
  child.stderr?.pipe(process.stderr);
  for await (const line of createInterface({ input: child.stdout! })) return JSON.parse(line) as T;
  throw new Error('a process of the demo ended before it was ready');
}
