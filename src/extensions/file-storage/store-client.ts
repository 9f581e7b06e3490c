import { Worker } from 'node:worker_threads';
import type { Clock } from '../../component/clock.ts';
import { OutbandError, RetryableError } from '../../component/errors.ts';
import type { Op, Reply, Request, StoreOptions, StoreState } from './protocol.ts';

/** One transaction takes at most so much of what waits. */
const MOST_GROUP_RECORDS = 4_096;
const MOST_GROUP_BYTES = 8 * 1024 * 1024;
/** A thread that dies twice within this time will die again. */
const RESTART_WINDOW_MS = 60_000;

export interface StoreClientOptions {
  readonly store: StoreOptions;
  readonly clock: Clock;
  /** Records that need no further wait. */
  readonly maxRecords: number;
  /** Longest wait for more, in milliseconds. */
  readonly maxDelayMs: number;
  readonly spawn: (options: StoreOptions) => Worker;
  /** After every answer, before its promises resolve. */
  readonly onState: (state: StoreState) => void;
  /** The thread was started anew; these come first, and `onState` tells the rest. */
  readonly onRestart: () => void;
  readonly onFatal: (error: Error) => void;
}

/** How the worker thread is started; `worker.js` once compiled. */
export function spawnWorker(workerData: StoreOptions): Worker {
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  return new Worker(new URL(file, import.meta.url), { workerData });
}

interface Waiting {
  readonly op: Op;
  /** Whether it may wait for others to share its transaction. */
  readonly patient: boolean;
  readonly records: number;
  readonly bytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Gathers what is to be written into groups, one transaction each, and hands them to the worker thread one at a time.
 * A slow disk makes larger groups, not a longer line.
 */
export class StoreClient {
  readonly #options: StoreClientOptions;
  #worker: Worker | undefined;
  #waiting: Waiting[] = [];
  #inFlight: readonly Waiting[] | undefined;
  readonly #answers = new Map<number, (reply: Reply | Error) => void>();
  #nextId = 1;
  #delaying = false;
  #diedAt = Number.NEGATIVE_INFINITY;
  #closing = false;
  /** Why nothing more can be written. */
  #dead: Error | undefined;
  #pendingBytes = 0;

  constructor(options: StoreClientOptions) {
    this.#options = options;
  }

  /** Bytes of records that are not committed yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Resolves when the store is open. @throws OutbandError why it cannot be opened */
  async open(): Promise<void> {
    const worker = this.#options.spawn(this.#options.store);
    this.#worker = worker;
    const opened = new Promise<Reply | Error>((resolve) => this.#answers.set(0, resolve));
    worker.on('message', (reply: Reply) => {
      if (reply.state.fatal !== undefined) this.#options.onFatal(new OutbandError('storage_io', reply.state.fatal));
      this.#options.onState(reply.state);
      const answer = this.#answers.get(reply.id);
      this.#answers.delete(reply.id);
      answer?.(reply);
    });
    worker.on('error', (error) => this.#died(worker, error));
    worker.on('exit', () => this.#died(worker, new Error('the thread ended')));
    const reply = await opened;
    const failed = reply instanceof Error ? undefined : reply.results[0];
    if (!(reply instanceof Error) && !(failed && 'error' in failed)) return;
    // Its end is no death that is to be cured.
    this.#worker = undefined;
    await worker.terminate();
    const { code, message, hint } =
      failed && 'error' in failed
        ? failed.error
        : { code: 'storage_worker' as const, message: 'the thread ended', hint: undefined };
    throw new OutbandError(code, message, hint === undefined ? {} : { hint });
  }

  /**
   * Resolves with the op's result when its transaction is committed.
   * @param size of what it writes; an op without size starts a transaction as soon as the thread is free
   * @param signal takes the op back as long as its transaction has not begun
   */
  submit(op: Op, size?: { readonly records: number; readonly bytes: number }, signal?: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead);
      const { records, bytes } = size ?? { records: 0, bytes: 0 };
      const takeBack = () => {
        const place = this.#waiting.indexOf(waiting);
        if (place < 0) return;
        this.#waiting.splice(place, 1);
        this.#pendingBytes -= bytes;
        reject(new RetryableError('queue_full', 'the records were not stored while the caller waited'));
      };
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T) => {
          signal?.removeEventListener('abort', takeBack);
          this.#pendingBytes -= bytes;
          settle(value);
        };
      };
      const waiting: Waiting = {
        ...{ op, patient: size !== undefined, records, bytes },
        ...{ resolve: settled(resolve), reject: settled(reject) },
      };
      this.#pendingBytes += bytes;
      this.#waiting.push(waiting);
      signal?.addEventListener('abort', takeBack, { once: true });
      this.#schedule();
    });
  }

  /** Lets the thread do its housekeeping. */
  async tick(): Promise<void> {
    await this.#ask({ tick: true });
  }

  /** Writes what waits, empties the write-ahead log and ends the thread. */
  async close(): Promise<void> {
    while (!this.#dead && (this.#waiting.length > 0 || this.#inFlight)) {
      this.#send();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#closing = true;
    await this.#ask({ close: true });
    await this.#worker?.terminate();
    this.#dead = new RetryableError('shutting_down', 'the store is closed');
  }

  #schedule(): void {
    if (this.#inFlight || this.#waiting.length === 0) return;
    const { maxRecords, maxDelayMs, clock } = this.#options;
    const records = this.#waiting.reduce((sum, waiting) => sum + waiting.records, 0);
    if (records >= maxRecords || this.#waiting.some(({ patient }) => !patient)) return this.#send();
    if (this.#delaying) return;
    this.#delaying = true;
    void clock.sleep(maxDelayMs).then(() => {
      this.#delaying = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#inFlight || this.#waiting.length === 0) return;
    let records = 0;
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#waiting) {
      records += waiting.records;
      bytes += waiting.bytes;
      if (count > 0 && (records > MOST_GROUP_RECORDS || bytes > MOST_GROUP_BYTES)) break;
      count++;
    }
    const group = this.#waiting.splice(0, count);
    this.#inFlight = group;
    void this.#ask({ ops: group.map(({ op }) => op) }).then((reply) => {
      this.#inFlight = undefined;
      for (const [index, { resolve, reject }] of group.entries()) {
        const result = reply instanceof Error ? undefined : reply.results[index];
        if (!result) reject(reply as Error);
        else if ('error' in result) reject(new RetryableError(result.error.code, result.error.message));
        else resolve(result.value);
      }
      this.#schedule();
    });
  }

  #ask(request: { ops: readonly Op[] } | { tick: true } | { close: true }): Promise<Reply | Error> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      if (this.#dead) return resolve(this.#dead);
      if (!this.#worker && 'close' in request) return resolve(new RetryableError('storage_worker', 'it never ran'));
      this.#answers.set(id, resolve);
      this.#worker?.postMessage({ id, ...request } satisfies Request);
    });
  }

  #died(worker: Worker, cause: Error): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    const error = new RetryableError('storage_worker', 'the thread of the store ended', { cause });
    for (const answer of this.#answers.values()) answer(error);
    this.#answers.clear();
    if (this.#closing) return;
    const { clock, onRestart } = this.#options;
    const now = clock.monotonic();
    if (now - this.#diedAt < RESTART_WINDOW_MS) return this.#giveUp(error);
    this.#diedAt = now;
    this.open().then(onRestart, (failed) => this.#giveUp(failed));
  }

  #giveUp(error: Error): void {
    this.#dead = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#options.onFatal(error);
  }
}
