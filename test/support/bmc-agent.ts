import type { TestContext } from 'node:test';
import type { BmcFleet } from '../simulators/bmc/fleet.ts';
import type { OtlpSink } from '../simulators/otlp-sink/sink.ts';
import { bmcConfig } from './bmc-config.ts';
import { TOKEN } from './monitoring-api.ts';
import { agentOf, type RunOptions, type TestAgent } from './run-agent.ts';

export interface BmcAgentOptions extends RunOptions {
  readonly fleet: BmcFleet;
  readonly sink: OtlpSink;
  /** Lines under `bmc_logs`, without indentation. */
  readonly receiver?: string;
  /** Where its store lies; default: it has none. */
  readonly directory?: string;
  /** Modes of the endpoints, by index. */
  readonly modes?: readonly string[];
}

export interface BmcAgent extends TestAgent {
  /** Asks the monitoring API, with a token that may command. */
  ask(path: string, method?: string): Promise<ApiAnswer>;
  /** What the monitoring API shows of one endpoint. */
  item(name: string): Promise<Item>;
  /** Asks for it until it looks like that. */
  itemWhen(name: string, predicate: (item: Item) => boolean): Promise<Item>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the API, which the tests take apart.
  readonly body: any;
}

/** One endpoint as the monitoring API shows it. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export type Item = Readonly<Record<string, any>>;

/** An agent over a fleet whose monitoring API takes commands; started, and stopped when the test ends. */
export async function bmcAgent(t: TestContext, options: BmcAgentOptions): Promise<BmcAgent> {
  const { fleet, sink, receiver, directory, modes, ...run } = options;
  const endpoints = fleet.bmcs.map(({ name, address }, index) => ({
    ...{ name, address },
    ...(modes?.[index] && { mode: modes[index] }),
  }));
  const lines = directory === undefined ? receiver : `storage: file_storage\n${receiver}`;
  let yaml = bmcConfig({ endpoints, sink, ...(lines !== undefined && { receiver: lines }) }).replace(
    'auth: none',
    `allow_actions: true, auth: { tokens: [{ name: ops, token: ${TOKEN} }] }`,
  );
  if (directory !== undefined)
    yaml = yaml
      .replace(
        'extensions:\n',
        `extensions:\n  file_storage: { directory: ${directory}/state, ballast_bytes: 0, commit: { max_delay: 5ms } }\n`,
      )
      .replace('extensions: [', 'extensions: [file_storage, ');
  const agent = agentOf(yaml, run);
  t.after(() => agent.stop());
  await agent.start();
  const { address } = await agent.line(({ msg }) => msg === 'monitoring API is listening');
  const ask = async (path: string, method = 'GET'): Promise<ApiAnswer> => {
    const answer = await fetch(`${address}${path}`, { method, headers: { authorization: `Bearer ${TOKEN}` } });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text === '' ? undefined : JSON.parse(text) };
  };
  const item = async (name: string): Promise<Item> => (await ask(`/api/monitoring/bmc/${name}`)).body;
  return {
    ...agent,
    ask,
    item,
    async itemWhen(name, predicate) {
      for (;;) {
        const now = await item(name);
        if (predicate(now)) return now;
      }
    },
  };
}
