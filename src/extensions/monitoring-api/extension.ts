import { isAbsolute, join } from 'node:path';
import type { Component, Host } from '../../component/component.ts';
import { OutbandError } from '../../component/errors.ts';
import type { Page, PageServer } from '../../component/page.ts';
import type { TargetHandle } from '../../component/scheduler.ts';
import { Gate } from './gate.ts';
import type { MonitoringApiConfig } from './index.ts';
import { overview } from './overview.ts';
import { Router } from './router.ts';
import { SchedulerPages } from './scheduler-pages.ts';
import { ApiServer } from './server.ts';
import { loadStatusPage } from './status-page.ts';
import { Tokens } from './tokens.ts';

/** Files are looked at this often. */
const FILES_INTERVAL_MS = 5_000;

/** The monitoring API: pages of the scheduler, of the agent, and of whatever component serves one. */
export class MonitoringApi implements Component, PageServer {
  /** As it stands in messages: `extensions::monitoring_api`. */
  readonly #place: string;
  readonly #config: MonitoringApiConfig;
  readonly #host: Host;
  readonly #router = new Router();
  #server: ApiServer | undefined;
  #files: TargetHandle | undefined;

  constructor(place: string, config: MonitoringApiConfig, host: Host) {
    this.#place = place;
    this.#config = config;
    this.#host = host;
  }

  /** May be called before and after `start`. */
  serve(page: Page): void {
    this.#router.add(page);
  }

  withdraw(page: Page): void {
    this.#router.remove(page);
  }

  /** The port, once it listens. */
  get port(): number | undefined {
    return this.#server?.port;
  }

  async start(): Promise<void> {
    const { auth, endpoint, scheduler: schedulerId, snapshot_max_age: maxAge } = this.#config;
    const { clock, logger } = this.#host;
    const now = () => clock.monotonic();
    const scheduler = this.#host.scheduler(schedulerId);
    const tokens = new Tokens(auth.tokens, this.#pathOf(auth.token_file), logger);
    await tokens.load().catch((error: OutbandError) => {
      throw new OutbandError(error.code, `${this.#place}::auth::token_file: ${error.message}`, { cause: error });
    });
    for (const page of new SchedulerPages({ scheduler, logger, now, maxAge }).pages) this.serve(page);
    this.serve({ method: 'GET', path: '/api/monitoring/overview', handle: () => overview(this.#host, this.#config) });
    this.#server = new ApiServer({
      config: this.#config,
      place: this.#place,
      certificate: this.#pathOf(this.#config.tls.cert_file),
      key: this.#pathOf(this.#config.tls.key_file),
      gate: new Gate(this.#config, tokens, logger, now),
      router: this.#router,
      statusPage: await loadStatusPage(),
      clock,
      logger,
    });
    await this.#server.start();
    const isTls = this.#config.tls.cert_file !== undefined;
    const fields = { address: `${isTls ? 'https' : 'http'}://${authority(endpoint.host, this.#server.port!)}` };
    logger.info('monitoring API is listening', fields);
    if (auth.none) logger.warn('every user of this machine can read the monitoring API: auth is none', fields);
    if (!endpoint.isLoopback && !isTls)
      logger.warn('tokens of the monitoring API travel in clear: set tls, or bind to loopback', fields);
    this.#files = scheduler.register(
      {
        ...{ type: 'monitoring-files', name: this.#place, connection: this.#place },
        run: async () => {
          await tokens.reload();
          await this.#server!.reloadCertificate();
          return {};
        },
      },
      { interval: FILES_INTERVAL_MS, internal: true },
    );
  }

  /** Answers that are under way may end. */
  async shutdown(signal: AbortSignal): Promise<void> {
    await this.#files?.unregister();
    await this.#server?.stop(signal);
  }

  #pathOf(file: string | undefined): string | undefined {
    return file === undefined || isAbsolute(file) ? file : join(this.#host.configDirectory, file);
  }
}

function authority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
