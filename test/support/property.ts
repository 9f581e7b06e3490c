import fc from 'fast-check';

const { SEED, RUNS } = process.env;

/**
 * Checks that something holds for all values. A failure prints its seed; `SEED=123 npm test` runs with that seed again,
 * `RUNS=5000` looks longer.
 *
 * @param examples values that failed once; they come first
 */
export function forAll<T>(
  values: fc.Arbitrary<T>,
  check: (value: T) => void | Promise<void>,
  examples: readonly T[] = [],
): Promise<void> {
  const holds = fc.asyncProperty(values, async (value) => {
    await check(value);
  });
  const parameters = {
    examples: examples.map((value): [T] => [value]),
    ...(SEED && { seed: Number(SEED) }),
    ...(RUNS && { numRuns: Number(RUNS) }),
  };
  return Promise.resolve(fc.assert(holds, parameters));
}
