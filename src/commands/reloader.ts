import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Agent } from '../agent/agent.ts';
import type { Trouble } from '../agent/lives.ts';
import type { Logger } from '../component/component.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import { publicMessage } from '../component/public-message.ts';
import { ConfigError, formatProblem, sortProblems } from '../config/problem.ts';
import { systemClock } from '../platform/system-clock.ts';
import { type ConfigFlags, type ReadConfig, readConfig } from './read-config.ts';

export const CONFIG_RELOADS: MetricDoc = {
  ...{ name: 'otelcol_config_reloads', kind: 'counter', unit: '{reload}', attributes: ['outcome'] },
  description: 'Configurations that were looked at while the agent ran: success, unchanged, failure.',
};
/** While no file is looked at, the interval itself is, so often. */
const IDLE_LOOK_MS = 1_000;
export type ReloadOutcome = 'success' | 'unchanged' | 'failure';

export interface ReloaderOptions {
  readonly flags: ConfigFlags;
  readonly agent: Agent;
  readonly logger: Logger;
  /** The configuration in force. */
  readonly current: ReadConfig;
  /** @param error names no target: the log has the details */
  readonly onOutcome: (outcome: ReloadOutcome, error?: string) => void;
  /** Called with what is in force from then on. */
  readonly onReloaded: (read: ReadConfig) => void;
  readonly signal: AbortSignal;
}

/**
 * Brings a running agent over to what its files say now. A new configuration is checked as a whole first: with a mistake in it the old one
 * runs on, untouched.
 */
export class Reloader {
  readonly #options: ReloaderOptions;
  #current: ReadConfig;
  /** Whether no component runs with older settings than it says. */
  #isInForce = true;
  #running: Promise<void> = Promise.resolve();
  /** What the last look saw. */
  #seen: string | undefined;
  /** What was tried last, in vain: texts of its files. */
  #failed: ReadonlyMap<string, string> = new Map();

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#current = options.current;
  }

  /**
   * Looks at the files again and again, by content: links and network disks tell of no change. A change counts when two looks agree, so
   * that no half-written file is read.
   */
  async watch(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      const { reload_interval: interval } = this.#current.config.service;
      // Another configuration may bring another interval.
      await systemClock.sleep(interval === 0 ? IDLE_LOOK_MS : interval, signal).catch(() => {});
      if (!signal.aborted && interval > 0) await this.#look();
    }
  }

  /** At once, whatever the files look like. Resolves when it is done. */
  reload(): Promise<void> {
    this.#running = this.#running.then(() => this.#reload());
    return this.#running;
  }

  async #look(): Promise<void> {
    const { files } = this.#current;
    // What a refused configuration wanted to read may come, and make it good.
    const watched = [...new Set([...files.keys(), ...this.#failed.keys()])];
    const texts = await Promise.all(watched.map((file) => readFile(file, 'utf8').catch(() => '')));
    const now = new Map(watched.map((file, index) => [file, texts[index]!]));
    const isOther = (than: ReadonlyMap<string, string>) => [...than].some(([file, text]) => now.get(file) !== text);
    const seen = JSON.stringify(texts);
    const isSettled = seen === this.#seen;
    this.#seen = seen;
    const isChanged = isOther(files);
    if (!isChanged) this.#failed = new Map();
    // The same mistake is told once.
    const isTried = this.#failed.size > 0 && !isOther(this.#failed);
    if (isChanged && isSettled && !isTried) await this.reload();
  }

  async #reload(): Promise<void> {
    const { flags, agent, logger, onOutcome, onReloaded } = this.#options;
    const touched = new Map<string, string>();
    try {
      const read = await readConfig(flags, touched);
      if (this.#isInForce && isDeepStrictEqual(read.merged, this.#current.merged)) {
        this.#current = read;
        logger.info('The configuration is as it was');
        return onOutcome('unchanged');
      }
      const refused = needsRestart(this.#current, read);
      if (refused !== undefined) {
        this.#failed = touched;
        logger.error('The configuration is not taken over: this needs a restart', { setting: refused });
        return onOutcome('failure', `${refused} needs a restart`);
      }
      const isOther = !isDeepStrictEqual(read.config.service, this.#current.config.service);
      const { replaced, removed, kept, down } = await agent.reload(read.config);
      // Nobody asks any more what became of it.
      if (this.#options.signal.aborted) return;
      this.#current = read;
      this.#isInForce = kept.length + down.length === 0;
      this.#failed = new Map();
      onReloaded(read);
      for (const { name, error } of kept)
        logger.error('A component keeps its old settings', { component: name, error });
      for (const { name, error } of down) logger.error('A component cannot start', { component: name, error });
      logger.info('The configuration was taken over', {
        replaced,
        ...(removed.length > 0 && { removed }),
        ...(isOther && { changed: 'service' }),
      });
      if (this.#isInForce) onOutcome('success');
      else onOutcome('failure', troubles(kept, down));
    } catch (error) {
      this.#failed = touched;
      if (error instanceof ConfigError)
        for (const problem of sortProblems(error.problems)) logger.error(formatProblem(problem));
      logger.error('The configuration is not taken over; the old one runs on', {
        error: error instanceof ConfigError ? undefined : error,
      });
      onOutcome('failure', error instanceof ConfigError ? mistakes(error.problems.length) : publicMessage(error));
    }
  }
}

function troubles(kept: readonly Trouble[], down: readonly Trouble[]): string {
  const names = (list: readonly Trouble[]) => list.map(({ name }) => name).join(', ');
  return [
    ...(kept.length > 0 ? [`old settings are kept by ${names(kept)}`] : []),
    ...(down.length > 0 ? [`${names(down)} cannot start`] : []),
  ].join('; ');
}

function mistakes(count: number): string {
  return `the configuration has ${count === 1 ? 'a mistake' : `${count} mistakes`}; the log names ${count === 1 ? 'it' : 'them'}`;
}

/** @returns the setting that cannot change while the agent runs */
function needsRestart(before: ReadConfig, after: ReadConfig): string | undefined {
  const telemetry = ({ merged }: ReadConfig) =>
    (merged.service as { telemetry?: { metrics?: unknown; resource?: unknown; logs?: Record<string, unknown> } })
      ?.telemetry;
  // As it was written: two secrets are equal to whoever compares what is made of them.
  const settings = {
    'service::telemetry::metrics': (read: ReadConfig) => telemetry(read)?.metrics,
    'service::telemetry::resource': (read: ReadConfig) => telemetry(read)?.resource,
    ...Object.fromEntries(
      (['processors', 'encoding', 'initial_fields', 'output_paths'] as const).map((key) => [
        `service::telemetry::logs::${key}`,
        (read: ReadConfig) => telemetry(read)?.logs?.[key],
      ]),
    ),
    plugins: ({ merged }: ReadConfig) => merged.plugins,
  };
  return Object.entries(settings).find(([, read]) => !isDeepStrictEqual(read(before), read(after)))?.[0];
}
