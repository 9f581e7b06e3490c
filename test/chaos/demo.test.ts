import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const START = fileURLToPath(new URL('../../scripts/start.ts', import.meta.url));

/** Starts the demo and sends the signal after its second line of counts. */
async function runDemo(signal: NodeJS.Signals) {
  const demo = spawn(process.execPath, [START], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const lines: string[] = [];
  for await (const line of createInterface({ input: demo.stdout })) {
    lines.push(line);
    if (lines.filter((one) => one.startsWith('published')).length === 2) process.kill(-demo.pid!, signal);
  }
  if (demo.exitCode === null) await once(demo, 'exit');
  return { code: demo.exitCode, lines };
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  test(`the demo shows counts and ends cleanly on ${signal}, with nothing lost`, async () => {
    const { code, lines } = await runDemo(signal);
    const first = lines.find((line) => line.startsWith('published'));
    assert.match(first ?? '', /unique [1-9]/, 'the first line of counts is above zero');
    assert.match(lines.at(-1) ?? '', /^published (\d+) received \1 duplicates 0 dead-lettered 0 lost 0$/);
    assert.equal(code, 0);
  });

test('a demo that was killed hard leaves no process behind, and no state', async () => {
  const demo = spawn(process.execPath, [START], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ready = createInterface({ input: demo.stdout });
  for await (const line of ready) if (line.startsWith('published')) break;
  const children = await childrenOf(demo.pid!);
  assert.equal(children.length, 4);
  const environments = await Promise.all(children.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8')));
  const [, state] = /(?:^|\0)STATE_DIRECTORY=([^\0]+)/.exec(environments.join('\0'))!;
  assert.ok(existsSync(state!));
  demo.kill('SIGKILL');
  await once(demo, 'exit');
  for (const pid of children) await gone(pid);
  assert.ok(!existsSync(state!), state);
});

async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return list.trim().split(' ').filter(Boolean).map(Number);
}

/** Resolves when no process has this id; each look waits for the one before, so this asks as often as the kernel answers. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
