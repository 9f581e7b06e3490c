import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { builtins } from '../builtins.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { AnyFactory } from '../component/factory.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import { type ConfigInput, loadConfigs, pluginsOf } from '../config/load.ts';
import { parseOverride } from '../config/override.ts';
import { ConfigError } from '../config/problem.ts';
import type { ReferenceSource } from '../config/references.ts';
import { parseYamlFile } from '../config/yaml-file.ts';
import { type CONFIG_FLAGS, type FlagValues, UsageError } from './command.ts';
import { loadPlugins } from './load-plugins.ts';

const MAX_FILE_BYTES = 1024 * 1024;

/** What the command line says about the configuration: files, of which the last wins, and overrides that stand above them. */
export type ConfigFlags = FlagValues<typeof CONFIG_FLAGS>;

/** What can be configured. */
export interface Factories {
  readonly factories: readonly AnyFactory[];
  /** Where those of plugins come from, as `plugins` names it. */
  readonly modules: ReadonlyMap<AnyFactory, string>;
}

export interface ReadConfig extends Factories {
  readonly config: AgentConfig;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** Merged, with all references replaced; as it was written otherwise. */
  readonly merged: Readonly<Record<string, unknown>>;
  /** Content of every file that was read, by path: what tells whether something has changed. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Reads, merges and checks a configuration.
 * @param files is filled with what was read, also when that is refused; empty text: it could not be read
 * @throws ConfigError with every mistake; OutbandError `config_source` when a file cannot be read; UsageError for a bad `--set`
 */
export async function readConfig(flags: ConfigFlags, files = new Map<string, string>()): Promise<ReadConfig> {
  const inputs = inputsOf(flags, (path, text) => files.set(path, text));
  const plugins = await loadPlugins(pluginsOf(inputs));
  const factories = [...builtins, ...plugins.modules.keys()];
  const result = loadConfigs(inputs, factories, plugins.mistakes);
  if ('problems' in result) throw new ConfigError(result.problems);
  return { ...result, factories, modules: plugins.modules, files };
}

/** Built-in components, and those of the plugins that a configuration names, if one is given. */
export async function readFactories(flags: ConfigFlags): Promise<Factories> {
  const isAsked = flags.config !== undefined || flags.set !== undefined;
  return isAsked ? await readConfig(flags) : { factories: builtins, modules: new Map() };
}

type OnRead = (path: string, text: string) => void;

function inputsOf({ config = [], set = [] }: ConfigFlags, onRead: OnRead): ConfigInput[] {
  const empty = config.find((file) => file === '');
  if (empty !== undefined) throw new UsageError('--config: the name of the file is empty');
  if (config.length === 0)
    throw new UsageError(
      'no configuration\n  outband --config otel-config.yaml   runs one\n  npm ci && npm start                 is a demo, in a checkout',
    );
  return [...config.map((file) => readFile(file, onRead)), ...set.map((text) => override(text, onRead))];
}

function readFile(file: string, onRead: OnRead): ConfigInput {
  const source = sourceBelow(dirname(file), onRead);
  try {
    const content = readText(
      file,
      (why) => `cannot retrieve the configuration: unable to read the file file:${file}: ${why}`,
      onRead,
    );
    return { file: parseYamlFile(file, content), source };
  } catch (error) {
    // Told beside what is wrong with the other files.
    const position = { file, line: 0, column: 0 };
    const problem = { position, path: '', code: 'config_source' as const, message: describeError(error) };
    return { file: { name: file, value: undefined, problems: [problem], position: () => position }, source };
  }
}

function override(text: string, onRead: OnRead): ConfigInput {
  try {
    return { file: parseOverride(text), source: sourceBelow('.', onRead) };
  } catch (error) {
    throw new UsageError(describeError(error));
  }
}

/** @param directory where relative paths start */
function sourceBelow(directory: string, onRead: OnRead): ReferenceSource {
  return {
    env: (name) => process.env[name],
    file: (path) => {
      return readText(resolve(directory, path), (why) => why, onRead);
    },
    openMode: (path) => {
      const mode = statSync(resolve(directory, path)).mode & 0o777;
      return mode & 0o077 ? mode.toString(8).padStart(4, '0') : undefined;
    },
  };
}

function readText(path: string, message: (why: string) => string, onRead: OnRead): string {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) throw new Error('not a regular file');
    if (stats.size > MAX_FILE_BYTES) throw new Error('larger than 1 MiB');
    const text = readFileSync(path, 'utf8');
    onRead(path, text);
    return text;
  } catch (cause) {
    onRead(path, '');
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new OutbandError('config_source', message(missing ? 'no such file or directory' : describeError(cause)), {
      cause,
    });
  }
}
