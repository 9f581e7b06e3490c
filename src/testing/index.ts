/**
 * For tests of components of one's own, with `node:test`: what every component must do, as suites of tests, and what they put in the place
 * of the rest of an agent. A suite is registered by one call:
 *
 *     receiverContract('my_receiver', { factory, source: async (t) => ({ settings, add }) });
 */

export type { Rules } from './contract.ts';
export { type ExporterContractOptions, exporterContract, exporterRules } from './exporter-contract.ts';
export { type ExtensionContractOptions, extensionContract, extensionRules } from './extension-contract.ts';
export { FakeClock, settle } from './fake-clock.ts';
export { type Answer, memoryStorage, refusingBySeed, refusingSender, seeded, TestConsumer } from './fakes.ts';
export { type TestHost, testHost } from './host.ts';
export { type TestMetrics, testMetrics } from './metrics.ts';
export { type ProcessorContractOptions, processorContract, processorRules } from './processor-contract.ts';
export {
  type ReceiverContractOptions,
  type ReceiverSource,
  receiverContract,
  receiverRules,
} from './receiver-contract.ts';
export { batch, record } from './records.ts';
export { virtualScheduler } from './scheduler.ts';
export { type OpenStorage, type OpenStorageOf, storageContract, storageRules } from './storage-contract.ts';
