import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describeError, OutbandError } from '../../component/errors.ts';
import { dropBallast, ensureBallast, freeBytes } from './ballast.ts';
import { Database, KeyValueFullError } from './database.ts';
import { answerRequests } from './dead-letter-requests.ts';
import { isDamage, openDatabase, pragma, sqliteCode, WHOLE_CHECK_BYTES } from './open.ts';
import type { Change, Op, OpResult, StoreOptions, StoreState } from './protocol.ts';
import { dropReplacement, finishReplacement, replace, replacementOf } from './quarantine.ts';
import { type KnownQueue, salvage } from './salvage.ts';

const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
const FSYNC_FAILED = [10 | (4 << 8), 10 | (5 << 8)];
/** After so many failed syncs in a row the disk is not to be trusted any more. */
const MOST_FAILED_SYNCS = 3;
const VACUUM_PAGES = 256;
const VACUUM_MS = 100;

export interface Times {
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds; never falls. */
  readonly monotonic: () => number;
}

type Failed = Extract<OpResult, { error: unknown }>['error'];

/**
 * The database and what is done when it fails; synchronous, so it lives in a thread of its own. An op that failed has
 * left nothing behind.
 */
export class Store {
  readonly #options: StoreOptions;
  readonly #times: Times;
  #database: Database | undefined;
  readonly #known = new Map<number, KnownQueue>();
  #commits = 0;
  #ioErrors = 0;
  #failedSyncs = 0;
  #corruptions = 0;
  /** Why the process must end. */
  #fatal: string | undefined;
  #changes: Change[] = [];
  #commitMs: number[] = [];
  #warnings: string[] = [];
  /** As of the last look that the database allowed. */
  #lastTotals: StoreState['totals'] = [];
  #lastSizes = { fileBytes: 0, queueBytes: 0 };

  constructor(options: StoreOptions, times: Times) {
    this.#options = options;
    this.#times = times;
  }

  /** @throws OutbandError for what an operator must cure; damage is cured here */
  open(): void {
    this.#databaseNow();
    const { ballastFile, ballastBytes, maxBytes, file } = this.#options;
    const needed = maxBytes + 8 * 1024 * 1024 + ballastBytes;
    const free = freeBytes(dirname(file));
    if (free < needed) this.#warnings.push(`the disk has ${free} bytes free; a full store needs ${needed}`);
    ensureBallast(ballastFile, ballastBytes);
  }

  /** Does the ops in one transaction. What frees room is done also when what needs room must fail. */
  commit(ops: readonly Op[]): OpResult[] {
    try {
      return this.#transaction(ops);
    } catch (error) {
      const failed = this.#failure(error);
      if (failed.code !== 'storage_full') return ops.map(() => ({ error: failed }));
      return this.#commitWhatFrees(ops, failed);
    }
  }

  #commitWhatFrees(ops: readonly Op[], failed: Failed): OpResult[] {
    const frees = ({ kind }: Op) => ['remove', 'set_aside', 'read', 'list', 'queues'].includes(kind);
    try {
      const done = this.#transaction(ops.filter(frees));
      // Only a checkpoint turns what was freed into room.
      pragma(this.#databaseNow().db, 'wal_checkpoint(PASSIVE)');
      return ops.map((op) => (frees(op) ? done.shift()! : { error: failed }));
    } catch (error) {
      const again = this.#failure(error);
      return ops.map((op) => ({ error: frees(op) ? again : failed }));
    }
  }

  /** Requests of the command line, and the housekeeping for which a busy store has no time. */
  tick(): void {
    try {
      const database = this.#databaseNow();
      this.#changes.push(...answerRequests(database));
      ensureBallast(this.#options.ballastFile, this.#options.ballastBytes);
      this.#giveBackPages(database);
    } catch (error) {
      this.#failure(error);
    }
  }

  close(): void {
    if (!this.#database) return;
    try {
      pragma(this.#database.db, 'wal_checkpoint(TRUNCATE)');
    } finally {
      this.#database.db.close();
      this.#database = undefined;
    }
  }

  /** Takes what was noted since the last call. */
  state(): StoreState {
    const state = {
      totals: this.#totals(),
      changes: this.#changes,
      ...this.#sizes(),
      commits: this.#commits,
      commitMs: this.#commitMs,
      ioErrors: this.#ioErrors,
      corruptions: this.#corruptions,
      warnings: this.#warnings,
      ...(this.#fatal !== undefined && { fatal: this.#fatal }),
    };
    this.#changes = [];
    this.#commitMs = [];
    this.#warnings = [];
    return state;
  }

  #transaction(ops: readonly Op[]): OpResult[] {
    const database = this.#databaseNow();
    const started = this.#times.monotonic();
    const changes: Change[] = [];
    const results = database.transaction(() => ops.map((op) => this.#do(database, op, changes)));
    this.#commitMs.push(this.#times.monotonic() - started);
    this.#commits++;
    this.#failedSyncs = 0;
    this.#changes.push(...changes);
    return results;
  }

  #do(database: Database, op: Op, changes: Change[]): OpResult {
    const { deadLetterMaxBytes, deadLetterOnFull, keyValueMaxBytes } = this.#options;
    switch (op.kind) {
      case 'queue': {
        const id = database.queueId(op.name);
        this.#known.set(id, { ...op.name, id, lastSeq: 0, appended: 0 });
        return { value: id };
      }
      case 'append':
        return { value: database.append(op.queue, op.context, op.lines.split('\n'), op.points) };
      case 'remove':
        return { value: database.remove(op.queue, op.seqs, op.size) };
      case 'set_aside': {
        const done = database.setAside(
          op.queue,
          op.seqs,
          op.note,
          deadLetterMaxBytes,
          deadLetterOnFull === 'drop_oldest',
        );
        changes.push(...done.evicted.map((one) => ({ ...one, kind: 'evicted' as const })));
        return { value: done.moved };
      }
      case 'redrive': {
        const ids = database.deadLetterIds(op, 0);
        changes.push(...database.redrive(ids).map((one) => ({ ...one, kind: 'redriven' as const })));
        return { value: ids.length };
      }
      case 'set_values':
        // What a running receiver believes to have read is not true any more.
        if (this.#fatal !== undefined && op.namespaceKind === 'position')
          return { error: { code: 'storage_corrupt', message: this.#fatal } };
        return this.#setValues(database, op, keyValueMaxBytes);
      case 'read':
        return { value: database.read(op.queue, op.afterSeq, op.maxBytes) };
      case 'queues':
        return { value: database.queues().map((queue) => ({ ...queue, ...database.totals(queue.id) })) };
      case 'list':
        return { value: database.listValues(op.namespace, op.prefix) };
    }
  }

  #setValues(database: Database, op: Extract<Op, { kind: 'set_values' }>, maxBytes: number): OpResult {
    try {
      return { value: database.setValues(op.namespace, op.namespaceKind, op.values, maxBytes) };
    } catch (error) {
      if (error instanceof KeyValueFullError) return { error: { code: 'storage_kv_full', message: error.message } };
      throw error;
    }
  }

  #databaseNow(): Database {
    this.#database ??= this.#openSound();
    return this.#database;
  }

  #openSound(): Database {
    const { file } = this.#options;
    try {
      finishReplacement(file);
      const database = this.#open(file);
      if (this.#failedSyncs > 0) checkpointWhole(database);
      return database;
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#replaceDamaged(describeError(error));
      return this.#open(file);
    }
  }

  #open(file: string): Database {
    const database = new Database(openDatabase(file, this.#options.maxBytes), this.#times.now);
    try {
      database.transaction(() => database.verifyTotals(statSync(file).size <= WHOLE_CHECK_BYTES));
      return database;
    } catch (error) {
      database.db.close();
      throw error;
    }
  }

  /** The new one takes the place only when all that could be saved is in it. */
  #replaceDamaged(why: string): void {
    const { file, maxBytes } = this.#options;
    const wasRunning = this.#known.size > 0;
    dropReplacement(file);
    const fresh = new Database(openDatabase(replacementOf(file), maxBytes), this.#times.now);
    const saved = salvage(file, fresh, [...this.#known.values()], this.#times.monotonic);
    pragma(fresh.db, 'wal_checkpoint(TRUNCATE)');
    fresh.db.close();
    const aside = replace(file, this.#times.now());
    this.#corruptions++;
    this.#warnings.push(
      `the database was damaged (${why}) and is set aside as ${aside}; ` +
        `${saved.records} records and ${saved.deadLetters} dead letters were saved` +
        (saved.complete ? '' : '; records are missing, and receivers read their sources again'),
    );
    // Receivers that run know more than was saved; only a start lets them read again.
    if (wasRunning && !saved.complete) this.#fatal = 'records in the store were damaged; a new start reads them again';
  }

  /** What an error means, and what must be done before the next transaction. */
  #failure(error: unknown): Failed {
    const code = sqliteCode(error);
    const message = describeError(error);
    const primary = (code ?? 0) & 0xff;
    if (primary === SQLITE_FULL) {
      // Either our own limit or the disk; in the second case some room of ours lets the store drain.
      const { ballastFile, ballastBytes } = this.#options;
      if (freeBytes(dirname(ballastFile)) < ballastBytes) dropBallast(ballastFile);
      return { code: 'storage_full', message };
    }
    if (isDamage(error)) {
      this.#closeAbruptly();
      return this.#reopened({ code: 'storage_corrupt', message });
    }
    this.#ioErrors++;
    if (code !== undefined && FSYNC_FAILED.includes(code)) this.#failedSyncs++;
    if (this.#failedSyncs >= MOST_FAILED_SYNCS) this.#fatal = 'the disk failed to sync three times in a row';
    if (primary === SQLITE_IOERR) this.#closeAbruptly();
    return { code: error instanceof OutbandError ? error.code : 'storage_io', message };
  }

  /** Opens at once, so that damage found in the middle of work is cured before the answer is given. */
  #reopened(failed: Failed): Failed {
    try {
      this.#database = this.#openSound();
    } catch (error) {
      this.#warnings.push(describeError(error));
    }
    return failed;
  }

  #closeAbruptly(): void {
    try {
      this.#database?.db.close();
    } catch {
      // It is being given up.
    }
    this.#database = undefined;
  }

  #giveBackPages(database: Database): void {
    const { file, free } = database.size();
    if (free * 4 <= file || this.#queued() > 0) return;
    database.transaction(() => database.collectContexts());
    const { db } = database;
    const until = this.#times.monotonic() + VACUUM_MS;
    while (Number(pragma(db, 'freelist_count')) > 0 && this.#times.monotonic() < until)
      db.prepare(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`).all();
    pragma(db, 'wal_checkpoint(PASSIVE)');
  }

  #queued(): number {
    return this.#totals().reduce((sum, [, { queued }]) => sum + queued, 0);
  }

  #totals(): StoreState['totals'] {
    try {
      const database = this.#databaseNow();
      this.#lastTotals = [...this.#known.keys()].map((id) => [id, database.totals(id)] as const);
      for (const [id, { lastSeq, appended }] of this.#lastTotals)
        this.#known.set(id, { ...this.#known.get(id)!, lastSeq, appended });
    } catch {
      // The next transaction finds the same and says so.
    }
    return this.#lastTotals;
  }

  #sizes(): Pick<StoreState, 'fileBytes' | 'queueBytes'> {
    try {
      const database = this.#databaseNow();
      const { used, file } = database.size();
      const queueBytes = used - database.deadLetterBytes() - database.keyValueBytes();
      this.#lastSizes = { fileBytes: file, queueBytes };
    } catch {
      // As above.
    }
    return this.#lastSizes;
  }
}

/**
 * A failed sync may have left a hole in the write-ahead log; what is committed after it would be lost with it. So the
 * log must be emptied before anything is acknowledged again.
 */
function checkpointWhole({ db }: Database): void {
  try {
    const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number };
    if (busy !== 0) throw new OutbandError('storage_io', 'the write-ahead log cannot be emptied after a failed sync');
  } catch (error) {
    db.close();
    throw error;
  }
}
