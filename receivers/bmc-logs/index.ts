import { defineReceiver, type ExtensionReference } from '../../src/component/factory.ts';
import { bmcLogsConfig } from './config.ts';
import { METRICS } from './metrics.ts';
import { probe } from './probe/probe.ts';
import { BmcLogsReceiver } from './receiver.ts';

/** The extension that an `auth` section names, if it names one. */
function authenticator(path: readonly (string | number)[], auth: unknown): ExtensionReference[] {
  const id = (auth as { authenticator?: unknown } | undefined)?.authenticator;
  return typeof id === 'string' ? [{ path: [...path, 'auth', 'authenticator'], id }] : [];
}

const listOf = (value: unknown) => (Array.isArray(value) ? (value as { auth?: unknown }[]) : []);

export default defineReceiver({
  type: 'bmc_logs',
  summary: 'Logs of baseboard controllers over Redfish: streams where it can, polls where it must, and comes back.',
  stability: { logs: 'beta', metrics: 'development' },
  schema: bmcLogsConfig,
  example: `
endpoints:
  - { name: rack-1-node-1, address: "https://10.0.0.1" }
auth: { username: outband, password: "\${env:BMC_PASSWORD}" }
tls: { ca_file: /etc/outband/bmc-ca.pem }
storage: file_storage`,
  metrics: Object.values(METRICS),
  references: ({ scheduler = 'scheduler', storage, auth, endpoints, http_discovery }) => [
    { path: ['scheduler'], id: scheduler },
    ...(storage === undefined ? [] : [{ path: ['storage'], id: storage }]),
    ...authenticator([], auth),
    ...listOf(endpoints).flatMap((one, index) => authenticator(['endpoints', index], one?.auth)),
    ...listOf(http_discovery).flatMap((one, index) => authenticator(['http_discovery', index], one?.auth)),
  ],
  probe,
  create: ({ id, config, host, next }) => new BmcLogsReceiver(id, config, host, next),
});
