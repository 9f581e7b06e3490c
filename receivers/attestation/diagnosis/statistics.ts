/**
 * P(X >= x) for a chi-square variable: the regularised upper incomplete gamma function Q(df/2, x/2).
 * @see Abramowitz and Stegun, 6.5.29 (series) and 6.5.31 (continued fraction)
 */
export function chiSquareTail(x: number, degreesOfFreedom: number): number {
  const a = degreesOfFreedom / 2;
  const z = x / 2;
  if (z <= 0) return 1;
  const scale = Math.exp(a * Math.log(z) - z - logGamma(a));
  if (z < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < 1_000 && term > sum * 1e-15; n++) {
      term *= z / (a + n);
      sum += term;
    }
    return 1 - sum * scale;
  }
  // Lentz's way to evaluate the fraction from its front.
  let b = z + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1; n < 1_000; n++) {
    const numerator = -n * (n - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return fraction * scale;
}

/** ln of the gamma function for x > 0, by Stirling's series after shifting x up. */
function logGamma(x: number): number {
  let shift = 0;
  let y = x;
  for (; y < 10; y++) shift += Math.log(y);
  const series = 1 / (12 * y) - 1 / (360 * y ** 3) + 1 / (1260 * y ** 5);
  return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
