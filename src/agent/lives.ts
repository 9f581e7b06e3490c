import { aborted } from '../component/aborted.ts';
import type { Clock } from '../component/clock.ts';
import { type Deadline, deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { OwnLogs } from '../platform/own-logs.ts';
import { workOf } from './at-work.ts';
import type { Node } from './graph.ts';

/** What a component gets to end by itself after the time for the stop is over. */
const LAST_MOMENT_MS = 100;
/** Time that a component may take to start in a reload; the agent runs on meanwhile. */
const START_MS = 30_000;
/** Of the time for the stop, what the store gets for what the exporters leave; half of a shorter time. */
const STORE_MS = 2_000;

/** A component that could not start. */
export interface Trouble {
  /** Such as `receiver bmc_logs`. */
  readonly name: string;
  readonly error: Error;
}

/** As it was made, when it was: its status is a permanent error until its host is gone. */
type Failure = Trouble & { readonly node: Node | undefined };

/**
 * Starts and stops components, each within its time, whatever it does: one that hangs, throws where it should reject, or blocks the
 * process holds up no other.
 */
export class Lives {
  readonly #logs: OwnLogs;
  readonly #clock: Clock;
  readonly #observe: () => Promise<unknown>;
  readonly #started = new Set<Node>();
  /** Names of what did not stop in time when it was replaced, and has not since. */
  readonly #leftBehind = new Set<string>();
  readonly #ending = new AbortController();
  /** Of the stop, once it has begun: when its time is over. */
  #limit: Deadline | undefined;

  /** @param observe reads all own metrics: what is observed stays as it was last read, once nobody observes it */
  constructor(logs: OwnLogs, clock: Clock, observe: () => Promise<unknown>) {
    this.#logs = logs;
    this.#observe = observe;
    this.#clock = clock;
  }

  /** Whether the agent is to stop: nothing more starts then. */
  get isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  /** From now on nothing starts but what is urgent, and all that stops shares this time; the first call counts. */
  end(timeoutMs: number): void {
    if (this.isEnding) return;
    this.#limit = deadline(this.#clock, timeoutMs, 'the stop');
    this.#ending.abort(new OutbandError('shutting_down', 'the agent stops'));
  }

  hasStarted(node: Node): boolean {
    return this.#started.has(node);
  }

  /** @throws what the component throws, with its name */
  async start(node: Node): Promise<void> {
    await this.#begin(node).catch((cause: unknown) => {
      throw startError(node, cause);
    });
  }

  /**
   * Makes a component and starts it, within its time.
   * @param isUrgent it starts while the agent stops, too, in the time for that
   * @returns why it does not run
   */
  async tryStart(name: string, make: () => Node, isUrgent = false): Promise<Failure | undefined> {
    let node: Node | undefined;
    try {
      if (!isUrgent) this.#ending.signal.throwIfAborted();
      node = make();
      const parent = isUrgent ? this.#limit?.signal : this.#ending.signal;
      using limit = deadline(this.#clock, START_MS, `the start of ${name}`, parent);
      const late = aborted(limit.signal).then(() => {
        throw limit.signal.reason;
      });
      await Promise.race([this.#begin(node), late]);
      return undefined;
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (!node) return { name, error, node };
      this.#started.delete(node);
      const stopping = shutDown(node, AbortSignal.abort('not started')).catch(() => {});
      await this.inTime(stopping, AbortSignal.abort());
      node.host.report({ status: 'permanent', error });
      return { name, error, node };
    }
  }

  /** Stops a component that is replaced or taken away; what does not end by then is left behind. */
  async stopForGood(node: Node, timeoutMs: number): Promise<void> {
    using limit = deadline(this.#clock, timeoutMs, `the stop of ${node.name}`, this.#limit?.signal);
    node.host.report({ status: 'stopping' });
    const stopping = this.#stop(node, limit.signal).finally(() => this.#leftBehind.delete(node.name));
    if (!(await this.inTime(stopping, limit.signal))) {
      this.#leftBehind.add(node.name);
      this.#logs.logger().error('a component did not stop in time', { component: node.name });
    }
    this.#started.delete(node);
    await this.#observe();
    node.host.gone();
  }

  /**
   * Stops what has started, the last first. Extensions have all the time, the others leave some of it to the store.
   * @returns names of those that did not stop in time, also of those that were left behind before
   */
  async stopAll(nodes: readonly Node[], isExtension: (node: Node) => boolean, timeoutMs: number): Promise<string[]> {
    const until = this.#clock.monotonic() + timeoutMs + LAST_MOMENT_MS;
    using limit = this.#limit ?? deadline(this.#clock, timeoutMs, 'the stop');
    const flushMs = Math.max(timeoutMs / 2, timeoutMs - STORE_MS);
    using flush = deadline(this.#clock, flushMs, 'the last delivery', limit.signal);
    const hung: string[] = [];
    for (const node of nodes.toReversed().filter((one) => this.#started.has(one))) {
      const hadTime = this.#clock.monotonic() < until;
      node.host.report({ status: 'stopping' });
      const stopping = this.#stop(node, isExtension(node) ? limit.signal : flush.signal);
      const isOver = await this.inTime(stopping, limit.signal);
      if (isOver) node.host.report({ status: 'stopped' });
      // Who held the whole process up ended in no time as the timers see it.
      if (!isOver || (hadTime && this.#clock.monotonic() > until)) hung.push(node.name);
    }
    return [...hung, ...this.#leftBehind];
  }

  /** Whether the work ended before the signal, or a moment after it: who comes last must not be blamed for the others. */
  async inTime(work: Promise<void>, signal: AbortSignal): Promise<boolean> {
    const late = aborted(signal).then(() => this.#clock.sleep(LAST_MOMENT_MS));
    return Promise.race([work.then(() => true), late.then(() => false)]);
  }

  async #begin(node: Node): Promise<void> {
    this.#started.add(node);
    node.host.report({ status: 'starting' });
    await workOf(node.name, () => node.component.start(node.host));
    node.host.started();
  }

  async #stop(node: Node, signal: AbortSignal): Promise<void> {
    await shutDown(node, signal).catch((error: unknown) =>
      this.#logs.logger().error('stopping failed', { component: node.name, error }),
    );
  }
}

/** Also of a component that throws where it should reject. */
async function shutDown({ name, component }: Node, signal: AbortSignal): Promise<void> {
  await workOf(name, () => component.shutdown(signal));
}

/** Says which component could not start, unless the error does; its code stays. */
function startError({ name }: Node, cause: unknown): Error {
  if (cause instanceof OutbandError && cause.message.includes(name.split(' ')[1]!)) return cause;
  const { code, hint } = cause instanceof OutbandError ? cause : { code: 'start_failed' as const, hint: undefined };
  return new OutbandError(code, `${name} cannot start: ${describeError(cause)}`, { cause, ...(hint && { hint }) });
}
