import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../component/metric-doc.ts';
import { settle } from './fake-clock.ts';
import { testMetrics } from './metrics.ts';

/** What a component must do, by the sentence that says so. */
export type Rules = Readonly<Record<string, (t: TestContext) => Promise<void>>>;

/** Registers a test for each rule. */
export function register(name: string, rules: Rules): void {
  for (const [rule, check] of Object.entries(rules)) test(`${name}: ${rule}`, check);
}

/** What every suite can be told. */
export interface ContractOptions {
  /** How long a rule waits for what must happen; milliseconds of real time. Default 10,000. */
  readonly patienceMs?: number;
}

const LISTENED_TO = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'exit',
  'beforeExit',
  'uncaughtException',
  'unhandledRejection',
  'warning',
];

/** Ways to wait that end in a failure when it takes too long. */
export function patient({ patienceMs = 10_000 }: ContractOptions) {
  /** Lets work go on until something holds. @param turn called again and again, such as to move a clock */
  const until = async (
    what: string | (() => string),
    holds: () => boolean,
    turn: () => Promise<void> = settle,
  ): Promise<void> => {
    const limit = AbortSignal.timeout(patienceMs);
    while (!holds()) {
      if (limit.aborted) assert.fail(typeof what === 'string' ? `this did not happen: ${what}` : what());
      await turn();
    }
  };
  return {
    until,

    /** As `until`, for a promise. */
    async settles(what: string, work: Promise<unknown>, turn?: () => Promise<void>): Promise<void> {
      let isOver = false;
      const end = () => {
        isOver = true;
      };
      work.then(end, end);
      await until(what, () => isOver, turn);
      await work;
    },

    /** Runs a life, and waits until it has left no timer, no socket and no thread behind. */
    async leavesNothing(life: () => Promise<void>): Promise<void> {
      const before = resources();
      await life();
      const left = () => [...resources()].filter(([kind, count]) => count > (before.get(kind) ?? 0));
      await until(
        () => `left running: ${left().map(([kind, count]) => `${count - (before.get(kind) ?? 0)} ${kind}`)}`,
        () => left().length === 0,
      );
    },
  };
}

/** What was made with a meter: kind and unit, by name. */
export type Instruments = ReadonlyMap<string, string>;

/** A meter that notes the instruments that are made with it. */
export function notingMeter(): { readonly meter: Meter; readonly made: Instruments } {
  const made = new Map<string, string>();
  const meter = testMetrics().provider.getMeter('contract');
  const noting = new Proxy(meter, {
    get: (target, key) => {
      const member = Reflect.get(target, key);
      if (typeof member !== 'function') return member;
      if (!String(key).startsWith('create')) return member.bind(target);
      return (name: string, options: { readonly unit?: string } = {}) => {
        made.set(name, `${kindMadeBy(String(key))}, ${options.unit ?? 'no unit'}`);
        return member.call(target, name, options);
      };
    },
  });
  return { meter: noting, made };
}

/** `createObservableUpDownCounter` makes an `updown`. */
function kindMadeBy(method: string): string {
  const kind = method.replace(/^create(Observable)?/, '').toLowerCase();
  return kind === 'updowncounter' ? 'updown' : kind;
}

/** Names, kinds and units must be the declared ones. */
export function sameMetrics(made: Instruments, declared: readonly MetricDoc[] = []): void {
  const wanted = new Map(declared.map(({ name, kind, unit }) => [name, `${kind}, ${unit}`]));
  const sorted = (list: Instruments) => Object.fromEntries([...list].sort());
  assert.deepEqual(sorted(made), sorted(wanted), 'what was made differs from `metrics` of the factory');
}

/** What holds the process up, by kind, and who listens to it. What passes by itself is left out. */
function resources(): Map<string, number> {
  const passing = /^(Immediate|TickObject|CloseReq|TTYWrap|PipeWrap|FSReqCallback|FSReqPromise|TCPConnectWrap)$/;
  const kinds = process.getActiveResourcesInfo().filter((kind) => !passing.test(kind));
  const listeners = LISTENED_TO.map((event) => [`listener of ${event}`, process.listenerCount(event)] as const);
  return new Map([
    ...[...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => [kind, all.length] as const),
    ...listeners,
  ]);
}
