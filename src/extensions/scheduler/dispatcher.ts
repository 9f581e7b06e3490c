import type { Clock } from '../../component/clock.ts';
import { NO_LONGER_NEEDED } from '../../component/deadline.ts';
import { DueQueue } from '../../resilience/due-queue.ts';
import { TokenBucket } from '../../resilience/token-bucket.ts';

/** It looks at its queues at least this often, whatever it knows. */
const LONGEST_SLEEP_MS = 1_000;
/** Starting runs holds up everything else for at most this long at a time, */
const SLICE_MS = 10;
/** and for so many starts: what they do at once comes on top. */
const MOST_STARTS_PER_SLICE = 32;
/** A burst of starts is what the rate allows in this time. */
const BURST_SECONDS = 0.1;

/** Targets of one type: they have a limit of their own, and never hold up another type. */
export interface Lane {
  readonly type: string;
  readonly queue: DueQueue;
  /** Most runs at once. */
  readonly limit: number;
  /** Outside the limits of the agent. */
  readonly internal: boolean;
  inFlight: number;
}

export interface DispatcherOptions {
  readonly clock: Clock;
  /** Milliseconds on the scheduler's clock. */
  readonly now: () => number;
  readonly maxInFlight: number;
  readonly maxStartsPerSecond: number;
  /** Starts a run; it is out of the queue and counts as in flight. */
  readonly begin: (row: number, lane: Lane, due: number, now: number) => void;
  /** A run in flight has passed its deadline. */
  readonly expire: (row: number) => void;
  /** Called once per look. @param lateBy milliseconds since the last one */
  readonly onTick: (lateBy: number) => void;
}

/**
 * The one timer of the scheduler. Holds one due time per target that is not in flight and one deadline per target that
 * is, wakes at the earliest of them, and starts what is due, in order of due time, as far as limits allow. Overload is
 * lag; nothing is dropped.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #deadlines = new DueQueue();
  readonly #starts: TokenBucket;
  #wake = new AbortController();
  /** When it wakes by itself. */
  #wakesAt = Number.NEGATIVE_INFINITY;
  #inFlight = 0;
  /** A limit keeps something from being started. */
  #blocked = false;
  #stopped = false;
  #loop: Promise<void> | undefined;
  /** When it last looked. */
  lastTick: number | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const burst = Math.max(1, options.maxStartsPerSecond * BURST_SECONDS);
    this.#starts = new TokenBucket(options.maxStartsPerSecond, burst, options.now());
  }

  /** The lane of a type, made when it is first asked for. */
  lane(type: string, limit: number, internal: boolean): Lane {
    const name = internal ? `internal ${type}` : type;
    const lane = this.#lanes.get(name) ?? { type, queue: new DueQueue(), limit, internal, inFlight: 0 };
    this.#lanes.set(name, lane);
    return lane;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Starts nothing more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake.abort(NO_LONGER_NEEDED);
    await this.#loop;
  }

  /** Puts a target that is not in flight into the queue, or moves it there. */
  arm({ queue }: Lane, row: number, due: number): void {
    queue.set(row, due);
    if (due < this.#wakesAt) this.#wake.abort(NO_LONGER_NEEDED);
  }

  /** The run of a row has ended, in whatever way; its slot is free. */
  finished(lane: Lane, row: number): void {
    this.#deadlines.delete(row);
    lane.inFlight--;
    if (!lane.internal) this.#inFlight--;
    if (this.#blocked) this.#wake.abort(NO_LONGER_NEEDED);
  }

  /** @param deadline of the run that has just begun */
  watch(row: number, deadline: number): void {
    this.#deadlines.set(row, deadline);
    if (deadline < this.#wakesAt) this.#wake.abort(NO_LONGER_NEEDED);
  }

  async #run(): Promise<void> {
    const { clock, now, expire, onTick } = this.#options;
    let rushes = 0;
    while (!this.#stopped) {
      // Who wakes it at once, again and again, must not keep everybody else from their turn.
      if (rushes > MOST_STARTS_PER_SLICE) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        rushes = 0;
      }
      const at = now();
      onTick(this.lastTick === undefined ? 0 : at - this.lastTick);
      this.lastTick = at;
      for (let row = this.#deadlines.first(); row !== undefined && this.#deadlines.nextDue() <= at; ) {
        this.#deadlines.delete(row);
        expire(row);
        row = this.#deadlines.first();
      }
      this.#wake = new AbortController();
      this.#wakesAt = at + LONGEST_SLEEP_MS;
      const wait = Math.min(this.#startDue(at), this.#deadlines.nextDue() - at, LONGEST_SLEEP_MS);
      this.#wakesAt = at + wait;
      await clock.sleep(wait, this.#wake.signal).then(
        () => {
          rushes = 0;
        },
        () => {
          rushes++;
        },
      );
    }
  }

  /** Starts what is due. @returns milliseconds until there is more to start; 0: at once, after others had their turn */
  #startDue(at: number): number {
    const { clock, begin } = this.#options;
    const sliceEnd = clock.monotonic() + SLICE_MS;
    for (let starts = 1; ; starts++) {
      const lane = this.#next(at);
      if (!lane) return Number.POSITIVE_INFINITY;
      const due = lane.queue.nextDue();
      if (due > at) return due - at;
      if (!lane.internal && !this.#starts.take(at)) return Math.min(this.#starts.wait(at), this.#ownWorkDue() - at);
      const row = lane.queue.first()!;
      lane.queue.delete(row);
      lane.inFlight++;
      if (!lane.internal) this.#inFlight++;
      begin(row, lane, due, at);
      if (starts >= MOST_STARTS_PER_SLICE || clock.monotonic() > sliceEnd) return 0;
    }
  }

  #ownWorkDue(): number {
    return Math.min(...[...this.#lanes.values()].map(({ internal, queue }) => (internal ? queue.nextDue() : Infinity)));
  }

  /** The lane with the earliest due time of those that may start a run; work of the agent itself first. */
  #next(at: number): Lane | undefined {
    let next: Lane | undefined;
    const full = this.#inFlight >= this.#options.maxInFlight;
    this.#blocked = false;
    for (const lane of this.#lanes.values()) {
      if (lane.internal && lane.queue.nextDue() <= at) return lane;
      if (!lane.internal && (full || lane.inFlight >= lane.limit)) {
        this.#blocked ||= lane.queue.size > 0;
        continue;
      }
      if (next === undefined || lane.queue.nextDue() < next.queue.nextDue()) next = lane;
    }
    return next;
  }
}
