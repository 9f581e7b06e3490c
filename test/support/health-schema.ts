import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';

const schema = JSON.parse(
  readFileSync(new URL('../../docs/scheduler-health.schema.json', import.meta.url), 'utf8'),
) as object;
// The contract writes its times as patterns; `format` only says what they are.
const validate = new Ajv2020({ strict: false, allErrors: true, validateFormats: false }).compile(schema);

/** What the tests look at of an answer; the schema says the rest. */
export interface Health {
  readonly updatedAt: string;
  readonly schemaVersion: number;
  readonly revision: number;
  readonly enabled: boolean;
  readonly queue: {
    readonly depth: number;
    readonly dueWithinSeconds: number;
    readonly perType: Record<string, number>;
  };
  readonly deadLetter: {
    readonly count: number;
    readonly tasks: { instance: string; nextRun: string; failures: number }[];
  };
  readonly breakers: { instance: string; type: string; state: string; failures: number; retryAt: string | null }[];
  readonly staleness: { instance: string; type: string; score: number; lastSuccess: string | null }[];
  readonly instances: {
    readonly key: string;
    readonly type: string;
    readonly instance: string;
    readonly connection: string;
    readonly mode: string;
    readonly facts: Record<string, unknown> | null;
    readonly pollStatus: Record<string, unknown> & {
      readonly nextRun: string | null;
      readonly consecutiveFailures: number;
      readonly lastError: { readonly code: string; readonly message: string } | null;
    };
    readonly breaker: Record<string, unknown> & { readonly state: string; readonly retryAt: string | null };
    readonly deadLetter: Record<string, unknown> & { readonly present: boolean; readonly retryCount: number };
  }[];
  readonly summary: Record<string, unknown> & {
    readonly targets: number;
    readonly late: number;
    readonly parked: number;
  };
  readonly page?: { readonly total: number; readonly next: string | null };
}

/** Parses an answer of the health endpoint. @throws when it breaks the contract, or was not made by us */
export function healthOf(text: string): Health {
  const body = JSON.parse(text) as Health;
  if (!validate(body)) assert.fail(JSON.stringify(validate.errors?.slice(0, 5), null, 1));
  assert.equal(body.schemaVersion, 1);
  return body;
}
