import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { z } from 'zod';
import type { Component, Host } from '../../src/component/component.ts';
import type { ConsumeContext, NextConsumers } from '../../src/component/consumer.ts';
import { PermanentError } from '../../src/component/errors.ts';
import type { Sender } from '../../src/component/exporter.ts';
import { defineExporter, defineExtension, defineProcessor, defineReceiver } from '../../src/component/factory.ts';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import type { Storage, StoredQueue } from '../../src/component/storage.ts';
import { FileStorage } from '../../src/extensions/file-storage/extension.ts';
import fileStorage, { type FileStorageConfig } from '../../src/extensions/file-storage/index.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';
import {
  exporterRules,
  extensionRules,
  processorRules,
  type Rules,
  receiverRules,
  record,
  storageRules,
  testHost,
} from '../../src/testing/index.ts';
import { temporaryDirectory } from '../support/storage.ts';

const PATIENCE = { patienceMs: 300 };
const schema = z.strictObject({});
const never = new AbortController().signal;
const READ: MetricDoc = {
  ...{ name: 'lines.read', kind: 'counter', unit: '{line}', attributes: [] },
  description: 'Lines that were read.',
};

/** Names of the rules that do not hold. */
async function failing(t: TestContext, rules: Rules): Promise<string[]> {
  const failed: string[] = [];
  for (const [name, rule] of Object.entries(rules)) await rule(t).catch(() => failed.push(name));
  return failed;
}

/** Each kind of component that does as it should, and once with each fault; and the one rule that each fault breaks. */
function breaks<Fault extends string>(
  kind: string,
  rulesOf: (fault: Fault | undefined) => Rules,
  faults: Readonly<Record<Fault, string>>,
): void {
  test(`a ${kind} that does as it should`, async (t) => assert.deepEqual(await failing(t, rulesOf(undefined)), []));
  for (const [fault, rule] of Object.entries<string>(faults))
    test(`a ${kind} that ${fault}`, async (t) => assert.deepEqual(await failing(t, rulesOf(fault as Fault)), [rule]));
  test(`every rule of a ${kind} is broken by one of these`, () =>
    assert.deepEqual([...new Set(Object.values(faults))].sort(), Object.keys(rulesOf(undefined)).sort()));
}

const forgotten: NodeJS.Timeout[] = [];
after(() => forgotten.forEach(clearInterval));
/** A timer that runs on. */
function forget(): void {
  forgotten.push(setInterval(() => {}, 1_000_000));
}

const RECEIVER_FAULTS = {
  'throws at its second stop': 'starts, and stops twice',
  'cannot stop without a start': 'stops without a start',
  'turns the order round': 'sends what its source has, in its order',
  'forgets what was refused': 'offers again what was refused for now',
  'stores its position first': 'moves no position past what was refused, over a restart too',
  'takes what it took back for taken': 'moves no position past what was refused, over a restart too',
  'waits for the pipeline at its stop': 'stops while the pipeline takes nothing',
  'gives no signal': 'takes its offers back when it stops',
  'offers for ever what will never be taken': 'passes on when what it offered will never be taken',
  'calls a refusal its own failure': 'takes a refusal by the pipeline for no failure of its source',
  'stores no position': 'sends nothing again that was taken',
  'calls itself ill': 'does not call itself ill while its source and its pipeline are well',
  'keeps quiet about an extension': 'refers to the extensions that it asks for',
  'does not make its metric': 'makes the metrics that it declares, and no others',
  'lets a timer run on': 'leaves nothing behind',
} as const;
type ReceiverFault = keyof typeof RECEIVER_FAULTS;

/** Reads the lines of a list. */
function lineReceiver(source: { readonly lines: readonly string[] }, fault: ReceiverFault | undefined) {
  const is = (what: ReceiverFault) => fault === what;
  return defineReceiver({
    ...{ type: 'lines', summary: '', stability: { logs: 'beta' }, schema, metrics: [READ] },
    references: () => (is('keeps quiet about an extension') ? [] : [{ path: [], id: 'any' }]),
    create({ host, next }): Component {
      const store = host.storage('any').keyValue('lines', 'position');
      if (!is('does not make its metric')) host.meter.createCounter(READ.name, READ);
      let stops = 0;
      let isStarted = false;
      let offering: Promise<void> | undefined;
      let taken = 0;
      let target: ReturnType<ReturnType<Host['scheduler']>['register']> | undefined;
      const run = async (signal: AbortSignal) => {
        const { lines } = source;
        const fresh = lines.slice(taken).map((line) => record(line));
        if (fresh.length === 0) return {};
        if (is('turns the order round')) fresh.reverse();
        if (is('stores its position first')) await store.set({ at: String(lines.length) });
        const resource = resourceFromAttributes({});
        const batch = {
          resource,
          scope: { name: 'lines' },
          records: fresh,
          origin: { receiver: 'lines', target: 'lines' },
        };
        const count = lines.length;
        offering = next.logs!.consumeLogs(batch, { signal: is('gives no signal') ? never : signal });
        let isRefused = false;
        const over = () => {
          offering = undefined;
        };
        await offering.finally(over).catch((error: unknown) => {
          if (error instanceof PermanentError && !is('offers for ever what will never be taken')) return;
          if (is('takes what it took back for taken') && signal.aborted) return;
          if (is('calls a refusal its own failure')) throw new Error('failed');
          if (!is('forgets what was refused')) throw error;
          isRefused = true;
        });
        taken = count;
        if (!isRefused && !is('stores no position')) await store.set({ at: String(taken) });
        return { items: fresh.length };
      };
      return {
        async start() {
          isStarted = true;
          if (is('lets a timer run on')) forget();
          if (is('calls itself ill')) host.report({ status: 'recoverable', error: new Error('ill') });
          taken = Number((await store.list('at')).get('at') ?? 0);
          const identity = { type: 'lines', name: 'lines', connection: 'lines', run };
          target = host.scheduler('any').register(identity, { interval: 1_000 });
        },
        async shutdown() {
          if (is('throws at its second stop') && isStarted && stops++ > 0) throw new Error('stopped already');
          if (is('cannot stop without a start') && !isStarted) throw new Error('not started');
          const gone = target?.unregister();
          if (is('waits for the pipeline at its stop') && offering) await new Promise(() => {});
          if (!is('gives no signal')) await gone;
        },
      };
    },
  });
}

breaks<ReceiverFault>(
  'receiver',
  (fault) => {
    const list = { lines: [] as string[] };
    return receiverRules({
      ...PATIENCE,
      factory: lineReceiver(list, fault),
      async source() {
        list.lines = [];
        return {
          settings: {},
          async add(count) {
            const bodies = Array.from({ length: count }, (_, n) => `line ${list.lines.length + n}`);
            list.lines.push(...bodies);
            return bodies;
          },
        };
      },
    });
  },
  RECEIVER_FAULTS,
);

/** Start and stop of what has nothing to start, with the faults that all kinds can have. */
function life(fault: string | undefined): Component {
  let isStarted = false;
  let stops = 0;
  return {
    async start() {
      isStarted = true;
      if (fault === 'lets a timer run on') forget();
    },
    async shutdown() {
      if (fault === 'throws at its second stop' && isStarted && stops++ > 0) throw new Error('stopped already');
      if (fault === 'cannot stop without a start' && !isStarted) throw new Error('not started');
    },
  };
}

const PROCESSOR_FAULTS = {
  'throws at its second stop': 'starts, and stops twice',
  'cannot stop without a start': 'stops without a start',
  'writes to what it is given': 'passes records on in their order, and changes none that it was given',
  'acknowledges after a moment': 'acknowledges only what was acknowledged behind it',
  'hangs at its stop': 'stops while what is behind it takes nothing',
  'forgets where records came from': 'says where records came from, as it was told',
  'makes every refusal final': 'tells its caller of a refusal as it was told, and passes the same batch on again',
  'gives no context': 'passes its caller’s signal and labels on',
  'makes a metric that it does not declare': 'makes the metrics that it declares, and no others',
  'lets a timer run on': 'leaves nothing behind',
} as const;
type ProcessorFault = keyof typeof PROCESSOR_FAULTS;

breaks<ProcessorFault>(
  'processor',
  (fault) => {
    const is = (what: ProcessorFault) => fault === what;
    const factory = defineProcessor({
      ...{ type: 'pass', summary: '', stability: { logs: 'beta' }, schema },
      create({ host, next }): Component & NextConsumers {
        if (is('makes a metric that it does not declare')) host.meter.createCounter(READ.name, READ);
        let inHand = 0;
        const { shutdown, ...own } = life(fault);
        return {
          ...own,
          shutdown: (signal) => (is('hangs at its stop') && inHand > 0 ? new Promise(() => {}) : shutdown(signal)),
          logs: {
            async consumeLogs(batch: LogBatch, context: ConsumeContext) {
              if (is('writes to what it is given') && batch.records.length > 1)
                Reflect.apply(Array.prototype.pop, batch.records, []);
              const given = is('forgets where records came from')
                ? { ...batch, origin: { receiver: '', target: '' } }
                : batch;
              inHand++;
              const passed = next.logs!.consumeLogs(given, is('gives no context') ? { signal: never } : context);
              if (is('acknowledges after a moment')) {
                passed.catch(() => {});
                await Promise.race([passed, new Promise((resolve) => setImmediate(resolve))]);
                return;
              }
              const over = () => {
                inHand--;
              };
              await passed.finally(over).catch((error: unknown) => {
                throw is('makes every refusal final') ? new PermanentError('export_rejected', String(error)) : error;
              });
            },
          },
        };
      },
    });
    return processorRules({ ...PATIENCE, factory, settings: {} });
  },
  PROCESSOR_FAULTS,
);

const EXPORTER_FAULTS = {
  'throws at its second stop': 'stops twice',
  'cannot stop without a start': 'stops without a start',
  'writes to what it is given': 'takes what is well, many at once, and changes nothing of it',
  'throws when its backend is away': 'tells by a result that its backend is away',
  'does not heed the signal': 'ends an attempt whose time is over, with a result or with the reason',
  'makes a metric that it does not declare': 'makes the metrics that it declares, and no others',
  'lets a timer run on': 'leaves nothing behind',
} as const;
type ExporterFault = keyof typeof EXPORTER_FAULTS;

breaks<ExporterFault>(
  'exporter',
  (fault) => {
    const is = (what: ExporterFault) => fault === what;
    const factory = defineExporter({
      ...{
        type: 'end',
        summary: '',
        stability: { logs: 'beta' },
        schema: z.strictObject({ isAway: z.boolean().optional() }),
      },
      create({ host, config: { isAway } }): Sender {
        if (is('makes a metric that it does not declare')) host.meter.createCounter(READ.name, READ);
        return {
          ...life(fault),
          async sendLogs(records, { signal }) {
            if (is('writes to what it is given') && records.length > 1) Reflect.apply(Array.prototype.pop, records, []);
            if (is('does not heed the signal') && signal.aborted) await new Promise(() => {});
            if (isAway && is('throws when its backend is away')) throw new Error('away');
            return isAway ? { kind: 'retry', reason: 'away' } : { kind: 'accepted' };
          },
        };
      },
    });
    const away = async () => ({ isAway: true });
    return exporterRules({ ...PATIENCE, factory, settings: async () => ({}), away });
  },
  EXPORTER_FAULTS,
);

const EXTENSION_FAULTS = {
  'throws at its second stop': 'starts, and stops twice',
  'cannot stop without a start': 'stops without a start',
  'does not answer': 'is alive, and does not call itself ill',
  'makes a metric that it does not declare': 'makes the metrics that it declares, and no others',
  'lets a timer run on': 'leaves nothing behind',
} as const;
type ExtensionFault = keyof typeof EXTENSION_FAULTS;

breaks<ExtensionFault>(
  'extension',
  (fault) => {
    const is = (what: ExtensionFault) => fault === what;
    const factory = defineExtension({
      ...{ type: 'side', summary: '', stability: 'beta', schema },
      create({ host }): Component {
        if (is('makes a metric that it does not declare')) host.meter.createCounter(READ.name, READ);
        return {
          ...life(fault),
          ...(is('does not answer') && { alive: () => new Promise<void>(() => {}) }),
        };
      },
    });
    return extensionRules({ ...PATIENCE, factory, settings: async () => ({}) });
  },
  EXTENSION_FAULTS,
);

const STORAGE_FAULTS = {
  'gives values in any order': 'gives the values of a prefix, in the order of their keys',
  'has one namespace for all': 'keeps the values of one namespace from those of another',
  'keeps what is set to undefined': 'deletes what is set to undefined',
  'forgets values at a restart': 'keeps values over a restart',
  'reads from the start whatever it is asked': 'gives rows in the order in which they came, from any of them on',
  'gives removed rows again': 'keeps rows and their numbers over a restart, and nothing that was removed',
  'puts nothing back': 'sets aside with a reason, and puts back behind all others',
  'forgets dead letters at a restart': 'keeps what was set aside over a restart',
} as const;
type StorageFault = keyof typeof STORAGE_FAULTS;

breaks<StorageFault>(
  'store',
  (fault) => {
    const is = (what: StorageFault) => fault === what;
    const broken = (real: Storage, opening: number): Storage => ({
      keyValue(namespace, kind) {
        const own = is('forgets values at a restart') ? `${namespace}/${opening}` : namespace;
        const values = real.keyValue(is('has one namespace for all') ? 'all' : own, kind);
        return {
          set: (changes) =>
            values.set(is('keeps what is set to undefined') ? JSON.parse(JSON.stringify(changes)) : changes),
          list: async (prefix) => {
            const found = [...(await values.list(prefix))];
            return new Map(is('gives values in any order') ? found.reverse() : found);
          },
        };
      },
      async queue(name) {
        const queue = await real.queue(name);
        const forgotten = is('forgets dead letters at a restart') ? queue.totals.deadLetters : 0;
        const faults: Partial<StoredQueue> = {
          ...(is('reads from the start whatever it is asked') && { read: (_, maxBytes) => queue.read(0, maxBytes) }),
          ...(is('gives removed rows again') && { remove: async () => {} }),
          ...(is('puts nothing back') && { redrive: async () => {} }),
        };
        return new Proxy(queue, {
          get: (target, key) => {
            if (key === 'totals') return { ...queue.totals, deadLetters: queue.totals.deadLetters - forgotten };
            const member = Reflect.get(faults, key) ?? Reflect.get(target, key);
            return typeof member === 'function' ? member.bind(target) : member;
          },
        });
      },
    });
    return storageRules(async (t) => {
      const directory = await temporaryDirectory(t);
      const config = fileStorage.schema.parse({ directory, ballast_bytes: 0 }) as FileStorageConfig;
      let openings = 0;
      return async () => {
        const real = new FileStorage('file_storage', config, testHost());
        await real.start();
        return { storage: broken(real, ++openings), close: () => real.shutdown() };
      };
    });
  },
  STORAGE_FAULTS,
);
