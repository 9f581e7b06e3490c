import type { TestContext } from 'node:test';
import { Agent, request } from 'undici';
import { MonitoringApi } from '../../src/extensions/monitoring-api/extension.ts';
import factory, { type MonitoringApiConfig } from '../../src/extensions/monitoring-api/index.ts';
import type { SchedulerExtension } from '../../src/extensions/scheduler/extension.ts';
import { type TestHost, testHost } from '../../src/testing/host.ts';
import { type VirtualSchedulerOptions, virtualScheduler } from '../../src/testing/scheduler.ts';

export const TOKEN = 'correct-horse-battery';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface AskOptions {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Default: the right one; null: none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ApiScene {
  readonly api: MonitoringApi;
  readonly host: TestHost;
  readonly scheduler: SchedulerExtension;
  readonly clock: Awaited<ReturnType<typeof virtualScheduler>>['clock'];
  readonly origin: string;
  ask(path: string, options?: AskOptions): Promise<Answer>;
}

/** The real API on a real socket, over the real scheduler on a clock that the test moves. */
export async function apiScene(
  t: TestContext,
  settings: Record<string, unknown> = {},
  scheduling: VirtualSchedulerOptions = {},
): Promise<ApiScene> {
  const { clock, extension: scheduler } = await virtualScheduler(scheduling);
  const host = testHost({ clock, scheduler });
  const config = factory.schema.parse({
    ...{ endpoint: '127.0.0.1:0', auth: { tokens: [{ name: 'ops', token: TOKEN }] } },
    ...settings,
  }) as MonitoringApiConfig;
  const api = new MonitoringApi('extensions::monitoring_api', config, host);
  await api.start();
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  t.after(async () => {
    await dispatcher.close();
    await api.shutdown(AbortSignal.abort());
    await scheduler.shutdown(AbortSignal.abort());
  });
  const origin = `${config.tls.cert_file ? 'https' : 'http'}://127.0.0.1:${api.port}`;
  return {
    ...{ api, host, scheduler, clock, origin },
    async ask(path, { method = 'GET', token = TOKEN, headers = {}, body } = {}) {
      const answer = await request(`${origin}${path}`, {
        ...{ method, dispatcher, body: body ?? null },
        headers: { ...(token !== null && { authorization: `Bearer ${token}` }), ...headers },
      });
      return {
        status: answer.statusCode,
        headers: answer.headers as Record<string, string>,
        text: await answer.body.text(),
      };
    },
  };
}

/** The code of a refusal. */
export function problemOf({ headers, text }: Answer): string {
  if (headers['content-type'] !== 'application/problem+json') throw new Error(`no problem: ${text.slice(0, 200)}`);
  return (JSON.parse(text) as { code: string }).code;
}
