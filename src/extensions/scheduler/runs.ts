import { aborted } from '../../component/aborted.ts';
import { OutbandError } from '../../component/errors.ts';
import { isRefusal } from '../../component/refusal.ts';
import type { RunReason, Target } from '../../component/scheduler.ts';
import { type ReadFailure, type ReadResult, readFailure, readResult } from './run-result.ts';

/** How a run ended. `aborted`: its target or the agent stopped, so it says nothing about the target. */
export type RunEnded =
  | ({ readonly kind: 'success' | 'deferred' } & ReadResult)
  | ({ readonly kind: 'failure' } & ReadFailure)
  | { readonly kind: 'aborted' };

interface Running {
  readonly abort: AbortController;
  readonly settled: Promise<void>;
  settle(): void;
}

export interface RunsOptions {
  /** Called once per run, also when it overran its deadline. */
  readonly onEnd: (row: number, ended: RunEnded) => void;
  /** A run ended after its deadline; nobody waits for it any more. */
  readonly onLate: (type: string) => void;
}

/** The runs in flight, one per row. A run that does not heed its signal loses its row all the same. */
export class Runs {
  readonly #running = new Map<number, Running>();
  readonly #options: RunsOptions;

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  begin(row: number, target: Target, why: RunReason): void {
    const abort = new AbortController();
    const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
    const running = { abort, settled, settle };
    this.#running.set(row, running);
    const ended = (how: RunEnded) => {
      if (this.#running.get(row) === running) this.#end(row, abort.signal.aborted ? { kind: 'aborted' } : how);
      else this.#options.onLate(target.type);
    };
    // In a later turn, so that a run that asks for another one already counts as in flight.
    void Promise.resolve()
      .then(() => target.run(abort.signal, why))
      .then(readResult)
      .then(
        (result) => ended({ kind: result.deferred ? 'deferred' : 'success', ...result }),
        (error: unknown) =>
          // What a pipeline does not take is no fault of the target, whatever its component makes of it.
          ended(
            isRefusal(error)
              ? { kind: 'deferred', ...readResult(undefined) }
              : { kind: 'failure', ...readFailure(error) },
          ),
      );
  }

  /** Its deadline has passed. */
  expire(row: number, error: OutbandError): void {
    const running = this.#running.get(row);
    if (!running) return;
    const wasAborted = running.abort.signal.aborted;
    running.abort.abort(error);
    this.#end(row, wasAborted ? { kind: 'aborted' } : { kind: 'failure', ...readFailure(error) });
  }

  /** Its target is gone, or the agent stops. @returns when it has ended */
  async abort(row: number): Promise<void> {
    const running = this.#running.get(row);
    running?.abort.abort(new OutbandError('shutting_down', 'the run is not wanted any more'));
    await running?.settled;
  }

  async abortAll(signal: AbortSignal): Promise<void> {
    const all = Promise.all([...this.#running.keys()].map((row) => this.abort(row)));
    await Promise.race([all, aborted(signal)]);
  }

  #end(row: number, ended: RunEnded): void {
    const running = this.#running.get(row)!;
    this.#running.delete(row);
    this.#options.onEnd(row, ended);
    running.settle();
  }
}
