import { type Agent, createAgent, type Reloaded } from '../../src/agent/agent.ts';
import { builtins } from '../../src/builtins.ts';
import type { Clock } from '../../src/component/clock.ts';
import type { AnyFactory } from '../../src/component/factory.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { createOwnLogs } from '../../src/platform/own-logs.ts';
import { createOwnMetrics, type MetricsPage } from '../../src/platform/own-metrics.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { type Books, balancedBooks, readingsOf } from '../../src/testing/metrics.ts';
import { Watchers } from '../simulators/watchers.ts';

/** A line of the agent's own log, parsed. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string; readonly msg: string };

export interface TestAgent extends Agent {
  readonly lines: readonly LogLine[];
  /** Resolves as soon as the agent has written a line like this; looks at the lines so far, too. */
  line(predicate: (line: LogLine) => boolean): Promise<LogLine>;
  /** Sum of a counter over all label sets that contain these labels. */
  metric(name: string, labels?: Readonly<Record<string, unknown>>): Promise<number>;
  /** Goes over to the configuration of this text. */
  goOver(yaml: string): Promise<Reloaded>;
  /** Where the records of an exporter are; throws when the books do not balance. */
  books(exporter: string): Promise<Books>;
}

export interface RunOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly factories?: readonly AnyFactory[];
  /** Default: no page. */
  readonly page?: MetricsPage;
}

/** A whole agent in this process, from the text of its configuration. */
export function agentOf(yaml: string, options: RunOptions = {}): TestAgent {
  const { clock = systemClock, factories = builtins } = options;
  const load = (text: string) => {
    const source = { env: () => undefined, file: () => '' };
    const result = loadConfig('test.yaml', text, factories, source);
    if ('problems' in result) throw new ConfigError(result.problems);
    return result.config;
  };
  const lines: LogLine[] = [];
  const watchers = new Watchers();
  const logs = createOwnLogs({
    level: 'debug',
    encoding: 'json',
    clock,
    write: (line) => {
      lines.push(JSON.parse(line));
      watchers.notify();
    },
  });
  const readings = readingsOf();
  const metrics = createOwnMetrics({ version: 'test', readers: [readings.reader], page: options.page });
  const agent = createAgent({
    config: load(yaml),
    logs,
    metrics,
    clock,
    ...(options.random && { random: options.random }),
  });
  return {
    lines,
    async line(predicate) {
      await watchers.until(() => lines.some(predicate));
      return lines.find(predicate)!;
    },
    start: () => agent.start(),
    stop: () => agent.stop(),
    tellOfConfig: (config) => agent.tellOfConfig(config),
    reload: (config) => agent.reload(config),
    goOver: (text) => agent.reload(load(text)),
    metric: (name, labels) => readings.value(name, labels),
    books: (exporter) => balancedBooks(readings, exporter),
  };
}
