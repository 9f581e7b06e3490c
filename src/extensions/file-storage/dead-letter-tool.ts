import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../component/clock.ts';
import { OutbandError } from '../../component/errors.ts';
import { Database, type DeadLetterFilter, type DeadLetterRow } from './database.ts';
import { carryOut, type DeadLetterOutcome, type DeadLetterRequest } from './dead-letter-requests.ts';
import { DATABASE_NAME } from './extension.ts';
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
  readonly #clock: Clock;

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  totals(): readonly DeadLetterTotal[] {
    return this.#with(true, (database) => database.deadLetterTotals());
  }

  /** Page by page, oldest first. */
  *list(filter: DeadLetterFilter, limit: number): Generator<DeadLetterRow> {
    let after = 0;
    for (let left = limit; left > 0; left -= PAGE_ROWS) {
      const page = this.#with(true, (database) => database.deadLetters(filter, after, Math.min(left, PAGE_ROWS)));
      yield* page;
      if (page.length < PAGE_ROWS) return;
      after = page.at(-1)!.id;
    }
  }

  /** @throws OutbandError `deadline_exceeded` when a running agent does not answer */
  async change(request: DeadLetterRequest): Promise<DeadLetterOutcome> {
    const lock = tryLock(this.#directory);
    if (!lock) return this.#ask(request);
    try {
      return this.#with(false, (database) => carryOut(database, request, []));
    } finally {
      lock.release();
    }
  }

  async #ask(request: DeadLetterRequest): Promise<DeadLetterOutcome> {
    const db = this.#open(false);
    try {
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
          hint: 'it may be busy; nothing more is asked of it',
        });
      const answer = JSON.parse(result) as DeadLetterOutcome | { readonly error: string };
      if ('error' in answer) throw new OutbandError('storage_io', answer.error);
      return answer;
    } finally {
      db.close();
    }
  }

  #with<T>(readOnly: boolean, work: (database: Database) => T): T {
    const db = this.#open(readOnly);
    try {
      return work(new Database(db, () => Number(this.#clock.now() / 1_000_000n)));
    } finally {
      db.close();
    }
  }

  #open(readOnly: boolean): DatabaseSync {
    const file = join(this.#directory, DATABASE_NAME);
    if (!existsSync(file))
      throw new OutbandError('storage_io', `there is no store in ${this.#directory}`, {
        hint: 'it is made when the agent first runs',
      });
    return new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, readOnly });
  }
}
