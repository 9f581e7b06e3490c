import { hash } from 'node:crypto';

/** 64 bits of SHA-256 over the parts, as a compact key. A missing part and an empty one differ. */
export function digest(...parts: readonly unknown[]): string {
  return sha256(parts).slice(0, 16);
}

/** 128 bits of SHA-256 over the parts, in hex. */
export function longDigest(...parts: readonly unknown[]): string {
  return sha256(parts).slice(0, 32);
}

function sha256(parts: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(parts.map((part) => part ?? null)), 'hex');
}
