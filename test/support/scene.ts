import type { TestContext } from 'node:test';
import { settle } from '../../src/testing/fake-clock.ts';
import { type BmcFleet, type FleetOptions, startBmcFleet } from '../simulators/bmc/fleet.ts';
import type { Verdict } from '../simulators/bmc/truth.ts';
import { type OtlpSink, startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { type BmcConfigOptions, bmcConfig } from './bmc-config.ts';
import { agentOf, type TestAgent } from './run-agent.ts';

export interface Scene {
  readonly fleet: BmcFleet;
  readonly sink: OtlpSink;
  readonly agent: TestAgent;
  /** Compares what the BMCs offered with what the sink has. */
  verdict(): Verdict;
  /** Resolves when the sink has everything that was offered so far, and the agent knows. */
  allDelivered(): Promise<void>;
  /**
   * As {@link Scene.allDelivered}, and then two more reads of each endpoint's logs have ended: whatever would be sent
   * twice has been.
   */
  allSettled(): Promise<void>;
  /** Resolves with the WARN line about this endpoint's downgrade. */
  downgrade(endpoint: string): Promise<Record<string, unknown>>;
}

export interface SceneOptions
  extends Partial<FleetOptions>,
    Pick<BmcConfigOptions, 'receiver' | 'exporter' | 'scheduler'> {
  /** Before the agent starts. */
  readonly before?: (fleet: BmcFleet) => void | Promise<void>;
  readonly modes?: readonly string[];
}

/** A fleet, a sink and an agent between them, on real sockets; all gone when the test ends. */
export async function scene(t: TestContext, options: SceneOptions = {}): Promise<Scene> {
  const fleet = await startBmcFleet({ count: 1, ...options });
  const sink = await startOtlpSink();
  await options.before?.(fleet);
  const endpoints = fleet.bmcs.map(({ name, address }, index) => ({
    name,
    address,
    ...(options.modes?.[index] && { mode: options.modes[index] }),
  }));
  const agent = agentOf(bmcConfig({ endpoints, sink, ...options }));
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  await agent.start();
  const verdict = () =>
    fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));
  const allDelivered = async () => {
    await sink.waitFor(() => verdict().lost.length === 0);
    // The sink has answered; now the agent must have heard it.
    do await settle();
    while ((await agent.metric('otelcol_exporter_queue_size')) > 0);
    // Throws when they do not balance.
    await agent.books('otlp_http');
  };
  const reads = (name: string) =>
    agent.lines.filter(({ msg, endpoint }) => msg === 'logs read' && endpoint === name).length;
  return {
    fleet,
    sink,
    agent,
    verdict,
    allDelivered,
    async allSettled() {
      await allDelivered();
      const before = fleet.bmcs.map(({ name }) => reads(name));
      await agent.line(() => fleet.bmcs.every(({ name }, index) => reads(name) >= before[index]! + 2));
      await allDelivered();
    },
    downgrade: (endpoint) =>
      agent.line(({ msg, endpoint: who }) => msg === 'log stream downgraded to polling' && who === endpoint),
  };
}

/** How often a line was written. */
export function countLines(agent: TestAgent, msg: string, endpoint?: string): number {
  return agent.lines.filter((line) => line.msg === msg && (endpoint === undefined || line.endpoint === endpoint))
    .length;
}
