import type {
  BreakerState,
  ParkReason,
  TargetError,
  TransitionCause,
  TransitionEvent,
} from '../../component/scheduler.ts';
import type { TargetState } from '../../resilience/next-run.ts';

/** For the event of a step: whose it is, and how its instants are told. */
interface Whose {
  readonly key: string;
  readonly type: string;
  readonly name: string;
  toNanos(instant: number): bigint;
}

type Step = { event(whose: Whose): TransitionEvent } & (
  | { readonly kind: 'breaker'; readonly from: BreakerState; readonly to: BreakerState }
  | { readonly kind: 'parked' | 'released'; readonly reason: ParkReason }
);

/** What happened between two states of one target that people want to hear about, in order. At most one breaker step. */
export function transitionsBetween(before: TargetState | undefined, after: TargetState | undefined): Step[] {
  const last = after?.breaker.transitions.at(-1);
  const moved = last !== before?.breaker.transitions.at(-1) ? last : undefined;
  const steps: Step[] = [];
  const told = errorOf(after) ?? errorOf(before);
  const base = (whose: Whose, at: number, cause: TransitionCause) => ({
    ...{ key: whose.key, type: whose.type, name: whose.name, at: whose.toNanos(at), cause },
    ...(told && { error: told }),
  });
  if (moved) {
    const { at, from, to, cause } = moved;
    const retryAt = after!.breaker.retryAt;
    steps.push({
      ...{ kind: 'breaker', from, to },
      event: (whose) => ({
        ...base(whose, at, cause),
        ...{ kind: 'breaker', from, to, ...(retryAt !== null && { retryAt: whose.toNanos(retryAt) }) },
      }),
    });
    const parked = after!.parked;
    if (parked && !before?.parked)
      steps.push({
        ...{ kind: 'parked', reason: parked },
        event: (whose) => ({
          ...base(whose, at, cause),
          ...{ kind: 'parked', reason: parked, nextRetry: whose.toNanos(retryAt!) },
        }),
      });
    const released = before?.parked;
    if (released && !parked)
      steps.push({
        ...{ kind: 'released', reason: released },
        event: (whose) => ({ ...base(whose, at, cause), kind: 'released', reason: released }),
      });
  }
  return steps;
}

function errorOf(state: TargetState | undefined): TargetError | undefined {
  if (!state?.lastError) return undefined;
  const { code, category, message } = state.lastError;
  return { code, category, message };
}
