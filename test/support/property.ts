import fc from 'fast-check';

/**
 * Checks that something holds for all values. A failure prints its seed; `SEED=123 npm test` runs with that seed again.
 */
export function forAll<T>(values: fc.Arbitrary<T>, check: (value: T) => void | Promise<void>): Promise<void> {
  const seed = process.env.SEED === undefined ? {} : { seed: Number(process.env.SEED) };
  const holds = fc.asyncProperty(values, async (value) => {
    await check(value);
  });
  return Promise.resolve(fc.assert(holds, seed));
}
