import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import attestation from '../../receivers/attestation/index.ts';
import { type AttestationParts, AttestationReceiver } from '../../receivers/attestation/receiver.ts';
import { countedReceiver } from '../../src/agent/measured-receiver.ts';
import { agentResource } from '../../src/component/agent-resource.ts';
import type { Component } from '../../src/component/component.ts';
import type { PageAnswer } from '../../src/component/page.ts';
import type { KeyValue } from '../../src/component/storage.ts';
import { SchedulerExtension } from '../../src/extensions/scheduler/extension.ts';
import schedulerFactory from '../../src/extensions/scheduler/index.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { type TestHost, testHost } from '../../src/testing/host.ts';
import { type TestMetrics, testMetrics } from '../../src/testing/metrics.ts';
import {
  type AttestedFleet,
  type AttestedFleetOptions,
  startAttestedFleet,
} from '../simulators/attested-fleet/fleet.ts';
import { Watchers } from '../simulators/watchers.ts';
import { type JumpClock, jumpClock } from './jump-clock.ts';

export interface AttestedSceneOptions {
  readonly fleet?: AttestedFleetOptions | AttestedFleet;
  /** Settings of the receiver, over those of {@link settingsFor}. */
  readonly config?: Record<string, unknown>;
  /** Settings of the one model, or several. */
  readonly models?: readonly Record<string, unknown>[];
  readonly parts?: AttestationParts;
  readonly store?: KeyValue;
  /** Takes the receiver's own metrics. */
  readonly onMetrics?: (metrics: ResourceMetrics) => Promise<void>;
  /** What an `authenticator` names. */
  readonly extension?: Component;
  readonly clock?: JumpClock;
  /** Called with every batch; may refuse it. */
  readonly onBatch?: (records: readonly ReadableLogRecord[]) => void | Promise<void>;
}

export interface AttestedScene {
  readonly fleet: AttestedFleet;
  readonly clock: JumpClock;
  readonly host: TestHost;
  readonly metrics: TestMetrics;
  /** Everything that the pipeline took. */
  readonly records: readonly ReadableLogRecord[];
  /** Attributes of the records with this event name. */
  events(name: string): Record<string, unknown>[];
  /** Attributes of the next record of a cycle that nobody asked for yet. */
  cycle(): Promise<Cycle>;
  /** Moves time on by one interval, and waits for the cycle. @param ms default: `refresh_interval` */
  next(ms?: number): Promise<Cycle>;
  /** Moves time on when no run is under way. */
  pass(ms: number): Promise<void>;
  until(predicate: () => boolean): Promise<void>;
  ask(method: 'GET' | 'POST', path: string, body?: unknown, headers?: Record<string, string>): Promise<PageAnswer>;
  /** The page of the one pool. */
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the API, which the tests take apart.
  view(): Promise<any>;
  /** The keys that are served. */
  pins(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

// biome-ignore lint/suspicious/noExplicitAny: attributes, which the tests take apart.
export type Cycle = Record<string, any>;

export const REFRESH_MS = 300_000;
const DISCOVERY = /^attestation\.discovery\./;

/** What a receiver needs to trust this fleet. */
export function settingsFor(fleet: AttestedFleet, files: { readonly tlsCa: string; readonly rootCa: string }) {
  return {
    jitter: 0,
    initial: { launch_stagger: '0s' },
    cumulative: { launch_stagger: '0s' },
    tls: { ca_file: files.tlsCa },
    verification: {
      root_ca_file: files.rootCa,
      collateral: { pccs: { url: fleet.pccs } },
      policy: { os_images: [fleet.osImageHash], compose_hashes: [fleet.composeHash] },
    },
  };
}

/** A receiver over a fleet, on the real scheduler and real sockets; time moves on when the test says so. */
export async function attestedScene(t: TestContext, options: AttestedSceneOptions = {}): Promise<AttestedScene> {
  const clock = options.clock ?? jumpClock();
  const given = options.fleet && 'port' in options.fleet ? options.fleet : undefined;
  const fleet = given ?? (await startAttestedFleet({ clock, ...(options.fleet as AttestedFleetOptions) }));
  const folder = await mkdtemp(join(tmpdir(), 'outband-attested-'));
  const files = { tlsCa: join(folder, 'tls.pem'), rootCa: join(folder, 'root.pem') };
  await Promise.all([writeFile(files.tlsCa, fleet.tlsCa), writeFile(files.rootCa, fleet.rootCa)]);
  const metrics = testMetrics();
  const schedulerHost = testHost({ clock });
  const scheduler = new SchedulerExtension(schedulerFactory.schema.parse({}) as never, schedulerHost);
  await scheduler.start();
  const store = options.store;
  const host: TestHost = {
    ...testHost({
      ...{ clock, scheduler, meter: metrics.provider.getMeter('test') },
      ...(store && { storage: { keyValue: () => store } as never }),
    }),
    ...(options.extension && { extension: () => options.extension! }),
    ownMetrics: { resource: agentResource(), collect: async () => (await metrics.reader.collect()).resourceMetrics },
  };
  const models = (options.models ?? [{}]).map((one, index) => ({
    ...{
      model: 'glm',
      name: index === 0 ? 'glm' : `glm-${index}`,
      url: fleet.url(index === 0 ? 'glm' : `glm-${index}`),
    },
    ...one,
  }));
  const base = settingsFor(fleet, files);
  const config = attestation.schema.parse({
    ...base,
    models,
    ...(store && { storage: 'file_storage' }),
    ...options.config,
    ...(options.config?.verification !== undefined && {
      verification: merge(base.verification, options.config.verification as Record<string, unknown>),
    }),
  });
  const records: ReadableLogRecord[] = [];
  const watchers = new Watchers();
  const receiver = new AttestationReceiver(
    { type: 'attestation', name: '' },
    config as never,
    host,
    countedReceiver(host.meter, 'attestation', {
      logs: {
        async consumeLogs(batch) {
          await options.onBatch?.(batch.records);
          records.push(...batch.records);
          watchers.notify();
        },
      },
      ...(options.onMetrics && { metrics: { consumeMetrics: options.onMetrics } }),
    }),
    options.parts,
  );
  await receiver.start();
  let read = 0;
  const cycles = () => records.filter(({ eventName }) => DISCOVERY.test(eventName ?? ''));
  let isStopped = false;
  const stop = async () => {
    if (isStopped) return;
    isStopped = true;
    await receiver.shutdown(AbortSignal.timeout(5_000));
    await scheduler.shutdown(AbortSignal.abort());
    if (!given) await fleet.stop();
    await rm(folder, { recursive: true, force: true });
  };
  t.after(stop);
  const until = (predicate: () => boolean) => watchers.until(predicate);
  const cycle = async (): Promise<Cycle> => {
    await until(() => cycles().length > read);
    const record = cycles()[read++]!;
    return { event: record.eventName, ...record.attributes };
  };
  const pass = async (ms: number) => {
    // A slot that passes while the last run is about to end is skipped.
    while (scheduler.snapshot().totals.inFlight > 0) await settle();
    clock.jump(ms);
  };
  const ask: AttestedScene['ask'] = async (method, path, body, headers = {}) => {
    const [pathname = '', query] = path.split('?');
    for (const page of host.pages) {
      const names: string[] = [];
      const pattern = page.path.replaceAll(/:(\w+)/g, (_, name: string) => {
        names.push(name);
        return '([^/]+)';
      });
      const match = new RegExp(`^${pattern}$`).exec(pathname);
      if (page.method !== method || !match) continue;
      const params = Object.fromEntries(names.map((name, n) => [name, decodeURIComponent(match[n + 1]!)]));
      const caller = { name: 'test', address: '127.0.0.1' };
      return page.handle({ params, query: new URLSearchParams(query), body, headers, caller });
    }
    throw new Error(`no page ${path}`);
  };
  return {
    ...{ fleet, clock, host, metrics, records, until, cycle, ask, stop },
    events: (name) => records.filter(({ eventName }) => eventName === name).map(({ attributes }) => attributes),
    async next(ms = REFRESH_MS) {
      await pass(ms);
      return cycle();
    },
    pass,
    async view() {
      const { body } = await ask('GET', '/api/monitoring/attestation?pool=glm');
      return (body as { pools: unknown[] }).pools[0];
    },
    async pins() {
      const { body } = await ask('GET', '/api/monitoring/attestation/glm/pins');
      return (body as { pins: string[] }).pins;
    },
  };
}

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    const areMaps = [below, value].every((one) => typeof one === 'object' && one !== null && !Array.isArray(one));
    merged[key] = areMaps ? merge(below as never, value as never) : value;
  }
  return merged;
}
