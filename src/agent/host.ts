import { aborted } from '../component/aborted.ts';
import type { Clock } from '../component/clock.ts';
import type {
  AgentView,
  Component,
  ComponentStatus,
  ConfigView,
  Host,
  Logger,
  StatusOf,
} from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { OutbandError } from '../component/errors.ts';
import type { ComponentKind } from '../component/id.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import { isPageServer, type Page } from '../component/page.ts';
import { publicMessage } from '../component/public-message.ts';
import type { Scheduler } from '../component/scheduler.ts';
import type { Storage } from '../component/storage.ts';
import type { OwnLogs } from '../platform/own-logs.ts';
import type { OwnMetrics } from '../platform/own-metrics.ts';
import { trackMeter } from './tracked-meter.ts';

const ALIVE_TIMEOUT_MS = 5_000;

export const COMPONENT_STATUS: MetricDoc = {
  ...{ name: 'otelcol_component_status', kind: 'gauge', unit: '1', attributes: ['component', 'kind', 'status'] },
  description: '1 for the status that a component has.',
};

/** What all components of an agent share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly random: () => number;
  readonly logs: OwnLogs;
  readonly metrics: OwnMetrics;
  readonly configDirectory: string;
  readonly pipelines: AgentView['pipelines'];
  readonly about: ConfigView | undefined;
}

/** The host of a component, and what only the agent does with it. */
export interface AgentHost extends Host {
  /** Its `start` has resolved: it is well, unless it said something else. */
  started(): void;
  /** It has stopped for good: nothing of it is shown or asked for any more. */
  gone(): void;
}

/** Makes the host of each component, and hears their status. */
export class HostMaker {
  readonly #surroundings: Surroundings;
  readonly #extensions: ReadonlyMap<string, Component>;
  readonly #onFatal: (component: string, error: Error) => void;
  readonly #statuses = new Map<string, StatusOf>();
  readonly #attributes = new Map<string, () => NonNullable<StatusOf['attributes']>>();
  readonly #pages = new Set<Page>();
  #view: AgentView;

  /** @param extensions filled before any component starts */
  constructor(
    surroundings: Surroundings,
    extensions: ReadonlyMap<string, Component>,
    onFatal: (component: string, error: Error) => void,
  ) {
    this.#surroundings = surroundings;
    this.#extensions = extensions;
    this.#onFatal = onFatal;
    const { clock, metrics, pipelines, about: config } = surroundings;
    const status = metrics.meter('outband').createObservableGauge(COMPONENT_STATUS.name, COMPONENT_STATUS);
    status.addCallback((result) => {
      for (const { kind, id, status: word } of this.#statuses.values())
        result.observe(1, { component: id, kind, status: word });
    });
    this.#view = { phase: 'starting', startedAt: clock.now(), runningSince: undefined, config, pipelines };
  }

  /** A server of pages is new: it shows what the components that are there have. */
  showPagesAt(extension: Component): void {
    if (isPageServer(extension)) for (const page of this.#pages) extension.serve(page);
  }

  *#servers() {
    for (const extension of this.#extensions.values()) if (isPageServer(extension)) yield extension;
  }

  /** The configuration is another one. */
  rearrange(pipelines: AgentView['pipelines']): void {
    this.#view = { ...this.#view, pipelines };
  }

  /** What is told of the configuration is another thing. */
  tellOfConfig(config: ConfigView): void {
    this.#view = { ...this.#view, config };
  }

  /** The agent has come so far. */
  enter(phase: AgentView['phase']): void {
    const runningSince = phase === 'running' ? this.#surroundings.clock.now() : this.#view.runningSince;
    this.#view = { ...this.#view, phase, runningSince };
  }

  #withAttributes(name: string, status: StatusOf): StatusOf {
    const attributes = this.#attributes.get(name)?.();
    return attributes ? { ...status, attributes } : status;
  }

  async #notAlive(): Promise<string | undefined> {
    using limit = deadline(this.#surroundings.clock, ALIVE_TIMEOUT_MS, 'the answer of an extension');
    for (const [id, extension] of this.#extensions) {
      // One that did not start is told on the status; the process lives without it.
      const status = this.#statuses.get(`extension ${id} `)?.status;
      if (status !== 'ok' && status !== 'recoverable') continue;
      const isLate = aborted(limit.signal).then(() => false);
      const answered = extension.alive?.().then(
        () => true,
        () => false,
      );
      if (!(await Promise.race([answered ?? true, isLate]))) return id;
    }
    return undefined;
  }

  /** @param more attributes of its log lines, such as the pipeline of a processor */
  make(kind: ComponentKind, key: string, more: Readonly<Record<string, string>> = {}): AgentHost {
    const { clock, random, logs, metrics, configDirectory } = this.#surroundings;
    const logger = logs.logger({ 'otelcol.component.id': key, 'otelcol.component.kind': kind, ...more });
    const extension = (id: string): Component => {
      const found = this.#extensions.get(id.trim().replace(/\s*\/\s*/, '/'));
      if (!found) throw new OutbandError('config_reference', `extension "${id}" is not running`);
      return found;
    };
    const tracked = trackMeter(metrics.meter(`outband.${kind}.${key}`));
    const pages: Page[] = [];
    let last = '';
    let isGone = false;
    // A processor is one instance per pipeline, each with a status of its own.
    const pipeline = kind === 'processor' ? more['otelcol.pipeline.id'] : undefined;
    const name = `${kind} ${key} ${pipeline ?? ''}`;
    const note = ({ status, ...why }: ComponentStatus) =>
      this.#statuses.set(name, {
        ...{ kind, id: key, status, since: clock.now() },
        ...(pipeline !== undefined && { pipeline }),
        ...('error' in why && { error: publicMessage(why.error) }),
      });
    const report = (status: ComponentStatus) => {
      const now = status.status + ('error' in status ? status.error.message : '');
      // What ended the process stays visible until it has ended.
      if (now === last || isGone || this.#statuses.get(name)?.status === 'fatal') return;
      last = now;
      note(status);
      logStatus(logger, status);
      if (status.status === 'fatal') this.#onFatal(key, status.error);
    };
    return {
      clock,
      random,
      logger,
      configDirectory,
      meter: tracked.meter,
      extension,
      scheduler(id) {
        const found = extension(id);
        if (!isScheduler(found)) throw new OutbandError('config_reference', `extension "${id}" is no scheduler`);
        return found;
      },
      storage(id) {
        const found = extension(id);
        if (!isStorage(found)) throw new OutbandError('config_reference', `extension "${id}" is no storage`);
        return found;
      },
      serve: (page) => {
        pages.push(page);
        this.#pages.add(page);
        for (const server of this.#servers()) server.serve(page);
      },
      ownMetrics: metrics,
      statuses: () => [...this.#statuses].map(([name, status]) => this.#withAttributes(name, status)),
      agent: () => this.#view,
      notAlive: () => this.#notAlive(),
      describe: (read) => this.#attributes.set(name, read),
      report,
      started: () => {
        if (last === 'starting') report({ status: 'ok' });
      },
      gone: () => {
        isGone = true;
        tracked.release();
        this.#statuses.delete(name);
        this.#attributes.delete(name);
        for (const page of pages.splice(0)) {
          this.#pages.delete(page);
          for (const server of this.#servers()) server.withdraw(page);
        }
      },
    };
  }
}

function isScheduler(extension: Component): extension is Component & Scheduler {
  return 'register' in extension && typeof extension.register === 'function';
}

function isStorage(extension: Component): extension is Component & Storage {
  return 'queue' in extension && 'keyValue' in extension;
}

function logStatus(logger: Logger, status: ComponentStatus): void {
  const fields = { status: status.status, ...('error' in status && { error: status.error }) };
  if (status.status === 'fatal' || status.status === 'permanent') logger.error('component status', fields);
  else if (status.status === 'recoverable') logger.warn('component status', fields);
  else logger.debug('component status', fields);
}
