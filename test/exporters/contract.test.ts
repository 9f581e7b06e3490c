import { join } from 'node:path';
import debug from '../../exporters/debug/index.ts';
import file from '../../exporters/file/index.ts';
import jsExporter from '../../exporters/js-exporter/index.ts';
import otlpHttp from '../../exporters/otlp-http/index.ts';
import type { ExporterFactory } from '../../src/component/factory.ts';
import { senderContract } from '../contracts/sender.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { testHost } from '../support/host.ts';
import { temporaryDirectory } from '../support/storage.ts';

const make = <Config>(factory: ExporterFactory<Config>, settings: object) =>
  factory.create({ id: { type: factory.type, name: '' }, config: factory.schema.parse(settings), host: testHost() });

senderContract('otlp_http', async (t) => {
  const sink = await startOtlpSink();
  t.after(() => sink.close());
  return make(otlpHttp, { endpoint: sink.url, tls: { insecure: true } });
});

senderContract('debug', async () => make(debug, {}));

senderContract('file', async (t) => make(file, { path: join(await temporaryDirectory(t), 'logs.json') }));

senderContract('js_exporter', async () =>
  make(jsExporter, { module: '@opentelemetry/sdk-logs', export: 'InMemoryLogRecordExporter' }),
);
