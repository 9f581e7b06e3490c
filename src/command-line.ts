import { parseArgs } from 'node:util';
import { describeError, OutbandError } from './component/errors.ts';
import { VERSION } from './component/version.ts';
import { ConfigError } from './config/problem.ts';
import { suggest } from './config/suggest.ts';
import { UsageError } from './usage-error.ts';

const USAGE = `outband ${VERSION}: telemetry of what a host's own agent cannot see

Usage: outband [command] [flags]

Commands:
  run            runs until SIGINT or SIGTERM (default)        outband --config otel-config.yaml
  validate       checks a configuration, silent when good      outband validate --config otel-config.yaml
  print-config   the configuration as it is understood         outband print-config --config otel-config.yaml --defaults
  components     what this agent is built of                   outband components
  status         targets of a running agent                    outband status --failing
  probe          what it would make of one BMC, and why        outband probe https://10.0.0.1 --username root
  schema         JSON Schema of the configuration              outband schema > otel-config.schema.json
  dlq            lists, shows, redrives, drops dead letters    outband dlq list --config otel-config.yaml
  demo           simulated BMCs and backends, in a checkout    npm ci && npm start

Flags:
  --config FILE      the configuration; several are merged, the last wins
  --set a.b.c=VALUE  one setting, above all files; may be repeated
  --json             validate: the mistakes as JSON
  --format WORD      print-config: yaml (default) or json
  --defaults         print-config: with what is not said
  --version          version, Node and platform
  --help             this text

Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

const COMMANDS = ['run', 'validate', 'print-config', 'components', 'schema', 'status', 'probe', 'dlq', 'demo'] as const;
/** Its fleets need packages that an installed agent does not bring. */
const NO_DEMO = `The demo is in the repository, not in the package. In a checkout:
  npm ci
  npm start
`;
const FORMATS = ['yaml', 'json'] as const;

/**
 * Runs one command.
 * @param exit ends the process at once, for a second signal and for components that hang
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage
 */
export async function runCommand(args: readonly string[], exit: (code: number) => never): Promise<number> {
  // Whoever read our output may go away; an agent goes on, and a command that prints has nobody left to print for.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  try {
    return await dispatch(args, exit);
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Each command loads what it needs: a container's health check runs every few seconds. */
async function dispatch(args: readonly string[], exit: (code: number) => never): Promise<number> {
  if (args[0] === 'dlq') return await deadLetters(args.slice(1));
  if (args[0] === 'probe') return await (await import('./commands/probe.ts')).runProbeCommand(args.slice(1));
  if (args[0] === 'status') return await (await import('./commands/status.ts')).runStatusCommand(args.slice(1));
  const {
    command,
    help,
    version,
    json = false,
    defaults = false,
    format = 'yaml',
    config = [],
    set = [],
  } = parse(args);
  const flags = { config, set };
  if (help) process.stdout.write(USAGE);
  else if (version)
    process.stdout.write(`outband ${VERSION} (Node ${process.version}, ${process.platform} ${process.arch})\n`);
  else if (command === 'validate') return await (await import('./commands/validate.ts')).validate(flags, json);
  else if (command === 'print-config') {
    const { printConfig } = await import('./commands/print-config.ts');
    await printConfig(flags, { format: formatOf(format), defaults });
  } else if (command === 'components' || command === 'schema') {
    const factories = await (await import('./commands/read-config.ts')).readFactories(flags);
    if (command === 'schema') (await import('./commands/schema.ts')).schema(factories);
    else (await import('./commands/components.ts')).components(factories);
  } else if (command === 'demo') {
    process.stderr.write(NO_DEMO);
    return 1;
  } else return await (await import('./commands/run.ts')).run(flags, exit);
  return 0;
}

async function deadLetters(args: readonly string[]): Promise<number> {
  const { DLQ_USAGE, runDeadLetterCommand } = await import('./dead-letter-command.ts');
  const { readConfig } = await import('./commands/read-config.ts');
  if (args.includes('--help') || args.includes('-h')) process.stdout.write(DLQ_USAGE);
  else await runDeadLetterCommand(args, async (file) => (await readConfig({ config: [file], set: [] })).config);
  return 0;
}

function formatOf(word: string): (typeof FORMATS)[number] {
  const format = FORMATS.find((one) => one === word);
  if (format) return format;
  throw new UsageError(`--format ${word}: unknown format ${suggest(word, FORMATS)}; see outband --help`);
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
      config: { type: 'string', multiple: true },
      set: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      format: { type: 'string' },
      defaults: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
  });
}

function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof UsageError) return error.message;
  if (error instanceof OutbandError) return `${error.code}  ${error.message}${error.hint ? `; ${error.hint}` : ''}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
