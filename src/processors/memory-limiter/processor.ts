import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { Component, Host } from '../../component/component.ts';
import type { NextConsumers } from '../../component/consumer.ts';
import { RetryableError } from '../../component/errors.ts';
import type { MemoryLimiterConfig } from './index.ts';
import { type MemoryReading, MemoryState } from './limit.ts';

const MIB = 1024 * 1024;
const DEFAULT_SPIKE_SHARE = 0.2;

/** Refuses what comes while the process uses too much memory. It forces no collection. */
export class MemoryLimiter implements Component, NextConsumers {
  readonly logs: NextConsumers['logs'];
  readonly metrics: NextConsumers['metrics'];
  readonly #config: MemoryLimiterConfig;
  readonly #host: Host;
  readonly #read: () => MemoryReading;
  readonly #state: MemoryState;
  readonly #stop = new AbortController();
  #watching: Promise<void> | undefined;

  /** @param read for tests: what the process uses */
  constructor(config: MemoryLimiterConfig, host: Host, next: NextConsumers, read: () => MemoryReading = readMemory) {
    this.#config = config;
    this.#host = host;
    this.#read = read;
    const limit =
      config.limit_mib === undefined ? (memoryOfMachine() * config.limit_percentage!) / 100 : config.limit_mib * MIB;
    this.#state = new MemoryState({ limit, spike: spikeOf(config, limit) });
    const { logs, metrics } = next;
    this.logs = logs && {
      consumeLogs: async (batch, context) => {
        this.#admit();
        await logs.consumeLogs(batch, context);
      },
    };
    this.metrics = metrics && {
      consumeMetrics: async (data, context) => {
        this.#admit();
        await metrics.consumeMetrics(data, context);
      },
    };
  }

  async start(): Promise<void> {
    this.#watching = this.#watch();
  }

  async shutdown(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { clock, report } = this.#host;
    while (!this.#stop.signal.aborted) {
      if (this.#state.update(this.#read(), clock.monotonic()))
        report(this.#state.refuses ? { status: 'recoverable', error: refusal() } : { status: 'ok' });
      await clock.sleep(this.#config.check_interval, this.#stop.signal).catch(() => {});
    }
  }

  #admit(): void {
    if (this.#state.refuses) throw refusal();
  }
}

function refusal(): RetryableError {
  return new RetryableError('memory_limit', 'data refused due to high memory usage');
}

function spikeOf({ spike_limit_mib, spike_limit_percentage }: MemoryLimiterConfig, limit: number): number {
  if (spike_limit_mib !== undefined) return spike_limit_mib * MIB;
  if (spike_limit_percentage !== undefined) return (memoryOfMachine() * spike_limit_percentage) / 100;
  return limit * DEFAULT_SPIKE_SHARE;
}

/** What the control group allows, if it allows less than the machine has. */
function memoryOfMachine(): number {
  for (const file of ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']) {
    try {
      const bytes = Number(readFileSync(file, 'utf8'));
      if (bytes > 0) return Math.min(bytes, totalmem());
    } catch {
      // Another version of control groups, or none.
    }
  }
  return totalmem();
}

function readMemory(): MemoryReading {
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}
