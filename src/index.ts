/** The public API: run an agent in a program of your own, and write components for it. */
export { type Agent, type AgentOptions, createAgent } from './agent/agent.ts';
export { builtins } from './builtins.ts';
export * from './component/index.ts';
export { type LoadResult, loadConfig } from './config/load.ts';
/** What gives an exporter of one's own its queue, retries and dead letters. */
export { type DeliveryDefaults, deliveryReferences, deliverySettings, withDelivery } from './config/schema/delivery.ts';
/** Settings in the words of the built-in components: Go durations, secrets that are never printed. */
export { duration, secret } from './config/schema/values.ts';
export { createOwnLogs } from './platform/own-logs.ts';
export { createOwnMetrics } from './platform/own-metrics.ts';
