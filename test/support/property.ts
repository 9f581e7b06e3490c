import fc from 'fast-check';

const { SEED, RUNS } = process.env;

/**
 * Checks that something holds for all values. A failure prints its seed; `SEED=123 npm test` runs with that seed again,
 * `RUNS=5000` looks longer.
 */
export function forAll<T>(values: fc.Arbitrary<T>, check: (value: T) => void | Promise<void>): Promise<void> {
  const holds = fc.asyncProperty(values, async (value) => {
    await check(value);
  });
  const parameters = { ...(SEED && { seed: Number(SEED) }), ...(RUNS && { numRuns: Number(RUNS) }) };
  return Promise.resolve(fc.assert(holds, parameters));
}
