/** The items in an order that looks random and is always the same for the same seed. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const mixed = [...items];
  let state = (seed ^ 0x9e3779b9) >>> 0;
  for (let last = mixed.length - 1; last > 0; last--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!];
  }
  return mixed;
}
