import { checkFactories } from '../agent/agent.ts';
import { ConfigError, formatProblems, type Problem, sortProblems } from '../config/problem.ts';
import { CONFIG_FLAGS, defineCommand } from './command.ts';
import { readConfig } from './read-config.ts';

/** `outband validate`: checks a configuration and builds its graph, with every factory run; opens no socket, and no file but the configuration. */
export const command = defineCommand({
  flags: { ...CONFIG_FLAGS, json: { type: 'boolean', help: 'the mistakes as JSON' } },
  run: async ({ flags }) => {
    try {
      checkFactories((await readConfig(flags)).config);
    } catch (error) {
      if (!flags.json || !(error instanceof ConfigError)) throw error;
      process.stdout.write(`${JSON.stringify({ version: 1, errors: sortProblems(error.problems).map(asJson) })}\n`);
      process.stderr.write(`${formatProblems(error.problems).split('\n').at(-1)}\n`);
      return 1;
    }
    if (flags.json) process.stdout.write(`${JSON.stringify({ version: 1, errors: [] })}\n`);
    return 0;
  },
});

function asJson({ position, path, code, message }: Problem) {
  const [, suggestion = null] = /\(did you mean "([^"]+)"\?\)/.exec(message) ?? [];
  return { ...position, path, code, message, suggestion };
}
