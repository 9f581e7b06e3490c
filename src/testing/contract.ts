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

/** A meter that notes the names of the instruments that are made with it. */
export function notingMeter(): { readonly meter: Meter; readonly names: ReadonlySet<string> } {
  const names = new Set<string>();
  const meter = testMetrics().provider.getMeter('contract');
  const noting = new Proxy(meter, {
    get: (target, key) => {
      const member = Reflect.get(target, key);
      if (typeof member !== 'function') return member;
      if (!String(key).startsWith('create')) return member.bind(target);
      return (name: string, ...rest: unknown[]) => {
        names.add(name);
        return member.call(target, name, ...rest);
      };
    },
  });
  return { meter: noting, names };
}

/** @param made names of the instruments that a component has made */
export function sameMetrics(made: ReadonlySet<string>, declared: readonly MetricDoc[] = []): void {
  const names = [...new Set(declared.map(({ name }) => name))].sort();
  assert.deepEqual([...made].sort(), names, 'what was made differs from `metrics` of the factory');
}

/** What holds the process up, by kind. What passes by itself is left out. */
function resources(): Map<string, number> {
  const passing = /^(Immediate|TickObject|CloseReq|TTYWrap|PipeWrap|FSReqCallback|FSReqPromise|TCPConnectWrap)$/;
  const kinds = process.getActiveResourcesInfo().filter((kind) => !passing.test(kind));
  return new Map([...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => [kind, all.length]));
}
