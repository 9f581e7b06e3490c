import { defineReceiver } from '../../src/component/factory.ts';
import { bmcLogsConfig } from './config.ts';
import { METRICS } from './metrics.ts';
import { BmcLogsReceiver } from './receiver.ts';

export default defineReceiver({
  type: 'bmc_logs',
  summary: 'Logs of baseboard controllers over Redfish: streams where it can, polls where it must, and comes back.',
  stability: { logs: 'alpha' },
  schema: bmcLogsConfig,
  metrics: Object.values(METRICS),
  references: ({ scheduler = 'scheduler', storage }) => [
    { path: ['scheduler'], id: scheduler },
    ...(storage === undefined ? [] : [{ path: ['storage'], id: storage }]),
  ],
  create: ({ id, config, host, next }) => new BmcLogsReceiver(id, config, host, next.logs!),
});
