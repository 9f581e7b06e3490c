import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { Component, Host } from '../../component/component.ts';
import { describeError, OutbandError, RetryableError } from '../../component/errors.ts';
import type {
  DeadLetterChange,
  DeadLetterNote,
  DeadLetterReason,
  KeyValue,
  KeyValueKind,
  QueueName,
  QueueTotals,
  RowsSize,
  Storage,
  StoredQueue,
  StoredRow,
} from '../../component/storage.ts';
import { dropBallast } from './ballast.ts';
import type { Totals } from './database.ts';
import { prepareDirectory } from './directory.ts';
import type { FileStorageConfig } from './index.ts';
import { Intake } from './intake.ts';
import { type StorageMetrics, storageMetrics } from './metrics.ts';
import { sqliteCode } from './open.ts';
import { type OwnerLock, takeOwnerLock } from './owner-lock.ts';
import type { StoreOptions, StoreState } from './protocol.ts';
import { StoreClient, spawnWorker } from './store-client.ts';

/** The thread looks for wishes of the command line this often, and does its housekeeping. */
const TICK_MS = 1_000;
const ORPHANS_AFTER_TICKS = 3;
const KEY_VALUE_SHARE = 0.2;
const SLACK_SHARE = 0.02;
export const DATABASE_NAME = 'outband.db';
const BALLAST_NAME = 'ballast';

/** The main thread's half of the store: who may write when, and who hears of what. */
export class FileStorage implements Component, Storage {
  readonly #config: FileStorageConfig;
  readonly #host: Host;
  readonly #client: StoreClient;
  readonly #metrics: StorageMetrics;
  readonly #intake: Intake;
  readonly #queues = new Map<number, OpenQueue>();
  readonly #stop = new AbortController();
  #lock: OwnerLock | undefined;
  #corruptions = 0;
  #ticking: Promise<void> | undefined;

  /** @param spawn for tests that end the thread */
  constructor(
    id: string,
    config: FileStorageConfig,
    host: Host,
    spawn: (options: StoreOptions) => Worker = spawnWorker,
  ) {
    this.#config = config;
    this.#host = host;
    const { max_bytes, dead_letter, commit, ballast_bytes, directory } = config;
    this.#metrics = storageMetrics(host.meter, id);
    const queueBytes = max_bytes * (1 - KEY_VALUE_SHARE - SLACK_SHARE) - dead_letter.max_bytes;
    this.#intake = new Intake(
      queueBytes,
      () => this.#client.pendingBytes,
      host.clock,
      (isOpen) => this.#reportIntake(isOpen),
    );
    this.#client = new StoreClient({
      store: {
        file: join(directory, DATABASE_NAME),
        ballastFile: join(directory, BALLAST_NAME),
        maxBytes: max_bytes,
        deadLetterMaxBytes: dead_letter.max_bytes,
        deadLetterOnFull: dead_letter.on_full,
        keyValueMaxBytes: max_bytes * KEY_VALUE_SHARE,
        ballastBytes: ballast_bytes,
      },
      clock: host.clock,
      maxRecords: commit.max_records,
      maxDelayMs: commit.max_delay,
      spawn,
      onState: (state) => this.#onState(state),
      onRestart: () => this.#onRestart(),
      onFatal: (error) => host.report({ status: 'fatal', error }),
    });
  }

  async start(): Promise<void> {
    const { directory, create_directory, timeout } = this.#config;
    const { clock, logger } = this.#host;
    for (const warning of prepareDirectory(directory, create_directory)) logger.warn(warning);
    try {
      this.#lock = await takeOwnerLock(directory, timeout, clock);
      await this.#client.open();
    } catch (error) {
      const ballast = join(directory, BALLAST_NAME);
      if (!isForWantOfRoom(error) || !existsSync(ballast)) return this.#failToStart(error);
      // Opening writes, too. What was kept back for a full disk is given back now.
      logger.warn('the store cannot be opened: it gives its ballast back to the disk, and tries again', { error });
      dropBallast(ballast);
      try {
        this.#lock ??= await takeOwnerLock(directory, timeout, clock);
        await this.#client.open();
      } catch (again) {
        this.#failToStart(again);
      }
    }
    this.#ticking = this.#tick();
  }

  #failToStart(cause: unknown): never {
    this.#lock?.release();
    this.#lock = undefined;
    if (cause instanceof OutbandError || !isForWantOfRoom(cause)) throw cause;
    const { directory } = this.#config;
    throw new OutbandError('storage_full', `directory "${directory}" cannot be written: ${describeError(cause)}`, {
      cause,
    });
  }

  async shutdown(): Promise<void> {
    if (!this.#lock) return;
    this.#stop.abort();
    await this.#ticking;
    await this.#client.close();
    this.#lock.release();
    this.#lock = undefined;
  }

  /** The thread answers. */
  async alive(): Promise<void> {
    await this.#client.submit({ kind: 'list', namespace: '', prefix: '' });
  }

  keyValue(namespace: string, namespaceKind: KeyValueKind): KeyValue {
    return {
      set: async (values) => {
        const bytes = Object.entries(values).reduce((sum, [key, value]) => sum + key.length + (value?.length ?? 0), 0);
        await this.#client.submit({ kind: 'set_values', namespace, namespaceKind, values }, { records: 0, bytes });
      },
      list: async (prefix) =>
        new Map((await this.#client.submit({ kind: 'list', namespace, prefix })) as [string, string][]),
    };
  }

  async queue(name: QueueName): Promise<StoredQueue> {
    const id = (await this.#client.submit({ kind: 'queue', name })) as number;
    const known = this.#queues.get(id);
    if (known) return known;
    const queue = new OpenQueue(id, name, this.#config, this.#client, this.#intake, this.#host);
    this.#queues.set(id, queue);
    // Its totals come with the next answer.
    await this.#client.submit({ kind: 'read', queue: id, afterSeq: 0, maxBytes: 0 });
    return queue;
  }

  #onState(state: StoreState): void {
    const { logger, report } = this.#host;
    this.#metrics.observe(state);
    for (const warning of state.warnings) logger.warn(warning);
    if (state.corruptions > this.#corruptions)
      report({
        status: 'recoverable',
        error: new OutbandError('storage_corrupt', 'the database was damaged and replaced'),
      });
    this.#corruptions = state.corruptions;
    for (const [id, totals] of state.totals) {
      const changes = state.changes.filter(({ queue }) => queue === id);
      this.#queues.get(id)?.onState(totals, changes);
    }
    this.#intake.update(state.queueBytes);
  }

  /** The new thread tells of the queues only once it was asked for them. */
  #onRestart(): void {
    this.#host.logger.warn('the thread of the store ended and was started anew');
    for (const { name } of this.#queues.values())
      this.#client
        .submit({ kind: 'queue', name })
        .catch((error) => this.#host.logger.error('a queue is gone', { error }));
  }

  #reportIntake(isOpen: boolean): void {
    const error = new OutbandError('storage_full', `the store in ${this.#config.directory} is full; intake waits`);
    this.#metrics.full(!isOpen);
    this.#host.report(isOpen ? { status: 'ok' } : { status: 'recoverable', error });
  }

  async #tick(): Promise<void> {
    const { clock } = this.#host;
    for (let ticks = 0; !this.#stop.signal.aborted; ticks++) {
      await clock.sleep(TICK_MS, this.#stop.signal).catch(() => {});
      await this.#client.tick();
      // All exporters have asked for their queues by now.
      if (ticks === ORPHANS_AFTER_TICKS) await this.#tellOrphans().catch(() => {});
    }
  }

  async #tellOrphans(): Promise<void> {
    const queues = (await this.#client.submit({ kind: 'queues' })) as (QueueName & Totals & { readonly id: number })[];
    for (const { id, exporter, queued, deadLetters } of queues)
      if (!this.#queues.has(id) && queued + deadLetters > 0)
        this.#host.logger.warn('the store holds records of an exporter that is not configured', {
          ...{ exporter, queued, dead_letters: deadLetters },
          hint: `configure it again, or stop the agent and remove them: outband dlq drop --exporter ${exporter} --queued --yes`,
        });
  }
}

/** SQLITE_FULL, or SQLITE_IOERR while a lock, a journal or shared memory was made. */
function isForWantOfRoom(error: unknown): boolean {
  const primary = (sqliteCode(error) ?? 0) & 0xff;
  if (primary === 13 || primary === 10) return true;
  return error instanceof OutbandError && (error.code === 'storage_full' || error.code === 'storage_io');
}

class OpenQueue implements StoredQueue {
  readonly name: QueueName;
  readonly location: string;
  readonly deadLetterCapacityBytes: number;
  readonly #id: number;
  readonly #client: StoreClient;
  readonly #intake: Intake;
  readonly #host: Host;
  #listener: (changes: readonly DeadLetterChange[]) => void = () => {};
  #totals: Totals = {
    ...{ queued: 0, points: 0, bytes: 0, appended: 0, lastSeq: 0 },
    ...{ deadLetters: 0, deadLetterBytes: 0, oldestDeadLetterMs: undefined },
  };

  constructor(id: number, name: QueueName, config: FileStorageConfig, client: StoreClient, intake: Intake, host: Host) {
    this.#id = id;
    this.name = name;
    this.location = config.directory;
    this.deadLetterCapacityBytes = config.dead_letter.max_bytes;
    this.#client = client;
    this.#intake = intake;
    this.#host = host;
  }

  get totals(): QueueTotals {
    return this.#totals;
  }

  get lastSeq(): number {
    return this.#totals.lastSeq;
  }

  async append(context: string, bodies: readonly string[], points: number, signal: AbortSignal): Promise<number> {
    const lines = bodies.join('\n');
    for (;;) {
      await this.#intake.admission(signal);
      try {
        const op = { kind: 'append', queue: this.#id, context, lines, points } as const;
        return (await this.#client.submit(op, { records: bodies.length, bytes: lines.length }, signal)) as number;
      } catch (error) {
        if (!(error instanceof RetryableError) || error.code !== 'storage_full') throw error;
        this.#intake.refused();
      }
    }
  }

  async read(afterSeq: number, maxBytes: number): Promise<readonly StoredRow[]> {
    return (await this.#client.submit({ kind: 'read', queue: this.#id, afterSeq, maxBytes })) as StoredRow[];
  }

  async remove(seqs: readonly number[], size: RowsSize): Promise<void> {
    await this.#client.submit({ kind: 'remove', queue: this.#id, seqs, size });
  }

  async setAside(seqs: readonly number[], note: DeadLetterNote): Promise<boolean> {
    return (await this.#client.submit({ kind: 'set_aside', queue: this.#id, seqs, note })) as boolean;
  }

  async redrive(reason: DeadLetterReason, beforeMs: number, maxRedrives: number): Promise<void> {
    await this.#client.submit({ kind: 'redrive', exporter: this.name.exporter, reason, beforeMs, maxRedrives });
  }

  onChange(listener: (changes: readonly DeadLetterChange[]) => void): void {
    this.#listener = listener;
  }

  onState(totals: Totals, changes: readonly DeadLetterChange[]): void {
    this.#totals = totals;
    try {
      this.#listener(changes);
    } catch (error) {
      this.#host.logger.error('a queue did not take a change', { error });
    }
  }
}
