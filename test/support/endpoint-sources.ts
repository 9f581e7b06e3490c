import type { TestContext } from 'node:test';
import { TlsContexts } from '../../receivers/bmc-logs/client/tls.ts';
import { bmcLogsConfig } from '../../receivers/bmc-logs/config.ts';
import type { EndpointSettings } from '../../receivers/bmc-logs/endpoint-settings.ts';
import { Sources } from '../../receivers/bmc-logs/sources/sources.ts';
import type { KeyValue } from '../../src/component/storage.ts';
import { testHost } from '../../src/testing/host.ts';
import { type Discovery, startDiscovery } from '../simulators/bmc/discovery.ts';

/** A store in memory with the limits of a real one. */
export class MemoryKeyValue implements KeyValue {
  readonly values = new Map<string, string>();

  async set(values: Readonly<Record<string, string | undefined>>): Promise<void> {
    for (const [key, value] of Object.entries(values)) {
      if (key.length > 512 || (value?.length ?? 0) > 1024 * 1024) throw new Error('too large');
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, value);
    }
  }

  async list(prefix: string): Promise<ReadonlyMap<string, string>> {
    return new Map([...this.values].filter(([key]) => key.startsWith(prefix)));
  }
}

interface Registered {
  readonly interval: number;
  readonly internal?: boolean;
  readonly firstRun?: string;
}

/** The sources of a `bmc_logs` section, each read when the test says so. @param section as in a configuration file */
export async function sourcesOf(section: object, store?: KeyValue) {
  const runs: ((signal: AbortSignal) => Promise<unknown>)[] = [];
  const registered: Registered[] = [];
  const stopped = new AbortController();
  const scheduler = {
    register(target: { readonly run: (signal: AbortSignal) => Promise<unknown> }, options: Registered) {
      runs.push(target.run);
      registered.push(options);
      return { unregister: async () => {} };
    },
  };
  const host = testHost({ scheduler: scheduler as never });
  let current: ReadonlyMap<string, EndpointSettings> = new Map();
  const history: string[][] = [];
  const sources = new Sources({
    ...{ receiver: 'bmc_logs', config: bmcLogsConfig.parse(section), host, contexts: new TlsContexts(), store },
    onStatus: () => {},
    onChange: ({ endpoints }) => {
      current = endpoints;
      history.push([...endpoints.keys()]);
    },
  });
  await sources.start();
  return {
    registered,
    /** Reads one source once. */
    read: async (index = 0) => void (await runs[index]!(stopped.signal)),
    /** Of all endpoints in force. */
    names: () => [...current.keys()],
    endpoint: (name: string) => current.get(name),
    /** Names after each change. */
    history: () => history,
    /** Lines of the log with this message. */
    lines: (text: string) => host.lines.filter(({ message }) => message === text),
    /** Names of the sources whose list may be old. */
    stale: () => sources.stale.map(({ name }) => name),
    /** Ends the reads under way. */
    stop: () => stopped.abort(),
  };
}

/** A discovery that ends with the test. */
export async function discoveryOf(t: TestContext, first?: Parameters<typeof startDiscovery>[0]): Promise<Discovery> {
  const discovery = await startDiscovery(first);
  t.after(() => discovery.close());
  return discovery;
}

/** Groups as a discovery answers them, one for each name. */
export function group(...names: readonly string[]) {
  return names.map((name) => ({ targets: ['10.0.0.1'], labels: { __name: name } }));
}
