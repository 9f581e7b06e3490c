/**
 * What the scheduler extension promises to components. It owns every due time: a receiver that wants to poll registers
 * a target and never sets a timer.
 */
export interface Scheduler {
  /**
   * Puts a target under the scheduler. Its first run comes at once or on the target's grid, as `firstRun` says.
   * @throws OutbandError `target_exists` when `type::name` is taken, `target_invalid` for a bad type, name or interval
   */
  register(target: Target, options: TargetOptions): TargetHandle;
}

/** What is polled: one BMC, one pool, one source. Its key is `type::name`. */
export interface Target {
  /** `[a-z][a-z0-9_-]{0,31}`, such as `bmc`. */
  readonly type: string;
  /** 1 to 256 characters without control characters; unique within the type. */
  readonly name: string;
  /** URL or host, for people. */
  readonly connection: string;
  /**
   * One poll. Not called again while it runs, up to its deadline; a run that does not heed its signal then may overlap
   * with the next.
   * A resolved promise is a success, a rejection a failure; a rejection after the signal aborted by `unregister` or
   * shutdown is neither.
   * @param signal aborts at the deadline, on `unregister` and on shutdown
   */
  run(signal: AbortSignal, why: RunReason): Promise<RunResult>;
}

/** What the scheduler tells a run. */
export interface RunReason {
  /** Why this run comes now. */
  readonly cause: RunCause;
  /** Slots of the target's grid that passed unused since its last start. */
  readonly missed: number;
}

/** `initial`: the first run. `interval`: its slot came. `requested`: `runNow`, or `again`. */
export type RunCause = 'initial' | 'interval' | 'requested';

/** How a run that did not fail ended. */
export type RunResult =
  | {
      /** What the run found, for people. */
      readonly items?: number;
      /** Asks for another run right after this one, `minInterval` apart: a wish that came during the run. */
      readonly again?: boolean;
    }
  /** The pipeline refused, not the target: neither success nor failure; next run at the next slot. */
  | { readonly deferred: true };

/** How often a target runs. All times in milliseconds. */
export interface TargetOptions {
  /** Milliseconds between two runs on the target's grid; > 0. */
  readonly interval: number;
  /** Milliseconds that two starts keep apart when a run was asked for (`runNow`, `again`). Default 1000. */
  readonly minInterval?: number;
  /** Milliseconds after which a run counts as failed and its signal aborts. Default: the scheduler's `task_timeout`. */
  readonly timeout?: number;
  /** `now`: due at once. `grid` (default): the first slot, so that two starts of the agent use the same slots. */
  readonly firstRun?: 'grid' | 'now';
  /** What the component calls its way of reading (`poll`, `stream`), for people. */
  readonly mode?: string;
}

/** The hold of a component on its target; every method may be called at any time. */
export interface TargetHandle {
  /**
   * Makes the target due `delay` milliseconds from now (default 0), never later than it was and never closer to its
   * last start than `minInterval`.
   * @returns false, changing nothing, while a run is in flight; that run can answer `again: true` instead
   */
  runNow(delay?: number): boolean;
  /** Replaces the interval. The next run comes on the new grid, unless it was asked for with `runNow`. */
  setInterval(interval: number, options?: { readonly mode?: string }): void;
  /** Removes the target before it returns; the promise resolves when a run in flight has settled or passed its deadline. */
  unregister(): Promise<void>;
}
