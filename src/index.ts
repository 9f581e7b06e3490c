/** The public API: run an agent in a program of your own, and write components for it. */
export { type Agent, type AgentOptions, createAgent } from './agent/agent.ts';
export { builtins } from './builtins.ts';
export * from './component/index.ts';
export { type LoadResult, loadConfig } from './config/load.ts';
export { createOwnLogs } from './platform/own-logs.ts';
export { createOwnMetrics } from './platform/own-metrics.ts';
export type { LogBatch, Origin } from './telemetry/log-batch.ts';
