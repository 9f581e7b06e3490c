import type { SecureVersion } from 'node:tls';
import type { Clock } from '../../../src/component/clock.ts';
import type { BackendOptions } from './backend.ts';
import { makeKeys } from './certify.ts';
import type { Policy } from './policies.ts';

/** How a fleet is to be. */
export interface AttestedFleetOptions {
  /** Backends; default 5. */
  readonly n?: number;
  /** Of everything random but keys; default 1. */
  readonly seed?: number;
  /** Default: round robin. */
  readonly policy?: Policy;
  /** Validity of collateral counts by it, and delays; default: the system's. */
  readonly clock?: Clock;
  /** Groups of backends that share a key. */
  readonly sharedKeys?: readonly (readonly number[])[];
  /** In hex; default: one of its own per backend. */
  readonly instanceIds?: readonly string[];
  /** Whether backends give session tickets; default true. */
  readonly tickets?: boolean;
  readonly tls?: { readonly minVersion?: SecureVersion; readonly maxVersion?: SecureVersion };
  /** How long a backend takes to make a report, one at a time; default 0. */
  readonly evidenceMs?: number;
  /** Whether reports carry evidence of a GPU; default false. */
  readonly gpu?: boolean;
}

/** What each backend is given. */
export async function planBackends(
  n: number,
  { sharedKeys = [], instanceIds = [] }: AttestedFleetOptions,
): Promise<BackendOptions[]> {
  const keys = await Promise.all(sharedKeys.map(makeKeys));
  return Array.from({ length: n }, (_, index) => {
    const group = sharedKeys.findIndex((indices) => indices.includes(index));
    return { index, keys: keys[group], instanceId: instanceIds[index] };
  });
}
