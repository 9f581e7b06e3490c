import type { Component, Host } from '../../src/component/component.ts';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { type ComponentId, formatComponentId } from '../../src/component/id.ts';
import { Semaphore } from '../../src/resilience/semaphore.ts';
import type { BmcLogsConfig } from './config.ts';
import { Endpoint } from './endpoint.ts';
import { bmcEvents } from './events.ts';
import { Positions } from './logs/positions.ts';

/** All endpoints of one `bmc_logs` section. They share the gate for handshakes and nothing else. */
export class BmcLogsReceiver implements Component {
  readonly #host: Host;
  readonly #config: BmcLogsConfig;
  readonly #receiver: string;
  readonly #endpoints: readonly Endpoint[];
  #positions: Positions | undefined;

  constructor(id: ComponentId, config: BmcLogsConfig, host: Host, next: LogsConsumer) {
    this.#host = host;
    this.#config = config;
    const receiver = formatComponentId(id);
    this.#receiver = receiver;
    const modes = () => this.#endpoints.map((endpoint) => endpoint.mode);
    const windowMs = config.auto.connect_failure_window;
    const events = bmcEvents({ receiver, meter: host.meter, logger: host.logger, modes, windowMs });
    const handshakes = new Semaphore(config.max_handshakes);
    this.#endpoints = config.endpoints.map(
      (endpoint) => new Endpoint({ receiver, config, endpoint, host, next, events, handshakes }),
    );
  }

  async start(): Promise<void> {
    const { logger } = this.#host;
    const { storage } = this.#config;
    if (storage === undefined)
      logger.warn('read positions are kept in memory: a restart reads the logs again, as `initial_history` says');
    else this.#positions = new Positions(this.#host.storage(storage).keyValue(this.#receiver, 'position'), this.#host);
    const unverified = this.#config.endpoints.filter(({ tls }) => tls.insecure_skip_verify).length;
    if (unverified > 0) logger.warn('certificates of BMCs are not verified', { endpoints: unverified });
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.start(this.#positions)));
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.shutdown(signal)));
    await this.#positions?.close();
  }
}
