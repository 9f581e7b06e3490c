import type { DeadLetterReason } from '../../component/storage.ts';
import { CHUNK_ROWS, type Database, type DeadLetterCount, type DeadLetterFilter } from './database.ts';
import type { Change } from './protocol.ts';

/** What an operator wants done with dead letters. The command line does it, or writes it down for a running agent. */
export interface DeadLetterRequest {
  readonly action: 'redrive' | 'drop';
  readonly filter: DeadLetterFilter;
  /** Also what the backend may have taken already. */
  readonly allowDuplicates: boolean;
}

export interface DeadLetterOutcome {
  /** Records that were put back or dropped. */
  readonly done: number;
  /** Records that match and stayed, per reason. */
  readonly kept: Readonly<Partial<Record<DeadLetterReason, number>>>;
}

/** The backend may hold these already. */
const MAYBE_TAKEN: readonly DeadLetterReason[] = ['partial_success', 'reply_unreadable'];

/** Does what was asked, a chunk per transaction. @param changes is told what became of which queue's dead letters */
export function carryOut(
  database: Database,
  { action, filter, allowDuplicates }: DeadLetterRequest,
  changes: Change[],
): DeadLetterOutcome {
  const staysBehind = (reason: DeadLetterReason) =>
    action === 'redrive' && (reason === 'corrupt' || (!allowDuplicates && MAYBE_TAKEN.includes(reason)));
  let done = 0;
  const kept: Partial<Record<DeadLetterReason, number>> = {};
  for (let after = 0; ; ) {
    const rows = database.deadLetters(filter, after, CHUNK_ROWS);
    if (rows.length === 0) return { done, kept };
    after = rows.at(-1)!.id;
    for (const { reason } of rows) if (staysBehind(reason)) kept[reason] = (kept[reason] ?? 0) + 1;
    const ids = rows.filter(({ reason }) => !staysBehind(reason)).map(({ id }) => id);
    const counts: DeadLetterCount[] = database.transaction(() =>
      action === 'redrive' ? database.redrive(ids) : database.drop(ids),
    );
    const kind = action === 'redrive' ? 'redriven' : 'dropped';
    changes.push(...counts.map((count): Change => ({ ...count, kind })));
    done += ids.length;
  }
}

/** Carries out what the command line has written down. @returns what became of dead letters */
export function answerRequests(database: Database): Change[] {
  const changes: Change[] = [];
  for (const { id, body } of database.openRequests()) {
    const result = answer(database, body, changes);
    database.transaction(() => database.answerRequest(id, JSON.stringify(result)));
  }
  return changes;
}

function answer(database: Database, body: string, changes: Change[]): DeadLetterOutcome | { readonly error: string } {
  try {
    return carryOut(database, JSON.parse(body) as DeadLetterRequest, changes);
  } catch (error) {
    return { error: (error as Error).message };
  }
}
