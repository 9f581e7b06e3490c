import { dirname, resolve } from 'node:path';
import { type Agent, createAgent } from '../agent/agent.ts';
import { VERSION } from '../component/version.ts';
import { createOwnLogs } from '../platform/own-logs.ts';
import { createOwnMetrics } from '../platform/own-metrics.ts';
import { systemClock } from '../platform/system-clock.ts';
import { type ConfigFlags, readConfig } from './read-config.ts';

/**
 * Runs an agent until SIGINT or SIGTERM.
 * @param exit ends the process at once, for a second signal and for components that hang
 * @returns the exit code
 */
export async function run(flags: ConfigFlags, exit: (code: number) => never): Promise<number> {
  const { config, warnings } = readConfig(flags);
  const { telemetry } = config.service;
  const logs = createOwnLogs({
    ...telemetry.logs,
    clock: systemClock,
    write: (line) => process.stderr.write(line),
  });
  const logger = logs.logger();
  for (const warning of warnings) logger.warn(warning);
  const page = telemetry.metrics.level === 'none' ? undefined : telemetry.metrics.readers[0]?.pull.exporter.prometheus;
  logger.info('Starting outband', { version: VERSION, node: process.version, config: flags.config.join(', ') });

  let endedBy: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    endedBy = resolve;
  });
  const agent: Agent = createAgent({
    config,
    logs,
    metrics: createOwnMetrics(page, VERSION),
    // Relative paths start where the last file is: what it says stands above the others.
    configDirectory: dirname(resolve(flags.config.at(-1)!)),
    onFatal: (component, error) => {
      logger.error('a component cannot go on', { component, error });
      endedBy(1);
    },
  });
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (error: unknown) => {
      logger.error('unexpected error; the process ends', { error, stack: error instanceof Error ? error.stack : '' });
      exit(1);
    });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // A second signal means: now.
      process.on(signal, () => exit(1));
      endedBy(0);
    });

  await agent.start();
  const code = await ended;
  logger.info('Stopping');
  const hung = await agent.stop();
  if (hung.length === 0) {
    logger.info('Stopped');
    return code;
  }
  logger.error('components did not stop in time', { components: hung, timeout_ms: config.service.shutdown_timeout });
  exit(1);
}
