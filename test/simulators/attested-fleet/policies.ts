import { createHash } from 'node:crypto';

/** What a balancer knows when a connection comes. */
export interface PolicyView {
  /** By rising index; never empty. `open`: connections through the proxy. */
  readonly healthy: readonly { readonly index: number; readonly open: number }[];
  readonly source: { readonly ip: string; readonly port: number };
  readonly nowMs: number;
}

/** The index of the backend that gets the connection. Keeps what it must remember of earlier connections. */
export type Pick = (view: PolicyView) => number;

/** How a balancer chooses. */
export interface Policy {
  readonly name: string;
  /** Starts afresh, with its own memory. */
  start(random: () => number): Pick;
}

/** One after the other. */
export const roundRobin = (): Policy => ({
  name: 'roundRobin',
  start: () => inTurn(),
});

/** Each as likely as any other. */
export const uniform = (): Policy => ({
  name: 'uniform',
  start: (random) => (view) => anyOf(view, random),
});

/** Each as likely as its weight says; `weights[i]` is that of backend i, default 1. */
export const weighted = (weights: readonly number[]): Policy => ({
  name: 'weighted',
  start:
    (random) =>
    ({ healthy }) => {
      const weightOf = ({ index }: { readonly index: number }) => weights[index] ?? 1;
      let left = random() * healthy.reduce((sum, one) => sum + weightOf(one), 0);
      const hit = healthy.find((one) => {
        left -= weightOf(one);
        return left < 0;
      });
      return (hit ?? healthy.at(-1)!).index;
    },
});

/** The one with the fewest open connections, the first of equals. `background[i]`: others' connections at backend i. */
export const leastConnections = ({ background = [] }: { readonly background?: readonly number[] } = {}): Policy => ({
  name: 'leastConnections',
  start:
    () =>
    ({ healthy }) => {
      const load = ({ index, open }: { readonly index: number; readonly open: number }) =>
        open + (background[index] ?? 0);
      return healthy.reduce((least, one) => (load(one) < load(least) ? one : least)).index;
    },
});

/** By a hash of where the connection comes from. */
export const hashSource = (by: 'ip' | 'ip+port'): Policy => ({
  name: 'hashSource',
  start:
    () =>
    ({ healthy, source: { ip, port } }) => {
      const key = by === 'ip' ? ip : `${ip}:${port}`;
      return healthy[createHash('sha256').update(key).digest().readUInt32BE() % healthy.length]!.index;
    },
});

/** A source keeps its backend until it stayed away for `ttlMs`, or the backend died. */
export const sticky = (ttlMs: number): Policy => ({
  name: 'sticky',
  start: (random) => {
    const kept = new Map<string, { index: number; untilMs: number }>();
    return (view) => {
      const { healthy, source, nowMs } = view;
      const last = kept.get(source.ip);
      const holds = last && nowMs < last.untilMs && healthy.some(({ index }) => index === last.index);
      const index = holds ? last.index : anyOf(view, random);
      kept.set(source.ip, { index, untilMs: nowMs + ttlMs });
      return index;
    };
  },
});

/** In turn for the first `afterSeq` connections, then only among the first `k`. */
export const collapsing = (k: number, afterSeq: number): Policy => ({
  name: 'collapsing',
  start: () => {
    const next = inTurn();
    let seq = 0;
    return (view) => next(seq++ < afterSeq ? view : { ...view, healthy: view.healthy.slice(0, k) });
  },
});

/** In turn, but never these while there is another. */
export const starve = (starved: Iterable<number>): Policy => ({
  name: 'starve',
  start: () => {
    const never = new Set(starved);
    const next = inTurn();
    return (view) => {
      const fed = view.healthy.filter(({ index }) => !never.has(index));
      return next(fed.length > 0 ? { ...view, healthy: fed } : view);
    };
  },
});

/** Exactly these, over and over; the first healthy one instead of a dead one. */
export const scripted = (script: readonly number[]): Policy => ({
  name: 'scripted',
  start: () => {
    let seq = 0;
    return ({ healthy }) => {
      const wanted = script[seq++ % script.length];
      return (healthy.find(({ index }) => index === wanted) ?? healthy[0]!).index;
    };
  },
});

const byName = {
  ...{ roundRobin, uniform, weighted, leastConnections, hashSource },
  ...{ sticky, collapsing, starve, scripted },
} as unknown as Readonly<Record<string, (...args: readonly unknown[]) => Policy>>;

/** A policy by its name and the arguments of its function, as JSON can say it. */
export function policyNamed(name: string, args: readonly unknown[] = []): Policy {
  const make = byName[name];
  if (!make) throw new Error(`no policy ${name}`);
  return make(...args);
}

function inTurn(): Pick {
  let seq = 0;
  return ({ healthy }) => healthy[seq++ % healthy.length]!.index;
}

function anyOf({ healthy }: PolicyView, random: () => number): number {
  return healthy[Math.floor(random() * healthy.length)]!.index;
}
