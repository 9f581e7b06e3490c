import type { Meter } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Clock } from './clock.ts';
import type { ComponentKind } from './id.ts';
import type { Page } from './page.ts';
import type { Scheduler } from './scheduler.ts';
import type { Storage } from './storage.ts';

/**
 * The life of everything that a configuration names. The agent calls `start` at most once, `shutdown` at most twice,
 * and `shutdown` also when `start` was never called or has failed.
 */
export interface Component {
  /**
   * Begins the work and returns fast: long work hangs off one `AbortSignal` that the component owns.
   * An unreachable peer is never a start error. A rejection stops the agent.
   */
  start(host: Host): Promise<void>;
  /**
   * Stops intake, flushes onward, releases everything. Safe twice, and safe without `start`.
   * @param signal aborts when the agent waits no longer; whatever is left then is abandoned
   */
  shutdown(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the machinery of its own (a thread) answers; what is remote does not count. Asked for with each liveness
   * probe of the process. Absent: there is none.
   */
  alive?(): Promise<void>;
}

/** `recoverable` heals by itself; `permanent` needs a configuration change; `fatal` ends the process. */
export type ComponentStatus =
  | { readonly status: 'starting' | 'ok' | 'stopping' | 'stopped' }
  | { readonly status: 'recoverable' | 'permanent' | 'fatal'; readonly error: Error };

/** The last status of a component. */
export interface StatusOf {
  readonly kind: ComponentKind;
  /** `type[/name]`. */
  readonly id: string;
  /** Of a processor: the pipeline that this instance is in. */
  readonly pipeline?: string;
  readonly status: ComponentStatus['status'];
  /** When it began; nanoseconds since the epoch. */
  readonly since: bigint;
  /** Text of the error that goes with it. */
  readonly error?: string;
  /** What it says of itself by `Host.describe`. */
  readonly attributes?: Readonly<Record<string, number | string>>;
}

/** The configuration in force. */
export interface ConfigView {
  /** Equal for equal settings, secrets apart. */
  readonly hash: string;
  /** Nanoseconds since the epoch. */
  readonly loadedAt: bigint;
  readonly lastReload?: {
    /** Nanoseconds since the epoch. */
    readonly at: bigint;
    readonly outcome: 'success' | 'unchanged' | 'failure';
    readonly error?: string;
  };
  /** With secrets masked. */
  readonly shown: Readonly<Record<string, unknown>>;
}

/** Where the agent is in its life, and how it is put together. */
export interface AgentView {
  readonly phase: 'starting' | 'running' | 'stopping';
  /** Nanoseconds since the epoch. */
  readonly startedAt: bigint;
  /** When everything had started; undefined before. */
  readonly runningSince: bigint | undefined;
  /** Undefined where a program of one's own runs the agent and does not tell. */
  readonly config: ConfigView | undefined;
  readonly pipelines: readonly {
    /** `logs[/name]`. */
    readonly key: string;
    readonly receivers: readonly string[];
    readonly processors: readonly string[];
    readonly exporters: readonly string[];
  }[];
}

/** Values are printed as text; an error brings its code and its hint, a secret stays masked, undefined is left out. */
export type LogFields = Readonly<Record<string, unknown>>;

/** The agent's own log. A line of a component carries the component's id without being told. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** What a component may ask for. One host per component; nothing else of the agent is reachable. */
export interface Host {
  readonly clock: Clock;
  /** Uniform in [0, 1), injected so that jitter is repeatable in tests. */
  readonly random: () => number;
  readonly logger: Logger;
  /** Directory of the configuration file: relative paths in it start there. */
  readonly configDirectory: string;
  readonly meter: Meter;
  /**
   * The extension with this id. Extensions start before everything else, so a component may use it from its own
   * `start` on. References are checked with the configuration: the id is there.
   */
  extension(id: string): Component;
  /** The scheduler with this id; it owns every due time. */
  scheduler(id: string): Scheduler;
  /** The store with this id. */
  storage(id: string): Storage;
  /** Puts a page on the network under every monitoring API of the configuration; without one it does nothing. */
  serve(page: Page): void;
  /** What the agent measures of itself: the numbers of its metrics page. */
  readonly ownMetrics: { readonly resource: Resource; collect(): Promise<ResourceMetrics> };
  /** How every component is, in the order in which they start. */
  statuses(): readonly StatusOf[];
  agent(): AgentView;
  /** Id of an extension whose own machinery does not answer within 5 s; undefined when all do. */
  notAlive(): Promise<string | undefined>;
  /** Figures of the component for the status page, such as how much waits. Called once; `read` with each request for the page. */
  describe(read: () => Readonly<Record<string, number | string>>): void;
  /** Reports a change of the component's own status; equal reports in a row are one. */
  report(status: ComponentStatus): void;
}
