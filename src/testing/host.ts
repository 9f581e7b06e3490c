import { createNoopMeter, type Meter } from '@opentelemetry/api';
import { agentResource } from '../component/agent-resource.ts';
import type { Clock } from '../component/clock.ts';
import type { Component, ComponentStatus, Host } from '../component/component.ts';
import type { Page } from '../component/page.ts';
import type { Scheduler } from '../component/scheduler.ts';
import type { Storage } from '../component/storage.ts';
import { systemClock } from '../platform/system-clock.ts';

export interface TestHost extends Host {
  readonly lines: { readonly level: string; readonly message: string; readonly fields: unknown }[];
  /** What the component reported. */
  readonly reported: ComponentStatus[];
  readonly pages: readonly Page[];
  /** Ids of the extensions that the component asked for. */
  readonly asked: ReadonlySet<string>;
}

/** The host of one component under test. */
export function testHost(
  options: {
    clock?: Clock;
    random?: () => number;
    scheduler?: Component & Scheduler;
    storage?: Storage;
    meter?: Meter;
  } = {},
): TestHost {
  const lines: TestHost['lines'] = [];
  const reported: ComponentStatus[] = [];
  const pages: Page[] = [];
  const asked = new Set<string>();
  const answer =
    <T>(extension: T) =>
    (id: string) => {
      asked.add(id);
      return extension;
    };
  const log = (level: string) => (message: string, fields?: unknown) => {
    lines.push({ level, message, fields });
  };
  return {
    clock: options.clock ?? systemClock,
    random: options.random ?? (() => 0.5),
    configDirectory: process.cwd(),
    logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    meter: options.meter ?? createNoopMeter(),
    extension: answer(options.scheduler!),
    scheduler: answer(options.scheduler!),
    storage: answer(options.storage!),
    serve: (page) => pages.push(page),
    ownMetrics: { resource: agentResource(), collect: async () => ({ resource: agentResource(), scopeMetrics: [] }) },
    statuses: () => [],
    agent: () => ({ phase: 'running', startedAt: 0n, runningSince: 0n, config: undefined, pipelines: [] }),
    notAlive: async () => undefined,
    describe: () => {},
    ...{ pages, asked },
    report: (status) => reported.push(status),
    lines,
    reported,
  };
}
