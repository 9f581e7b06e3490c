import debug from '../exporters/debug/index.ts';
import file from '../exporters/file/index.ts';
import jsExporter from '../exporters/js-exporter/index.ts';
import otlpHttp from '../exporters/otlp-http/index.ts';
import attestation from '../receivers/attestation/index.ts';
import bmcLogs from '../receivers/bmc-logs/index.ts';
import schedulerHealth from '../receivers/scheduler-health/index.ts';
import type { AnyFactory } from './component/factory.ts';
import basicAuth from './extensions/basic-auth/index.ts';
import bearerTokenAuth from './extensions/bearer-token-auth/index.ts';
import fileStorage from './extensions/file-storage/index.ts';
import healthCheck from './extensions/health-check/index.ts';
import monitoringApi from './extensions/monitoring-api/index.ts';
import scheduler from './extensions/scheduler/index.ts';
import filter from './processors/filter/index.ts';
import memoryLimiter from './processors/memory-limiter/index.ts';
import resource from './processors/resource/index.ts';

/** The components that ship with outband. A new one is one line here and a folder of its own. */
export const builtins: readonly AnyFactory[] = [
  ...[bmcLogs, attestation, schedulerHealth],
  ...[memoryLimiter, resource, filter],
  ...[otlpHttp, debug, file, jsExporter],
  ...[scheduler, monitoringApi, healthCheck, fileStorage, basicAuth, bearerTokenAuth],
];
