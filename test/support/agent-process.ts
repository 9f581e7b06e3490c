import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, startChild } from './child.ts';

export interface AgentProcess extends Child {
  /** What it wrote to stderr so far. */
  readonly log: () => string;
  /** Resolves when a line holds this text. */
  line(text: string): Promise<void>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

const MAIN = new URL('../../src/main.ts', import.meta.url);

/** An agent in a process of its own, from the text of its configuration. */
export async function startAgentProcess(
  directory: string,
  yaml: string,
  env: NodeJS.ProcessEnv = {},
): Promise<AgentProcess> {
  const file = join(directory, 'config.yaml');
  await writeFile(file, yaml);
  const child = startChild(MAIN, ['--config', file], env);
  let log = '';
  const waiting = new Set<() => void>();
  child.process.stderr!.on('data', (chunk) => {
    log += chunk;
    for (const look of waiting) look();
  });
  const ended = new Promise<number | null>((resolve) => child.process.once('exit', resolve));
  return {
    ...child,
    log: () => log,
    ended,
    line: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!log.includes(text)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
        void ended.then(() => reject(new Error(`the agent ended before it wrote "${text}":\n${log}`)));
      }),
    async kill() {
      child.process.kill('SIGKILL');
      await ended;
    },
  };
}
