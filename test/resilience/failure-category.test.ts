import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODES } from '../../src/component/error-codes.ts';
import { failureCategory } from '../../src/resilience/failure-category.ts';

test('four codes are permanent, all others and the unknown may pass', () => {
  const permanent = Object.keys(ERROR_CODES).filter((code) => failureCategory(code) === 'permanent');
  assert.deepEqual(permanent.sort(), [
    'auth_rejected',
    'certificate_mismatch',
    'config_invalid',
    'service_root_not_found',
  ]);
  assert.equal(failureCategory('something_new'), 'transient');
});
