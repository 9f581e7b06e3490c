/** The public API: run an agent in a program of your own, and write components for it. */
export { type Agent, type AgentOptions, createAgent } from './agent/agent.ts';
export { builtins } from './builtins.ts';
export type { ClientAuth } from './component/client-auth.ts';
export type { Clock } from './component/clock.ts';
export type { Component, ComponentStatus, Host, LogFields, Logger } from './component/component.ts';
export type { ConsumeContext, LogsConsumer, MetricsConsumer, NextConsumers } from './component/consumer.ts';
export type { ErrorCode } from './component/error-codes.ts';
export { OutbandError, PermanentError, RetryableError } from './component/errors.ts';
export type { SendContext, Sender, SendResult } from './component/exporter.ts';
export {
  type AnyFactory,
  defineExporter,
  defineExtension,
  defineProcessor,
  defineReceiver,
  type ExporterFactory,
  type ExtensionFactory,
  type ProcessorFactory,
  type ReceiverFactory,
  type Signal,
  type Stability,
} from './component/factory.ts';
export type { ComponentId } from './component/id.ts';
export type {
  RunCause,
  RunReason,
  RunResult,
  Scheduler,
  Target,
  TargetHandle,
  TargetOptions,
} from './component/scheduler.ts';
export { Secret } from './component/secret.ts';
export type { KeyValue, KeyValueKind, QueueName, Storage, StoredQueue } from './component/storage.ts';
export { type LoadResult, loadConfig } from './config/load.ts';
export { createOwnLogs } from './platform/own-logs.ts';
export { createOwnMetrics } from './platform/own-metrics.ts';
export type { LogBatch, Origin } from './telemetry/log-batch.ts';
