import { parseArgs } from 'node:util';
import { describeError } from '../component/errors.ts';
import { suggest } from '../config/suggest.ts';

/** The command line was used wrongly: exit code 2. */
export class UsageError extends Error {}

/** A flag of a command: for its parser and for its help. */
export interface Flag {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  /** Placeholder of its value. */
  readonly value?: string;
  /** Value that it has when it stands alone. */
  readonly alone?: string;
  readonly help: string;
}

type Flags = Readonly<Record<string, Flag>>;
type Given<F extends Flag> = F extends { type: 'boolean' } ? boolean : F extends { multiple: true } ? string[] : string;
export type FlagValues<F extends Flags> = { readonly [Name in keyof F]?: Given<F[Name]> };

export interface Invocation<F extends Flags> {
  readonly flags: FlagValues<F>;
  /** What stands beside the flags. */
  readonly args: readonly string[];
  /** Ends the process at once, for a second signal and for components that hang. */
  readonly exit: (code: number) => never;
}

/** One command of the command line. */
export interface Command<F extends Flags = Flags> {
  /** What may stand beside the flags, such as `URL`. Default: nothing. */
  readonly args?: string;
  /** More than the list of all commands says. */
  readonly about?: string;
  readonly flags: F;
  /** @returns the exit code: 0 done, 1 failed */
  run(invocation: Invocation<F>): Promise<number> | number;
}

/** Gives flags their types. */
export function defineCommand<const F extends Flags>(command: Command<F>): Command<F> {
  return command;
}

/** The flags of every command that reads a configuration. */
export const CONFIG_FLAGS = {
  config: {
    type: 'string',
    multiple: true,
    value: 'FILE',
    help: 'the configuration; several are merged, the last wins',
  },
  set: { type: 'string', multiple: true, value: 'a.b.c=VALUE', help: 'one setting, above all files; may be repeated' },
} as const satisfies Flags;

/**
 * Reads what stands behind the name of a command.
 * @throws UsageError for what the command does not know
 */
export function readFlags<F extends Flags>(
  name: string,
  command: Command<F>,
  args: readonly string[],
): Omit<Invocation<F>, 'exit'> {
  const { flags: options } = command;
  const written = withLoneValues(args, options);
  const see = `see outband ${name} --help`;
  const known = Object.keys(options).map((flag) => `--${flag}`);
  const lenient = parseArgs({ args: written, options, strict: false, allowPositionals: true, tokens: true });
  for (const token of lenient.tokens)
    if (token.kind === 'option' && !Object.hasOwn(options, token.name))
      throw new UsageError(`unknown flag ${token.rawName} ${suggest(token.rawName, known)}; ${see}`);
  const { values, positionals } = strictly(() => parseArgs({ args: written, options, allowPositionals: true }), see);
  if (positionals.length > 0 && command.args === undefined)
    throw new UsageError(`unexpected argument "${positionals[0]}"; ${see}`);
  return { flags: values as FlagValues<F>, args: positionals };
}

/** Usage, flags and an example of one command. */
export function helpOf(name: string, summary: string, example: string, { args, about, flags }: Command): string {
  const rows = Object.entries(flags).map(([flag, { value, alone, help }]) => {
    const placeholder = alone === undefined ? value : `[${alone}]`;
    return [`--${flag}${placeholder === undefined ? '' : ` ${placeholder}`}`, help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length), 0);
  const lines = rows.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`);
  return [
    `outband ${name}: ${summary}`,
    '',
    `Usage: outband ${name}${args === undefined ? '' : ` ${args}`}${rows.length > 0 ? ' [flags]' : ''}`,
    ...(about === undefined ? [] : ['', about]),
    ...(rows.length > 0 ? ['', 'Flags:', ...lines] : []),
    '',
    `Example: ${example}`,
    '',
  ].join('\n');
}

/** `--watch` alone means `--watch 2s`. */
function withLoneValues(args: readonly string[], options: Flags): string[] {
  return args.flatMap((arg, index) => {
    const alone = arg.startsWith('--') ? options[arg.slice(2)]?.alone : undefined;
    const next = args[index + 1];
    return alone !== undefined && (next === undefined || next.startsWith('-')) ? [arg, alone] : [arg];
  });
}

function strictly<T>(parse: () => T, see: string): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError(`${describeError(error).split('. ')[0]}; ${see}`);
  }
}
