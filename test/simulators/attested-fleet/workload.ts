import { createHash } from 'node:crypto';

const hash = (algorithm: 'sha256' | 'sha384', text: string) => createHash(algorithm).update(text).digest('hex');

/** What runs on good backends, and what their quotes say of it. Hashes in hex. */
export const WORKLOAD = {
  appCompose: JSON.stringify({ manifest_version: 2, name: 'model', runner: 'docker-compose', kms_enabled: true }),
  get composeHash() {
    return hash('sha256', this.appCompose);
  },
  osImageHash: hash('sha256', 'an image that is listed'),
  measurements: {
    mrtd: hash('sha384', 'mrtd'),
    rtmr0: hash('sha384', 'rtmr0'),
    rtmr1: hash('sha384', 'rtmr1'),
    rtmr2: hash('sha384', 'rtmr2'),
  },
};

/** The same of a workload that is not listed anywhere. */
export const OTHER = {
  appCompose: `${WORKLOAD.appCompose} `,
  composeHash: hash('sha256', 'another compose file'),
  osImageHash: hash('sha256', 'an image that is not listed'),
  mrtd: hash('sha384', 'another mrtd'),
  rtmr3: hash('sha384', 'another rtmr3'),
  fingerprint: hash('sha256', 'another key'),
  nonce: hash('sha256', 'an earlier nonce'),
};

/** MRCONFIGID of a compose hash: version 1, the hash, zeros. */
export function mrConfigId(composeHash: string): Buffer {
  return Buffer.concat([Buffer.from([1]), Buffer.from(composeHash, 'hex'), Buffer.alloc(15)]);
}
