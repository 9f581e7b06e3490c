import { createWriteStream, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { type Agent, createAgent } from '../agent/agent.ts';
import { componentAtWork } from '../agent/at-work.ts';
import { aborted } from '../component/aborted.ts';
import { agentResource } from '../component/agent-resource.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { AnyFactory } from '../component/factory.ts';
import { VERSION } from '../component/version.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import { createOwnLogs, OWN_LOGS_DROPPED } from '../platform/own-logs.ts';
import { createOwnMetrics, MOST_SERIES } from '../platform/own-metrics.ts';
import { observeProcess } from '../platform/process-metrics.ts';
import { systemClock } from '../platform/system-clock.ts';
import { CONFIG_FLAGS, defineCommand } from './command.ts';
import { hiddenAt } from './metric-docs.ts';
import { type ConfigFlags, readConfig } from './read-config.ts';
import { CONFIG_RELOADS, Reloader } from './reloader.ts';
import { viewOfConfig } from './shown-config.ts';

/** Own lines that wait for an OTLP service get so long at the end; milliseconds. */
const LAST_LINES_MS = 2_000;

/** `outband run`: runs an agent until SIGINT or SIGTERM. */
export const command = defineCommand({ flags: CONFIG_FLAGS, run: ({ flags, exit }) => run(flags, exit) });

async function run(flags: ConfigFlags, exit: (code: number) => never): Promise<number> {
  const read = await readConfig(flags);
  const { config, warnings, infos } = read;
  const { config: paths = [] } = flags;
  const { telemetry } = config.service;
  const resource = agentResource(VERSION, telemetry.resource);
  const readers = telemetry.metrics.level === 'none' ? [] : telemetry.metrics.readers;
  const isPushed = telemetry.logs.processors.length > 0 || readers.some(({ periodic }) => periodic);
  // Loaded by those who use it: a start without it is shorter.
  const push = isPushed ? await import('../platform/otlp-push.ts') : undefined;
  const metrics = createOwnMetrics({
    ...{ version: VERSION, resource, page: readers.find(({ pull }) => pull)?.pull?.exporter.prometheus },
    hidden: telemetry.metrics.level === 'none' ? undefined : hiddenAt(telemetry.metrics.level, factoriesOf(config)),
    onOverflow: (instrument) =>
      logs.logger().warn('a metric has more series than it may hold; the rest is one series, otel_metric_overflow', {
        instrument,
        limit: MOST_SERIES,
      }),
    readers: push ? readers.flatMap(({ periodic }) => (periodic ? [push.metricsPush(periodic)] : [])) : [],
  });
  observeProcess(metrics.meter('outband.process'));
  const dropped = metrics.meter('outband').createCounter(OWN_LOGS_DROPPED.name, OWN_LOGS_DROPPED);
  const { level, encoding, sampling, initial_fields: initialFields, output_paths, processors } = telemetry.logs;
  // Relative paths start where the last file is: what it says stands above the others.
  const configDirectory = dirname(resolve(paths.at(-1)!));
  const outputs = openOutputs(output_paths, configDirectory);
  const logs = createOwnLogs({
    ...{ level, encoding, initialFields, clock: systemClock, write: outputs.write },
    ...(sampling.enabled && { sampling }),
    onSampledOut: () => dropped.add(1, { reason: 'sampled' }),
    resource,
    processors: push
      ? processors.map(({ batch }) => push.logsPush(batch, (lines) => dropped.add(lines, { reason: 'destination' })))
      : [],
  });
  const logger = logs.logger();
  for (const warning of warnings) logger.warn(warning);
  for (const info of infos) logger.info(info);
  logger.info('Starting outband', { version: VERSION, node: process.version, config: paths.join(', ') });

  let endedBy: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    endedBy = resolve;
  });
  let about = viewOfConfig(read, systemClock.now());
  let stopTimeoutMs = config.service.shutdown_timeout;
  const agent: Agent = createAgent({
    config,
    about,
    logs,
    metrics,
    configDirectory,
    onFatal: (component, error) => {
      logger.error('a component cannot go on', { component, error });
      endedBy(1);
    },
  });
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (error: unknown) => {
      const component = componentAtWork();
      logger.error('unexpected error; the process ends', {
        ...(component !== undefined && { component }),
        ...{ error, stack: error instanceof Error ? error.stack : '' },
      });
      void outputs.end().then(() => exit(1));
    });
  let isAsked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // A second signal, of either kind, means: now.
      if (isAsked) exit(1);
      isAsked = true;
      endedBy(0);
    });

  let reloader: Reloader | undefined;
  let isReloadWanted = false;
  // From the start on: without a listener the signal ends the process.
  process.on('SIGHUP', () => {
    isReloadWanted = true;
    void reloader?.reload();
  });
  const early = await Promise.race([agent.start().then(() => undefined), ended]);
  if (early !== undefined) logger.info('Stopping before everything has started');
  const stopped = new AbortController();
  const reloads = metrics.meter('outband').createCounter(CONFIG_RELOADS.name, CONFIG_RELOADS);
  // There from the start, so that the first is an increase.
  for (const outcome of ['success', 'unchanged', 'failure']) reloads.add(0, { outcome });
  reloader = new Reloader({
    ...{ flags, agent, logger, current: read, signal: stopped.signal },
    onOutcome: (outcome, error) => {
      reloads.add(1, { outcome });
      about = { ...about, lastReload: { at: systemClock.now(), outcome, ...(error !== undefined && { error }) } };
      agent.tellOfConfig(about);
    },
    onReloaded: (next) => {
      const { level: threshold, sampling: rules } = next.config.service.telemetry.logs;
      logs.configure({ level: threshold, ...(rules.enabled && { sampling: rules }) });
      for (const warning of next.warnings) logger.warn(warning);
      stopTimeoutMs = next.config.service.shutdown_timeout;
      about = viewOfConfig(next, systemClock.now());
    },
  });
  void reloader.watch();
  if (isReloadWanted) void reloader.reload();
  const code = early ?? (await ended);
  stopped.abort('the agent stops');
  logger.info('Stopping');
  const hung = await agent.stop().catch((error: unknown) => {
    logger.error('the stop failed', { error });
    return ['unknown'];
  });
  if (hung.length === 0) {
    logger.info('Stopped');
    using limit = deadline(systemClock, LAST_LINES_MS, 'the last lines');
    await Promise.race([logs.shutdown(), aborted(limit.signal)]);
    await outputs.end();
    // What is still tried at an OTLP service that is away, and what a plugin has left running, must not hold the process.
    exit(code);
  }
  logger.error('components did not stop in time', { components: hung, timeout_ms: stopTimeoutMs });
  await outputs.end();
  exit(1);
}

interface Outputs {
  /** Writes a line to each. */
  readonly write: (line: string) => void;
  /** Resolves when all that was written is there, or after a while. */
  readonly end: () => Promise<void>;
}

/**
 * Opens what lines are written to. A file that fails later is told, and stderr takes its place.
 * @throws OutbandError `start_failed`
 */
function openOutputs(paths: readonly string[], directory: string): Outputs {
  const streams: Writable[] = paths.map((path) =>
    path === 'stderr' || path === 'stdout' ? process[path] : open(resolve(directory, path)),
  );
  for (const [index, path] of paths.entries())
    streams[index]!.once('error', (error) => {
      if (streams[index] === process.stderr) return;
      process.stderr.write(`service::telemetry::logs::output_paths: cannot write ${path}: ${error.message}\n`);
      streams[index] = process.stderr;
    });
  return {
    write: (line) => {
      for (const stream of new Set(streams)) if (stream.writable) stream.write(line);
    },
    end: async () => {
      using limit = deadline(systemClock, LAST_LINES_MS, 'the last lines');
      const files = streams.filter((stream) => stream !== process.stderr && stream !== process.stdout);
      const ended = files.map((file) => new Promise<void>((resolve) => file.end(resolve)));
      await Promise.race([Promise.all(ended), aborted(limit.signal)]);
    },
  };
}

function open(path: string): Writable {
  try {
    return createWriteStream(path, { fd: openSync(path, 'a') });
  } catch (cause) {
    const what = `service::telemetry::logs::output_paths: cannot write ${path}: ${describeError(cause)}`;
    throw new OutbandError('start_failed', what, { cause });
  }
}

function factoriesOf({ receivers, processors, exporters, extensions }: AgentConfig): AnyFactory[] {
  return [receivers, processors, exporters, extensions].flatMap((section) =>
    [...section.values()].map((one) => one.factory),
  );
}
