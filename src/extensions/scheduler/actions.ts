import { type ActionResult, RUN_CAUSES, type SchedulerActions } from '../../component/scheduler.ts';
import { isTripped } from '../../resilience/breaker.ts';
import { moveRetry, reset } from '../../resilience/next-run.ts';
import type { SchedulerClock } from './scheduler-clock.ts';
import type { Targets } from './targets.ts';

/** What people command. Whoever offers these to people logs who did. */
export class Actions implements SchedulerActions {
  readonly #targets: Targets;
  readonly #clock: SchedulerClock;
  readonly #redriveRate: number;
  #redriveEnds = Number.NEGATIVE_INFINITY;

  /** @param redriveRate parked targets per second */
  constructor(targets: Targets, clock: SchedulerClock, redriveRate: number) {
    this.#targets = targets;
    this.#clock = clock;
    this.#redriveRate = redriveRate;
  }

  run(key: string): ActionResult {
    const row = this.#rowFor(key);
    if (typeof row !== 'number') return row;
    // Who waits for a slot already keeps its place.
    const due = Math.min(this.#targets.due(row), Math.ceil(this.#clock.now()));
    this.#runEarly(row, due);
    return { nextRun: this.#clock.nanos(due) };
  }

  /** Makes a target due by hand; what waits for its retry has that retry moved first. */
  #runEarly(row: number, at: number): void {
    const due = Math.ceil(at);
    const state = this.#targets.registry.state(row);
    if (state && isTripped(state.breaker)) this.#targets.setState(row, moveRetry(state, due));
    this.#targets.arm(row, due, 'manual');
  }

  reset(key: string): ActionResult {
    const row = this.#rowFor(key);
    if (typeof row !== 'number') return row;
    const now = this.#clock.now();
    const state = this.#targets.registry.state(row);
    if (state) this.#targets.setState(row, reset(state, now));
    const due = this.#targets.slot(row, now);
    this.#targets.arm(row, due, 'manual');
    this.#targets.changed(row);
    return { nextRun: this.#clock.nanos(due) };
  }

  #rowFor(key: string): number | Extract<ActionResult, { refused: string }> {
    const row = this.#targets.registry.rowOf(key);
    if (row === undefined || this.#targets.registry.identity(row).internal) return { refused: 'target_unknown' };
    return this.#targets.isInFlight(row) ? { refused: 'run_in_flight' } : row;
  }

  redrive(): number {
    const now = this.#clock.now();
    const parked = [...this.#targets.registry.rows()].filter(
      (row) => this.#targets.registry.state(row)?.parked && !this.#targets.isInFlight(row),
    );
    if (now < this.#redriveEnds) {
      const byHand = RUN_CAUSES.indexOf('manual');
      return parked.filter((row) => this.#targets.registry.columns.cause[row] === byHand).length;
    }
    parked.sort((a, b) => this.#targets.due(a) - this.#targets.due(b));
    const spacing = 1_000 / this.#redriveRate;
    for (const [index, row] of parked.entries()) this.#runEarly(row, now + index * spacing);
    this.#redriveEnds = now + (parked.length - 1) * spacing;
    return parked.length;
  }
}
