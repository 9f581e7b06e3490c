import { OutbandError } from '../../component/errors.ts';
import { publicMessage } from '../../component/public-message.ts';
import type { Facts } from '../../component/scheduler.ts';

const MOST_FACTS = 8;
const MOST_FACTS_BYTES = 512;

/** What a run answered, as far as it makes sense: a plugin may answer anything. */
export interface ReadResult {
  readonly deferred: boolean;
  readonly items: number;
  readonly again: boolean;
  readonly facts: Facts | undefined;
  /** It gave facts that are too large or not flat. */
  readonly refusedFacts: boolean;
}

/** @throws whatever a getter of the result throws */
export function readResult(result: unknown): ReadResult {
  if (typeof result !== 'object' || result === null)
    return { deferred: false, items: 0, again: false, facts: undefined, refusedFacts: false };
  const { deferred, items, again, facts } = result as Record<string, unknown>;
  const kept = facts === undefined || facts === null ? undefined : readFacts(facts);
  return {
    deferred: deferred === true,
    items: typeof items === 'number' && items > 0 ? items : 0,
    again: again === true,
    facts: kept,
    refusedFacts: facts !== undefined && facts !== null && kept === undefined,
  };
}

function readFacts(facts: unknown): Facts | undefined {
  if (typeof facts !== 'object' || Array.isArray(facts)) return undefined;
  const copy = { ...(facts as Facts) };
  const values: unknown[] = Object.values(copy);
  if (values.length > MOST_FACTS) return undefined;
  if (!values.every((value) => typeof value === 'string' || Number.isFinite(value))) return undefined;
  return Buffer.byteLength(JSON.stringify(copy)) <= MOST_FACTS_BYTES ? copy : undefined;
}

/** What is known of a failed attempt. */
export interface ReadFailure {
  readonly code: string;
  readonly message: string;
  /** Milliseconds that the target asked for. */
  readonly retryAfter: number;
}

/** Reads anything that was thrown. Never throws itself. */
export function readFailure(error: unknown): ReadFailure {
  try {
    const code = error instanceof OutbandError ? error.code : 'run_failed';
    const wish = (error as { afterMs?: unknown } | null | undefined)?.afterMs;
    return { code, message: publicMessage(error), retryAfter: typeof wish === 'number' && wish > 0 ? wish : 0 };
  } catch {
    return { code: 'run_failed', message: 'an error that cannot be read', retryAfter: 0 };
  }
}
