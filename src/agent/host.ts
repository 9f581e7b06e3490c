import type { Clock } from '../component/clock.ts';
import type { Component, ComponentStatus, Host, Logger } from '../component/component.ts';
import { OutbandError } from '../component/errors.ts';
import type { ComponentKind } from '../component/id.ts';
import type { Scheduler } from '../component/scheduler.ts';
import type { Storage } from '../component/storage.ts';
import type { OwnLogs } from '../platform/own-logs.ts';
import type { OwnMetrics } from '../platform/own-metrics.ts';

/** What all components of an agent share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly random: () => number;
  readonly logs: OwnLogs;
  readonly metrics: OwnMetrics;
  readonly configDirectory: string;
}

/** Makes the host of each component, and hears their status. */
export class HostMaker {
  readonly #surroundings: Surroundings;
  readonly #extensions: ReadonlyMap<string, Component>;
  readonly #onFatal: (component: string, error: Error) => void;

  /** @param extensions filled before any component starts */
  constructor(
    surroundings: Surroundings,
    extensions: ReadonlyMap<string, Component>,
    onFatal: (component: string, error: Error) => void,
  ) {
    this.#surroundings = surroundings;
    this.#extensions = extensions;
    this.#onFatal = onFatal;
  }

  make(kind: ComponentKind, key: string): Host {
    const { clock, random, logs, metrics, configDirectory } = this.#surroundings;
    const logger = logs.logger({ 'otelcol.component.id': key, 'otelcol.component.kind': kind });
    const extension = (id: string): Component => {
      const found = this.#extensions.get(id);
      if (!found) throw new OutbandError('config_reference', `extension "${id}" is not running`);
      return found;
    };
    let last = '';
    return {
      clock,
      random,
      logger,
      configDirectory,
      meter: metrics.meter(`outband.${kind}.${key}`),
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
      report: (status) => {
        const now = status.status + ('error' in status ? status.error.message : '');
        if (now === last) return;
        last = now;
        logStatus(logger, status);
        if (status.status === 'fatal') this.#onFatal(key, status.error);
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
