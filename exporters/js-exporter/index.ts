import { z } from 'zod';
import { defineExporter } from '../../src/component/factory.ts';
import { formatComponentId } from '../../src/component/id.ts';
import { deliveryReferences, deliverySettings, withDelivery } from '../../src/config/schema/delivery.ts';
import { text } from '../../src/config/schema/values.ts';
import { JsExporterSender } from './exporter.ts';

const schema = withDelivery(
  z.strictObject({
    module: text()
      .min(1, { error: 'must be non-empty' })
      .refine((module) => !/^[a-z][a-z0-9+.-]*:/i.test(module), {
        error: 'must be a package name or a path, not a URL',
      })
      .describe('Package, or path of a file.'),
    export: text().prefault('default').describe('Name of the class, or of a function that makes the exporter.'),
    options: z.record(z.string(), z.unknown()).prefault({}).describe('Given to the constructor.'),
    ...deliverySettings({ timeout: '5s', queue: true }),
  }),
);

export type JsExporterConfig = z.output<typeof schema>;

export default defineExporter({
  type: 'js_exporter',
  summary:
    'Any exporter written for OpenTelemetry JS. Such an exporter may retry, and hide a partial success, inside itself.',
  stability: { logs: 'alpha', metrics: 'alpha' },
  schema,
  example: `
module: '@opentelemetry/exporter-logs-otlp-http'
export: OTLPLogExporter
options: { url: https://otlp.example.net/v1/logs }`,
  references: (config) => deliveryReferences(config),
  create: ({ id, config, host }) => new JsExporterSender(formatComponentId(id), config, host),
});
