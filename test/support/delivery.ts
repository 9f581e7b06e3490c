import { z } from 'zod';
import { deliveryOf } from '../../src/agent/delivery-settings.ts';
import type { Host } from '../../src/component/component.ts';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import type { Signal } from '../../src/component/factory.ts';
import { deliverySettings, withDelivery } from '../../src/config/schema/delivery.ts';
import { ExporterPipeline } from '../../src/delivery/exporter-pipeline.ts';

const schema = withDelivery(z.strictObject(deliverySettings({ timeout: '30s', queue: true, batchSize: 10 })));

export type Answer = SendResult | 'hang' | Error;

export interface ScriptedSender extends Sender {
  /** Bodies of each request, in order; an empty list for an empty request. */
  readonly requests: string[][];
}

/** A sender that answers as the script says, with the bodies of the request at hand. */
export function scripted(answer: (bodies: string[], request: number) => Answer | Promise<Answer>): ScriptedSender {
  const requests: string[][] = [];
  return {
    requests,
    async sendLogs(records, { signal }) {
      const bodies = records.map(({ body }) => String(body));
      requests.push(bodies);
      const given = await answer(bodies, requests.length);
      if (given instanceof Error) throw given;
      if (given !== 'hang') return given;
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    },
  };
}

/** A started exporter around this sender, with settings as a configuration would have them. */
export async function pipelineOf(
  sender: Sender,
  host: Host,
  settings: object = {},
  signals: readonly Signal[] = ['logs'],
): Promise<ExporterPipeline> {
  const retry_on_failure = { randomization_factor: 0 };
  const config = schema.parse({ retry_on_failure, ...settings });
  const exporter = new ExporterPipeline({
    exporter: 'test',
    sender,
    settings: deliveryOf(config),
    host,
    signals,
  });
  await exporter.start();
  return exporter;
}
