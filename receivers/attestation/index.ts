import { defineReceiver, type ExtensionReference } from '../../src/component/factory.ts';
import { attestationConfig } from './config.ts';
import { METRICS } from './metrics.ts';
import { AttestationReceiver } from './receiver.ts';

/** The extension that an `auth` section names, if it names one. */
function authenticator(path: readonly (string | number)[], section: unknown): ExtensionReference[] {
  const { auth } = (section ?? {}) as { auth?: { authenticator?: unknown } };
  const id = auth?.authenticator;
  return typeof id === 'string' ? [{ path: [...path, 'auth', 'authenticator'], id }] : [];
}

export default defineReceiver({
  type: 'attestation',
  summary:
    'Attested TLS backends behind a load balancer: finds them, proves and pins their keys, and says what it could not see.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema: attestationConfig,
  example: `
models:
  - { model: glm, url: "https://glm.models.example.net", declared: 5 }
verification:
  collateral: { pccs: { url: "https://api.trustedservices.intel.com" } }
  policy:
    os_images: ["0000000000000000000000000000000000000000000000000000000000000000"]
    compose_hashes: ["0000000000000000000000000000000000000000000000000000000000000000"]
storage: file_storage`,
  metrics: Object.values(METRICS),
  references: ({ scheduler = 'scheduler', storage, request, sources }) => [
    { path: ['scheduler'], id: scheduler },
    ...(storage === undefined ? [] : [{ path: ['storage'], id: storage }]),
    ...authenticator(['request'], request),
    ...(Array.isArray(sources) ? sources : []).flatMap((one, index) =>
      authenticator(['sources', index, 'http'], one?.http),
    ),
  ],
  create: ({ id, config, host, next }) => new AttestationReceiver(id, config, host, next),
});
