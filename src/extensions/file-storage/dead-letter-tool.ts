import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../component/clock.ts';
import { OutbandError } from '../../component/errors.ts';
import { Database, type DeadLetterFilter, type DeadLetterRow } from './database.ts';
import { carryOut, type DeadLetterOutcome, type DeadLetterRequest } from './dead-letter-requests.ts';
import { DATABASE_NAME } from './extension.ts';
import { checkVersion, openDatabase } from './open.ts';
import { tryLock } from './owner-lock.ts';

/** No read holds its transaction for longer than this takes. */
const PAGE_ROWS = 100;
const BUSY_TIMEOUT_MS = 5_000;
/** A running agent looks for requests every second. */
const ANSWER_TIMEOUT_MS = 10_000;
const LOOK_MS = 100;

export interface DeadLetterTotal {
  readonly exporter: string;
  readonly reason: string;
  readonly records: number;
  readonly bytes: number;
  readonly oldest_ms: number;
  readonly newest_ms: number;
}

/**
 * The dead letters in a directory, for the command line. Reads beside a running agent; what changes them is done here
 * when no agent runs, and by the agent when one does.
 */
export class DeadLetterTool {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #clock: Clock;

  constructor({ directory, maxBytes }: { directory: string; maxBytes: number }, clock: Clock) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  totals(): readonly DeadLetterTotal[] {
    return this.#read((database) => database.deadLetterTotals());
  }

  /** Page by page, oldest first. */
  *list(filter: DeadLetterFilter, limit: number): Generator<DeadLetterRow> {
    let after = 0;
    for (let left = limit; left > 0; left -= PAGE_ROWS) {
      const page = this.#read((database) => database.deadLetters(filter, after, Math.min(left, PAGE_ROWS)));
      yield* page;
      if (page.length < PAGE_ROWS) return;
      after = page.at(-1)!.id;
    }
  }

  /** @throws OutbandError `deadline_exceeded` when a running agent does not answer */
  async change(request: DeadLetterRequest): Promise<DeadLetterOutcome> {
    this.#assertStore();
    const lock = tryLock(this.#directory);
    if (!lock) return this.#ask(request);
    try {
      const db = openDatabase(join(this.#directory, DATABASE_NAME), this.#maxBytes);
      try {
        return carryOut(new Database(db, () => Number(this.#clock.now() / 1_000_000n)), request, []);
      } finally {
        db.close();
      }
    } finally {
      lock.release();
    }
  }

  /**
   * Removes what is queued for an exporter that is not configured any more; only while no agent runs.
   * @throws OutbandError `storage_locked`
   */
  dropQueued(exporter: string): number {
    this.#assertStore();
    const lock = tryLock(this.#directory);
    if (!lock)
      throw new OutbandError('storage_locked', `directory "${this.#directory}" is in use`, {
        hint: 'stop the agent first',
      });
    const db = openDatabase(join(this.#directory, DATABASE_NAME), this.#maxBytes);
    try {
      const database = new Database(db, () => Number(this.#clock.now() / 1_000_000n));
      let dropped = 0;
      for (let more = 1; more > 0; dropped += more) more = database.transaction(() => database.dropQueued(exporter));
      return dropped;
    } finally {
      db.close();
      lock.release();
    }
  }

  async #ask(request: DeadLetterRequest): Promise<DeadLetterOutcome> {
    const db = new DatabaseSync(join(this.#directory, DATABASE_NAME), { timeout: BUSY_TIMEOUT_MS });
    try {
      checkVersion(db);
      const { lastInsertRowid: id } = db.prepare('INSERT INTO requests(body) VALUES(?)').run(JSON.stringify(request));
      const find = db.prepare('SELECT result FROM requests WHERE id = ?');
      const until = this.#clock.monotonic() + ANSWER_TIMEOUT_MS;
      let result: string | null = null;
      while (result === null && this.#clock.monotonic() < until) {
        await this.#clock.sleep(LOOK_MS);
        result = (find.get(id) as { result: string | null }).result;
      }
      db.prepare('DELETE FROM requests WHERE id = ?').run(id);
      if (result === null)
        throw new OutbandError('deadline_exceeded', 'the running agent has not answered within 10s', {
          hint: 'it may be busy, and may carry it out still: look at `outband dlq list`',
        });
      const answer = JSON.parse(result) as DeadLetterOutcome | { readonly error: string };
      if ('error' in answer) throw new OutbandError('storage_io', answer.error);
      return answer;
    } finally {
      db.close();
    }
  }

  #read<T>(work: (database: Database) => T): T {
    this.#assertStore();
    const db = new DatabaseSync(join(this.#directory, DATABASE_NAME), { timeout: BUSY_TIMEOUT_MS, readOnly: true });
    try {
      checkVersion(db);
      return work(new Database(db, () => Number(this.#clock.now() / 1_000_000n)));
    } finally {
      db.close();
    }
  }

  #assertStore(): void {
    if (existsSync(join(this.#directory, DATABASE_NAME))) return;
    throw new OutbandError('storage_io', `there is no store in ${this.#directory}`, {
      hint: 'it is made when the agent first runs',
    });
  }
}
