import { createHash } from 'node:crypto';
import type { TDReport10 } from '@phala/dcap-qvl';
import type { VerificationConfig } from './config.ts';
import type { WorkloadIdentity } from './event-log.ts';
import type { CheckFailure } from './verifier.ts';

const MR_CONFIG_PADDING = '00'.repeat(15);
const REGISTERS = { mrtd: 'mrTd', rtmr0: 'rtMr0', rtmr1: 'rtMr1', rtmr2: 'rtMr2' } as const;

/**
 * Whether this is a workload that may be trusted, by what was measured of it.
 * @param appCompose what the backend says that its compose hash is the hash of
 */
export function checkWorkload(
  td: TDReport10,
  identity: WorkloadIdentity,
  appCompose: string | undefined,
  { os_images, compose_hashes, mr_config_id, measurements }: VerificationConfig['policy'],
): CheckFailure | undefined {
  if (os_images.length > 0 && !os_images.includes(identity['os-image-hash'])) return { check: 'os_image' };
  const compose = identity['compose-hash'];
  if (appCompose !== undefined && createHash('sha256').update(appCompose).digest('hex') !== compose)
    return { check: 'compose_hash', text: 'differs from the event' };
  if (compose_hashes.length > 0 && !compose_hashes.includes(compose))
    return { check: 'compose_hash', text: 'not listed' };
  const configId = toHex(td.mrConfigId);
  const isUnset = /^0*$/.test(configId);
  if (isUnset ? mr_config_id === 'required' : configId !== `01${compose}${MR_CONFIG_PADDING}`)
    return { check: 'mr_config_id' };
  for (const [name, listed] of Object.entries(measurements)) {
    const register = name as keyof typeof REGISTERS;
    if (listed.length > 0 && !listed.includes(toHex(td[REGISTERS[register]])))
      return { check: 'measurement', text: name };
  }
  return undefined;
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
