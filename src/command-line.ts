import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Agent, createAgent } from './agent/agent.ts';
import { builtins } from './builtins.ts';
import { describeError, OutbandError } from './component/errors.ts';
import { VERSION } from './component/version.ts';
import type { AgentConfig } from './config/agent-config.ts';
import { loadConfig } from './config/load.ts';
import { ConfigError } from './config/problem.ts';
import type { ReferenceSource } from './config/references.ts';
import { suggest } from './config/suggest.ts';
import { DLQ_USAGE, runDeadLetterCommand } from './dead-letter-command.ts';
import { createOwnLogs } from './platform/own-logs.ts';
import { createOwnMetrics } from './platform/own-metrics.ts';
import { systemClock } from './platform/system-clock.ts';
import { UsageError } from './usage-error.ts';

const USAGE = `outband ${VERSION}: telemetry of what a host's own agent cannot see

Usage: outband [command] [flags]

Commands:
  run        runs until SIGINT or SIGTERM (default)        outband --config otel-config.yaml
  validate   checks a configuration, silent when good      outband validate --config otel-config.yaml
  dlq        lists, shows, redrives, drops dead letters    outband dlq list --config otel-config.yaml

Flags:
  --config FILE   the configuration
  --version       version, Node and platform
  --help          this text

Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

const COMMANDS = ['run', 'validate', 'dlq'] as const;
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Runs one command.
 * @param exit ends the process at once, for a second signal and for components that hang
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage
 */
export async function runCommand(args: readonly string[], exit: (code: number) => never): Promise<number> {
  try {
    if (args[0] === 'dlq') return await deadLetters(args.slice(1));
    const { command, config, help, version } = parse(args);
    if (help) process.stdout.write(USAGE);
    else if (version)
      process.stdout.write(`outband ${VERSION} (Node ${process.version}, ${process.platform} ${process.arch})\n`);
    else if (config === undefined)
      throw new UsageError(
        'no configuration: outband --config otel-config.yaml (npm start without arguments is a demo)',
      );
    else if (command === 'validate') validate(config);
    else return await run(config, exit);
    return 0;
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function deadLetters(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) process.stdout.write(DLQ_USAGE);
  else await runDeadLetterCommand(args, (file) => readConfig(file).config);
  return 0;
}

function parse(args: readonly string[]) {
  let parsed: ReturnType<typeof parseFlags>;
  try {
    parsed = parseFlags(args);
  } catch (error) {
    throw new UsageError(`${describeError(error).split('. ')[0]}; see outband --help`);
  }
  const { values, positionals } = parsed;
  const [command = 'run', ...more] = positionals;
  if (!COMMANDS.some((known) => known === command))
    throw new UsageError(`unknown command "${command}" ${suggest(command, COMMANDS)}; see outband --help`);
  if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"; see outband --help`);
  return { command, ...values };
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
  });
}

function validate(file: string): void {
  const { config } = readConfig(file);
  const logs = createOwnLogs({ level: 'error', encoding: 'console', clock: systemClock, write: () => {} });
  createAgent({ config, logs, metrics: createOwnMetrics(undefined, VERSION) });
}

async function run(file: string, exit: (code: number) => never): Promise<number> {
  const { config, warnings } = readConfig(file);
  // Whoever read our output may go away; the data must not go with it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const { telemetry } = config.service;
  const logs = createOwnLogs({
    ...telemetry.logs,
    clock: systemClock,
    write: (line) => process.stderr.write(line),
  });
  const logger = logs.logger();
  for (const warning of warnings) logger.warn(warning);
  const page = telemetry.metrics.level === 'none' ? undefined : telemetry.metrics.readers[0]?.pull.exporter.prometheus;
  logger.info('Starting outband', { version: VERSION, node: process.version, config: file });

  let endedBy: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    endedBy = resolve;
  });
  const agent: Agent = createAgent({
    config,
    logs,
    metrics: createOwnMetrics(page, VERSION),
    configDirectory: dirname(resolve(file)),
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

function readConfig(file: string): { readonly config: AgentConfig; readonly warnings: readonly string[] } {
  const content = readText(
    file,
    (why) => `cannot retrieve the configuration: unable to read the file file:${file}: ${why}`,
  );
  const source: ReferenceSource = {
    env: (name) => process.env[name],
    file: (path) => readText(resolve(dirname(file), path), (why) => `cannot read \${file:${path}}: ${why}`),
  };
  const result = loadConfig(file, content, builtins, source);
  if ('problems' in result) throw new ConfigError(result.problems);
  return result;
}

function readText(path: string, message: (why: string) => string): string {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) throw new Error('not a regular file');
    if (stats.size > MAX_FILE_BYTES) throw new Error('larger than 1 MiB');
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new OutbandError('config_source', message(missing ? 'no such file or directory' : describeError(cause)), {
      cause,
    });
  }
}

function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof UsageError) return error.message;
  if (error instanceof OutbandError) return `${error.code}  ${error.message}${error.hint ? `; ${error.hint}` : ''}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
