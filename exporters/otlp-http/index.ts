import { defineExporter } from '../../src/component/factory.ts';
import { deliveryReferences } from '../../src/config/schema/delivery.ts';
import { type OtlpHttpConfig, otlpHttpConfig } from './config.ts';
import { OtlpHttpSender } from './exporter.ts';

export default defineExporter({
  type: 'otlp_http',
  aliases: ['otlphttp'],
  summary: 'Sends OTLP over HTTP, as protobuf or JSON, and resolves with the 2xx.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema: otlpHttpConfig,
  example: `
endpoint: https://otlp.example.net
headers: { authorization: "Bearer \${env:OTLP_TOKEN}" }
sending_queue: { storage: file_storage }`,
  references: (config) => [...deliveryReferences(config), ...authReference(config)],
  create: ({ config, host }) => new OtlpHttpSender(config, host),
});

function authReference({ auth }: Partial<OtlpHttpConfig>) {
  return auth?.authenticator === undefined ? [] : [{ path: ['auth', 'authenticator'], id: auth.authenticator }];
}
