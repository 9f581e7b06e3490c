import { defineExporter } from '../../src/component/factory.ts';
import { otlpHttpConfig } from './config.ts';
import { OtlpHttpSender } from './exporter.ts';

export default defineExporter({
  type: 'otlp_http',
  summary: 'Sends OTLP over HTTP, as protobuf or JSON, and resolves with the 2xx.',
  stability: { logs: 'beta' },
  schema: otlpHttpConfig,
  create: ({ config, host }) => new OtlpHttpSender(config, host),
});
