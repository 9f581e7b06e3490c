import { createHash, generateKeyPairSync } from 'node:crypto';
import type { Algo } from './faults.ts';

/** What a backend signs answers with, in hex. */
export interface Identity {
  readonly address: string;
  readonly publicKey: string;
}

/** Makes new identities, one per algorithm. */
export function makeIdentities(): Readonly<Record<Algo, Identity>> {
  const ec = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from(ec.x ?? '', 'base64url'), Buffer.from(ec.y ?? '', 'base64url')]);
  const ed = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  const edKey = Buffer.from(ed.x ?? '', 'base64url').toString('hex');
  return {
    // A real address is the end of a Keccak hash, which Node has not; nobody recomputes it.
    ecdsa: {
      address: createHash('sha256').update(point).digest('hex').slice(-40),
      publicKey: point.toString('hex'),
    },
    ed25519: { address: edKey, publicKey: edKey },
  };
}
