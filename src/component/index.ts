/** All that a component of one's own needs: the contracts, the errors, and what defines a factory. */

export type { LogBatch, Origin } from '../telemetry/log-batch.ts';
export { type ClientAuth, isClientAuth } from './client-auth.ts';
export type { Clock } from './clock.ts';
export type {
  AgentView,
  Component,
  ComponentStatus,
  ConfigView,
  Host,
  LogFields,
  Logger,
  StatusOf,
} from './component.ts';
export type { ConsumeContext, LogsConsumer, MetricsConsumer, NextConsumers } from './consumer.ts';
export { type Deadline, deadline } from './deadline.ts';
export type { ErrorCode } from './error-codes.ts';
export { OutbandError, PermanentError, RetryableError } from './errors.ts';
export type { SendContext, Sender, SendResult } from './exporter.ts';
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
} from './factory.ts';
export { type ComponentId, formatComponentId } from './id.ts';
export type { MetricDoc } from './metric-doc.ts';
export type { Page, PageAnswer, PageRequest } from './page.ts';
export type {
  RunCause,
  RunReason,
  RunResult,
  Scheduler,
  Target,
  TargetHandle,
  TargetOptions,
} from './scheduler.ts';
export { Secret } from './secret.ts';
export type { KeyValue, KeyValueKind, QueueName, Storage, StoredQueue } from './storage.ts';
