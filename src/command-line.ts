import { type Command, helpOf, readFlags, UsageError } from './commands/command.ts';
import { OutbandError } from './component/errors.ts';
import { VERSION } from './component/version.ts';
import { ConfigError } from './config/problem.ts';
import { suggest } from './config/suggest.ts';
import { escapeForTerminal } from './telemetry/escape.ts';

interface Entry {
  readonly summary: string;
  readonly example: string;
  /** Each command loads what it needs: a container's health check runs every few seconds. */
  load(): Promise<{ readonly command: unknown }>;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  run: {
    summary: 'runs until SIGINT or SIGTERM (default)',
    example: 'outband --config otel-config.yaml',
    load: () => import('./commands/run.ts'),
  },
  validate: {
    summary: 'checks a configuration, silent when good',
    example: 'outband validate --config otel-config.yaml',
    load: () => import('./commands/validate.ts'),
  },
  'print-config': {
    summary: 'the configuration as it is understood',
    example: 'outband print-config --config otel-config.yaml --defaults',
    load: () => import('./commands/print-config.ts'),
  },
  components: {
    summary: 'what this agent is built of',
    example: 'outband components',
    load: () => import('./commands/components.ts'),
  },
  schema: {
    summary: 'JSON Schema of the configuration',
    example: 'outband schema > otel-config.schema.json',
    load: () => import('./commands/schema.ts'),
  },
  status: {
    summary: 'targets of a running agent',
    example: 'outband status --failing',
    load: () => import('./commands/status.ts'),
  },
  probe: {
    summary: 'what it would make of one BMC, and why',
    example: 'outband probe https://10.0.0.1 --username root',
    load: () => import('./commands/probe.ts'),
  },
  dlq: {
    summary: 'lists, shows, redrives, drops dead letters',
    example: 'outband dlq list --config otel-config.yaml',
    load: () => import('./commands/dlq.ts'),
  },
  demo: {
    summary: 'simulated BMCs and backends, in a checkout',
    example: 'npm ci && npm start',
    load: () => import('./commands/demo.ts'),
  },
};

/**
 * Runs one command.
 * @param exit ends the process at once, for a second signal and for components that hang
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage
 */
export async function runCommand(args: readonly string[], exit: (code: number) => never): Promise<number> {
  // Whoever read our output may go away; an agent goes on, and a command that prints has nobody left to print for.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && stream === process.stdout) failedToWrite(error);
    });
  try {
    return await dispatch(args, exit);
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** What was asked for did not come out. */
function failedToWrite(error: Error): void {
  process.stderr.write(`cannot write the output: ${error.message}\n`);
  process.once('exit', () => {
    process.exitCode = 1;
  });
}

async function dispatch(args: readonly string[], exit: (code: number) => never): Promise<number> {
  const at = placeOfCommand(args);
  const name = args[at] ?? 'run';
  const rest = args.toSpliced(at, 1);
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!entry) throw new UsageError(`unknown command "${name}" ${hint(name)}; see outband --help`);
  const asks = (...flags: string[]) => rest.some((arg) => flags.includes(arg));
  if (asks('--version'))
    return print(`outband ${VERSION} (Node ${process.version}, ${process.platform} ${process.arch})\n`);
  if (asks('--help', '-h') && args[at] === undefined) return print(usage());
  const { command } = (await entry.load()) as { command: Command };
  if (asks('--help', '-h')) return print(helpOf(name, entry.summary, entry.example, command));
  return await command.run({ ...readFlags(name, command, rest), exit });
}

/** The first word that is no flag and belongs to none; behind the last where there is none. */
function placeOfCommand(args: readonly string[]): number {
  const place = args.findIndex(
    (arg, index) => !arg.startsWith('-') && !/^--(config|set|format)$/.test(args[index - 1] ?? ''),
  );
  // Behind a flag that nobody knows it is more likely its value.
  const isValue = args[place - 1]?.startsWith('-') && !Object.hasOwn(COMMANDS, args[place]!);
  return place < 0 || isValue ? args.length : place;
}

function hint(name: string): string {
  return /\.ya?ml$/.test(name) ? `(did you mean --config ${name}?)` : suggest(name, Object.keys(COMMANDS));
}

function usage(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { summary, example }]) => `  ${name.padEnd(13)}  ${summary.padEnd(43)}  ${example}`,
  );
  return `outband ${VERSION}: telemetry of what a host's own agent cannot see

Usage: outband [command] [flags]

Commands:
${rows.join('\n')}

Flags:
  --config FILE      the configuration; several are merged, the last wins
  --set a.b.c=VALUE  one setting, above all files; may be repeated
  --version          version, Node and platform
  --help             this text; behind a command, its flags

Exit codes: 0 done, 1 failed, 2 wrong usage.
`;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof UsageError) return error.message;
  if (error instanceof OutbandError) {
    const { code, message, hint, cause } = error;
    // Nobody foresaw that one: its author wants to know where it was. What the system answered says enough.
    const isUnforeseen = code === 'start_failed' && cause instanceof Error && !('errno' in cause);
    const stack = isUnforeseen ? `\n${cause.stack}` : '';
    return `${escapeForTerminal(`${code}  ${message}${hint ? `; ${hint}` : ''}`)}${stack}`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
