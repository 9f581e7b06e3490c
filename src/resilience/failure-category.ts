/** Whether waiting alone may heal a failure. */
export type FailureCategory = 'transient' | 'permanent';

/** The failures that no wait heals. The closed list; everything else, the unknown included, may pass. */
const PERMANENT: ReadonlySet<string> = new Set([
  'auth_rejected',
  'service_root_not_found',
  'certificate_mismatch',
  'config_invalid',
]);

/** @param code of the error; nothing else of it counts */
export function failureCategory(code: string): FailureCategory {
  return PERMANENT.has(code) ? 'permanent' : 'transient';
}
