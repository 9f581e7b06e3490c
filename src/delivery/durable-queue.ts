import type { Clock } from '../component/clock.ts';
import type { Logger } from '../component/component.ts';
import { describeError, RetryableError } from '../component/errors.ts';
import type { DeadLetterChange, DeadLetterNote, StoredQueue, StoredRow } from '../component/storage.ts';
import { Signpost } from '../resilience/signpost.ts';
import { Fifo } from './fifo.ts';
import { gaveUp } from './memory-queue.ts';
import type { Queue, QueueFigures, QueueItem, Recovered } from './queue.ts';
import type { QueueLimits } from './settings.ts';
import { ContextCache, type SignalKind } from './signals.ts';

/** One read of what is on disk only. */
const READ_BYTES = 1024 * 1024;
/** What waits in memory at most: enough for a second at any rate, and little in an outage, since the disk has it all. */
const WINDOW_BYTES = 16 * READ_BYTES;
/** With less than this in memory the next read begins. */
const LOW_WATER_BYTES = 2 * READ_BYTES;
/** A row that could not be noted as delivered is tried again after this time. */
const RETRY_MS = 1_000;

interface Item<Value> extends QueueItem<Value> {
  readonly seq: number;
  /** Bytes of its body in the store. */
  readonly stored: number;
}

/**
 * A queue in a store. A batch is acknowledged when its transaction is committed; then its values are sent from memory
 * while they fit there, else they are read back when their turn comes, oldest first.
 *
 * What is on disk only is never counted: it is what the store holds less what is in memory. So rows that come from
 * elsewhere (redriven dead letters, a commit whose answer was lost) need no rule of their own.
 */
export class DurableQueue<Batch, Value> implements Queue<Batch, Value> {
  readonly #kind: SignalKind<Batch, Value>;
  readonly #limits: QueueLimits;
  readonly #stored: StoredQueue;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onChange: (change: DeadLetterChange) => void;
  readonly #onCorrupt: (records: number) => void;
  readonly #signal: AbortSignal;
  readonly #contexts = new ContextCache();
  readonly #items = new Fifo<Item<Value>>();
  readonly #arrival = new Signpost();
  readonly #room = new Signpost();
  /** Rows up to here were in memory once. */
  #loadedUpTo = 0;
  #readyBytes = 0;
  /** Items that were taken and are not settled. */
  #inHand = 0;
  #inHandPoints = 0;
  #reading = false;
  #appendedBefore = 0;
  #recovered = 0;
  /** Puts that wait for their commit, in the unit of the sizer. */
  #putting = 0;

  /** @param onChange is told what became of dead letters by other hands */
  constructor(options: {
    readonly kind: SignalKind<Batch, Value>;
    readonly limits: QueueLimits;
    readonly stored: StoredQueue;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly onChange: (change: DeadLetterChange) => void;
    /** Rows could not be read and were set aside. */
    readonly onCorrupt: (records: number) => void;
    /** Ends what waits for a store that does not answer. */
    readonly signal: AbortSignal;
  }) {
    this.#kind = options.kind;
    this.#limits = options.limits;
    this.#stored = options.stored;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#onChange = options.onChange;
    this.#onCorrupt = options.onCorrupt;
    this.#signal = options.signal;
  }

  async start(): Promise<Recovered> {
    const { queued, points, appended, deadLetters } = this.#stored.totals;
    this.#recovered = points + deadLetters;
    this.#appendedBefore = appended;
    // Nothing of what is there is in memory: reading begins before the oldest row.
    this.#loadedUpTo = queued === 0 ? this.#stored.lastSeq : 0;
    this.#stored.onChange((changes) => {
      for (const change of changes) {
        // Of a group that was refused in part, all is sent again: more comes back than was counted as set aside.
        if (change.kind === 'redriven') this.#recovered += change.rows - change.records;
        this.#onChange(change);
      }
      // After the promises of this transaction: what was just put is not read back.
      setImmediate(() => this.#readMore());
      this.#room.show();
    });
    this.#readMore();
    return { queued: points, deadLetters };
  }

  get figures(): QueueFigures {
    const { queued, points, bytes, appended, deadLetters } = this.#stored.totals;
    return {
      accepted: appended - this.#appendedBefore,
      recovered: this.#recovered,
      queued: Math.max(0, points - this.#inHandPoints),
      inFlight: this.#inHandPoints,
      deadLetters,
      size: { requests: queued, items: points, bytes }[this.#limits.sizer],
      capacity: this.#limits.queueSize,
    };
  }

  get ready() {
    return { items: this.#items.length, bytes: this.#readyBytes };
  }

  get isEmpty(): boolean {
    return this.#items.length === 0 && this.#onDiskOnly <= 0;
  }

  async put(batch: Batch, signal: AbortSignal): Promise<void> {
    const values = this.#kind.values(batch);
    if (values.length === 0) return;
    const bodies = values.map((value) => this.#kind.encode(value));
    const points = values.reduce((sum, value) => sum + this.#kind.count(value), 0);
    const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
    const size = { requests: values.length, items: points, bytes }[this.#limits.sizer];
    const held = () => this.figures.size + this.#putting;
    while (held() > 0 && held() + size > this.#limits.queueSize) {
      if (!this.#limits.blockOnOverflow)
        throw new RetryableError('queue_full', `the queue holds ${this.figures.size} of ${this.#limits.queueSize}`);
      await this.#room.reached(signal);
      if (signal.aborted) throw gaveUp(signal);
    }
    this.#putting += size;
    let first: number;
    try {
      first = await this.#stored.append(this.#kind.context(batch), bodies, points, signal);
    } finally {
      this.#putting -= size;
    }
    this.#keepInMemory(first, values, bodies);
  }

  take(maxItems: number, maxBytes: number): Item<Value>[] {
    const taken: Item<Value>[] = [];
    let bytes = 0;
    for (let next = this.#items.first(); next && taken.length < maxItems; next = this.#items.first()) {
      bytes += next.bytes;
      if (taken.length > 0 && bytes > maxBytes) break;
      this.#readyBytes -= next.bytes;
      taken.push(this.#items.shift()!);
    }
    this.#hold(taken, 1);
    this.#readMore();
    return taken;
  }

  arrival(signal: AbortSignal): Promise<void> {
    return this.#arrival.reached(signal);
  }

  async settle(items: readonly Item<Value>[]): Promise<void> {
    const size = { points: pointsOf(items), bytes: items.reduce((sum, { stored }) => sum + stored, 0) };
    await this.#untilStored(() =>
      this.#stored.remove(
        items.map(({ seq }) => seq),
        size,
      ),
    );
    this.#hold(items, -1);
  }

  async setAside(items: readonly Item<Value>[], note: DeadLetterNote): Promise<'kept' | 'dropped' | 'full'> {
    if (!this.#limits.deadLetters || !this.#kind.keepsRefused) {
      await this.settle(items);
      return 'dropped';
    }
    const seqs = items.map(({ seq }) => seq);
    if (!(await this.#untilStored(() => this.#stored.setAside(seqs, note)))) return 'full';
    this.#hold(items, -1);
    return 'kept';
  }

  /** Nothing is lost: the next start finds them. */
  fail(): number {
    return 0;
  }

  giveBack(items: readonly Item<Value>[]): void {
    this.#hold(items, -1);
    for (const item of items) this.#enter(item);
    this.#arrival.show();
  }

  /** A value that is not the next after those in memory is read back in its turn, and so is what does not fit. */
  #keepInMemory(first: number, values: readonly Value[], bodies: readonly string[]): void {
    if (first !== this.#loadedUpTo + 1 || this.#readyBytes >= Math.min(WINDOW_BYTES, this.#limits.maxMemoryBytes)) {
      this.#readMore();
      return;
    }
    for (const [n, value] of values.entries()) this.#enter(this.#item(++this.#loadedUpTo, value, bodies[n]!.length));
    this.#arrival.show();
  }

  #item(seq: number, value: Value, stored: number): Item<Value> {
    return { seq, value, stored, count: this.#kind.count(value), bytes: this.#kind.bytes(value) };
  }

  /** @param sign 1: they were taken; -1: they are no longer in hand */
  #hold(items: readonly Item<Value>[], sign: 1 | -1): void {
    this.#inHand += sign * items.length;
    this.#inHandPoints += sign * pointsOf(items);
  }

  #enter(item: Item<Value>): void {
    this.#readyBytes += item.bytes;
    this.#items.push(item);
  }

  get #onDiskOnly(): number {
    return this.#stored.totals.queued - this.#items.length - this.#inHand;
  }

  #readMore(): void {
    const nothingNew = this.#onDiskOnly <= 0 || this.#stored.lastSeq <= this.#loadedUpTo;
    const isLow = this.#readyBytes < Math.min(LOW_WATER_BYTES, this.#limits.maxMemoryBytes);
    if (this.#reading || nothingNew || !isLow) return;
    this.#reading = true;
    void this.#read()
      .catch(async (error) => {
        this.#logger.warn('what is queued cannot be read at the moment', { error });
        await this.#clock.sleep(RETRY_MS, this.#signal);
      })
      .then(
        () => {
          this.#reading = false;
          this.#readMore();
        },
        () => {},
      );
  }

  async #read(): Promise<void> {
    const { lastSeq } = this.#stored;
    const rows = await this.#stored.read(this.#loadedUpTo, Math.min(READ_BYTES, this.#limits.maxMemoryBytes));
    // Whatever the totals say: rows that a damaged database lost are not waited for.
    if (rows.length === 0) this.#loadedUpTo = Math.max(this.#loadedUpTo, lastSeq);
    const corrupt: number[] = [];
    // Rows that were put meanwhile are in memory already.
    for (const row of rows.filter(({ seq }) => seq > this.#loadedUpTo)) {
      const value = this.#decode(row);
      if (value === undefined) corrupt.push(row.seq);
      else this.#enter(this.#item(row.seq, value, row.body.length));
      this.#loadedUpTo = row.seq;
    }
    if (rows.length > 0) this.#arrival.show();
    if (corrupt.length > 0) await this.#setCorruptAside(corrupt);
  }

  #decode(row: StoredRow): Value | undefined {
    if (row.corrupt) return undefined;
    try {
      return this.#kind.decode(row.body, this.#contexts.get(row.context));
    } catch {
      return undefined;
    }
  }

  async #setCorruptAside(seqs: readonly number[]): Promise<void> {
    this.#logger.error('records in the store are damaged', { records: seqs.length });
    const note = { reason: 'corrupt', message: 'the stored bytes are not what was written', attempts: 0 } as const;
    // Until they are set aside, and for good if there is no room, they are nothing that could still be read.
    this.#inHand += seqs.length;
    this.#inHandPoints += seqs.length;
    if (!(await this.#untilStored(() => this.#stored.setAside(seqs, note)))) return;
    this.#inHand -= seqs.length;
    this.#inHandPoints -= seqs.length;
    this.#onCorrupt(seqs.length);
  }

  /** What was delivered must be noted, or it is sent again at the next start. */
  async #untilStored<T>(write: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        this.#logger.warn('the store does not take what became of records; trying again', {
          error: describeError(error),
        });
        await this.#clock.sleep(RETRY_MS, this.#signal);
      }
    }
  }
}

function pointsOf(items: readonly QueueItem<unknown>[]): number {
  return items.reduce((sum, { count }) => sum + count, 0);
}
