import { join } from 'node:path';
import debug from '../../exporters/debug/index.ts';
import file from '../../exporters/file/index.ts';
import jsExporter from '../../exporters/js-exporter/index.ts';
import otlpHttp from '../../exporters/otlp-http/index.ts';
import bmcLogs from '../../receivers/bmc-logs/index.ts';
import basicAuth from '../../src/extensions/basic-auth/index.ts';
import bearerTokenAuth from '../../src/extensions/bearer-token-auth/index.ts';
import { FileStorage } from '../../src/extensions/file-storage/extension.ts';
import fileStorage, { type FileStorageConfig } from '../../src/extensions/file-storage/index.ts';
import healthCheck from '../../src/extensions/health-check/index.ts';
import monitoringApi from '../../src/extensions/monitoring-api/index.ts';
import scheduler from '../../src/extensions/scheduler/index.ts';
import filter from '../../src/processors/filter/index.ts';
import memoryLimiter from '../../src/processors/memory-limiter/index.ts';
import resource from '../../src/processors/resource/index.ts';
import {
  exporterContract,
  extensionContract,
  processorContract,
  receiverContract,
  storageContract,
  testHost,
} from '../../src/testing/index.ts';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { temporaryDirectory } from '../support/storage.ts';

for (const mode of ['periodic', 'sse'])
  receiverContract(`bmc_logs, ${mode}`, {
    factory: bmcLogs,
    clock: 'real',
    async source(t) {
      const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
      t.after(() => fleet.close());
      const bmc = fleet.bmc(0);
      let number = 0;
      return {
        settings: {
          ...{ mode, initial_history: 'all', storage: 'file_storage' },
          ...(mode === 'periodic' && { periodic: { logs_collection_interval: '20ms' } }),
          endpoints: [{ name: 'a', address: bmc.address, tls: { insecure: true } }],
        },
        async add(count) {
          const bodies = Array.from({ length: count }, () => `entry ${number++}`);
          for (const text of bodies) bmc.append({ text });
          return bodies;
        },
      };
    },
  });

processorContract('filter', {
  factory: filter,
  settings: { logs: { exclude: { match_type: 'strict', bodies: ['x'] } } },
});
processorContract('resource', {
  factory: resource,
  settings: { attributes: [{ key: 'site', value: 'here', action: 'upsert' }] },
});
processorContract('memory_limiter', { factory: memoryLimiter, settings: { limit_mib: 100_000 } });

let sent: () => string[] = () => [];
exporterContract('otlp_http', {
  factory: otlpHttp,
  async settings(t) {
    const sink = await startOtlpSink();
    t.after(() => sink.close());
    sent = () => sink.records.map(({ body }) => String(body));
    return { endpoint: sink.url, tls: { insecure: true } };
  },
  away: async () => ({ endpoint: 'http://127.0.0.1:1', tls: { insecure: true } }),
  received: async () => sent(),
});
exporterContract('debug', { factory: debug, settings: async () => ({}) });
exporterContract('file', {
  factory: file,
  settings: async (t) => ({ path: join(await temporaryDirectory(t), 'logs.json') }),
});
exporterContract('js_exporter', {
  factory: jsExporter,
  settings: async () => ({ module: '@opentelemetry/sdk-logs', export: 'InMemoryLogRecordExporter' }),
});

extensionContract('scheduler', { factory: scheduler, settings: async () => ({}) });
extensionContract('health_check', { factory: healthCheck, settings: async () => ({ endpoint: '127.0.0.1:0' }) });
extensionContract('monitoring_api', {
  factory: monitoringApi,
  settings: async () => ({ endpoint: '127.0.0.1:0', auth: 'none' }),
});
extensionContract('file_storage', {
  factory: fileStorage,
  settings: async (t) => ({ directory: await temporaryDirectory(t), ballast_bytes: 0 }),
});
extensionContract('basic_auth', {
  factory: basicAuth,
  settings: async () => ({ client_auth: { username: 'a', password: 'b' } }),
});
extensionContract('bearer_token_auth', { factory: bearerTokenAuth, settings: async () => ({ token: 'a' }) });

storageContract('file_storage', async (t) => {
  const directory = await temporaryDirectory(t);
  const config = fileStorage.schema.parse({ directory, ballast_bytes: 0 }) as FileStorageConfig;
  return async () => {
    const storage = new FileStorage('file_storage', config, testHost());
    await storage.start();
    return { storage, close: () => storage.shutdown() };
  };
});
