import type { SendResult } from '../component/exporter.ts';
import type { DeadLetterReason } from '../component/storage.ts';

/** A backend that took something within this time is believed when it blames the data. */
const TRUST_MS = 60_000;
/** After so many server errors or timeouts a request is suspected itself. */
const MOST_SUSPECT = 5;

/** What is known of one request when its result came; counts include this result. */
export interface RequestState {
  /** Values in it. */
  readonly size: number;
  readonly serverErrors: number;
  readonly timeouts: number;
  /** When its first attempt failed; milliseconds, monotonic. */
  readonly failingSince: number;
}

/** What is known of the backend. */
export interface BackendState {
  /** When it last took a request, or an empty one; milliseconds, monotonic; -Infinity: never. */
  readonly acceptedAt: number;
  readonly canProbe: boolean;
}

export type Action =
  | { readonly do: 'settle' }
  | { readonly do: 'retry' }
  /** Before the data is blamed: send an empty request, and see {@link judge}. */
  | { readonly do: 'prove'; readonly wait: boolean }
  | { readonly do: 'split' }
  | { readonly do: 'set_aside'; readonly reason: DeadLetterReason }
  | { readonly do: 'hold' };

/** What becomes of a request. Pure; the table in the manual is this function. */
export function act(result: SendResult, request: RequestState, backend: BackendState, now: number): Action {
  switch (result.kind) {
    case 'accepted':
      return (result.rejected ?? 0) > 0 ? { do: 'set_aside', reason: 'partial_success' } : { do: 'settle' };
    case 'unknown':
      return { do: 'set_aside', reason: 'reply_unreadable' };
    case 'too_large':
      return blame(request, 'too_large');
    case 'hold':
      return { do: 'hold' };
    case 'retry':
      return { do: 'retry' };
    case 'reject':
      if (now - backend.acceptedAt > TRUST_MS && backend.canProbe) return { do: 'prove', wait: false };
      return blame(request, 'rejected');
    case 'suspect': {
      const times = result.cause === 'timeout' ? request.timeouts : request.serverErrors;
      if (times < MOST_SUSPECT) return { do: 'retry' };
      if (backend.acceptedAt > request.failingSince) return blame(request, result.cause);
      return backend.canProbe ? { do: 'prove', wait: true } : { do: 'retry' };
    }
  }
}

/** The data is at fault: halve it until the fault stands alone. */
export function blame({ size }: Pick<RequestState, 'size'>, reason: DeadLetterReason): Action {
  return size > 1 ? { do: 'split' } : { do: 'set_aside', reason };
}

/** What an empty request has proven about the full one before it. */
export function judge(probe: SendResult): 'data' | 'setup' | 'outage' {
  switch (probe.kind) {
    case 'accepted':
    case 'unknown':
      return 'data';
    case 'reject':
    case 'too_large':
    case 'hold':
      return 'setup';
    default:
      return 'outage';
  }
}
