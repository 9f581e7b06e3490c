import { createAgent } from '../agent/agent.ts';
import { VERSION } from '../component/version.ts';
import { ConfigError, formatProblems, sortProblems } from '../config/problem.ts';
import { createOwnLogs } from '../platform/own-logs.ts';
import { createOwnMetrics } from '../platform/own-metrics.ts';
import { systemClock } from '../platform/system-clock.ts';
import { type ConfigFlags, readConfig } from './read-config.ts';

/**
 * Checks a configuration and builds its graph, with every factory run; opens no socket, and no file but the configuration.
 * @returns the exit code
 * @throws as `readConfig`, unless the mistakes are wanted as JSON
 */
export async function validate(flags: ConfigFlags, asJson: boolean): Promise<number> {
  try {
    const { config } = await readConfig(flags);
    const logs = createOwnLogs({ level: 'error', encoding: 'console', clock: systemClock, write: () => {} });
    createAgent({ config, logs, metrics: createOwnMetrics({ version: VERSION }) });
  } catch (error) {
    if (!asJson || !(error instanceof ConfigError)) throw error;
    const errors = sortProblems(error.problems).map(({ position, path, code, message }) => {
      const [, suggestion = null] = /\(did you mean "([^"]+)"\?\)/.exec(message) ?? [];
      return { ...position, path, code, message, suggestion };
    });
    process.stdout.write(`${JSON.stringify({ version: 1, errors })}\n`);
    process.stderr.write(`${formatProblems(error.problems).split('\n').at(-1)}\n`);
    return 1;
  }
  if (asJson) process.stdout.write(`${JSON.stringify({ version: 1, errors: [] })}\n`);
  return 0;
}
